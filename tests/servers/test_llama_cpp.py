"""The server of llama.cpp with an embedded model, written as GGUF by llama.cpp's converter."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import checks
import engines
import playing
import pytest
from figures import Record

from saccade.types import Task, Trajectory

ENGINE = "llama_cpp"


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory, logs: Path) -> tuple[object, ...]:
    """The server with the model as two files, but for the least number of tokens of an image."""
    server, folder = engines.llama_server(), tmp_path_factory.mktemp("gguf")
    converter = Path(__file__).with_name("to_gguf.py")
    with (logs / "llama_cpp-gguf.log").open("w") as log:
        words = [sys.executable, converter, engines.llama_source(), playing.FOLDER, folder]
        subprocess.run(words, stdout=log, stderr=subprocess.STDOUT, check=True)
    return (
        server, "-m", folder / "model.gguf", "--mmproj", folder / "mmproj.gguf",
        "--alias", playing.MODEL, "--ctx-size", 8 * 1024, "--parallel", 8, "--threads", 2,
        "--no-webui",
    )  # fmt: skip


@pytest.fixture(scope="module")
def url(command: tuple[object, ...], logs: Path) -> Iterator[str]:
    words = (*command, "--image-min-tokens", 1)
    with engines.serving(words, logs / "llama_cpp.log") as url:
        yield url


@pytest.fixture(scope="module")
def wired_url(
    command: tuple[object, ...], logs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """With the template in which an embedded model knows its calls."""
    file = tmp_path_factory.mktemp("template") / "wired.jinja"
    file.write_text(playing.wired_template(), encoding="utf-8")
    words = (*command, "--image-min-tokens", 1, "--chat-template-file", file)
    with engines.serving(words, logs / "llama_cpp-wired.log") as url:
        yield url


@pytest.fixture(scope="module")
def enlarging_url(command: tuple[object, ...], logs: Path) -> Iterator[str]:
    """As it starts without a word on images."""
    with engines.serving(command, logs / "llama_cpp-default.log") as url:
        yield url


@pytest.mark.parametrize("kind", ["llama_cpp", None])
def test_turns_are_those_of_the_weights_here(
    record: Record, url: str, asked: list[Task], ours: list[Trajectory], kind: str | None
) -> None:
    checks.turns_are_equal(record, url, asked, ours, server=kind)


def test_parsed_calls_are_those_of_the_weights_here(
    record: Record, wired_url: str, asked: list[Task], ours: list[Trajectory]
) -> None:
    checks.native_calls_are_made(record, wired_url, asked, ours, server="llama_cpp")


def test_a_given_beginning_is_continued(record: Record, url: str, asked: list[Task]) -> None:
    checks.prefix_is_continued(record, url, asked, server="llama_cpp")


def test_a_wrong_kind_of_server_is_named(record: Record, url: str, asked: list[Task]) -> None:
    checks.wrong_server_is_named(record, url, asked, "vllm")


def test_a_killed_run_goes_on(
    record: Record, url: str, ours: list[Trajectory], tmp_path: Path, logs: Path
) -> None:
    log = logs / "llama_cpp-killed.log"
    checks.killed_run_goes_on(record, url, ours, tmp_path / "run", log, server="llama_cpp")


def test_the_policy_is_examined(record: Record, url: str, logs: Path) -> None:
    found = checks.policy_is_examined(record, url, logs / "llama_cpp-check.log", server="llama_cpp")
    assert {part["state"] for part in found.values()} <= {"ok", "not tried"}


def test_enlarged_images_cost_what_no_error_says(
    record: Record, enlarging_url: str, asked: list[Task], ours: list[Trajectory], logs: Path
) -> None:
    theirs = playing.play(playing.served(enlarging_url, server="llama_cpp"), asked)
    n, right = len(asked), playing.right(theirs)
    record(
        "without --image-min-tokens 1",
        f"right {right} and {playing.right(ours)} of {n}, {playing.aborted(theirs)} aborted",
        n=n, right=right, right_here=playing.right(ours),
    )  # fmt: skip
    assert right < playing.right(ours)
    assert playing.aborted(theirs) == 0
