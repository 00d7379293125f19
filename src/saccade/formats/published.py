"""Questions written as the training rows that DeepEyes and DeepEyesV2 publish, for verl.

What a row is stands in `saccade.formats.parquet`, which reads the same questions again: text,
images, answer, source, and what is kept in `meta`. Not written are options, boxes and the name of a
judge: no column has them. A question with options, or with a judge that its source does not stand
for, is left out or an error, since its answers would be judged otherwise; boxes are lost.

The code that the rows are for stops at an environment that it does not register, so that one which
nobody published is an error too, unless the caller names the environment of all rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from saccade.errors import FormatError, require
from saccade.formats.columns import write_rows
from saccade.formats.conversations.conversation import (
    OnLeftOut,
    UnfitConversation,
    check_text,
    picture_of,
)
from saccade.formats.marks import IMAGE, as_text
from saccade.formats.prompts import PromptTexts
from saccade.formats.rows import ENVIRONMENTS, JUDGES
from saccade.images.image import Image
from saccade.types import Task

if TYPE_CHECKING:
    import pyarrow

ENV_NAME = "deepeyes_v2"
_TOGETHER = 16


class WrittenRows(NamedTuple):
    """What was written of questions."""

    file: Path
    tasks: int
    """Number of questions that there were."""
    rows: int
    images: int


def write_parquet(
    tasks: Iterable[Task],
    path: Path,
    *,
    prompts: PromptTexts | None = None,
    env_name: str | None = None,
    on_left_out: OnLeftOut | None = None,
) -> WrittenRows:
    """Write questions as published rows; `read_parquet` gives the same questions.

    White space beside an image is left out, as in every question that is read; an id has its source
    before it.

    Args:
        tasks: The questions; a few are in memory at a time.
        path: The `.parquet` file.
        prompts: The system turn, and the instructions around the question, as `read_prompts` takes
            them from a row; None: a row is the question alone.
        env_name: The environment that every row names; None: that of the row which a question was
            read from, else `deepeyes_v2`.
        on_left_out: Called for each question that no row can hold; None: it is an error.

    Raises:
        UnfitConversation: a question cannot be written; names it.
        MissingExtra: pyarrow is not installed.
        StoreError: the file cannot be written.
    """
    require("pyarrow")
    counts = {"tasks": 0, "rows": 0, "images": 0}

    def rows() -> Iterator[dict[str, object]]:
        for number, task in enumerate(tasks):
            counts["tasks"] += 1
            try:
                row = _row(task, number, prompts, env_name)
            except UnfitConversation as error:
                if on_left_out is None:
                    raise
                on_left_out(error)
                continue
            counts["rows"] += 1
            counts["images"] += len(task.images)
            yield row

    write_rows(path, _schema(), rows(), together=_TOGETHER)
    return WrittenRows(path, counts["tasks"], counts["rows"], counts["images"])


def _schema() -> pyarrow.Schema:
    import pyarrow as pa

    text = pa.string()
    turn = pa.struct([("role", text), ("content", text)])
    picture = pa.struct([("bytes", pa.binary()), ("path", text)])
    truth = pa.struct([("style", text), ("ground_truth", text), ("candidate_answers", text)])
    extra = pa.struct([("question", text), ("answer", text), ("index", text)])
    return pa.schema(
        [
            ("data_source", text), ("env_name", text), ("ability", text),
            ("prompt", pa.list_(turn)), ("images", pa.list_(picture)),
            ("reward_model", truth), ("extra_info", extra),
        ]
    )  # fmt: skip


def _row(
    task: Task, number: int, prompts: PromptTexts | None, env_name: str | None
) -> dict[str, object]:
    where = task.id
    if task.choices:
        raise UnfitConversation(where, "a question with options")
    if not task.answer:
        raise UnfitConversation(where, "a question without an answer")
    if task.judge != JUDGES.get(task.source):
        raise UnfitConversation(where, "a judge that its source does not stand for")
    try:
        question = as_text(task.prompt, (), where)
    except FormatError as error:
        raise UnfitConversation(where, "a text shows the mark of an image", str(error)) from error
    if not question.replace(IMAGE, "").strip():
        raise UnfitConversation(where, "no text")
    turns = [{"role": "user", "content": _asked(task, question, prompts, where)}]
    if prompts is not None and prompts.system:
        turns.insert(0, {"role": "system", "content": prompts.system})
    pictures = [picture_of(part) for part in task.prompt if isinstance(part, Image)]
    meta = {key: value for key, value in task.meta.items() if isinstance(value, str)}
    environment = env_name or meta.get("env_name", ENV_NAME)
    if env_name is None and environment not in ENVIRONMENTS:
        raise UnfitConversation(
            where,
            "an environment that nobody published",
            f"its row names {environment[:80]!r}, at which the published code stops; expected "
            f"{' or '.join(ENVIRONMENTS)}: name one for all rows with env_name",
        )
    for text in (question, task.answer, task.id, task.source, *meta.values()):
        check_text(text, where)
    return {
        "data_source": task.source,
        "env_name": environment,
        "ability": meta.get("ability"),
        "prompt": turns,
        "images": [{"bytes": picture.data, "path": None} for picture in pictures],
        "reward_model": {
            "style": "model",
            "ground_truth": task.answer,
            "candidate_answers": meta.get("candidate_answers"),
        },
        "extra_info": {
            "question": question,
            "answer": task.answer,
            "index": task.id.removeprefix(f"{task.source}-") or str(number),
        },
    }


def _asked(task: Task, question: str, prompts: PromptTexts | None, where: str) -> str:
    """The user turn: the question, with a mark for each image, and what stands around it."""
    marks = "" if IMAGE in question else IMAGE * len(task.images)
    if prompts is None:
        return (marks and f"{marks}\n") + question
    user = prompts.user.replace(IMAGE, "")
    if "{question}" not in user:
        raise FormatError(f"{where}: the template of the user turn has no {{question}}")
    before, _, after = user.partition("{question}")
    return (marks and f"{marks}\n") + before.lstrip("\n") + question + after
