"""Files that users bring: text in UTF-8, paths that are none, folders that cannot be written."""

import contextlib
import errno
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from saccade import files
from saccade.config import read_toml
from saccade.errors import FormatError, SaccadeError, StoreError
from saccade.files import beside, read_whole, text_of, write_whole, writing
from saccade.formats.columns import count_parquet_rows
from saccade.formats.marks import marked
from saccade.formats.parquet import read_parquet
from saccade.formats.prompts import read_prompts
from saccade.formats.tasks import read_tasks
from saccade.images.given import image_of
from saccade.images.image import Image
from saccade.policies.replay import read_script
from saccade.robust.arrays import read_arrays
from saccade.runs.finished import read_finished
from saccade.runs.folder import RunFolder, RunReader
from saccade.runs.manifest import Manifest, read_manifest
from saccade.view.dynamics import read_dynamics

PROMPT = (
    '{"prompt": [{"role": "user", "content": "Où? Think."}], "extra_info": {"question": "Où?"}}'
)
READERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "run.toml": (read_toml, 'out = "a"\n# Où?\n'),
    "tasks.jsonl": (lambda path: list(read_tasks(path)), ' \n{"question": "Où?"}\n'),
    "script.jsonl": (read_script, ' \n{"task": "t", "turns": ["Où?"]}\n'),
    "prompts.json": (lambda path: read_prompts(str(path)), " \n" + PROMPT),
    "prompts.jsonl": (lambda path: read_prompts(str(path)), " \n" + PROMPT),
}  # fmt: skip


@pytest.mark.parametrize("name", READERS)
def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path, name: str) -> None:
    read, text = READERS[name]
    plain, other = tmp_path / name, tmp_path / "other" / name
    other.parent.mkdir()
    plain.write_bytes(text.encode())
    other.write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    assert read(other) == read(plain)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    ("encoding", "says"),
    [
        ("utf-16", "1: expected UTF-8, got UTF-16 .*iconv -f UTF-16 -t UTF-8"),
        ("utf-16-le", "1: expected UTF-8, got UTF-16 .*iconv -f UTF-16 -t UTF-8"),
        ("utf-32", "1: expected UTF-8, got UTF-16 .*iconv"),
        ("latin-1", "2: expected UTF-8, got the byte 0xf9; .*iconv -f WINDOWS-1252 -t UTF-8"),
    ],
)
def test_another_encoding_is_named_with_the_line_and_what_to_do(
    tmp_path: Path, name: str, encoding: str, says: str
) -> None:
    read, text = READERS[name]
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    with pytest.raises(SaccadeError, match=f"{path}:{says}"):
        read(path)


def test_the_line_of_a_wrong_byte_is_right_behind_a_byte_order_mark() -> None:
    data = "\ufeffone\ntwo\n".encode() + b"\xe9"
    with pytest.raises(FormatError, match=r"x:3: .*0xe9"):
        text_of(data, Path("x"))


@pytest.mark.parametrize("name", ["../a", "/etc/hostname", "link", "a\0b"])
def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(FormatError, match=r"here: .*(lies outside|is no path)"):
        beside(tmp_path / "tasks.jsonl", name, "here")


@pytest.mark.parametrize("text", ["a = " + "1" * 5000, "a = " + "[" * 5000])
def test_a_run_file_of_endless_numbers_or_lists_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(SaccadeError, match=r"run\.toml: not TOML"):
        read_toml(tmp_path / "run.toml")


def test_what_is_wrong_with_a_long_line_is_said_at_once(tmp_path: Path) -> None:
    """What came is looked at only where it would be shown."""
    (tmp_path / "t.jsonl").write_text('{"question": "q", "meta": {"x": ' + "1" * 900_000 + "}}")
    before = time.thread_time()
    with pytest.raises(FormatError, match="number out of range"):
        list(read_tasks(tmp_path / "t.jsonl"))
    assert time.thread_time() - before < 5, "of the square of its length it would be an hour"


@pytest.mark.parametrize(
    ("read", "text"),
    [(lambda text: marked(text, 1, "x"), "<image" + " " * 50_000 + "!"),
     (lambda text: image_of(text, 1), "iVBOR" + " " * 50_000 + "!")],
)  # fmt: skip
def test_white_space_without_end_is_read_in_one_pass(
    read: Callable[[str], object], text: str
) -> None:
    before = time.thread_time()
    with contextlib.suppress(SaccadeError):
        read(text)
    assert time.thread_time() - before < 2, "of its square it would be a minute"


def a_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")  # nobody will ever write to it
    return folder / "pipe"


def a_socket(folder: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(folder / "s"))
    return folder / "s"


def a_circle(folder: Path) -> Path:
    (folder / "circle").symlink_to("circle")
    return folder / "circle"


ODD: dict[str, Callable[[Path], Path]] = {
    "pipe": a_pipe, "socket": a_socket, "circle of links": a_circle,
    "folder": lambda folder: folder,
    "device": lambda folder: Path("/dev/zero"),
    "terminal": lambda folder: Path("/dev/tty"),
    "zero byte": lambda folder: folder / "a\0b",
    "half of a pair": lambda folder: folder / "a\ud800b",
    "long name": lambda folder: folder / ("a" * 300),
    "file as a folder": lambda folder: Path("/etc/hostname/x"),
    "missing": lambda folder: folder / "missing",
}  # fmt: skip
WAYS_IN: dict[str, Callable[[Path], object]] = {
    "image": lambda path: Image.open(path),
    "given": lambda path: image_of(str(path), 1),
    "tasks": lambda path: list(read_tasks(path)),
    "script": read_script,
    "prompts": lambda path: read_prompts(f"{path}"),
    "parquet": lambda path: list(read_parquet(path)),
    "rows": count_parquet_rows,
    "manifest": lambda path: read_manifest(path.parent / path.name),
    "finished": lambda path: read_finished(path),
    "run": lambda path: list(RunReader(path).entries()),
    "run file": read_toml,
    "arrays": lambda path: read_arrays(path, "arrays", most=2**20),
}


@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("way_in", WAYS_IN)
def test_what_is_no_file_is_a_clear_error_on_every_way_in(
    tmp_path: Path, what: str, way_in: str
) -> None:
    path = ODD[what](tmp_path)
    with pytest.raises(SaccadeError) as caught:
        WAYS_IN[way_in](path)
    assert len(str(caught.value)) > 20


@pytest.mark.parametrize("name", ["run.json", "finished.json", "tasks.jsonl", "metrics.jsonl"])
def test_a_pipe_in_a_run_folder_holds_nobody_up(tmp_path: Path, name: str) -> None:
    (tmp_path / "run.json").write_text('{"verb": "rollout", "config": {}}')
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with contextlib.suppress(SaccadeError):
        read_manifest(tmp_path)
        list(RunReader(tmp_path).tasks())
    with contextlib.suppress(SaccadeError):
        read_finished(tmp_path)
    with pytest.raises(SaccadeError):
        read_dynamics(tmp_path)


def test_without_the_look_at_it_a_pipe_is_an_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = a_pipe(tmp_path)
    with pytest.raises(OSError, match="a pipe or a device"):
        read_whole(pipe, most=9)
    monkeypatch.setattr(files, "_check_regular", lambda *_: None)
    assert read_whole(pipe, most=9) == b""


REFUSED = [errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EIO]


@pytest.mark.parametrize("number", REFUSED)
def test_what_a_file_system_refuses_is_named_with_its_remedy(tmp_path: Path, number: int) -> None:
    says = rf"{tmp_path}: cannot be written \(.*\); [a-z]"
    with pytest.raises(StoreError, match=says) as caught, writing(tmp_path):
        raise OSError(number, os.strerror(number))
    assert os.strerror(number) in str(caught.value)


def test_a_name_that_no_file_can_have_is_named(tmp_path: Path) -> None:
    for name in ("a" * 300, "a\0b", "missing/x"):
        with pytest.raises(StoreError, match="cannot be written"):
            write_whole(tmp_path / name, b"")


def test_a_link_in_the_way_of_a_write_leads_nowhere(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    (tmp_path / f".page.{os.getpid()}.part").symlink_to(precious)
    (tmp_path / "page").symlink_to(precious)
    write_whole(tmp_path / "page", b"new")
    assert precious.read_text() == "kept"
    assert (tmp_path / "page").read_text() == "new"
    assert not (tmp_path / "page").is_symlink()


@pytest.mark.parametrize("read_only", ["the folder", "images"])
def test_a_run_folder_that_cannot_be_written_is_a_clear_error(
    tmp_path: Path, read_only: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write anywhere, so the system call is made to refuse as a read-only disk does."""
    refused = tmp_path / "run" / ("" if read_only == "the folder" else read_only)
    make = Path.mkdir

    def mkdir(path: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        if path == refused:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        make(path, mode, parents, exist_ok)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(StoreError, match=r"run: cannot be written \(Read-only .*choose a folder"):
        RunFolder(tmp_path / "run", Manifest(verb="rollout", config={}))


def test_a_pipe_in_the_place_of_a_journal_is_no_run_to_go_on_with(tmp_path: Path) -> None:
    manifest = Manifest(verb="rollout", config={})
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(manifest.model_dump_json())
    os.mkfifo(tmp_path / "run" / "trajectories.jsonl")
    (tmp_path / "run" / "tasks.jsonl").write_text("{}\n")
    with pytest.raises(StoreError, match=r"trajectories\.jsonl: cannot be written \(no regular"):
        RunFolder(tmp_path / "run", manifest)
