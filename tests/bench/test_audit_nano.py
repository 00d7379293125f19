"""The audit of an embedded model agrees with what is known of its world: there a crop decides.

Known, from docs/nano.md (`nano-sft`, split test, n = 400): see `READ` and `EASY`. A count is said
to agree with a share if it is not among the least likely ten-thousandth of counts on its side, so
that no other machine fails by chance; a mechanism that is off is off by far more than that.
"""

import asyncio
from math import comb
from pathlib import Path

import pytest

from saccade.bench.audit import Audit, audit, read_audit
from saccade.config import validate
from saccade.embedded import folder_of
from saccade.models.threads import use_threads
from saccade.nano.spec import sections
from saccade.recipe import Recipe, make_environment, make_policy, make_reward
from saccade.runs.assemble import Assembly

READ = {"agent": 0.970, "true_box": 0.960, "direct": 0.122, "blank_crop": 0.1}
EASY = {"agent": 0.915, "direct": 0.912}
N = 8
RARE = 1e-4


def recipe(family: str, n: int) -> Recipe:
    return validate(
        Recipe,
        {
            **sections(), "seed": 1000, "canary": False,
            "tasks": {"kind": "world", "family": family, "n": n, "split": "test"},
            "policy": {"kind": "hf", "path": str(folder_of("nano-sft"))},
        },
    )  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Audit]:
    """Two families, of one model that is loaded once."""
    use_threads(1)
    first = recipe("read", N)
    parts = Assembly(make_policy(first), make_environment(first), make_reward(first))
    audits = {}
    for chosen, arms in ((first, [*READ]), (recipe("easy", 6), [*EASY])):
        out: Path = tmp_path_factory.mktemp("audit")
        asyncio.run(audit(chosen, out, arms=arms, assembly=parts))
        audits["read" if chosen is first else "easy"] = read_audit(out)
    return audits


def agrees(right: int, n: int, share: float) -> bool:
    """Whether a binomial count is no rarity on either side."""
    chances = [comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
    return min(sum(chances[: right + 1]), sum(chances[right:])) >= RARE


@pytest.mark.parametrize("family", ["read", "easy"])
def test_each_arm_answers_what_is_known_of_it(found: dict[str, Audit], family: str) -> None:
    for name, share in {"read": READ, "easy": EASY}[family].items():
        arm = found[family].arm(name)
        assert arm is not None
        assert arm.accuracy.value is not None
        assert arm.accuracy.n == arm.episodes
        assert agrees(round(arm.accuracy.value * arm.accuracy.n), arm.accuracy.n, share), name


def test_gain_is_what_only_a_look_solves_and_nothing_is_harmed(found: dict[str, Audit]) -> None:
    (effect,) = found["read"].effects
    gained = READ["agent"] * (1 - READ["direct"])
    harmed = READ["direct"] * (1 - READ["agent"])
    assert effect.without == "direct"
    assert effect.gain.value is not None
    assert effect.harm.value is not None
    assert agrees(round(effect.gain.value * N), N, gained)
    assert agrees(round(effect.harm.value * N), N, harmed)
    (staged,) = [p for p in found["read"].pairs if (p.before, p.after) == ("agent", "blank_crop")]
    assert staged.paired.difference < 0
    assert staged.paired.interval.high < 0


def test_the_observation_carries_the_answer(found: dict[str, Audit]) -> None:
    """In nats: a digit of ten that nobody sees has log p of about -2.3."""
    evidence = found["read"].evidence
    assert {(e.measure, e.replaced_by) for e in evidence} == {
        ("log_prob", "blank"), ("log_prob", "wrong"),
    }  # fmt: skip
    for gain in evidence:
        assert gain.low is not None
        assert gain.low > 0.5
        assert gain.n >= N - 1  # it calls in 99.5 % of episodes


def test_where_the_view_is_enough_there_is_no_gain(found: dict[str, Audit]) -> None:
    """It looks in one episode of two hundred there, so that it plays as `direct` does."""
    easy = found["easy"]
    for pair in easy.pairs:
        assert pair.paired.interval.low < 0 < pair.paired.interval.high
    agent = easy.arm("agent")
    assert agent is not None
    assert agent.no_look is not None
    assert agent.no_look >= agent.episodes - 1
    assert sum(gain.n for gain in easy.evidence) <= 3
    assert any("direct: the answer is forced" in note for note in easy.notes)
