"""Prompts from rows of the published shape.

The shape is that of `ChenShawn/DeepEyes-Datasets-47k` and `honglyhly/DeepEyesV2_RL`, as
`verl/utils/dataset/rl_dataset.py` of the DeepEyes repository reads it; the texts are made up.
"""

import json
from pathlib import Path

import pytest
from building import a_result

from saccade.config import validate, with_overrides
from saccade.errors import FormatError
from saccade.formats.prompts import read_prompts
from saccade.recipe import Recipe, make_environment
from saccade.types import Task

SUFFIX = "\nThink, maybe call a tool, then <answer></answer>. {not a field}"


def row(question: str = "What is on the mug?") -> dict:
    return {
        "data_source": "vstar",
        "env_name": "visual_toolbox_v2",
        "prompt": [
            {"role": "system", "content": "You have tools. {tools-free text}"},
            {"role": "user", "content": f"<image>\n{question}{SUFFIX}"},
        ],
        "images": [{"bytes": None, "path": "x.jpg"}],
        "reward_model": {"ground_truth": "SIGGRAPH", "style": "model"},
        "extra_info": {"question": question, "answer": "SIGGRAPH", "index": "0"},
    }


def written(folder: Path, kind: str, rows: list[dict]) -> Path:
    file = folder / f"rows.{kind}"
    if kind == "parquet":
        pa = pytest.importorskip("pyarrow", reason="pip install 'saccade-vlm[data]'")
        from pyarrow import parquet

        parquet.write_table(pa.Table.from_pylist(rows), file, row_group_size=2)
    elif kind == "jsonl":
        file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    else:
        file.write_text(json.dumps(rows))
    return file


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "json"])
def test_any_row_gives_the_templates_verbatim(tmp_path: Path, kind: str) -> None:
    file = written(tmp_path, kind, [row(), row("Is it red?"), row("How many?")])
    first, last = read_prompts(str(file)), read_prompts(f"{file}#2")
    assert first == last
    assert first.system == "You have tools. {tools-free text}"
    assert first.user == f"<image>\n{{question}}{SUFFIX}"
    assert first.observation == SUFFIX
    with pytest.raises(FormatError, match="no row 3"):
        read_prompts(f"{file}#3")


def test_the_environment_asks_in_the_published_words(tmp_path: Path) -> None:
    from PIL import Image as PILImage

    from saccade.images.image import Image

    file = written(tmp_path, "jsonl", [row()])
    recipe = validate(Recipe, with_overrides({}, [f"dialect.prompts={file}"]))
    env = make_environment(recipe)
    image = Image.from_pixels(PILImage.new("RGB", (56, 56)))
    start = env.begin(Task(id="t", prompt=(image, "What animal is on the flag?")))
    assert start.prompt[0].text == "You have tools. {tools-free text}"
    assert start.prompt[1].content == (image, "\nWhat animal is on the flag?" + SUFFIX)
    ours = make_environment(validate(Recipe, {}))
    assert env.fingerprint != ours.fingerprint
    assert env.record.prompts != ours.record.prompts
    without = [environment.replace(tools=()).record.prompts for environment in (env, ours)]
    assert without[0] == without[1]  # none is published that speaks of no tools


@pytest.mark.parametrize(("kind", "repeats"), [("deepeyes", True), ("deepeyes_v2", False)])
def test_instructions_are_repeated_after_a_result_where_the_published_environment_does(
    tmp_path: Path, kind: str, repeats: bool
) -> None:
    """DeepEyes: `visual_toolbox_v2.py`, `USER_PROMPT_V2` in the tool response. DeepEyesV2: not in
    `deepeyesv2.py` (commit 0373e6e), whose observations are RETURN_CODE_PROMPT and
    RETURN_SEARCH_PROMPT alone."""
    file = written(tmp_path, "jsonl", [row()])
    settings = [f"dialect.kind={kind}", f"dialect.prompts={file}"]
    dialect = make_environment(validate(Recipe, with_overrides({}, settings))).dialect
    (shown,) = dialect.observe([a_result("done")])
    assert (SUFFIX in shown.text) == repeats


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"prompt": []}, "expected one user message, after a system message or none, got "),
        ({"prompt": "text"}, "rows.jsonl, row 0: prompt"),
        ({"extra_info": {}}, "row 0: extra_info.question"),
        ({"extra_info": {"question": "another one"}}, "does not stand in the user message"),
        ({"extra_info": {"question": ""}}, "does not stand in the user message"),
    ],
)
def test_an_unusable_row_is_named(tmp_path: Path, change: dict, says: str) -> None:
    file = written(tmp_path, "jsonl", [row() | change])
    with pytest.raises(FormatError, match=says):
        read_prompts(str(file))


def test_files_that_are_something_else_are_named(tmp_path: Path) -> None:
    for name, content in {"a.parquet": b"PAR1 no", "b.jsonl": b"{", "c.json": b"\x80"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FormatError, match=name):
            read_prompts(str(tmp_path / name))
    with pytest.raises(FormatError, match="a row number after '#'"):
        read_prompts(f"{tmp_path}/b.jsonl#x")


def test_the_size_of_a_row_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saccade.formats.prompts.MAX_ROW_BYTES", 100)
    for kind in ("jsonl", "json"):
        with pytest.raises(FormatError, match="100 bytes"):
            read_prompts(str(written(tmp_path, kind, [row()])))
