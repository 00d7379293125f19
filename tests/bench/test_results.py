"""What a run measured, counted by hand from what each of its episodes does."""

import json
import sys
from pathlib import Path

import pytest
from benching import bench_run
from pydantic import JsonValue

from saccade.bench.measured.attempts import vote_of
from saccade.bench.measured.cost import cost_of
from saccade.bench.results import Measured, known_benchmark, measure
from saccade.errors import ConfigError, StoreError
from saccade.measures.intervals import wilson
from saccade.runs.manifest import read_manifest
from saccade.types import Task

MIXED = {
    "d1": "right", "d2": "wrong", "d3": "none", "d4": "cut", "d5": "turns", "d6": "unread",
    "r1": "judged", "r2": "abort", "r3": "look", "r4": "bad", "r5": "miss", "r6": "bad wrong",
}  # fmt: skip


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    plays = {name: [play] for name, play in MIXED.items()}
    return measure(bench_run(tmp_path_factory.mktemp("mixed") / "run", plays))


def test_an_end_without_an_answer_scores_nothing_and_is_counted(mixed: Measured) -> None:
    """Ten are scored: d1, r1, r3 and r4 are right; d3, d4 and d5 ended without an answer."""
    found = mixed.accuracy()
    assert found is not None
    assert (found.value, found.n, found.method) == (4 / 10, 10, "wilson")
    assert (found.low, found.high) == tuple(wilson(4, 10))
    ends = mixed.ended()
    assert ends is not None
    assert (ends.episodes, ends.finished, ends.answered, ends.scored) == (12, 11, 8, 10)
    assert (ends.abstained, ends.out_of_turns, ends.truncated, ends.too_many_images) == (1, 1, 1, 0)
    assert (ends.undecided, ends.reward_failed, ends.aborted, ends.timeout) == (1, 0, 1, 0)
    assert ends.rate(ends.truncated) == 1 / 11


def test_accuracy_of_the_answered_ones_stands_beside_it(mixed: Measured) -> None:
    found = mixed.accuracy(by=mixed.answered)
    assert found is not None
    assert (found.value, found.n) == (4 / 7, 7)


def test_the_rule_alone_leaves_open_what_a_judge_decided(mixed: Measured) -> None:
    found = mixed.accuracy(by=mixed.rule)
    assert found is not None
    assert (found.value, found.n, mixed.rule_undecided) == (3 / 9, 9, 2)
    assert mixed.judges == {"choice": 6, "llm:judge-7b:0badcafe": 1}


def test_groups_are_those_of_the_benchmark(mixed: Measured) -> None:
    values = {m.group: (m.value, m.n) for m in mixed.metrics}
    assert values == {
        "all": (4 / 10, 10), "direct_attributes": (1 / 5, 5), "relative_position": (3 / 5, 5),
    }  # fmt: skip
    assert [ends.group for ends in mixed.ends] == [*values]
    (all_, direct, relative) = mixed.ends
    assert direct.episodes + relative.episodes == all_.episodes
    assert (direct.aborted, relative.aborted) == (0, 1)


def test_use_of_tools_is_counted_by_group_and_by_tool(mixed: Measured) -> None:
    """Calls: 2 of d5, whose third has no turn left to be shown in, and 1 each of r3 to r6."""
    use = mixed.tools[0]
    calls = use.calls
    assert (calls.attempted, calls.succeeded, calls.refused, calls.failed) == (6, 3, 2, 0)
    assert calls.episodes == 5
    assert (use.call_rate.value, use.call_rate.n) == (5 / 11, 11)
    assert (use.invalid_rate.value, use.invalid_rate.n) == (2 / 6, 6)
    assert (use.recovery.value, use.recovery.n) == (1 / 2, 2), "bad ended right, bad wrong did not"
    assert (use.search_ratio.value, use.after_search.n) == (0.0, 0)
    assert [found.tool for found in use.by_tool] == ["image_zoom_in_tool"]
    assert mixed.tools[1].calls.attempted == 2


def test_grounding_is_of_the_best_look_of_each_episode(mixed: Measured) -> None:
    found = mixed.grounding[0]
    assert (found.boxed, found.looked.value, found.best_iou.n) == (11, 3 / 11, 3)
    assert found.best_iou.value == pytest.approx(2 / 3 * 0.8, abs=0.02), "miss saw nothing of it"
    assert found.coverage.method == "wilson"


def test_cost_is_by_the_prices_of_the_run_file(mixed: Measured) -> None:
    """Seventeen turns of 100 and 10 tokens, at 2 and 10 a million; of the aborted one no turn."""
    cost = mixed.cost
    assert (cost.episodes, cost.counted) == (12, 11)
    assert (cost.prompt_tokens, cost.response_tokens) == (1700, 170)
    assert cost.price == pytest.approx((1700 * 2 + 170 * 10) / 1e6)


@pytest.mark.parametrize("price", [10**400, -1, float("nan"), "2", None, True, {}])
def test_what_is_no_price_is_none(price: JsonValue) -> None:
    found = cost_of([], {"price_in": price, "price_out": 0})
    assert found.price in (None, 0.0)


def test_what_was_run_is_told(mixed: Measured) -> None:
    assert (mixed.title, mixed.arm, mixed.coords, mixed.order) == (
        "V*Bench", "agent", ("absolute",), "hashed",
    )  # fmt: skip
    assert (mixed.models, mixed.seed, mixed.items, mixed.shard) == (("player-7b",), 0, 12, "1/1")
    assert "not finished" in " ".join(mixed.notes)
    assert Measured.model_validate_json(mixed.model_dump_json()) == mixed


def test_samples_of_an_item_give_pass_at_k_and_a_majority(tmp_path: Path) -> None:
    """d1: two right of three, d2: one, d3: a tie of three answers, d4: only one sample."""
    plays = {
        "d1": ["right", "right", "wrong"], "d2": ["right", "wrong", "wrong"],
        "d3": ["right", "wrong", "other"], "d4": ["none"],
    }  # fmt: skip
    made = measure(bench_run(tmp_path / "run", plays))
    found = {(m.name, m.group): (m.value, m.n) for m in made.repeated}
    assert found["pass@1", "all"] == (pytest.approx((2 / 3 + 1 / 3 + 1 / 3 + 0) / 4), 4)
    assert found["pass@2", "all"] == (pytest.approx((1 + 2 / 3 + 2 / 3) / 3), 3)
    assert found["pass@3", "all"] == (1.0, 3)
    assert found["majority", "all"] == (pytest.approx((1 + 0 + 1 / 3 + 0) / 4), 4)
    mean = made.accuracy()
    assert mean is not None
    assert (mean.n, mean.units, made.samples) == (10, 4, 3)


def test_votes_are_for_options_as_they_stand_in_the_file() -> None:
    def asked(order: list[int]) -> Task:
        texts = ["blue", "red", "white"]
        choices = tuple(texts[place] for place in order)
        return Task(id="t", prompt=("Which?",), choices=choices, meta={"order": list(order)})

    assert vote_of(asked([2, 0, 1]), "B") == vote_of(asked([0, 1, 2]), "A. blue") == 0
    assert vote_of(asked([0, 1, 2]), "C") == 2
    text = Task(id="t", prompt=("Which?",))
    assert vote_of(text, " The Cat.") == vote_of(text, "the cat")
    assert vote_of(text, "1,000") == vote_of(text, "1000.0")
    assert vote_of(text, None) is None


def test_compat_scores_replies_as_the_other_harness_does(tmp_path: Path) -> None:
    """Letters takes the first capital A, B or C: the text of an episode without an answer, too."""
    plays = {"d1": ["right"], "d2": ["none"], "d3": ["unread"], "d4": ["wrong"]}
    run = bench_run(tmp_path / "run", plays, kind="benching:Letters")
    made = measure(run, compat=True)
    assert made.compat is not None
    (found,) = (m for m in made.compat if m.group == "all")
    assert (found.value, found.n, made.compat_unknown) == (1 / 2, 2, 2)
    assert measure(run).compat is None


def test_rotations_of_a_question_are_one_unit(tmp_path: Path) -> None:
    run = bench_run(tmp_path / "run", {"d1": ["right"], "d2": ["wrong"]}, order="circular")
    found = measure(run).accuracy()
    assert found is not None
    assert (found.n, found.units, found.value) == (6, 2, 0.5)
    assert (found.low, found.high) == pytest.approx(tuple(wilson(1, 2)))


def test_a_part_of_the_items_is_said_to_be_one(tmp_path: Path) -> None:
    plays = {f"d{n}": ["right"] for n in range(6)}
    notes = " ".join(measure(bench_run(tmp_path / "run", plays, n=3, order="file")).notes)
    assert "n=3" in notes
    assert "order of the file" in notes


def test_another_run_is_no_benchmark(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        measure(tmp_path)
    run = bench_run(tmp_path / "run", {"d1": ["right"]})
    changed = json.loads((run / "run.json").read_text()) | {"verb": "rollout"}
    (run / "run.json").write_text(json.dumps(changed))
    with pytest.raises(ConfigError, match="no benchmark"):
        measure(run)


def test_a_folder_of_others_imports_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class that `run.json` names is used only where the program has loaded it already."""
    run = bench_run(tmp_path / "run", {"d1": ["right"]})
    (tmp_path / "planted.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    manifest = read_manifest(run)
    for part, said in (
        ({"kind": "planted:Bench"}, "not loaded"),
        ({"kind": "planted:__class__"}, "not loaded"),
        ({"kind": "subprocess:Popen"}, "not loaded"),
        ({"kind": "vstar", "nosuch": 1}, "cannot be made"),
        ({"kind": 7}, "not loaded"),
        (None, "not loaded"),
    ):
        changed = manifest.model_copy(update={"config": {**manifest.config, "bench": part}})
        benchmark, (note,) = known_benchmark(changed)
        assert said in note
        assert benchmark.name == "unknown"
    assert "planted" not in sys.modules
    own = {**manifest.config, "bench": {"kind": "benching:Letters"}}
    assert known_benchmark(manifest.model_copy(update={"config": own}))[0].name == "letters"


def test_circular_order_tells_who_is_right_in_every_rotation(tmp_path: Path) -> None:
    plays = {"d1": ["right"], "r1": ["wrong"], "r2": ["right"]}
    run = bench_run(tmp_path / "run", plays, order="circular")
    found = {(m.name, m.group): (m.value, m.n) for m in measure(run).metrics}
    assert found["accuracy", "all"] == (6 / 9, 9)
    assert found["all rotations right", "all"] == (2 / 3, 3)
    assert found["all rotations right", "relative_position"] == (1 / 2, 2)


def test_a_question_with_a_rotation_that_failed_is_not_right_in_all(tmp_path: Path) -> None:
    run = bench_run(tmp_path / "run", {"d1": ["abort"], "d2": ["right"]}, order="circular")
    found = {m.name: (m.value, m.n) for m in measure(run).metrics if m.group == "all"}
    assert found["all rotations right"] == (1, 1)
    hashed = bench_run(tmp_path / "hashed", {"d1": ["right"]})
    assert "all rotations right" not in {m.name for m in measure(hashed).metrics}
