"""The Python API, as the README shows it and a little beyond."""

import asyncio
import base64
import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from building import plain
from PIL import Image as PILImage

from saccade import Agent
from saccade.agent import make_task
from saccade.client.hosts import Hosts
from saccade.embedded import resolve
from saccade.errors import ConfigError, FormatError, ImageError
from saccade.images.image import Image
from saccade.nano.spec import sections
from saccade.testing import ScriptedServer
from saccade.types import StopReason
from saccade.world import tasks


def test_an_agent_answers_several_questions(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    PILImage.new("RGB", (300, 200)).save(photo)
    with ScriptedServer(lambda request: f"<answer>{len(request.images)}</answer>") as server:
        policy = {"kind": "openai", "base_url": server.url, "model": "m"}
        with Agent(policy=policy) as agent:
            one = agent.ask(photo, "How many?", answer="1")
            two = agent.ask([photo, Image.open(photo)], "How many?", answer="3")
            none = agent.ask([], "How many?")
    assert (one.answer, two.answer, none.answer) == ("1", "2", "0")
    assert one.score is not None
    assert one.score.value == pytest.approx(0.8)
    assert two.score is not None
    assert two.score.value == 0.0
    assert none.score is None
    assert one.stop is StopReason.ANSWER


def test_mistakes_are_told_when_the_agent_is_made_or_asked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"policy\.kind=openai"):
        Agent()
    with pytest.raises(ConfigError, match="polcy: unknown key; did you mean 'policy'"):
        Agent(polcy={})
    (tmp_path / "half.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    policy = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"}
    with Agent(policy=policy) as agent, pytest.raises(ImageError, match=r"half\.png"):
        agent.ask(tmp_path / "half.png", "What?")


def test_text_that_is_no_unicode_is_replaced_and_too_many_options_are_refused() -> None:
    task = make_task([], "no\udce9n", ["\udcff", "b"], answer="\udcff")
    assert (task.question, task.choices, task.answer) == ("no?n", ("?", "b"), "?")
    with pytest.raises(ConfigError, match="at most 26"):
        make_task([], "?", [str(n) for n in range(27)])


def test_a_local_model_answers(tiny_qwen2_5_vl: Path) -> None:
    view = {"max_pixels": 112 * 112}
    with Agent(
        policy={"kind": "hf", "path": str(tiny_qwen2_5_vl)},
        environment={"view": view, "limits": {"max_turn_tokens": 4}},
    ) as agent:
        done = agent.ask(plain(300, 200), "What?")
    assert done.stop is StopReason.MAX_TOKENS
    assert len(done.turns[0].completion.token_ids or ()) == 4


def test_an_embedded_model_is_named_as_in_a_run_file() -> None:
    pytest.importorskip("torch")
    with Agent(policy={"kind": "hf", "path": "nano-look"}, **sections()) as agent:
        (task,) = tasks("easy", n=1, seed=3)
        trajectory = agent.ask(task.images[0], task.question, answer=task.answer)
    assert trajectory.stop is StopReason.ANSWER
    assert trajectory.turns[0].completion.model == resolve("nano-look")


def test_an_agent_takes_a_picture_in_any_form_alone_or_in_a_list(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    picture = PILImage.new("RGB", (60, 40), "red")
    picture.save(photo)
    array = np.asarray(picture)
    uri = f"data:image/png;base64,{base64.b64encode(photo.read_bytes()).decode()}"
    forms = [photo, str(photo), photo.read_bytes(), picture, array, array / 255, uri]
    with ScriptedServer(lambda request: f"<answer>{len(request.images)}</answer>") as server:
        policy = {"kind": "openai", "base_url": server.url, "model": "m"}
        with Agent(policy=policy) as agent:
            for form in forms:
                assert agent.ask(form, "How many?").answer == "1"
            assert agent.ask(forms, "How many?").answer == "7"
            assert asyncio.run(agent.ask_async(tuple(forms), "How many?")).answer == "7"
            with pytest.raises(ImageError, match=r"image 2: .*got NoneType"):
                agent.ask([photo, None], "What?")
    shown = server.requests[-1].images
    assert {image.getpixel((3, 3)) for image in shown} == {(255, 0, 0)}


def test_marks_say_where_the_images_of_a_question_stand() -> None:
    first, second = PILImage.new("RGB", (9, 9), "red"), PILImage.new("RGB", (9, 9), "blue")
    task = make_task([first, second], "Is <image> like <image>?")
    before, red, between, blue, after = task.prompt
    assert (before, between, after) == ("Is", "like", "?")
    assert (red, blue) == tuple(Image.from_pixels(picture) for picture in (first, second))
    with pytest.raises(FormatError, match="question: 1 mark <image> for 2 images"):
        make_task([first, second], "Is <image> like it?")
    with pytest.raises(FormatError, match="choice 1 has the mark"):
        make_task([first], "Which?", ["<image>", "b"])


@pytest.mark.parametrize(
    ("asked", "says"),
    [({"question": None}, "question: expected a text, got None"), ({"question": " "}, "question: "),
     ({"choices": "AB"}, "choices: expected a list of texts, got 'AB'"),
     ({"choices": {"A": "x"}}, "choices: expected a list"), ({"choices": [1]}, "choices: expected"),
     ({"choices": None}, "choices: expected"), ({"choices": ["x"] * 27}, "at most 26 options"),
     ({"answer": 3}, "answer: expected a text or None, got 3")],
)  # fmt: skip
def test_what_is_asked_is_text(asked: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make_task([], **{"question": "What?"} | asked)


def test_urls_are_fetched_where_they_are_allowed(tmp_path: Path) -> None:
    PILImage.new("RGB", (60, 40), "red").save(tmp_path / "a.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    handler = functools.partial(QuietFiles, directory=str(tmp_path))
    policy = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"}
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
        thread = threading.Thread(target=files.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{files.server_port}"
        with Agent(policy=policy) as agent, pytest.raises(ImageError, match="and none is fetched"):
            agent.ask(f"{url}/a.png", "What?")
        says = "of this machine or network"
        with Agent(policy=policy, allow_urls=True) as agent, pytest.raises(ImageError, match=says):
            agent.ask(f"{url}/a.png", "What?")
        hosts = Hosts.of(["127.0.0.1"])
        assert make_task(f"{url}/a.png", "What?", hosts=hosts).images[0].size == (60, 40)
        with pytest.raises(ImageError, match=f"{url}/half.png: the image is truncated"):
            make_task(f"{url}/half.png", "What?", hosts=hosts)
        files.shutdown()
        thread.join()


class QuietFiles(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass
