"""A trajectory in a notebook: whole, bounded, and nothing of it executed."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
from building import a_result, a_task, a_trajectory, a_turn, noise, plain, played, zoom_text
from PIL import Image as PILImage

from saccade.types import Message, ToolCall, Trajectory
from saccade.types.notebook import MAX_PICTURES, MAX_TURNS, html_of

HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "'/><svg onload=alert(1)>",
    "</div></div></table><style>*{display:none}</style>",
    "&lt;script&gt; \u202e \x00 \ud800",
)


class Elements(HTMLParser):
    """Every element with its attributes, and the text; what is open at the end."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def pictures(self) -> list[np.ndarray]:
        found = []
        for _, attributes in self.elements:
            if source := attributes.get("src"):
                data = base64.b64decode(source.partition("base64,")[2])
                found.append(np.asarray(PILImage.open(io.BytesIO(data)).convert("RGB")))
        return found


def test_text_of_models_tools_and_users_is_never_markup() -> None:
    html = ""
    for text in HOSTILE:
        turn = a_turn(a_result(text), a_result(error=text), text=text)
        call = ToolCall(name=text, arguments={"bbox_2d": text, "image": text})
        action = turn.action.model_copy(update={"thought": text, "calls": (call,)})
        prompt = (Message(role="user", content=(text,)),)
        last = a_turn(answer=text)
        named = last.completion.model_copy(update={"model": text})
        turns = (turn.model_copy(update={"action": action}), a_turn(text=text),
                 last.model_copy(update={"completion": named}))  # fmt: skip
        html += html_of(a_trajectory(*turns, prompt=prompt, error=text))
    page = Elements(html)
    assert {tag for tag, _ in page.elements} <= {"div", "span"}
    assert {name for _, attributes in page.elements for name in attributes} == {"style"}
    assert not page.open
    assert page.text.count("<script>alert(1)</script>") == 11
    assert "&lt;script&gt;" in page.text, "what was escaped by its writer stays so"
    assert not re.search("[\u202e\x00\ud800]", page.text)
    html.encode()


async def test_what_a_model_saw_and_where_it_looked() -> None:
    task = a_task(plain(1008, 588), "What is there?")
    texts = ("<think>left</think>" + zoom_text(100, 60, 500, 300), "<answer>a cat</answer>")
    page = Elements((await played(*texts, task=task))._repr_html_())
    for text in ("What is there?", "left", '"bbox_2d": [100, 60, 500, 300]', "stop: answer"):
        assert text in page.text
    question, crop = page.pictures
    assert question.shape == (280, 480, 3)
    assert crop.max() == 0
    ys, xs = np.nonzero(question.max(-1) > 60)  # the box and its number on a black picture
    scale = 480 / 1008
    assert abs(np.array([xs.min(), ys.min()]) - np.array([100, 60]) * scale).max() <= 2
    assert abs(np.array([xs.max(), ys.max()]) - np.array([500, 300]) * scale).max() <= 2


async def test_an_episode_without_an_answer_shows_what_was_written() -> None:
    page = Elements(html_of(await played("The answer is B.")))
    assert "wrote The answer is B." in page.text
    assert "stop: no_action" in page.text


def test_it_is_bounded_and_says_what_is_left_out() -> None:
    crop = noise(800, 600)
    turns = [a_turn(a_result(*[crop] * 5, "x" * 50_000), text=str(n)) for n in range(30)]
    html = html_of(a_trajectory(*turns))
    page = Elements(html)
    assert len(page.pictures) == MAX_PICTURES
    assert f"({30 - MAX_TURNS} turns are not shown)" in page.text
    assert "(48000 characters)" in page.text
    assert "not shown)" in page.text
    assert len(html) < 2**20


def test_pictures_that_are_not_at_hand_are_named() -> None:
    prompt = (Message(role="user", content=(plain(60, 40), "q")),)
    here = a_trajectory(prompt=prompt).model_dump_json()
    far = Trajectory.model_validate_json(re.sub(r"[0-9a-f]{64}", "0" * 64, here))
    assert "60x40 pixels: its pixels are not at hand" in html_of(far)
