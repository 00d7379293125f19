"""Published rows that hypothesis makes up: written again they are the same questions.

What a row is: `tests/formats/test_published.py`.
"""

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from building import a_task, noise, plain
from hypothesis import example, given, settings
from hypothesis import strategies as st

from saccade.errors import FormatError
from saccade.formats.conversations import UnfitConversation
from saccade.formats.parquet import read_parquet
from saccade.formats.published import write_parquet
from saccade.images.image import Image
from saccade.types import Part, Task

PICTURES = (plain(40, 30, "red"), noise(20, 30))
FRAGMENTS = (
    "<image>", "<image 1>", "< IMAGE />", "<im", "age>", "<img>", "<|image_pad|>", "{question}",
    "\n", "\r\n", " ", "\u2028", "\x00", "?", "A", "\U0001f600", "\\", '"', "\ud83d",
)  # fmt: skip
texts = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=6), max_size=5).map("".join)
sound = texts.map(lambda text: text.replace("\ud83d", ""))
names = st.sampled_from(["perception", "reason", "search", "a-b"]) | sound.filter(bool)
filled = sound.map(str.strip).filter(bool)


@st.composite
def rows(draw: st.DrawFn) -> dict[str, object]:
    images = draw(st.lists(st.sampled_from(PICTURES), max_size=2))
    question = draw(filled)
    before, after = draw(sound), draw(sound)
    truth = {"ground_truth": draw(filled), "candidate_answers": draw(st.none() | sound)}
    return {
        "data_source": draw(names),
        "env_name": draw(st.sampled_from(["deepeyes_v2", "visual_toolbox_v2"])),
        "ability": draw(st.none() | sound),
        "prompt": [
            {"role": "system", "content": "Look closely."},
            {"role": "user", "content": before + question + after},
        ],
        "images": [{"bytes": image.encoded("png").data, "path": None} for image in images],
        "reward_model": truth,
        "extra_info": {"question": draw(st.none() | st.just(question)), "index": draw(filled)},
    }


def known(task: Task) -> dict[str, object]:
    prompt = [p if isinstance(p, str) else p.pixels().tobytes() for p in task.prompt]
    return task.model_dump(exclude={"prompt"}) | {"prompt": prompt}


@given(row=rows())
@example(  # a question that stands in the text of the marks before it
    row={
        "data_source": "perception",
        "env_name": "deepeyes_v2",
        "prompt": [{"role": "user", "content": "<im"}],
        "images": [{"bytes": image.encoded("png").data, "path": None} for image in PICTURES],
        "reward_model": {"ground_truth": "A"},
        "extra_info": {"question": None, "index": "1"},
    }
)
@settings(max_examples=50)
def test_rows_that_can_be_read_are_the_same_questions_when_written(row: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder) / "rows.parquet", Path(folder) / "again" / "rows.parquet"
        second.parent.mkdir()
        pq.write_table(pa.Table.from_pylist([row]), first)
        try:
            tasks = list(read_parquet(first))
        except FormatError:
            return
        try:
            write_parquet(tasks, second)
        except UnfitConversation:
            return
        assert [*map(known, read_parquet(second))] == [*map(known, tasks)]


def told(prompt: tuple[Part, ...]) -> list[object]:
    """Texts and images of a prompt in their order; blanks beside an image and lines aside."""
    found: list[object] = []
    for part in prompt:
        if isinstance(part, Image):
            found.append(part.pixels().tobytes())
        elif found and isinstance(found[-1], str):
            found[-1] += part
        else:
            found.append(part)
    words = ["".join(p.split()) if isinstance(p, str) else p for p in found]
    return [word for word in words if word != ""]


@given(
    prompt=st.lists(texts | st.sampled_from(PICTURES), min_size=1, max_size=5),
    answer=texts.filter(bool),
    index=filled,
)
@settings(max_examples=50)
def test_a_question_comes_back_or_is_refused(prompt: list[Part], answer: str, index: str) -> None:
    try:
        task = a_task(*prompt, id=f"perception-{index}", source="perception", answer=answer)
    except ValueError:
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            file = write_parquet([task], Path(folder) / "rows.parquet").file
        except UnfitConversation:
            return
        (back,) = read_parquet(file)
    assert told(back.prompt) == told(task.prompt)
    assert (back.id, back.answer) == (task.id, task.answer)
