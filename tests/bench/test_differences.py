"""Where our rule and VLMEvalKit's scorers differ: each reply that a benchmark names is played."""

from importlib import import_module

import pytest

from saccade.bench import BENCHMARKS
from saccade.bench.benchmark import Benchmark, Difference


def made(name: str) -> Benchmark:
    module, _, kind = BENCHMARKS[name].partition(":")
    found: type[Benchmark] = getattr(import_module(module), kind)
    return found()


PLAYED = [(name, one) for name in BENCHMARKS for one in made(name).differences]


@pytest.mark.parametrize(
    ("name", "one"), PLAYED, ids=[f"{name}-{one.reply[:30]}" for name, one in PLAYED]
)
async def test_our_rule_and_the_published_scorer_say_what_is_named(
    name: str, one: Difference
) -> None:
    benchmark = made(name)
    verdict = await benchmark.judge(one.task, one.reply)
    assert verdict.correct is one.ours
    assert benchmark.compat(one.task, one.reply) == pytest.approx(one.theirs, abs=1e-4)
    assert one.why


@pytest.mark.parametrize("name", BENCHMARKS)
def test_who_restates_a_scorer_names_where_it_differs(name: str) -> None:
    benchmark = made(name)
    restates = type(benchmark).compat is not Benchmark.compat
    assert not restates or any(one.ours != one.theirs for one in benchmark.differences)
