"""An agent under attack: the embedded one, as a user calls it, and the parts that carry a claim."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command import here, in_a_process
from PIL import Image as PILImage
from scipy.stats import binomtest
from torch import nn

from saccade.arms import apply_arm, targets_of
from saccade.config import read_toml, validate
from saccade.dialects.deepeyes import DeepEyes
from saccade.env import Environment
from saccade.errors import ConfigError, FormatError
from saccade.images.geometry import Box, PixelBudget
from saccade.images.image import Image
from saccade.models.load import load
from saccade.policies.replay import ReplayPolicy
from saccade.robust.agent.attack import measure_agent
from saccade.robust.agent.experiment import digest_of
from saccade.robust.agent.originals import OnTheOriginal
from saccade.robust.agent.recipe import AgentAttackRecipe
from saccade.robust.agent.results import ArmOutcomes, AttackOutcomes, Table
from saccade.robust.attacks.stepped import Pgd
from saccade.robust.vlm import AnswerSet
from saccade.rollout import rollout
from saccade.tools.zoom import ZoomIn
from saccade.types import TargetBox, Task
from saccade.world import tasks

ROOT = Path(__file__).parents[3]
RECIPE = "recipes/agent_attack.toml"
N = 6
CALL = (
    '<tool_call>{"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [0, 0, 28, 28]}}'
    "</tool_call>"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that `saccade attack` filled."""
    out = tmp_path_factory.mktemp("attack")
    done = in_a_process("attack", RECIPE, "--n", str(N), "--out", str(out), "attack.epsilons=[6]",
                   "attack.method.steps=4", "--json", cwd=ROOT)  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result == json.loads((out / "agent_attack.json").read_text())
    return out


def test_accuracies_are_those_of_the_answers(run: Path) -> None:
    """Counted again from the signs of every question."""
    result = json.loads((run / "agent_attack.json").read_text())
    assert len(result["tasks"]) == N
    for threat, (row,) in result["threats"].items():
        rows = result["outcomes"][threat]

        def right(arm: str, by: tuple[str, ...], rows: list[dict] = rows) -> list[bool]:
            own = [row for row in rows if row["arm"] == arm and row["attacked"] in ("clean", *by)]
            signs = zip(*(row["correct"] for row in own), strict=True)
            return [set(of_question) == {"1"} for of_question in signs]

        for name, by in (
            ("noise", {"direct": ("noise",), "agent": ("noise",)}),
            ("own", {"direct": ("direct",), "agent": ("agent",)}),
            ("transfer", {"direct": ("agent",), "agent": ("direct",)}),
        ):
            direct, agent = right("direct", by["direct"]), right("agent", by["agent"])
            shares, paired = row[name]["arms"], row[name]["paired"]
            assert shares["direct"]["accuracy"] == sum(direct) / N
            assert shares["agent"]["accuracy"] == sum(agent) / N
            better = sum(b and not a for a, b in zip(direct, agent, strict=True))
            worse = sum(a and not b for a, b in zip(direct, agent, strict=True))
            assert (paired["gained"], paired["lost"]) == (better, worse)
            wanted = binomtest(better, better + worse).pvalue if better + worse else 1.0
            assert paired["p"] == pytest.approx(wanted)
        calls = {arm: share["tool_call_rate"] for arm, share in row["own"]["arms"].items()}
        assert calls["direct"] < 0.3 < 0.7 < calls["agent"]
        assert result["clean"]["arms"]["agent"]["aimed"] > 0.8
        assert result["clean"]["arms"]["direct"]["aimed"] is None
        assert row["own"]["arms"]["agent"]["aimed"] < row["noise"]["arms"]["agent"]["aimed"]


def test_it_is_the_attack_and_not_its_size(run: Path) -> None:
    """Over both threats and arms, own attacks cost more than random signs of the same size."""
    threats = json.loads((run / "agent_attack.json").read_text())["threats"]
    rows = [row for (row,) in threats.values()]
    own = sum(s["accuracy"] for row in rows for s in row["own"]["arms"].values())
    noise = sum(s["accuracy"] for row in rows for s in row["noise"]["arms"].values())
    assert own <= noise - 0.5


@pytest.mark.parametrize(("threat", "side"), [("view", 56), ("photograph", 672)])
def test_what_is_kept_differs_by_at_most_the_size(run: Path, threat: str, side: int) -> None:
    for number, task in enumerate(tasks("easy", n=4)):
        photograph = task.images[0].pixels()
        clean = photograph.resize((side, side), PILImage.Resampling.BICUBIC)
        with PILImage.open(run / "attacked" / f"{threat}-clean-{number}.png") as file:
            assert np.array_equal(np.array(file.convert("RGB")), np.array(clean))
        for by in ("noise", "direct-all", "agent-answer"):
            with PILImage.open(run / "attacked" / f"{threat}-{by}-{number}-by-6.png") as file:
                change = np.array(file.convert("RGB"), int) - np.array(clean, int)
            assert change.shape == (side, side, 3)
            assert 3 <= np.abs(change).max() <= 6


def test_it_goes_on_where_it_was_stopped(run: Path) -> None:
    whole = (run / "agent_attack.json").read_bytes()
    kept = run / "agent-view-noise.json"
    before = kept.stat().st_mtime_ns
    for name in ("finished.json", "agent-view-direct-answer.json"):
        (run / name).unlink()
    arguments = (RECIPE, "--n", str(N), "--out", str(run), "attack.method.steps=4")
    done = here("attack", *arguments, "attack.epsilons=[6]", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert (run / "agent_attack.json").read_bytes() == whole
    assert kept.stat().st_mtime_ns == before
    assert f"n = {N} questions" in done.stdout
    assert (run / "agent_attack.md").read_text().count("own attack") == 2
    for name in ("agent_attack.png", "attacked.png"):
        assert (run / name).stat().st_size > 10_000
    other = here("attack", *arguments, "attack.epsilons=[5]", cwd=ROOT)
    assert other.returncode == 2
    assert "attack.epsilons: 6 -> 5" in other.stderr


@pytest.mark.parametrize("clean", [True, False])
async def test_tools_cut_from_the_clean_photograph(clean: bool) -> None:
    """And without the wrapper they do not: the crop then has the few pixels of the view."""
    noise = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    photograph = Image.from_pixels(PILImage.fromarray(noise))
    budget = PixelBudget(factor=28, min_pixels=1, max_pixels=56 * 56)
    view = photograph.fit(budget)
    attacked = Image.from_pixels(PILImage.fromarray(255 - np.array(view.pixels())))
    environment = Environment(DeepEyes(), [ZoomIn(min_side=0)], view=budget)
    if clean:
        ways = {attacked.source.digest: view}
        environment = environment.replace(tools=[OnTheOriginal(ZoomIn(min_side=0), ways)])
    script = {"t": ["<think>a</think>" + CALL, "<answer>1</answer>"]}
    task = Task(id="t", prompt=(attacked, "?"), answer="1")
    episode = await rollout(ReplayPolicy(script), environment, task)
    assert episode.images[0].source.digest == attacked.source.digest
    (crop,) = episode.images[1:]
    source = photograph if clean else attacked
    assert crop.source.digest == source.source.digest
    assert crop.region.width == (56 if clean else 28)


def test_a_model_in_bfloat16_is_attacked_by_single_levels(tiny_qwen2_5_vl: Path) -> None:
    """Bright pixels are 1/128 apart in that type: kept in it, most could not change by 1/255."""
    pixels = np.random.default_rng(0).integers(0, 256, (56, 56, 3), dtype=np.uint8)
    image = Image.from_pixels(PILImage.fromarray(pixels))
    view = PixelBudget(factor=28, min_pixels=1, max_pixels=56 * 56)
    asked = Environment(DeepEyes(), view=view).begin(Task(id="t", prompt=(image, "?"), answer="A"))
    loaded = load(tiny_qwen2_5_vl, dtype=torch.bfloat16)
    target = AnswerSet(loaded, asked, ["A", "B", "no"], exact=False)
    x = target.pixels()
    found = Pgd(steps=4)(target, x, epsilons=[1 / 255], norm="linf", levels=255)
    change = ((found.inputs[0] - x) * 255).abs()
    torch.testing.assert_close(change.round(), change, atol=1e-3, rtol=0)
    room = (x > 0.01) & (x < 0.99)
    assert float((change[room] > 0.5).float().mean()) > 0.8


def test_mistakes_are_named(tmp_path: Path) -> None:
    done = here("attack", RECIPE, "--data", "digits", "--out", str(tmp_path), cwd=ROOT)
    assert done.returncode == 2
    assert "the questions of an agent are the run file's `tasks`" in done.stderr
    policy = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"}
    recipe = AgentAttackRecipe.model_validate({"policy": policy, "out": str(tmp_path / "a")})
    with pytest.raises(ConfigError, match="needs gradients"):
        measure_agent(recipe)
    rows = tmp_path / "tasks.jsonl"
    rows.write_text('{"id": "q", "question": "What is it?"}\n')
    model = str(ROOT / "src/saccade/embedded/weights/nano-look")
    recipe = AgentAttackRecipe.model_validate({
        **read_toml(ROOT / RECIPE), "policy": {"kind": "hf", "path": model},
        "tasks": {"kind": "file", "path": str(rows)}, "out": str(tmp_path / "b"),
    })  # fmt: skip
    with pytest.raises(ConfigError, match="q needs an image and an answer"):
        measure_agent(recipe)
    PILImage.new("RGB", (56, 56)).save(tmp_path / "q.png")
    rows.write_text('{"id": "q", "question": "What is it?", "images": ["q.png"], "answer": "a"}\n')
    staged = recipe.attack.model_copy(update={"arms": ("direct", "true_box")})
    with pytest.raises(ConfigError, match="q has no box, which the arm true_box needs"):
        measure_agent(recipe.model_copy(update={"attack": staged}))
    rows.write_text("")
    with pytest.raises(ConfigError, match="there is none to attack"):
        measure_agent(recipe)


def outcomes(arm: str, by: str, right: str, epsilon: int = 2) -> ArmOutcomes:
    loss = None if by in ("clean", "noise") else "all"
    return ArmOutcomes(
        arm=arm, attacked=by, loss=loss, epsilon=epsilon, correct=right, called="1" * len(right),
        aimed="1-0-1"[: len(right)],
    )  # fmt: skip


def test_a_question_that_failed_on_our_side_counts_nowhere() -> None:
    clean = [outcomes("a", "clean", "1111-", 0), outcomes("b", "clean", "11101", 0)]
    rows = [
        outcomes("a", "noise", "11111"), outcomes("b", "noise", "11101"),
        outcomes("a", "a", "1000-"), outcomes("b", "a", "1110-"),
        outcomes("a", "b", "11111"), outcomes("b", "b", "0-001"),
    ]  # fmt: skip
    table = Table(clean, {"view": rows})
    assert table.unscored == 2
    (row,) = table.rows("view")
    assert row.n == 3
    assert [row.own.arms[arm].accuracy for arm in "ab"] == [1 / 3, 0]
    assert [row.transfer.arms[arm].accuracy for arm in "ab"] == [1, 2 / 3]
    assert table.clean().arms["b"].accuracy == 2 / 3
    assert row.own.arms["a"].aimed == 1 / 2  # of the first and the third
    assert row.own.arms["a"].tool_call_rate == 1
    with pytest.raises(ConfigError, match="every question"):
        Table([outcomes("a", "clean", "-"), outcomes("b", "clean", "1")], {"view": []})


def test_an_attack_is_kept_question_by_question(tmp_path: Path) -> None:
    """The number of tasks may change in a run that goes on: what is kept is taken as far as it is
    of the same questions, and those that are new are put behind it."""
    questions = [Task(id=name, prompt=("?",), answer="1") for name in "abc"]
    file = tmp_path / "kept.json"
    assert AttackOutcomes.read(file, questions, model="m") is None
    rows = [outcomes("direct", "noise", "11")]
    kept = AttackOutcomes.of(rows, questions[:2], model="m")
    file.write_text(kept.model_dump_json())
    assert AttackOutcomes.read(file, questions[:2], model="m") == kept
    assert AttackOutcomes.read(file, questions, model="m") == kept
    assert AttackOutcomes.read(file, questions[::-1], model="m") is None
    fewer = AttackOutcomes.read(file, questions[:1], model="m")
    assert fewer is not None
    assert (fewer.tasks, fewer.outcomes[0].correct) == (("a",), "1")
    new = AttackOutcomes.of([outcomes("direct", "noise", "0")], questions[2:], model="m")
    whole = kept.followed_by(new)
    assert whole.tasks == ("a", "b", "c")
    (row,) = whole.outcomes
    assert (row.correct, row.called, row.aimed) == ("110", "111", "1-1")
    assert whole == AttackOutcomes.of([row], questions, model="m")
    file.write_text(whole.model_dump_json()[:-9])
    with pytest.raises(FormatError, match=r"kept\.json: .*delete it to attack again"):
        AttackOutcomes.read(file, questions, model="m")


def test_what_is_kept_of_another_model_or_other_tasks_is_refused(tmp_path: Path) -> None:
    """Which names cannot tell: a folder of weights, ids."""
    images = [Image.from_pixels(PILImage.new("RGB", (56, 56), shade)) for shade in ("red", "blue")]
    red, blue = (Task(id="a", prompt=(image, "?"), answer="1") for image in images)
    file = tmp_path / "kept.json"
    kept = AttackOutcomes.of([outcomes("direct", "noise", "1")], [red], model="m")
    file.write_text(kept.model_dump_json())
    assert AttackOutcomes.read(file, [red], model="m") == kept
    for task, model in (
        (red, "n"), (blue, "m"), (red.model_copy(update={"answer": "2"}), "m"),
    ):  # fmt: skip
        with pytest.raises(
            ConfigError, match=r"kept\.json holds .*another model or of other tasks"
        ):
            AttackOutcomes.read(file, [task], model=model)


def test_a_model_is_told_by_its_weights() -> None:
    model, same = nn.Linear(100, 30), nn.Linear(100, 30)
    same.load_state_dict(model.state_dict())
    assert digest_of(same) == digest_of(model)
    with torch.no_grad():
        same.weight *= 1.001
    assert digest_of(same) != digest_of(model)


async def test_a_staged_look_on_an_attacked_view_is_cut_from_the_photograph() -> None:
    """Its boxes are those of the photograph, though the view that is shown has other pixels."""
    noise = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    photograph = Image.from_pixels(PILImage.fromarray(noise))
    budget = PixelBudget(factor=28, min_pixels=1, max_pixels=56 * 56)
    view = photograph.fit(budget)
    attacked = Image.from_pixels(PILImage.fromarray(255 - np.array(view.pixels())))
    box = TargetBox(box=Box(56, 28, 112, 84))
    task = Task(id="t", prompt=(attacked, "?"), answer="1", boxes=(box,))
    script = {"t": ["<think>a</think>" + CALL, "<answer>1</answer>"]}
    environment = Environment(DeepEyes(), [ZoomIn(min_side=0)], view=budget)
    policy, environment = apply_arm(
        "true_box", ReplayPolicy(script), environment, targets_of([task])
    )
    tools = [OnTheOriginal(tool, {attacked.source.digest: view}) for tool in environment.tools]
    episode = await rollout(policy, environment.replace(tools=tools), task)
    (crop,) = episode.images[1:]
    assert crop.source.digest == photograph.source.digest
    assert crop.region == box.box


@pytest.mark.parametrize(
    ("name", "message"),
    [("../a", "no arm"), ("noise", "no arm"), ("", "no arm"), ("agent", "agent is named twice")],
)
def test_arms_are_those_that_are_defined(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(AgentAttackRecipe, {"attack": {"arms": [name, "agent"]}})
