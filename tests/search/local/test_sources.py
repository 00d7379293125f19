"""What an index is built from: a folder, and rows of other formats."""

import os
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image as PILImage
from search.local.indexing import ROWS, found, written

from saccade.errors import ConfigError, FormatError
from saccade.search.local.build import build
from saccade.search.local.index import Index
from saccade.search.local.source.folder import files_of, items_in
from saccade.search.local.source.rows import items_of
from saccade.search.local.store.passages import passages_of


def left(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Title by id of what is read, and the reason by file of what is left out."""
    out: dict[str, str] = {}
    names = files_of(folder, out.__setitem__)
    items = list(items_in(folder, names, out.__setitem__))
    return {item.document.id: item.document.title for item in items}, out


def test_texts_and_images_of_a_folder_are_documents(tmp_path: Path) -> None:
    (tmp_path / "a" / ".git").mkdir(parents=True)
    (tmp_path / "a" / ".git" / "x.md").write_text("hidden")
    (tmp_path / "a" / "page.md").write_text("Before.\n\n# The *first* heading #\n\nText.")
    (tmp_path / "guide.rst").write_text("=====\nTitle\n=====\n\nText.")
    (tmp_path / "plain.txt").write_text("# no heading\nText.")
    (tmp_path / "web.html").write_text("<title>Of the web</title><script>bad()</script><p>Text")
    (tmp_path / "program.py").write_text("print()")
    for name in ("old_mill.png", "b.JPG"):
        PILImage.new("RGB", (8, 8)).save(tmp_path / name)
    written(tmp_path / "captions.jsonl", [{"file": "b.JPG", "title": "A boat", "text": "At sea."}])
    read, out = left(tmp_path)
    assert read == {
        "a/page.md": "The *first* heading", "guide.rst": "Title", "plain.txt": "plain",
        "web.html": "Of the web", "old_mill.png": "old mill", "b.JPG": "A boat",
    }  # fmt: skip
    assert out == {}
    (web,) = (i for i in items_in(tmp_path, ["web.html"], out.__setitem__))
    assert web.document.text == "Text"


def test_what_cannot_be_read_is_left_out_and_told(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (inside / "link.txt").symlink_to(tmp_path / "secret.txt")
    (inside / "folder").symlink_to(tmp_path)
    (inside / "fine.txt").write_text("fine")
    (inside / "same.txt").symlink_to("fine.txt")
    (inside / "empty.txt").write_text(" \n")
    (inside / "latin.txt").write_bytes(b"caf\xe9")
    os.mkfifo(inside / "pipe.txt")
    (inside / "device.txt").symlink_to("/dev/zero")
    read, out = left(inside)
    assert set(read) == {"fine.txt", "same.txt"}
    assert set(out) == {"link.txt", "empty.txt", "latin.txt", "pipe.txt", "device.txt"}
    assert "leaves the folder" in out["link.txt"]
    assert "pipe or a device" in out["pipe.txt"]


def test_a_broken_image_of_a_folder_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    (tmp_path / "a.txt").write_text("a")
    out: list[str] = []
    built = build(tmp_path, tmp_path.with_name("i"), on_left_out=lambda file, _: out.append(file))
    assert (built.documents, built.left_out, out) == (1, 1, ["broken.png"])


def test_what_cannot_be_read_any_more_is_not_taken_for_removed(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name in ("a", "b", "c"):
        (source / f"{name}.txt").write_text(name)
    build(source, tmp_path / "index")
    (source / "a.txt").unlink()
    (source / "b.txt").write_bytes(b"caf\xe9")
    built = build(source, tmp_path / "index", prune=True)
    assert (built.removed, built.kept, built.left_out) == (1, 1, 1)


def test_an_empty_folder_and_an_unknown_ending_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="without texts and images"):
        build(tmp_path, tmp_path / "index")
    with pytest.raises(ConfigError, match="jsonl"):
        build(tmp_path / "rows.docx", tmp_path / "index")
    assert not (tmp_path / "index").exists()


def test_a_caption_of_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    written(tmp_path / "captions.jsonl", [{"file": "no.png", "title": "x"}])
    with pytest.raises(FormatError, match=r"captions.jsonl:1: .*no.png"):
        left(tmp_path)


def test_parquet_gives_the_same_index_as_jsonl(tmp_path: Path) -> None:
    columns = {name: [row.get(name) for row in ROWS] for name in ("id", "title", "text", "url")}
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    of_parquet = [item.document for item in items_of(tmp_path / "rows.parquet")]
    of_lines = [item.document for item in items_of(written(tmp_path / "rows.jsonl", ROWS))]
    assert of_parquet == of_lines
    build(tmp_path / "rows.parquet", tmp_path / "index")
    assert [name for name, _ in found(tmp_path / "index", "whale")] == ["c"]


def test_images_of_parquet_are_pictures(tmp_path: Path) -> None:
    PILImage.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 60).save(tmp_path / "m.png")
    image = {"bytes": (tmp_path / "m.png").read_bytes(), "path": "elsewhere.png"}
    table = pa.table({"id": ["m"], "title": ["Mandelbrot"], "image": [image]})
    pq.write_table(table, tmp_path / "rows.parquet")
    built = build(tmp_path / "rows.parquet", tmp_path / "index")
    assert built.pictures == 1
    with Index.open(tmp_path / "index") as index:
        assert index.kinds == {"image"}


@pytest.mark.parametrize(
    "text",
    [
        "One two. " * 300,
        "word " * 1000,
        "x" * 50_000,
        "A paragraph\n\nand another one\n \nthe last." * 40,
        "Short.",
        "",
    ],
)
def test_passages_have_every_word_once_and_are_not_too_long(text: str) -> None:
    passages = list(passages_of(text, 50))
    assert "".join("".join(passages).split()) == "".join(text.split())
    assert all(len(passage.split()) <= 50 + 50 / 4 for passage in passages)
    assert all(len(passage.split()) >= 10 for passage in passages) or len(passages) <= 1


def test_passages_end_with_sentences() -> None:
    text = " ".join(f"Sentence number {n} ends here." for n in range(40))
    assert all(passage.endswith("here.") for passage in passages_of(text, 50))


def test_a_heading_of_many_blanks_takes_no_time(tmp_path: Path) -> None:
    # Each of these lines once took seconds: every blank was tried as the end of the heading.
    line = "# x" + " " * 100_000 + "y\n"
    (tmp_path / "a.md").write_text(line)
    before = time.process_time()
    items = list(items_in(tmp_path, ["a.md"], lambda file, reason: None))
    assert time.process_time() - before < 0.5
    assert items[0].document.title.startswith("x ")
