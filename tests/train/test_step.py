"""A step without a model, under each dialect: who is forced, what is trained on."""

from pathlib import Path

import pytest
from scripted import HOUSES, Alone, House, Script, recipe_of, renderer_of

from saccade.config import Table
from saccade.errors import ConfigError, PluginError
from saccade.recipe import make_environment, make_tasks
from saccade.render.qwen_vl import QwenVLRenderer
from saccade.rewards import RewardOptions
from saccade.runs.folder import RunReader
from saccade.train.checkpoints import BEGUN
from saccade.train.sample import TrainingBatch
from saccade.train.step import RLStep
from saccade.types import Task, Trajectory


@pytest.fixture(params=HOUSES, ids=lambda house: "-".join(house))
def house(request: pytest.FixtureRequest) -> House:
    return request.param


@pytest.fixture
def renderer(house: House, request: pytest.FixtureRequest) -> QwenVLRenderer:
    return renderer_of(house, request)


def batch_of(
    house: House, renderer: QwenVLRenderer, out: Path, train: Table
) -> tuple[TrainingBatch, list[Trajectory], Script]:
    """One batch, its episodes in the order of its samples, and who wrote them."""
    recipe = recipe_of(house, renderer, out, {**train, "keep_every": 1})
    answer = next(make_tasks(recipe)).answer
    script = Script(house, make_environment(recipe).dialect, renderer, answer)
    with RLStep(recipe, renderer, script, Alone()) as step:
        batch = step.training_batch(0)
    kept = RunReader(out / "rollouts" / "step-00001").entries()
    return batch, [trajectory for _, trajectory in kept], script


def trained_text(renderer: QwenVLRenderer, batch: TrainingBatch, row: int, advantage: float) -> str:
    """What of a sample is trained on with this advantage."""
    sample = batch.samples[row]
    ids = [
        token
        for token, trained, own in zip(
            sample.rendered.ids, sample.trained_T, sample.advantages_T, strict=True
        )
        if trained and own == pytest.approx(advantage)
    ]
    return renderer.tokenizer.decode(ids, skip_special_tokens=False)


def test_plain_grpo_trains_on_all_that_was_sampled(
    house: House, renderer: QwenVLRenderer, tmp_path: Path
) -> None:
    """Every episode looks and is right: no advantage, and nothing to select."""
    batch, episodes, _ = batch_of(house, renderer, tmp_path, {})
    assert [len(t.turns) for t in episodes] == [2] * 4
    assert batch.metrics["accuracy"] == batch.metrics["tool_call_rate"] == 1.0
    assert batch.metrics["groups/zero_variance"] == 1
    assert batch.metrics["groups/trained"] == 1
    for sample in batch.samples:
        assert set(sample.advantages_T) == {0.0}
        assert sample.trained_T == sample.rendered.sampled
    varied, *_ = batch_of(house, renderer, tmp_path / "varied", {"select": "varied"})
    assert varied.metrics["groups/trained"] == 0
    assert not any(any(sample.trained_T) for sample in varied.samples)


def test_every_prompt_is_attempted_both_ways(
    house: House, renderer: QwenVLRenderer, tmp_path: Path
) -> None:
    """A call is a cell or a JSON call; the tokens that decide get the gap, the thought nothing."""
    forced: Table = {"counterfactual": {"call": 1, "answer": 1}, "scale": "none"}
    batch, episodes, _ = batch_of(house, renderer, tmp_path, forced)
    assert [bool(t.turns[0].action.calls) for t in episodes] == [True, False, True, True]
    rewards = [t.score.value for t in episodes if t.score]
    mean = sum(rewards) / 4
    noted = [t.annotations["advantage"] for t in episodes]
    assert noted == pytest.approx([reward - mean for reward in rewards])
    gap = rewards[0] - rewards[1]
    assert gap > 0.5
    assert batch.metrics["episodes"] == 2  # nothing is measured of those that were forced
    seams = make_environment(recipe_of(house, renderer, tmp_path, {})).dialect.seams
    call = seams.code if "Cell" in house.tool else seams.call
    assert call is not None
    for sample, episode in zip(batch.samples, episodes, strict=True):
        first = episode.turns[0].completion
        begins = sample.rendered.prompt_len
        ends = begins + len(first.token_ids or ())
        trained = sample.trained_T[begins:ends].index(True)
        assert all(sample.trained_T[begins + trained : ends])
        thought = renderer.decode((first.token_ids or ())[:trained])
        assert thought.endswith("small.</think>")
        decided = trained_text(renderer, batch, episodes.index(episode), gap * 4 / 2 / 3)
        if episode.turns[0].action.calls:
            assert decided
            assert call.opening.startswith(decided)
        else:
            assert not any(sample.advantages_T)


def test_a_look_is_credited_with_what_it_changed(
    house: House, renderer: QwenVLRenderer, tmp_path: Path
) -> None:
    """Before the call the answer is wrong, after it right; each probe is well formed."""
    batch, episodes, script = batch_of(house, renderer, tmp_path, {"probe": {"weight": 0.5}})
    assert batch.metrics["probe/calls"] == batch.metrics["probe/gain"] == 4
    prefix = episodes[0].turns[0].prefix
    assert {begun.prefix for begun in script.begun} == {prefix}
    for row, episode in enumerate(episodes):
        first = episode.turns[0].completion.text
        assert trained_text(renderer, batch, row, 0.5) == first + "<|im_end|>"
        last = episode.turns[1].completion.text
        assert trained_text(renderer, batch, row, 0.0) == last + "<|im_end|>"


@pytest.mark.parametrize("train", [{"probe": {}}, {"counterfactual": {"call": 1, "answer": 1}}])
def test_a_dialect_whose_answers_open_with_nothing_is_refused(
    train: Table, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    house = House("native", "tiny_qwen2_5_vl", "zoom_in")
    renderer = renderer_of(house, request)
    recipe = recipe_of(house, renderer, tmp_path, train)
    script = Script(house, make_environment(recipe).dialect, renderer, "1")
    with pytest.raises(ConfigError, match="no text of this dialect opens the move 'answer'"):
        RLStep(recipe, renderer, script, Alone())


def no_opinion(task: Task, trajectory: Trajectory, correct: bool) -> float:
    raise ValueError("no opinion")


def test_a_step_on_which_the_reward_always_raises_ends_the_training(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Rather than to train on nothing; what was played is kept."""
    renderer = renderer_of(HOUSES[0], request)
    recipe = recipe_of(HOUSES[0], renderer, tmp_path, {"keep_every": 1})
    recipe = recipe.model_copy(
        update={"reward": RewardOptions.model_validate({"weights": {f"{__name__}:no_opinion": 1}})}
    )
    script = Script(HOUSES[0], make_environment(recipe).dialect, renderer, "7")
    says = r"no episode of a step has a score: .*no_opinion"
    with RLStep(recipe, renderer, script, Alone()) as step, pytest.raises(PluginError, match=says):
        step.training_batch(0)
    kept = list(RunReader(tmp_path / "rollouts" / "step-00001").waiting())
    assert len(kept) == 4
    begun = (path for pattern in BEGUN for path in tmp_path.glob(pattern))
    assert any(path.stat().st_size for path in begun), "a failed start would remove them"
