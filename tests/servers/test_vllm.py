"""vLLM on a CPU with an embedded model, from the folder that ships."""

from collections.abc import Iterator
from pathlib import Path

import checks
import engines
import playing
import pytest
from figures import Record

from saccade.types import Task, Trajectory

ENGINE = "vllm"
SERVE = (
    "serve", playing.FOLDER, "--served-model-name", playing.MODEL, "--dtype", "float32",
    "--max-model-len", 1024, "--enforce-eager", "--max-num-seqs", 16,
    "--enable-auto-tool-choice", "--tool-call-parser", "hermes",
    "--trust-request-chat-template",
)  # fmt: skip


@pytest.fixture(scope="module")
def url(logs: Path) -> Iterator[str]:
    """A server with a tool parser, which leaves requests without tools alone."""
    command = (engines.vllm(), *SERVE)
    log = logs / "vllm.log"
    with engines.serving(command, log, environment=engines.VLLM_ENVIRONMENT) as url:
        yield url


@pytest.fixture(scope="module")
def thinking_url(logs: Path) -> Iterator[str]:
    """A server that takes the thought out of the text."""
    command = (engines.vllm(), *SERVE, "--reasoning-parser", "qwen3")
    log = logs / "vllm-reasoning.log"
    with engines.serving(command, log, environment=engines.VLLM_ENVIRONMENT) as url:
        yield url


@pytest.mark.parametrize("kind", ["vllm", None])
def test_turns_are_those_of_the_weights_here(
    record: Record, url: str, asked: list[Task], ours: list[Trajectory], kind: str | None
) -> None:
    checks.turns_are_equal(record, url, asked, ours, server=kind)


def test_parsed_calls_are_those_of_the_weights_here(
    record: Record, url: str, asked: list[Task], ours: list[Trajectory]
) -> None:
    template = {"chat_template": playing.wired_template()}
    checks.native_calls_are_made(record, url, asked, ours, server="vllm", extra_body=template)


def test_a_given_beginning_is_continued(record: Record, url: str, asked: list[Task]) -> None:
    checks.prefix_is_continued(record, url, asked, server="vllm")


def test_a_wrong_kind_of_server_is_named(record: Record, url: str, asked: list[Task]) -> None:
    checks.wrong_server_is_named(record, url, asked, "llama_cpp")


def test_tokens_and_log_probabilities_are_those_of_the_weights_here(
    record: Record, url: str, asked: list[Task], ours: list[Trajectory]
) -> None:
    policy = playing.served(url, server="vllm", token_ids=True)
    theirs = playing.completions(playing.play(policy, asked))
    pairs = list(zip(playing.completions(ours), theirs, strict=True))
    same = sum(a.token_ids == b.token_ids for a, b in pairs)
    gap = max(
        abs(x - y)
        for a, b in pairs
        for x, y in zip(a.log_probs or (), b.log_probs or (), strict=True)
    )
    record(
        "token ids, log-probabilities",
        f"ids equal on {same} of {len(pairs)} turns; log-probabilities differ by {gap:.1g} at most",
        n=len(pairs), same=same, gap=gap,
    )  # fmt: skip
    assert same == len(pairs)
    assert gap < 1e-3


def test_a_killed_run_goes_on(
    record: Record, url: str, ours: list[Trajectory], tmp_path: Path, logs: Path
) -> None:
    checks.killed_run_goes_on(
        record, url, ours, tmp_path / "run", logs / "vllm-killed.log", server="vllm"
    )


def test_the_policy_is_examined(record: Record, url: str, logs: Path) -> None:
    found = checks.policy_is_examined(record, url, logs / "vllm-check.log", server="vllm")
    assert {part["state"] for part in found.values()} <= {"ok", "not tried"}


@pytest.mark.parametrize("returned", [True, False], ids=["sent back", "not sent back"])
def test_a_thought_in_a_field_of_its_own_is_part_of_the_turn(
    record: Record, thinking_url: str, asked: list[Task], ours: list[Trajectory], returned: bool
) -> None:
    options: dict[str, object] = {"server": "vllm"}
    if returned:
        template = {"chat_template": playing.thinking_template()}
        options |= {"send_thought": "reasoning", "extra_body": template}
    theirs = playing.play(playing.served(thinking_url, **options), asked)
    thought = sum(c.thought is not None for c in playing.completions(theirs))
    n, same, right = len(asked), playing.same_actions(ours, theirs), playing.right(theirs)
    sent = "thoughts sent back" if returned else "earlier thoughts not sent back"
    record(
        f"--reasoning-parser qwen3, {sent}",
        f"{thought} turns with a thought of their own; answers and calls as here in {same} of {n} "
        f"episodes; right {right} and {playing.right(ours)}",
        n=n, same=same, thoughts=thought, right=right, right_here=playing.right(ours),
    )  # fmt: skip
    assert thought >= n
    if returned:
        assert same == n
