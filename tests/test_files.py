"""Text that users bring: each reader takes UTF-8, and says what to do about another encoding."""

from collections.abc import Callable
from pathlib import Path

import pytest

from saccade.config import read_toml
from saccade.errors import FormatError, SaccadeError
from saccade.files import beside, text_of
from saccade.formats.prompts import read_prompts
from saccade.formats.tasks import read_tasks
from saccade.policies.replay import read_script

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
