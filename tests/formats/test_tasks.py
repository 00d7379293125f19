"""Task files of the user's own: every mistake is named by file and line."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image as PILImage

from saccade.errors import FormatError, ImageError
from saccade.formats.tasks import count_rows, read_tasks, write_tasks
from saccade.images.image import Image
from saccade.types import Task

FOREIGN = [
    "<img>", "<img src='a.png'>", "<|image_pad|>", "<|vision_start|>", "<|image_1|>", "<|image|>",
    "<image_placeholder>", "<ImageHere>", "<start_of_image>", "[IMG]", "<video>", "<image id=1>",
    "&lt;image&gt;", "\\<image\\>", "\uff1cimage\uff1e",
]  # fmt: skip
"""What other formats put in place of a picture."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "data"
    inside.mkdir()
    PILImage.new("RGB", (100, 80)).save(inside / "a.png")
    PILImage.new("RGB", (100, 80)).save(tmp_path / "outside.png")
    (inside / "link.png").symlink_to(tmp_path / "outside.png")
    (inside / "text.png").write_text("no image")
    return inside


def tasks_of(folder: Path, *rows: object) -> list:
    file = folder / "tasks.jsonl"
    file.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows) + "\n")
    return list(read_tasks(file))


def test_a_row_becomes_a_task(folder: Path) -> None:
    row = {
        "id": "mug", "images": ["a.png"], "question": "What?", "choices": ["x", "y"], "answer": "y",
        "boxes": [{"box": [1, 2, 3, 4]}], "meta": {"split": "test"},
    }  # fmt: skip
    first, second = tasks_of(folder, row, "", {"question": "1 + 1?"})
    assert (first.id, first.question, first.answer, first.source) == (
        "mug",
        "What?",
        "y",
        "tasks.jsonl",
    )
    assert first.images[0].size == (100, 80)
    assert first.boxes[0].box == (1, 2, 3, 4)
    assert (second.id, second.images) == ("tasks-3", ())


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("{broken", "tasks.jsonl:2"),
        ("[]", "tasks.jsonl:2"),
        ({"images": ["a.png"]}, "tasks.jsonl:2: question"),
        ({"question": "q", "picture": "a.png"}, "tasks.jsonl:2: picture"),
        ({"question": "q", "images": ["../outside.png"]}, "outside the folder"),
        ({"question": "q", "images": ["/etc/hostname"]}, "outside the folder"),
        ({"question": "q", "images": ["link.png"]}, "outside the folder"),
        ({"question": "q", "images": ["none.png"]}, "tasks.jsonl:2: .*cannot be read"),
        ({"question": "q", "images": ["text.png"]}, "tasks.jsonl:2: .*not an image"),
        ({"question": "q", "boxes": [{"box": [1, 2, 3, 4]}]}, "box on image 1 of 0"),
        ({"question": "q", "boxes": [{"box": [1, 2, 3]}]}, "tasks.jsonl:2: boxes"),
        ({"question": "q", "choices": ["x"] * 27}, "tasks.jsonl:2: choices: .*at most 26"),
        ({"question": "q", "id": "x" * 501}, "tasks.jsonl:2: id: .*at most 500"),
        ('{"question": "' + "x" * 2**20 + '"}', "a line of more than"),
    ],
)
def test_a_bad_row_is_named(folder: Path, row: object, says: str) -> None:
    with pytest.raises(FormatError, match=says):
        tasks_of(folder, {"question": "fine"}, row)


@pytest.mark.parametrize(
    ("line", "remedy"),
    [('{"question": "q"},', "no comma follows a row"), ('[{"question": "q"}]', "jq -c '.\\[\\]'"),
     ("{", "jq -c ."), ("{'question': 'q'}", "double quotes"), ('{"question": "q",}', "column 18"),
     ('{"qestion": "q"}', "question: missing; qestion: unknown key; did you mean 'question'"),
     ('{"question": "q", "boxs": []}', "boxs: unknown key; did you mean 'boxes'"),
     ('{"question": " <image> ", "images": ["a.png"]}', "question: no text"),
     ('{"question": "q", "question": "r"}', "question: this key comes twice"),
     ('{"question": "q", "meta": {"a": 1, "a": 2}}', "a: this key comes twice"),
     ('{"question": "q", "meta": {"a": NaN}}', "NaN is no number of JSON"),
     ('{"question": "q", "meta": {"a": [1e999]}}', "1e999 is no number of JSON"),
     ('{"question": "q", "images": ["https://a.org/b.png"]}', "expected the path of a file"),
     ('{"question": "q", "images": ["data:image/png;base64,AA"]}', "expected the path of a file"),
     ('{"question": "q", "images": [" "]}', "expected the path of a file"),
     (json.dumps({"question": "q", "choices": [*map(str, range(27))]}), "at most 26 items")],
)  # fmt: skip
def test_a_common_slip_is_told_with_its_remedy(folder: Path, line: str, remedy: str) -> None:
    with pytest.raises(FormatError, match=rf"tasks\.jsonl:2: .*{remedy}"):
        tasks_of(folder, {"question": "fine"}, line)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_files_of_every_editor_are_read(folder: Path, encoding: str, end: str) -> None:
    file = folder / "tasks.jsonl"
    lines = ['{"question": "Où?"}', "", "  ", '{"question": "second"}']
    parts = (end.join(lines[:3]) + end, lines[3])  # as files are put together, each with its mark
    file.write_bytes(b"".join(part.encode(encoding) for part in parts))
    assert [(task.id, task.question) for task in read_tasks(file)] == [
        ("tasks-1", "Où?"), ("tasks-4", "second"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "other"),
    [({"id": "x"}, {"id": "x"}), ({"id": "tasks-3"}, {}), ({}, {"id": "tasks-1"}),
     ({"id": "x"}, {"id": " x "}), ({"id": " "}, {"id": "tasks-1"})],
)  # fmt: skip
def test_two_questions_of_one_id_are_named_by_both_lines(
    folder: Path, row: dict[str, str], other: dict[str, str]
) -> None:
    with pytest.raises(FormatError) as caught:
        tasks_of(folder, {"question": "a", **row}, {"question": "b"}, {"question": "c", **other})
    assert f"{folder / 'tasks.jsonl'}:3: the id" in str(caught.value)
    assert f"{folder / 'tasks.jsonl'}:1 already" in str(caught.value)


def test_marks_say_where_images_stand(folder: Path) -> None:
    PILImage.new("RGB", (50, 40)).save(folder / "b.png")
    row = {"question": "Is <image> older\nthan <image>?", "images": ["b.png", "a.png"]}
    (task,) = tasks_of(folder, row)
    kinds = [part if isinstance(part, str) else part.size for part in task.prompt]
    assert kinds == ["Is", (50, 40), "older\nthan", (100, 80), "?"]
    (first,) = tasks_of(folder, {"question": "<image>\nWhat?", "images": ["a.png"]})
    assert first.prompt == (first.images[0], "What?")


@pytest.mark.parametrize(
    ("row", "says"),
    [({"question": "<image> and <image>?", "images": ["a.png"]}, "2 marks <image> for 1 image;"),
     ({"question": "<image>?", "images": ["a.png", "a.png"]}, "1 mark <image> for 2 images;"),
     ({"question": "What does <image> do in SVG?"}, "1 mark <image> for 0 images;"),
     ({"question": "q", "images": ["a.png"], "choices": ["no", "<image>"]}, "choice 2 has the"),
     ({"question": "q", "images": ["a.png"], "choices": ["<image 1>"]}, "choice 1 has the"),
     ({"question": "q", "images": ["a.png"], "choices": ["<img>"]}, "choice 1 has the"),
     ({"question": "<image 1>?"}, "the marks <image 1> for 0 images"),
     ({"question": "<image_1> <image_2>?", "images": ["a.png"]}, "the marks <image_1> <image_2> f"),
     ({"question": "<image 2> <image 1>?", "images": ["a.png"] * 2}, "the marks <image 2> <image"),
     ({"question": "<image 1> <image 1>?", "images": ["a.png"] * 2}, "the marks <image 1> <image"),
     ({"question": "<image> <image 2>?", "images": ["a.png"] * 2}, "the marks <image> <image 2>"),
     *(({"question": f"{mark} q?", "images": ["a.png"]}, "stands for an image in other formats")
       for mark in FOREIGN)],
)  # fmt: skip
def test_marks_that_do_not_fit_are_refused(folder: Path, row: dict, says: str) -> None:
    with pytest.raises(FormatError, match=rf"tasks\.jsonl:1: .*{says}"):
        tasks_of(folder, row)


@pytest.mark.parametrize("mark", ["<image 1>", "<image_1>", "<image1>", "<IMAGE>", "< image />"])
def test_a_mark_is_read_as_others_write_it(folder: Path, mark: str) -> None:
    row = {"question": f"What is in {mark}?", "images": ["a.png"], "choices": ["<b>", "I"]}
    (task,) = tasks_of(folder, row)
    assert task.prompt == ("What is in", task.images[0], "?")


def test_a_word_that_looks_like_a_mark_is_text_where_the_images_have_theirs(folder: Path) -> None:
    row = {"question": "<image> Which of the tags?", "images": ["a.png"], "choices": ["<img>", "b"]}
    (task,) = tasks_of(folder, row)
    assert task.choices == ("<img>", "b")
    assert (
        tasks_of(folder, {"question": "What does <img> do?"})[0].question == "What does <img> do?"
    )
    (again,) = read_tasks(write_tasks([task], folder / "kept"))
    assert again.prompt == task.prompt


def test_a_pipe_is_no_file(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(FormatError, match=r"pipe: cannot be read .no regular file"):
        list(read_tasks(folder / "pipe"))
    with pytest.raises(FormatError, match=r"tasks\.jsonl:1: pipe: cannot be read .no regular file"):
        tasks_of(folder, {"question": "q", "images": ["pipe"]})


def test_a_broken_image_is_called_what_the_file_calls_it(folder: Path) -> None:
    (folder / "half.png").write_bytes((folder / "a.png").read_bytes()[:60])
    (task,) = tasks_of(folder, {"question": "q", "images": ["half.png"]})
    with pytest.raises(ImageError, match=r"tasks\.jsonl:1: half\.png: the image is truncated"):
        task.images[0].pixels()


def test_what_is_written_is_read_again(folder: Path) -> None:
    first, second = (Image.from_pixels(PILImage.new("RGB", (9, 9), c)) for c in ("red", "blue"))
    prompts = [(first, second, "What?"), ("Is", first, "or", second, "?"), ("Why?", first), ("?",)]
    tasks = [Task(id=f"t{n}", prompt=prompt) for n, prompt in enumerate(prompts)]
    file = write_tasks(tasks, folder / "kept")
    assert [task.prompt for task in read_tasks(file)] == prompts


def test_what_could_not_be_read_again_is_not_written(folder: Path) -> None:
    task = Task(id="t", prompt=("What does <image> do?",))
    with pytest.raises(FormatError, match="t: a text holds <image>"):
        write_tasks([task], folder / "kept")
    with pytest.raises(FormatError, match="two questions have the id 't'"):
        write_tasks([Task(id="t", prompt=("a",)), Task(id="t", prompt=("b",))], folder / "kept")


def test_rows_are_counted_without_reading_images(folder: Path) -> None:
    tasks_of(folder, {"question": "a"}, "", {"question": "b", "images": ["a.png"]})
    assert count_rows(folder / "tasks.jsonl") == 2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot be read"):
        list(read_tasks(tmp_path / "none.jsonl"))
