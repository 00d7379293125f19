"""Files of a data set below the folder that a user names: links of the hub's cache, other disks.

Format: huggingface_hub, "Understand caching": `snapshots/<revision>/<path>` is a link to
`../../blobs/<hash>`.
"""

import json
from pathlib import Path

import pytest
from maths_sets import packed, png, tasks

from saccade.errors import FormatError
from saccade.files import beside
from saccade.formats.found import find_files


def cached(folder: Path, **files: bytes) -> Path:
    """A snapshot of a repository as huggingface_hub keeps it; `__` stands for a slash."""
    snapshot = folder / "datasets--a--b" / "snapshots" / ("0" * 40)
    blobs = folder / "datasets--a--b" / "blobs"
    blobs.mkdir(parents=True)
    for number, (name, data) in enumerate(files.items()):
        (blobs / f"{number:064x}").write_bytes(data)
        link = snapshot / name.replace("__", "/").replace("_jpg", ".jpg").replace(
            "_jsonl", ".jsonl"
        )
        link.parent.mkdir(parents=True, exist_ok=True)
        up = "../" * (len(link.relative_to(snapshot).parts) + 1)
        link.symlink_to(f"{up}blobs/{number:064x}")
    return snapshot


LINE = (
    b'{"id": "1", "question": "How many?", "options": [], "answer": "6", "level": 1, '
    b'"subject": "algebra", "image": "images/1.jpg"}\n'
)


def test_the_cache_of_the_hub_is_read_through_its_links(tmp_path: Path) -> None:
    snapshot = cached(tmp_path, test_jsonl=LINE, images__1_jpg=png())
    (task,) = tasks("mathvision", snapshot)
    assert task.images[0].source.size == (12, 8)


@pytest.mark.parametrize("name", ["../../blobs/x", "images/../../../blobs/x", "out.jpg"])
def test_a_name_still_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    snapshot = cached(tmp_path, test_jsonl=LINE)
    (tmp_path / "secret").write_bytes(png())
    (snapshot.parent.parent / "blobs" / "x").write_bytes(png())
    (snapshot / "out.jpg").symlink_to(tmp_path / "secret")
    with pytest.raises(FormatError, match="outside the folder"):
        beside(snapshot / "test.jsonl", name, "row 0")


def test_a_link_beside_no_cache_is_refused(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "x").write_bytes(png())
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "1.jpg").symlink_to("../blobs/x")
    with pytest.raises(FormatError, match="outside the folder"):
        beside(tmp_path / "set" / "test.jsonl", "1.jpg", "row 0")


def test_folders_that_are_links_are_looked_into_and_loops_end(tmp_path: Path) -> None:
    disk, place = tmp_path / "disk", tmp_path / "set"
    (disk / "deep").mkdir(parents=True)
    place.mkdir()
    (disk / "deep" / "test-0.parquet").write_bytes(b"")
    (disk / "again").symlink_to(disk)
    (disk / ".hidden").mkdir()
    (disk / ".hidden" / "test-1.parquet").write_bytes(b"")
    (place / "data").symlink_to(disk)
    assert find_files(place, ["**/test-*.parquet"], "x") == [place / "data/deep/test-0.parquet"]
    assert find_files(disk / "deep", ["**/test-*.parquet"], "x") == [disk / "deep/test-0.parquet"]


def test_the_first_pattern_that_matches_counts(tmp_path: Path) -> None:
    for name in ("a/test_2d.jsonl", "test_3d.jsonl", "b/c/test.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    found = {
        pattern: [file.name for file in find_files(tmp_path, ["none", pattern], "x")]
        for pattern in ("test_[23]d.jsonl", "**/test_?d.jsonl", "*/c/*.json", "**/c/**/*.json")
    }
    assert [*found.values()] == [
        ["test_3d.jsonl"], ["test_2d.jsonl", "test_3d.jsonl"], ["test.json"], ["test.json"],
    ]  # fmt: skip
    with pytest.raises(FormatError, match=r"expected x; no none in it"):
        find_files(tmp_path, ["none"], "x")


def test_base64_has_line_breaks_and_the_alphabet_of_urls(tmp_path: Path) -> None:
    text = packed()
    spelt = [text, "\n".join(text[n : n + 76] for n in range(0, len(text), 76)),
             text.replace("+", "-").replace("/", "_").rstrip("="),
             f"data:image/png;base64,{text}"]  # fmt: skip
    rows = [
        {"id": str(n), "question": "q", "answer": "1", "image": one} for n, one in enumerate(spelt)
    ]

    file = tmp_path / "test.json"
    file.write_text(json.dumps(rows))
    assert len({task.images[0].source.digest for task in tasks("mathvision", file)}) == 1
