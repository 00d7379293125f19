"""What is asked of every engine; each row says how many of how many came out as they must."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import engines
import playing
import pytest
from figures import Record

from saccade.embedded import folder_of
from saccade.errors import ConfigError
from saccade.runs.folder import RunReader
from saccade.types import Task, Trajectory

RUN_FILE = Path(__file__).with_name("nano.toml")

KILLED_AFTER = 20
"""Number of finished episodes after which a run is killed."""


def turns_are_equal(
    record: Record, url: str, asked: Sequence[Task], ours: Sequence[Trajectory], **options: object
) -> None:
    """Every turn is the text that the same weights write in this process."""
    theirs = playing.play(playing.served(url, **options), asked)
    equal, n = playing.equal(ours, theirs), len(asked)
    counts, turns = playing.same_counts(ours, theirs), len(playing.completions(ours))
    stops = sum(c.text.endswith(("</tool_call>", "</answer>")) for c in playing.completions(theirs))
    named = f"policy.server={options.get('server')}" if options.get("server") else "no server named"
    record(
        f"turns equal to those of the weights here, {named}",
        f"{equal} of {n} episodes; right {playing.right(theirs)} and {playing.right(ours)}; "
        f"token counts equal on {counts} of {turns} turns",
        n=n, equal=equal, right=playing.right(theirs), right_here=playing.right(ours),
        same_counts=counts, turns=turns,
    )  # fmt: skip
    record(
        f"stop strings, {named}", f"{stops} of {turns} turns end with the one that ended them",
        n=turns, kept=stops,
    )  # fmt: skip
    assert (equal, counts, stops) == (n, turns, turns)


def native_calls_are_made(
    record: Record, url: str, asked: Sequence[Task], ours: Sequence[Trajectory], **options: object
) -> None:
    """Calls come parsed, and are those that the weights write as text."""
    within = playing.environment(playing.Wired())
    theirs = playing.play(playing.served(url, **options), asked, within=within)
    n, same = len(asked), playing.same_actions(ours, theirs)
    called = sum(bool(c.tool_calls) for c in playing.completions(theirs))
    record(
        "calls parsed by the server: answers and calls as here",
        f"{same} of {n} episodes; {called} turns with calls; right {playing.right(theirs)} and "
        f"{playing.right(ours)}",
        n=n, same=same, calls=called, right=playing.right(theirs), right_here=playing.right(ours),
    )  # fmt: skip
    assert called > 0
    assert playing.aborted(theirs) == 0
    assert same == n


def prefix_is_continued(record: Record, url: str, asked: Sequence[Task], **options: object) -> None:
    """A turn that is begun for the model goes on as it does here.

    The first turn of each episode: with a thought before its answer this model is at a loss.
    """
    begun = playing.environment(playing.Begun(), turns=1)
    ours = playing.play(playing.local(), asked, within=begun)
    policy = playing.served(url, continues_prefix=True, **options)
    theirs = playing.play(policy, asked, within=begun)
    n, equal = len(asked), playing.equal(ours, theirs)
    record(
        "turns begun with a given text (continues_prefix)", f"{equal} of {n} equal",
        n=n, equal=equal,
    )  # fmt: skip
    assert equal == n


def wrong_server_is_named(record: Record, url: str, asked: Sequence[Task], wrong: str) -> None:
    """`policy.server` of another kind ends a run at the first reply."""
    with pytest.raises(ConfigError, match=f"policy.server={wrong}") as caught:
        playing.play(playing.served(url, server=wrong), asked[:1])
    record(f"policy.server={wrong}", f"refused at the first reply: {caught.value}", n=1)


def killed_run_goes_on(
    record: Record, url: str, ours: Sequence[Trajectory], out: Path, log: Path, **options: str
) -> None:
    """A run that is killed goes on where it was, and holds what an undisturbed one holds."""
    words = ["rollout", str(RUN_FILE), f"out={out}", *_policy(url, **options)]
    process = engines.in_a_process(*words, log=log)
    finished = out / "trajectories.jsonl"
    while process.poll() is None and _lines(finished) < KILLED_AFTER:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = _lines(finished)
    assert engines.in_a_process(*words, log=log).wait() == 0, log.read_text()[-2000:]
    theirs = {entry.task.id: entry.trajectory for entry in RunReader(out).entries()}
    n = len(ours)
    equal = sum(playing.texts(theirs[t.task_id]) == playing.texts(t) for t in ours)
    record(
        "killed and resumed", f"killed after {before}; {equal} of {n} episodes equal, none twice",
        n=n, equal=equal, killed_after=before,
    )  # fmt: skip
    assert before < n
    assert (equal, _lines(finished)) == (n, n)


def policy_is_examined(
    record: Record, url: str, log: Path, **options: str
) -> dict[str, dict[str, object]]:
    """`saccade check policy`: what it finds, by part."""
    words = ["check", "policy", str(RUN_FILE), *_policy(url, **options), "--json"]
    found = subprocess.run(
        [sys.executable, "-m", "saccade", *words],
        cwd=engines.ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(engines.ROOT / "src")},
    )  # fmt: skip
    log.write_text(found.stdout + found.stderr)
    findings = json.loads(found.stdout)["findings"]
    parts = {finding["part"]: finding for finding in findings}
    states = ", ".join(f"{part} {finding['state']}" for part, finding in parts.items())
    record("saccade check policy", states, findings=findings)
    return parts


def _policy(url: str, **options: str) -> list[str]:
    given = {"base_url": url, "model": playing.MODEL, **options}
    return [f"policy.{key}={value}" for key, value in given.items()]


def _lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def exported(out: Path, model: str) -> Path:
    """An embedded model with weights in float32, as an engine in a training is to read them."""
    import torch

    from saccade.models.load import load
    from saccade.train.checkpoints import export

    return export(load(folder_of(model)), out, dtype=torch.float32, fingerprints=[])
