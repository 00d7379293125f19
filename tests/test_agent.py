"""The Python API, as the README shows it and a little beyond."""

from pathlib import Path

import pytest
from building import plain
from PIL import Image as PILImage

from saccade import Agent
from saccade.agent import make_task
from saccade.embedded import resolve
from saccade.errors import ConfigError, ImageError
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
    with Agent(policy={"kind": "hf", "path": "nano-agent"}, **sections()) as agent:
        (task,) = tasks("easy", n=1, seed=3)
        trajectory = agent.ask(task.images[0], task.question, answer=task.answer)
    assert trajectory.stop is StopReason.ANSWER
    assert trajectory.turns[0].completion.model == resolve("nano-agent")
