"""What tells a teacher the gold answer is found; what only looks like it is not.

Every planted leak is looked for twice: with its mechanism, and with all others but this one.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from building import RECORD, a_result, a_task, a_trajectory, a_turn, plain
from PIL import Image as PILImage
from PIL.PngImagePlugin import PngInfo
from pydantic import JsonValue
from teaching import a_sum, behind, kept_in, run, solve

from saccade.data.demos.leaks import Leak, Leaks
from saccade.data.demos.recipe import LeakKind, TeacherPart
from saccade.data.demos.teachers import Teacher
from saccade.dialects.deepeyes import DeepEyes
from saccade.env import Environment
from saccade.images.image import Image
from saccade.policies.openai import OpenAIOptions
from saccade.policies.replay import ReplayPolicy
from saccade.testing import ScriptedServer
from saccade.types import Message, Task

KINDS: tuple[LeakKind, ...] = get_args(LeakKind)
MUG = {"id": "mug", "answer": "a red mug"}
COLOURS = ("red", "green", "blue", "black")


class Blabbing(DeepEyes):
    """A dialect that writes the gold answer into the question."""

    def question(self, task: Task) -> Message:
        asked = super().question(task)
        return asked.model_copy(update={"content": (*asked.content, f" [{task.answer}]")})


def a_teacher(hint: str = "", **options: JsonValue) -> Teacher:
    """A teacher behind a server that is not there; nothing asks it."""
    server = OpenAIOptions.model_validate({"base_url": "http://localhost", "model": "t", **options})
    part = TeacherPart(kind="openai", hint=hint)
    return Teacher("t", part, ReplayPolicy({}), server)


def before(
    task: Task,
    teacher: Teacher | None = None,
    *,
    outlines: tuple[Task, ...] = (),
    kinds: tuple[LeakKind, ...] = KINDS,
    dialect: DeepEyes | None = None,
) -> Leak | None:
    leaks = Leaks(Environment(dialect or DeepEyes()), outlines, kinds=kinds)
    return leaks.before(task, teacher or a_teacher())


def is_caught(look: Callable[[tuple[LeakKind, ...]], Leak | None], kind: LeakKind) -> None:
    """It is found by this mechanism, and by no other one."""
    found = look(KINDS)
    assert found is not None
    assert found.where == kind
    assert look(tuple(other for other in KINDS if other != kind)) is None


def choice(number: int, place: int, **fields: object) -> Task:
    """A question with four options, of which the one at this place is right."""
    usual = {"id": f"c{number}", "choices": COLOURS, "answer": "ABCD"[place], "source": "colours"}
    return a_task("Which colour is the mug?", **(usual | fields))  # type: ignore[arg-type]


def test_a_dialect_that_writes_the_answer_is_caught() -> None:
    task = a_task("What is it?", **MUG)
    is_caught(lambda kinds: before(task, kinds=kinds, dialect=Blabbing()), "request")


def test_a_hint_that_is_filled_with_the_answer_is_caught_by_the_exact_rule() -> None:
    found = before(a_task("What is it?", **MUG), a_teacher("It is {answer}."))
    assert found is not None
    assert found.where == "request"


@pytest.mark.parametrize(
    "note", ["look for a red mug", "A RED  MUG, left", {"seen": ["a red mug"]}]
)
def test_a_note_that_a_hint_quotes_is_caught(note: JsonValue) -> None:
    task = a_task("What is it?", **MUG, meta={"tip": note})
    is_caught(lambda kinds: before(task, a_teacher("{meta.tip}"), kinds=kinds), "hint")


@pytest.mark.parametrize("text", ["The answer is a red mug.", "gold: A red mug"])
def test_a_hint_that_calls_something_the_answer_is_caught(text: str) -> None:
    task = a_task("What is it?", **MUG)
    is_caught(lambda kinds: before(task, a_teacher(text), kinds=kinds), "hint")


@pytest.mark.parametrize(
    "text", ["What is it? (answer: a red mug)", "What is it? Ground truth = 'a red mug'."]
)
def test_a_question_that_says_its_answer_is_caught(text: str) -> None:
    is_caught(lambda kinds: before(a_task(text, **MUG), kinds=kinds), "question")


@pytest.mark.parametrize("mark", ["green (correct)", "green \u2713", "**green**", "green <- this"])
def test_an_option_that_alone_carries_a_mark_is_caught(mark: str) -> None:
    task = choice(0, 1, choices=("red", mark, "blue", "black"))
    is_caught(lambda kinds: before(task, kinds=kinds), "question")
    assert before(choice(0, 0, choices=("red", mark, "blue", "black"))) is None, "not the right one"


def test_an_order_of_options_that_tells_the_answer_is_caught() -> None:
    """V* as published: the right option of every question is the first one."""
    told = tuple(choice(n, 0) for n in range(20))
    is_caught(lambda kinds: before(told[3], outlines=told, kinds=kinds), "order")
    shuffled = tuple(choice(n, n * 7 % 4) for n in range(20))
    assert before(shuffled[3], outlines=shuffled) is None
    assert before(told[3], outlines=told[:4]) is None, "four in a row may be chance"


def png(**texts: str) -> Image:
    held, info = io.BytesIO(), PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    PILImage.new("RGB", (56, 56)).save(held, "PNG", pnginfo=info)
    return Image.from_bytes(held.getvalue())


def test_a_text_in_an_image_file_is_caught_where_the_file_is_sent() -> None:
    task = a_task(png(Comment="label: a red mug"), "What is it?", **MUG)
    is_caught(lambda kinds: before(task, kinds=kinds), "image")
    assert before(task, a_teacher(image_format="jpeg")) is None, "encoded anew, without its texts"
    harmless = a_task(png(Software="GIMP", Comment="a mug"), "What is it?", **MUG)
    assert before(harmless) is None


def test_the_name_of_a_file_that_is_linked_is_caught(tmp_path: Path) -> None:
    file = tmp_path / "a_red_mug.png"
    PILImage.new("RGB", (56, 56)).save(file)
    task = a_task(Image.open(file), "What is it?", **MUG)
    links: JsonValue = {"folder": str(tmp_path), "url": "https://host"}
    teacher = a_teacher(image_urls=links)
    is_caught(lambda kinds: before(task, teacher, kinds=kinds), "image")
    assert before(task) is None, "sent as bytes it has no name"


def after(task: Task, shown: str, *, wrote: str = "", kinds: tuple[LeakKind, ...] = KINDS) -> (
    Leak | None
):  # fmt: skip
    leaks = Leaks(Environment(DeepEyes()), kinds=kinds)
    trajectory = a_trajectory(a_turn(a_result(shown), text=wrote), environment=RECORD)
    return leaks.after(task, trajectory)


@pytest.mark.parametrize(
    "shown",
    ['{"question": "What is it?", "answer": "a red mug"}', "Correct answer: A red mug.",
     "row 7: What is standing on the table there? a red mug"],
)  # fmt: skip
def test_a_tool_that_has_read_the_data_set_is_caught(shown: str) -> None:
    task = a_task("What is standing on the table there?", **MUG)
    is_caught(lambda kinds: after(task, shown, kinds=kinds), "observation")


def test_what_only_looks_like_a_leak_is_none() -> None:
    """An answer of the teacher's own, printed; facts that a search brought; small numbers."""
    task = a_task("What is 1 plus 2, please, of all things?", id="sum", answer="3")
    assert after(task, "stdout: answer: 3", wrote="print('answer:', a + b)") is None
    assert after(task, "A mug of 3 dl, red.") is None
    assert after(task, "In version 3.5 the answer is 13.") is None
    rules = a_teacher("Boxes are [x1, y1, x2, y2]. 3 calls at most. Use {meta.tool}.")
    assert before(task.model_copy(update={"meta": {"tool": "python3"}}), rules) is None
    assert before(choice(0, 0, meta={"tip": "red, green, blue or black"}), a_teacher("{meta.tip}"))\
        is None, "a note with other options as well"  # fmt: skip
    assert before(a_task(plain(56, 56), "What is it?", id="open", answer=None)) is None


def test_a_planted_leak_is_not_asked_and_with_the_check_off_it_is_kept(tmp_path: Path) -> None:
    """End to end; and an episode that was played without the check is dropped with it."""
    tasks = [a_sum(1, meta={"tip": "I say 3."}), a_sum(2, meta={"tip": "Print it."})]
    with ScriptedServer(solve) as server:
        teachers = [behind(server.url, hint="{meta.tip}")]
        made = run(tmp_path, tasks, teachers)
        assert (made.audit.kept, made.audit.dropped) == (1, {"leak": 1})
        assert set(kept_in(tmp_path)) == {"sum-2"}
        assert not any("I say 3." in request.text for request in server.requests)
        made = run(tmp_path, tasks, teachers, demos={"filters": {"leaks": []}})
        assert (made.audit.kept, made.audit.dropped) == (2, {})
        asked = len(server.requests)
        made = run(tmp_path, tasks, teachers)
        assert (made.audit.kept, made.audit.dropped) == (1, {"leak": 1})
        assert len(server.requests) == asked
