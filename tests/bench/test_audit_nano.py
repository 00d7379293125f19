"""The audit of an embedded model agrees with what is known of its world: there a crop decides.

Expected, from docs/nano.md (`nano-sft`, split test, seed 1000, n = 400): on `read` agent .970,
true_box .960, direct .122, wrong_box .098; on `easy` agent .915, direct .912, tool-call rate .005.
Arms whose prompts the model has never met (no_tool, format_only, result_only) are out of its
distribution: it reads no words, and often ends without an answer there, which the notes must say.
"""

import asyncio
from pathlib import Path

import pytest

from saccade.bench.audit import Audit, audit, read_audit
from saccade.config import validate
from saccade.embedded import folder_of
from saccade.models.threads import use_threads
from saccade.nano.spec import sections
from saccade.recipe import Recipe


def audited(out: Path, family: str, n: int, *arms: str) -> Audit:
    use_threads(1)
    table = {
        **sections(), "seed": 1000,
        "tasks": {"kind": "world", "family": family, "n": n, "split": "test"},
        "policy": {"kind": "hf", "path": str(folder_of("nano-sft"))},
    }  # fmt: skip
    asyncio.run(audit(validate(Recipe, table), out, arms=arms))
    return read_audit(out)


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    out = tmp_path_factory.mktemp("read")
    return audited(out, "read", 16, "direct", "format_only", "blank_crop", "wrong_box", "true_box")


def accuracy(found: Audit, name: str) -> float:
    arm = found.arm(name)
    assert arm is not None
    assert arm.accuracy.value is not None
    return arm.accuracy.value


def test_a_crop_decides_and_only_the_right_one(read: Audit) -> None:
    assert accuracy(read, "agent") >= 0.85
    assert accuracy(read, "true_box") >= 0.85
    for name in ("direct", "blank_crop", "wrong_box", "format_only"):  # chance is a tenth
        assert accuracy(read, name) <= 0.4
    (staged,) = [p for p in read.pairs if (p.before, p.after) == ("agent", "blank_crop")]
    assert staged.paired.lost > 10
    assert staged.p_holm < 0.001


def test_gain_is_large_and_nothing_is_harmed(read: Audit) -> None:
    (effect,) = read.effects
    assert effect.without == "direct"
    assert effect.gain.low is not None
    assert effect.gain.low > 0.4
    assert effect.harm.value == 0
    assert read.also_without is not None
    assert read.also_without.high is not None
    assert read.also_without.high < 0.7


def test_the_observation_carries_the_answer(read: Audit) -> None:
    """In nats: a digit of ten that nobody sees has log p of about -2.3."""
    assert {(e.measure, e.replaced_by) for e in read.evidence} == {
        ("log_prob", "blank"), ("log_prob", "wrong"),
    }  # fmt: skip
    for gain in read.evidence:
        assert gain.low is not None
        assert gain.low > 0.5
        assert gain.n == 16


def test_what_the_model_has_never_met_is_said(read: Audit) -> None:
    arm = read.arm("format_only")
    assert arm is not None
    assert arm.no_look == 0
    if arm.no_answer > 2:
        assert any(note.startswith("format_only: ") for note in read.notes)
    assert any("direct: the answer is forced" in note for note in read.notes)


def test_where_the_view_is_enough_there_is_no_gain(tmp_path: Path) -> None:
    found = audited(tmp_path, "easy", 12, "direct")
    (effect,) = found.effects
    assert (effect.gain.value or 0) <= 0.1
    for pair in found.pairs:
        assert pair.paired.interval.low < 0 < pair.paired.interval.high
    agent = found.arm("agent")
    assert agent is not None
    assert agent.no_look is not None
    assert agent.no_look >= 11
    assert found.evidence == () or found.evidence[0].n <= 1
