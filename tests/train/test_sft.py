"""Fine-tuning: the loss that TRL sees, what it changes, what it resumes, what it writes.

The oracle of loss and gradient is a plain forward pass of the class of transformers.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from transformers import AutoModelForImageTextToText

from saccade.embedded import folder_of
from saccade.errors import ConfigError
from saccade.models.batch import collate
from saccade.models.load import load, read_stamp
from saccade.nano.deepeyes.oracle import Oracle
from saccade.nano.spec import sections
from saccade.recipe import Recipe, make_tasks
from saccade.runs.execute import jobs_of, run
from saccade.runs.folder import RunReader
from saccade.train.checkpoints import Step, last_checkpoint
from saccade.train.recipe import SFTRecipe
from saccade.train.sft import IGNORED, labels, read_examples, sft, training_arguments
from saccade.types import Completion, Sampling, Trajectory

BASE = str(folder_of("nano-base"))


def write_demos(out: Path, policy: dict[str, str], n: int = 8) -> Path:
    tasks = {"kind": "world", "family": ["read0", "easy"], "split": "train", "n": n}
    recipe = Recipe.model_validate({**sections(), "tasks": tasks, "policy": policy})
    asyncio.run(
        run(
            "rollout",
            recipe,
            jobs_of(recipe, make_tasks(recipe)),
            out,
            on_finish=lambda t, tr: None,
        )
    )
    return out


class Mistaken(Oracle):
    """Its answers are wrong."""

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        return Completion(text="<think>The red object.</think><answer>99</answer>")


class Apart(Oracle):
    """Its thoughts come in a field of their own, with ids of another tokenizer."""

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        whole = await super().act(trajectory, sampling)
        thought, _, text = whole.text.removeprefix("<think>").partition("</think>")
        update = {"text": text, "thought": thought, "token_ids": (7, 7, 7)}
        return whole.model_copy(update=update)


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sft") / "demos"
    return write_demos(out, {"kind": "saccade.nano.deepeyes.oracle:Oracle"})


def recipe_of(demos: Path, out: Path, **options: object) -> SFTRecipe:
    usual = {"steps": 4, "batch_size": 4, "learning_rate": 1e-3, "device": "cpu", "save_steps": 2}
    return SFTRecipe.model_validate(
        {"model": BASE, "out": str(out), "runs": [str(demos)], **usual, **options}
    )


def state(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def texts(demos: Path) -> Iterator[list[str]]:
    for entry in RunReader(demos).entries():
        yield [turn.completion.text for turn in entry.trajectory.turns]


def test_only_what_the_assistant_wrote_is_learned(demos: Path) -> None:
    renderer = load(BASE).renderer
    trajectories = [entry.trajectory for entry in RunReader(demos).entries()]
    rendered = [renderer.render(t, generation=False) for t in trajectories]
    rows = labels(rendered, max(len(item.ids) for item in rendered))
    for row, written in zip(rows, texts(demos), strict=True):
        learned = [int(i) for i in row if i != IGNORED]
        assert renderer.tokenizer.decode(learned, skip_special_tokens=False) == "".join(
            f"{text}<|im_end|>" for text in written
        )


def test_loss_and_gradient_are_those_of_a_plain_forward_pass(demos: Path, tmp_path: Path) -> None:
    """One step over all examples, then the same by hand: loss, and the step that SGD would take."""
    recipe = recipe_of(demos, tmp_path / "run", steps=1, batch_size=8, schedule="constant")
    sft(recipe)
    logged = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])

    loaded = load(BASE)
    trajectories = read_examples(recipe, loaded).trajectories
    rendered = [loaded.renderer.render(t, generation=False) for t in trajectories]
    batch = collate(loaded, rendered, side="right")
    loaded.model.requires_grad_(True)
    logits = loaded.model(**batch.inputs()).logits[:, :-1]
    wanted = labels(rendered, batch.input_ids.shape[1])[:, 1:]
    loss = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED)
    assert logged["loss"] == pytest.approx(loss.item(), abs=1e-5)
    loss.backward()
    squares = [
        p.grad.square().sum()
        for name, p in loaded.model.named_parameters()
        if p.grad is not None and "visual" not in name
    ]
    assert logged["grad_norm"] == pytest.approx(float(torch.stack(squares).sum().sqrt()), rel=1e-4)


def test_it_learns_and_leaves_the_vision_tower_alone(demos: Path, tmp_path: Path) -> None:
    news: list[Step] = []
    folder = sft(recipe_of(demos, tmp_path / "run", steps=12), on_step=news.append)
    losses = [step.metrics["loss"] for step in news]
    assert [step.step for step in news] == list(range(1, 13))
    assert sum(losses[-3:]) < 0.6 * sum(losses[:3])
    before, after = state(Path(BASE)), state(folder)
    assert before.keys() == after.keys()
    for name in before:
        same = torch.equal(before[name].float(), after[name].float())
        assert same == ("visual" in name), name


def test_the_result_loads_as_its_base_did(demos: Path, tmp_path: Path) -> None:
    folder = sft(recipe_of(demos, tmp_path / "run", steps=1, save_dtype="float16"))
    assert read_stamp(folder).fingerprints == (RunReader(demos).manifest.fingerprint,)
    model = AutoModelForImageTextToText.from_pretrained(folder)
    assert model.dtype == torch.float16
    for name in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        assert (folder / name).read_bytes() == (Path(BASE) / name).read_bytes()
    assert load(folder).renderer.rule == load(BASE).renderer.rule
    card = (folder / "README.md").read_text()
    assert "| base model | `nano-base` |" in card
    assert "Step 1: loss" in card
    assert not list((tmp_path / "run").glob("README.md")), "TRL's card"


def test_an_interrupted_training_goes_on_to_the_same_weights(demos: Path, tmp_path: Path) -> None:
    whole = sft(recipe_of(demos, tmp_path / "whole"))

    class Stop(Exception):
        pass

    def stop(step: Step) -> None:
        if step.step == 3:
            raise Stop

    recipe = recipe_of(demos, tmp_path / "broken")
    with pytest.raises(Stop):
        sft(recipe, on_step=stop)
    examples = tmp_path / "broken" / "examples.json"
    begun_on = examples.read_text()
    examples.write_text(begun_on.replace("8", "7"))
    with pytest.raises(ConfigError, match="the demonstrations have changed"):
        sft(recipe)
    examples.write_text(begun_on)
    news: list[Step] = []
    resumed = sft(recipe, on_step=news.append)
    assert [step.step for step in news] == [3, 4]
    for name, value in state(whole).items():
        torch.testing.assert_close(state(resumed)[name], value, atol=1e-6, rtol=0)
    lines = (tmp_path / "broken" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]

    written = (resumed / "model.safetensors").stat().st_mtime_ns
    assert sft(recipe, on_step=stop) == resumed
    assert (resumed / "model.safetensors").stat().st_mtime_ns == written, "it was finished"
    (tmp_path / "broken" / "finished.json").unlink()  # as if killed before it was noted
    from_where: list[Path] = []
    sft(recipe, on_step=news.append, on_resume=from_where.append)
    assert [path.name for path in from_where] == ["checkpoint-4"]
    assert len(news) == 2, "no step beyond the last"
    for name, value in state(whole).items():
        torch.testing.assert_close(state(resumed)[name], value, atol=1e-6, rtol=0)


def test_a_checkpoint_beyond_what_is_asked_for_is_refused(tmp_path: Path) -> None:
    for name in ("checkpoint-50", "checkpoint-100", "checkpoint-best"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "trainer_state.json").write_text("{}")
    assert last_checkpoint(tmp_path, steps=100) == tmp_path / "checkpoint-100"
    with pytest.raises(ConfigError, match="holds checkpoint-100, of more steps than the 80"):
        last_checkpoint(tmp_path, steps=80)


def test_what_a_kill_left_half_written_is_not_resumed_from(demos: Path, tmp_path: Path) -> None:
    """A checkpoint without its last file, and a line of metrics without its end."""
    whole = sft(recipe_of(demos, tmp_path / "whole"))

    class Stop(Exception):
        pass

    def stop(step: Step) -> None:
        if step.step == 4:
            raise Stop

    recipe = recipe_of(demos, tmp_path / "broken")
    with pytest.raises(Stop):
        sft(recipe, on_step=stop)
    half = tmp_path / "broken" / "checkpoint-3"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    with (tmp_path / "broken" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    resumed = sft(recipe)
    for name, value in state(whole).items():
        torch.testing.assert_close(state(resumed)[name], value, atol=1e-6, rtol=0)
    lines = (tmp_path / "broken" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]


def test_a_folder_of_another_recipe_is_refused(demos: Path, tmp_path: Path) -> None:
    sft(recipe_of(demos, tmp_path / "run", steps=1))
    with pytest.raises(ConfigError, match=r"learning_rate: 0.001 -> 0.01"):
        sft(recipe_of(demos, tmp_path / "run", steps=1, learning_rate=1e-2))


def test_what_is_not_known_to_be_right_is_left_out_and_counted(demos: Path, tmp_path: Path) -> None:
    wrong = write_demos(tmp_path / "wrong", {"kind": f"{__name__}:Mistaken"}, n=4)
    loaded = load(BASE)
    recipe = recipe_of(demos, tmp_path / "run", runs=[str(demos), str(wrong)])
    examples = read_examples(recipe, loaded)
    assert len(examples.trajectories) == 8
    assert examples.left_out == {"not known to be right": 4}
    short = recipe_of(demos, tmp_path / "run", max_tokens=60)
    assert read_examples(short, loaded).left_out == {"too long": 4}
    with pytest.raises(ConfigError, match=r"nothing to train on in .* \(4 not known to be right"):
        sft(recipe_of(wrong, tmp_path / "none"))
    assert not (tmp_path / "none").exists(), "a training that never began claims no folder"


def test_a_length_in_epochs_and_a_warm_up_as_a_share(demos: Path, tmp_path: Path) -> None:
    """Eight examples in batches of four: two steps an epoch, three in one and a half. The rate
    rises over two of them, as `warmup_ratio` of transformers, and is 0 at the first."""
    usual = {"epochs": 1.5, "steps": 100, "warmup_ratio": 0.5, "schedule": "linear"}
    recipe = recipe_of(demos, tmp_path / "run", **usual)
    sft(recipe)
    rows = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    rates = [row["learning_rate"] for row in rows]
    assert rates == pytest.approx([0.0, 0.5e-3, 1e-3])
    for n, accumulate, steps in [(8, 1, 3), (9, 1, 5), (9, 2, 3), (1, 128, 2)]:
        assert recipe.model_copy(update={"accumulate": accumulate}).total_steps(n) == steps
    assert recipe_of(demos, tmp_path, steps=7).total_steps(8) == 7


def test_an_image_of_more_tokens_than_it_may_have_leaves_its_example_out(
    demos: Path, tmp_path: Path
) -> None:
    """The view is 56 x 56 pixels: 16 tokens of 14 x 14."""
    loaded = load(BASE)
    fits = recipe_of(demos, tmp_path / "run", max_image_tokens=16)
    assert len(read_examples(fits, loaded).trajectories) == 8
    large = recipe_of(demos, tmp_path / "run", max_image_tokens=15)
    with pytest.raises(ConfigError, match=r"\(8 with too large an image\)"):
        read_examples(large, loaded)


@pytest.mark.parametrize(
    ("trl", "says"),
    [({"max_steps": 3}, "trl: max_steps: set by the other options"), ({"nope": 1}, "nope")],
)
def test_options_of_trl_are_checked(
    demos: Path, tmp_path: Path, trl: dict[str, int], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        training_arguments(recipe_of(demos, tmp_path, trl=trl), tmp_path, steps=4)
    used = training_arguments(
        recipe_of(demos, tmp_path, trl={"optim": "sgd"}, gradient_checkpointing=True),
        tmp_path, steps=4,
    )  # fmt: skip
    assert used.optim == "sgd"
    assert used.gradient_checkpointing


def test_the_thought_of_a_teacher_is_learned_wherever_it_came(demos: Path, tmp_path: Path) -> None:
    loaded = load(BASE)
    apart = write_demos(tmp_path / "apart", {"kind": f"{__name__}:Apart"})
    examples = [
        read_examples(recipe_of(folder, tmp_path / "run"), loaded).trajectories
        for folder in (demos, apart)
    ]
    texts = [[turn.completion.text for t in each for turn in t.turns] for each in examples]
    assert sorted(texts[0]) == sorted(texts[1])
    assert all(turn.completion.token_ids is None for t in examples[1] for turn in t.turns)


def test_a_missing_run_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises((ConfigError, OSError), match="nowhere"):
        sft(recipe_of(tmp_path / "nowhere", tmp_path / "run"))
