"""Published training rows.

The columns are those of `ChenShawn/DeepEyes-Datasets-47k` as `verl/utils/dataset/rl_dataset.py` of
the DeepEyes repository reads them; five real rows of MMSearch-R1 are in the shared data.
"""

import io
import math
import warnings
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image as PILImage

from saccade.errors import ConfigError, FormatError
from saccade.formats.columns import count_parquet_rows
from saccade.formats.parquet import read_parquet
from saccade.recipe import Recipe, count_tasks, make_tasks
from saccade.runs.preflight import preflight

INSTRUCTIONS = "\nThink first, call **image_zoom_in_tool** if needed, then answer."


def png(colour: str = "red") -> bytes:
    file = io.BytesIO()
    PILImage.new("RGB", (40, 30), colour).save(file, "PNG")
    return file.getvalue()


def row(**changes: object) -> dict[str, object]:
    return {
        "data_source": "vstar",
        "env_name": "visual_toolbox_v2",
        "ability": "vl_chart",
        "prompt": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": f"<image>\nWhat colour is it?{INSTRUCTIONS}"},
        ],
        "images": [{"bytes": png(), "path": None}],
        "reward_model": {"style": "model", "ground_truth": "It is red."},
        "extra_info": {"question": "What colour is it?", "answer": "red", "index": "7"},
    } | changes


def write(folder: Path, *rows: dict[str, object]) -> Path:
    path = folder / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def test_a_row_of_deepeyes(tmp_path: Path) -> None:
    (task,) = read_parquet(write(tmp_path, row()))
    assert task.id == "vstar-7"
    assert (task.question, task.answer, task.judge) == ("What colour is it?", "It is red.", None)
    assert [image.size for image in task.images] == [(40, 30)]
    assert task.meta == {
        "env_name": "visual_toolbox_v2", "ability": "vl_chart", "family": "vstar",
    }  # fmt: skip


def test_mathematics_goes_to_its_judge(tmp_path: Path) -> None:
    (task,) = read_parquet(write(tmp_path, row(data_source="thinklite_eureka")))
    assert task.judge == "math"


def test_without_extra_info_the_question_is_the_user_turn(tmp_path: Path) -> None:
    first = {"role": "user", "content": "Compare <image> with <image>, please."}
    images = [{"bytes": png("red"), "path": None}, {"bytes": png("blue"), "path": None}]
    (task,) = read_parquet(write(tmp_path, row(prompt=[first], images=images, extra_info=None)))
    kinds = [part if isinstance(part, str) else "image" for part in task.prompt]
    assert kinds == ["Compare", "image", "with", "image", ", please."]
    assert task.id == "vstar-rows-0"


def test_a_path_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(png())
    (task,) = read_parquet(write(tmp_path, row(images=[{"bytes": None, "path": "images/a.png"}])))
    assert task.images[0].size == (40, 30)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": [{"bytes": None, "path": "../secret.png"}]}, "lies outside the folder"),
        ({"images": [{"bytes": None, "path": "/etc/passwd"}]}, "lies outside the folder"),
        ({"images": [{"bytes": None, "path": "none.png"}]}, "none.png"),
        ({"images": [{"bytes": b"no image", "path": None}]}, "row 1: image"),
        ({"images": [{"bytes": None, "path": None}]}, "neither bytes nor path"),
        ({"reward_model": {"style": "model", "ground_truth": None}}, "reward_model.ground_truth"),
        ({"prompt": []}, "prompt: "),
        ({"prompt": [{"role": "user", "content": "<image><image>?"}]}, "2 marks <image> for 1"),
        (
            {"prompt": [{"role": "system", "content": "x"}], "extra_info": None},
            "no user turn with a question",
        ),
    ],
)
def test_a_malformed_row_is_named_and_never_skipped_in_silence(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "secret.png").write_bytes(png())
    first, last = (row(extra_info={"question": "What?", "index": str(n)}) for n in (1, 2))
    path = write(tmp_path / "data", first, row(**changes), last)
    with pytest.raises(FormatError) as caught:
        list(read_parquet(path))
    assert f"{path}: row 1" in str(caught.value)
    assert message in str(caught.value)
    left_out: list[FormatError] = []
    assert len(list(read_parquet(path, on_malformed=left_out.append))) == 2
    assert [str(error) for error in left_out] == [str(caught.value)]


TURNS = {
    "two user turns": ["user", "user"],
    "an answer in it": ["user", "assistant"],
    "a conversation": ["system", "user", "assistant", "user"],
    "a tool": ["user", "tool"],
    "nothing asked": ["system"],
}


@pytest.mark.parametrize("roles", TURNS.values(), ids=TURNS)
def test_a_row_of_several_turns_is_never_cut(tmp_path: Path, roles: list[str]) -> None:
    turns = [{"role": role, "content": "What?"} for role in roles]
    path = write(tmp_path, row(prompt=turns, images=None))
    with pytest.raises(FormatError, match=rf"row 0: prompt: .*got {', '.join(roles)}"):
        list(read_parquet(path))


@pytest.mark.parametrize("column", ["image", "image_1", "img", "videos", "audio"])
def test_a_column_that_would_be_part_of_the_question_is_never_left_out(
    tmp_path: Path, column: str
) -> None:
    path = write(tmp_path, row(**{column: [png()]}))
    with pytest.raises(FormatError, match=f"row 0: {column}: this column is not read"):
        list(read_parquet(path))


@pytest.mark.parametrize(
    "images", [[png()], png(), {"bytes": png(), "path": "original.png"}, "a.png", ["a.png"]]
)
def test_images_are_read_in_each_form_of_the_column(tmp_path: Path, images: object) -> None:
    (tmp_path / "a.png").write_bytes(png())
    (task,) = read_parquet(write(tmp_path, row(images=images)))
    assert [image.size for image in task.images] == [(40, 30)]


def test_a_missing_picture_among_others_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, row(images=[{"bytes": png(), "path": None}, None]))
    with pytest.raises(FormatError, match=r"row 0: images\.1: "):
        list(read_parquet(path))


RED, BLUE = ({"bytes": png(colour), "path": None} for colour in ("red", "blue"))
PLACES = [
    ("<image>\n<image>\nAlike? Think.", "Alike?", ["image", "image", "Alike?"]),
    ("Look: Alike? <image> <image> Think.", "Alike?", ["Alike?", "image", "image"]),
    ("<image> Alike? <image>", "Alike?", ["image", "Alike?", "image"]),
    ("<image><image> Otherwise put.", "Alike?", ["image", "image", "Alike?"]),
    ("<image> or <image>? Think.", "<image> or <image>?", ["image", "or", "image", "?"]),
    ("Alike? Think.", "Alike?", ["image", "image", "Alike?"]),
    ("<image 1> or <image 2>?", "<image 1> or <image 2>?", ["image", "or", "image", "?"]),
    ("Alike? <IMAGE><image/>", "Alike?", ["Alike?", "image", "image"]),
]


def about_two(tmp_path: Path, asked: str, question: str) -> Path:
    turn, extra = {"role": "user", "content": asked}, {"question": question}
    return write(tmp_path, row(prompt=[turn], images=[RED, BLUE], extra_info=extra))


@pytest.mark.parametrize(("asked", "question", "prompt"), PLACES)
def test_images_stand_where_the_prompt_has_them(
    tmp_path: Path, asked: str, question: str, prompt: list[str]
) -> None:
    (task,) = read_parquet(about_two(tmp_path, asked, question))
    assert [part if isinstance(part, str) else "image" for part in task.prompt] == prompt


@pytest.mark.parametrize(
    ("asked", "question", "says"),
    [
        ("Is <image> like <image>?", "Is this like that?", "the place of its images"),
        ("<image><image> Alike?", "Is <image> alike?", "1 mark <image> for 2 images"),
        ("<image 2><image 1> Alike?", "Alike?", "the marks <image 2> <image 1> for 2 images"),
        ("<|image_pad|> Alike?", "Alike?", "stands for an image in other formats"),
    ],
)
def test_images_of_which_the_place_is_not_known_are_refused(
    tmp_path: Path, asked: str, question: str, says: str
) -> None:
    path = about_two(tmp_path, asked, question)
    with pytest.raises(FormatError, match=f"row 0: .*{says}"):
        list(read_parquet(path))


def test_an_image_in_the_turn_that_is_left_out_is_refused(tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "See <image>."}, {"role": "user", "content": "What?"}]
    with pytest.raises(FormatError, match="row 0: prompt: <image> stands in the system turn"):
        list(read_parquet(write(tmp_path, row(prompt=turns))))


@pytest.mark.parametrize(
    ("indices", "names"),
    [([1.0, math.nan], ["vstar-1", "vstar-rows-1"]), ([" 1 ", "2"], ["vstar-1", "vstar-2"]),
     ([0, None], ["vstar-0", "vstar-rows-1"])],
)  # fmt: skip
def test_an_index_is_a_name_whatever_its_column_has_made_of_it(
    tmp_path: Path, indices: list[object], names: list[str]
) -> None:
    question = {"question": "What colour is it?"}
    path = write(tmp_path, *(row(extra_info=question | {"index": index}) for index in indices))
    assert [task.id for task in read_parquet(path)] == names


def test_other_right_answers_are_kept(tmp_path: Path) -> None:
    reward = {"ground_truth": "Spain", "candidate_answers": '["ES", "Spain"]'}
    (task,) = read_parquet(write(tmp_path, row(reward_model=reward)))
    assert task.meta["candidate_answers"] == '["ES", "Spain"]'


def source(*paths: Path, **options: object) -> Recipe:
    tasks = {"kind": "parquet", "path": [str(path) for path in paths], **options}
    return Recipe.model_validate({"tasks": tasks})


def test_two_rows_of_one_id_are_named_before_the_first_question(tmp_path: Path) -> None:
    path = write(tmp_path, row(), row(extra_info={"question": "q", "index": "8"}), row())
    says = rf"{path}: row 2: the id 'vstar-7' is that of {path}: row 0 already; .*tasks.ids=row"
    with pytest.raises(FormatError, match=says):
        preflight(source(path), scored=False)
    with pytest.raises(FormatError, match=says):
        next(make_tasks(source(path)))
    assert next(make_tasks(source(path, n=2))).id == "vstar-7", "the third one is not asked"
    assert [task.id for task in make_tasks(source(path, ids="row"))] == [
        "rows-0", "rows-1", "rows-2",
    ]  # fmt: skip
    with pytest.warns(UserWarning, match="left out: .*row 2: the id"):
        assert len(list(make_tasks(source(path, malformed="leave_out")))) == 2


def test_rows_of_several_files_have_names_of_their_own(tmp_path: Path) -> None:
    folders = [tmp_path / "train", tmp_path / "test"]
    for folder in folders:
        folder.mkdir()
    paths = [write(folder, row(extra_info=None)) for folder in folders]
    assert [t.id for t in make_tasks(source(*paths))] == ["vstar-train-rows-0", "vstar-test-rows-0"]
    first, second = (write(folder, row()) for folder in folders)
    with pytest.raises(FormatError, match=rf"{second}: row 0: .* that of {first}: row 0 already"):
        next(make_tasks(source(first, second)))


def test_what_is_no_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    with pytest.raises(FormatError, match="no parquet file"):
        list(read_parquet(path))
    path.write_bytes(b"PAR1 but not really")
    with pytest.raises(FormatError, match="no parquet file"):
        count_parquet_rows(path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, *[row(images=[{"bytes": png(), "path": None}]) for _ in range(40)])
    data = bytearray(path.read_bytes())
    data[200:2000] = bytes(1800)
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"rows.parquet: "):
        list(read_parquet(path))


def test_as_the_tasks_of_a_run_file(tmp_path: Path) -> None:
    bad = row(images=[{"bytes": b"no", "path": None}])
    last = row(extra_info={"question": "What?", "index": "8"})
    path = write(tmp_path, row(), bad, last)
    tasks = {"kind": "parquet", "path": str(path), "malformed": "leave_out"}
    recipe = Recipe.model_validate({"tasks": tasks})
    assert count_tasks(recipe) == 3
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert len(list(make_tasks(recipe))) == 2
    assert f"{path}: row 1" in str(warned[0].message)
    with pytest.raises((FormatError, ConfigError)):
        list(make_tasks(Recipe.model_validate({"tasks": {"kind": "parquet", "path": str(path)}})))


def test_real_rows_of_mmsearch_r1(shared_data: Path) -> None:
    path = shared_data / "fvqa_mini" / "infoseek_5.parquet"
    tasks = list(read_parquet(path))
    assert len(tasks) == count_parquet_rows(path) == 5
    assert tasks[0].question == "What is the country of origin of this food?"
    assert tasks[0].answer == "Spain"
    assert all(len(task.images) == 1 and task.answer for task in tasks)
    assert len({task.id for task in tasks}) == 5


def test_files_are_read_side_by_side_in_proportion(tmp_path: Path) -> None:
    """Whatever their order and sizes, in any stretch each has its share; none is lost."""
    sizes = {"perception": 12, "reason": 6, "empty": 0, "search": 2}
    for source, n in sizes.items():
        rows = [row(data_source=source, extra_info={"question": "?", "index": k}, images=None,
                    prompt=[{"role": "user", "content": "?"}]) for k in range(n)]  # fmt: skip
        table = pa.Table.from_pylist(rows or [row()])
        pq.write_table(table if rows else table.slice(0, 0), tmp_path / f"{source}.parquet")
    paths = [str(tmp_path / f"{source}.parquet") for source in sizes]
    tasks = {"kind": "parquet", "path": paths, "order": "mixed"}
    ids = [task.id for task in make_tasks(Recipe.model_validate({"tasks": tasks}))]
    assert sorted(ids) == sorted(f"{s}-{k}" for s, n in sizes.items() for k in range(n))
    for source in sizes:
        own = [name for name in ids if name.startswith(source)]
        assert own == [f"{source}-{k}" for k in range(sizes[source])], "in the order of its file"
    for until in range(1, 21):
        for source, n in sizes.items():
            drawn = sum(name.startswith(source) for name in ids[:until])
            assert abs(drawn - until * n / 20) <= 1
    in_files = make_tasks(Recipe.model_validate({"tasks": {**tasks, "order": "files"}}))
    assert [task.id for task in in_files][:12] == [f"perception-{k}" for k in range(12)]
