"""Questions as the rows that DeepEyesV2 publishes, written and read again.

The columns and values are those of `honglyhly/DeepEyesV2_RL` as `verl/utils/reward_score` of
Visual-Agent/DeepEyesV2 and its environment read them: `data_source` is perception, reason or
search, `extra_info.index` holds "fvqa" where images are looked up, and some rows name an
environment that is not registered (issue 26 there).
"""

import io
import warnings
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from building import a_task, noise, plain
from PIL import Image as PILImage

from saccade.formats.conversations import UnfitConversation
from saccade.formats.parquet import read_parquet
from saccade.formats.prompts import PromptTexts, read_prompts
from saccade.formats.published import write_parquet
from saccade.tasks.files import ParquetTasks
from saccade.types import Task


def png(colour: str) -> dict[str, object]:
    file = io.BytesIO()
    PILImage.new("RGB", (40, 30), colour).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def row(source: str, index: str, *colours: str, **changes: object) -> dict[str, object]:
    marks = "<image>" * len(colours)
    prompt = [
        {"role": "system", "content": "You are an agent."},
        {"role": "user", "content": f"{marks}\nHow many?\nAnswer in <answer>."},
    ]
    return {
        "data_source": source, "env_name": "deepeyes_v2", "ability": "vqa", "prompt": prompt,
        "images": [*map(png, colours)],
        "reward_model": {"style": "model", "ground_truth": "3", "candidate_answers": "['three']"},
        "extra_info": {"question": "How many?", "answer": "3", "index": index},
    } | changes  # fmt: skip


ROWS = [
    row("perception", "v_1", "red"),
    row("reason", "r_1", "red", "blue"),
    row("search", "fvqa_train_12", "blue"),
    row("search", "fvqa_train_13", "blue", env_name="code_toolbox_lingyi_v1"),
]


def write(folder: Path, *rows: dict[str, object]) -> Path:
    path = folder / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def test_rows_of_deepeyes_v2_become_questions_and_rows_again(tmp_path: Path) -> None:
    tasks = list(read_parquet(write(tmp_path, *ROWS)))
    assert [task.id for task in tasks] == [
        "perception-v_1", "reason-r_1", "search-fvqa_train_12", "search-fvqa_train_13",
    ]  # fmt: skip
    assert [task.family for task in tasks] == ["perception", "reason", "search", "search"]
    assert [task.judge for task in tasks] == [None, "math", None, None]
    assert [len(task.images) for task in tasks] == [1, 2, 1, 1]
    written = write_parquet(iter(tasks[:3]), tmp_path / "again.parquet")
    assert (written.rows, written.images) == (3, 4)
    assert list(read_parquet(written.file)) == tasks[:3]


def test_an_environment_that_nobody_published_is_not_written_unasked(tmp_path: Path) -> None:
    """verl of DeepEyesV2 stops at a name that is not registered (issue 26 there)."""
    *_, odd = read_parquet(write(tmp_path, *ROWS))
    path = tmp_path / "again.parquet"
    with pytest.raises(UnfitConversation, match=r"fvqa_train_13: .*'code_toolbox.*env_name"):
        write_parquet([odd], path)
    assert not path.exists()
    for name in ("deepeyes_v2", "code_toolbox_lingyi_v1"):
        (back,) = read_parquet(write_parquet([odd], path, env_name=name).file)
        assert back == odd.model_copy(update={"meta": odd.meta | {"env_name": name}})


def test_the_published_prompts_go_around_the_question(tmp_path: Path) -> None:
    path = write(tmp_path, *ROWS[:3])
    prompts = read_prompts(str(path))
    tasks = list(read_parquet(path))
    written = write_parquet(tasks, tmp_path / "again.parquet", prompts=prompts)
    again = pq.read_table(written.file).to_pylist()
    assert [r["prompt"] for r in again] == [r["prompt"] for r in ROWS[:3]]
    assert list(read_parquet(written.file)) == tasks


def test_images_within_a_question_keep_their_places(tmp_path: Path) -> None:
    task = a_task("Is", plain(9, 9), "older than", noise(9, 9), "?", id="s-1", answer="no",
                  source="s")  # fmt: skip
    (back,) = read_parquet(write_parquet([task], tmp_path / "a.parquet").file)
    assert (back.id, back.prompt) == (task.id, task.prompt)


UNFIT: dict[str, tuple[Task, str]] = {
    "options": (a_task(choices=("a", "b"), answer="A"), "a question with options"),
    "nothing to score by": (a_task(), "without an answer"),
    "another judge": (a_task(answer="3", judge="choice"), "a judge that its source"),
    "a lost judge": (a_task(answer="3", source="reason"), "a judge that its source"),
    "a mark": (a_task("what is <image>?", answer="3"), "shows the mark"),
}


@pytest.mark.parametrize(("task", "reason"), UNFIT.values(), ids=UNFIT)
def test_what_no_row_can_hold_is_an_error_or_counted(
    tmp_path: Path, task: Task, reason: str
) -> None:
    path = tmp_path / "a.parquet"
    with pytest.raises(UnfitConversation, match=f"t: .*{reason}"):
        write_parquet([task], path)
    assert not list(tmp_path.iterdir())
    left_out: list[UnfitConversation] = []
    good = a_task(answer="3", id="u", source="u")
    assert write_parquet([task, good], path, on_left_out=left_out.append).rows == 1
    assert len(left_out) == 1


def test_a_template_without_a_place_for_the_question_is_refused(tmp_path: Path) -> None:
    prompts = PromptTexts(system="", user="Answer.", observation="")
    with pytest.raises(ValueError, match=r"no \{question\}"):
        write_parquet([a_task(answer="3")], tmp_path / "a.parquet", prompts=prompts)


def test_an_environment_that_nobody_published_is_named_once_and_its_rows_asked(
    tmp_path: Path,
) -> None:
    odd = [row("search", f"fvqa_{n}", env_name="code_toolbox_lingyi_v1") for n in range(3)]
    tasks = ParquetTasks(path=write(tmp_path, *ROWS, *odd)).tasks(seed=0, max_pixels=10**6)
    with pytest.warns(UserWarning, match="'code_toolbox_lingyi_v1'") as told:
        assert len(list(tasks)) == 7
    assert len(told) == 1
    usual = ParquetTasks(path=tmp_path / "rows.parquet", n=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(usual.tasks(seed=0, max_pixels=10**6))) == 3
