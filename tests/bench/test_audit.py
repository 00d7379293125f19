"""The audit on questions whose answers in each arm are known by hand; see `looking`."""

import asyncio
import json
from collections.abc import Iterator
from math import log
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from building import noise, zoom_text
from looking import COLOURS, nearest, patch_of, write
from PIL import Image as PILImage

from saccade.bench.audit import Audit, audit, evidence, read_audit
from saccade.bench.recipe import BenchRecipe
from saccade.cli.benches.audit import run_audit
from saccade.config import validate
from saccade.errors import ConfigError, StoreError
from saccade.recipe import Recipe, make_environment, make_reward, make_tasks
from saccade.runs.assemble import Assembly
from saccade.testing import ScriptedRequest, ScriptedServer
from saccade.tools import staged
from saccade.types import Completion, ModelInfo, Sampling, Trajectory

N = 6
TABLE = {
    "tasks": {"kind": "looking:Patches"},
    "concurrency": N,
    "environment": {"view": {"max_pixels": 112 * 84}, "limits": {"max_turns": 3}},
}


def recipe(**changes: object) -> Recipe:
    return validate(Recipe, {**TABLE, **changes})


class Rule:
    """A policy in this process that answers by what it looks at, or by its view alone."""

    info = ModelInfo(name="rule")

    def __init__(self, *, blind: bool = False, noise: float = 0.0) -> None:
        self.turns = 0
        self._blind, self._noise = blind, noise

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        self.turns += 1
        pictures = [image.pixels() for image in trajectory.images]
        tools, begun = bool(trajectory.environment.tools), bool(trajectory.turns)
        tagged = trajectory.environment.dialect == "deepeyes"
        question = "" if self._blind else trajectory.prompt[-1].text  # it looks each time
        text = write(question, pictures, tools=tools, begun=begun, tagged=tagged)
        if self._blind and (begun or not tools):
            seen = self._guess(pictures[0], np.random.default_rng(sampling.seed))
            text = f"<answer>{seen}</answer>" if tagged else seen
        return Completion(text=text, model="rule")

    def _guess(self, view: PILImage.Image, rng: np.random.Generator) -> str:
        if rng.random() < self._noise:
            return str(rng.choice([*COLOURS]))
        return nearest(_patch_colour(view))

    def count_tokens(self, trajectory: Trajectory) -> None:
        return None

    async def close(self) -> None:
        """Nothing to give back."""


class Telling(Rule):
    """The same, and it tells how likely it finds an answer."""

    async def answer_log_prob(
        self, so_far: Trajectory, answer: str, *, begun: str = "", ends_turn: bool = False
    ) -> float:
        view, *crops = [np.asarray(image.pixels(), dtype=float) for image in so_far.images]
        height, width = crops[-1].shape[:2]
        seen = _patch_colour(PILImage.fromarray(view.astype(np.uint8)))
        if not self._blind:
            seen = tuple(crops[-1][height // 2, width // 2])
        weights = {
            name: -float(np.abs(np.subtract(c, seen)).sum()) / 40 for name, c in COLOURS.items()
        }
        total = np.logaddexp.reduce([*weights.values()])
        assert begun == "<answer>"
        assert not ends_turn
        return weights.get(answer.removesuffix("</answer>"), log(1e-6)) - float(total)


def _patch_colour(view: PILImage.Image) -> tuple[float, ...]:
    x1, y1, x2, y2 = map(int, patch_of(view))
    return tuple(np.asarray(view, dtype=float)[(y1 + y2) // 2, (x1 + x2) // 2])


def audited(out: Path, policy: Rule, chosen: Recipe | None = None, **how: object) -> Audit:
    chosen = chosen or recipe()
    parts = Assembly(policy, make_environment(chosen), make_reward(chosen))
    asyncio.run(audit(chosen, out, assembly=parts, **how))  # type: ignore[arg-type]
    return read_audit(out)


def accuracies(found: Audit) -> dict[str, float | None]:
    return {arm.arm: arm.accuracy.value for arm in found.arms}


def scripted(request: ScriptedRequest) -> str:
    """The rule behind a socket: it knows of a tool what the text says of it."""
    return write(
        request.text, request.images, tools="image_zoom_in_tool" in request.text,
        begun=request.turn > 0, tagged="<answer>" in request.text,
    )  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A whole audit of a model behind a chat server, continued twice."""
    out = tmp_path_factory.mktemp("audit")
    with ScriptedServer(scripted) as server:
        policy = {"kind": "openai", "base_url": server.url, "model": "script"}
        chosen = recipe(policy=policy, sampling={"temperature": 0.5}, canary=False)
        asyncio.run(audit(chosen, out, continuations=2))
        yield SimpleNamespace(out=out, found=read_audit(out), server=server, recipe=chosen)


def test_every_arm_is_what_it_is_called_on_a_server_that_cannot_be_forced(
    served: SimpleNamespace,
) -> None:
    """By hand, of six: a look decides three, spoils one, is not taken in one, and one is lost."""
    right = {
        name: value * N for name, value in accuracies(served.found).items() if value is not None
    }
    assert right == pytest.approx(
        {
            "agent": 3 + 1, "true_box": 3 + 1, "result_only": 3 + 1,
            "no_tool": 1 + 1, "direct": 1 + 1, "format_only": 1 + 1,
            "blank_crop": 0 + 1,  # it says "grey"
            "wrong_box": 1 + 1,  # it says "white", which the place is
        }
    )  # fmt: skip


def test_pairs_gain_and_harm_are_those_counted_by_hand(served: SimpleNamespace) -> None:
    (pair,) = [p for p in served.found.pairs if (p.before, p.after) == ("no_tool", "agent")]
    assert (pair.paired.gained, pair.paired.lost, pair.both, pair.neither) == (3, 1, 1, 1)
    assert pair.paired.p == pytest.approx(2 * (1 + 4) / 2**4)
    assert pair.p_holm >= pair.paired.p
    for effect in served.found.effects:
        assert effect.gain.value == pytest.approx(3 / 6)
        assert effect.harm.value == pytest.approx(1 / 6)
        assert effect.gain.units == N
    assert served.found.also_without.value == 0
    assert served.found.also_without.units == 3


def test_a_server_is_continued_from_its_last_look(served: SimpleNamespace) -> None:
    """Five of six looked; three are right with what they saw, none with a grey image."""
    (gain,) = served.found.evidence
    assert (gain.measure, gain.when, gain.replaced_by) == ("accuracy", "going on", "blank")
    assert (gain.kept, gain.replaced, gain.gain) == pytest.approx((0.6, 0.0, 0.6))
    assert (gain.n, gain.units) == (10, 5)
    assert gain.low is not None
    assert 0 < gain.low < gain.gain < gain.high
    assert served.found.no_look == 1
    assert any("had no look" in note for note in served.found.notes)


def test_what_was_not_looked_at_is_asked_as_without_a_tool(served: SimpleNamespace) -> None:
    found = served.found.arm("result_only")
    assert found.no_look == 1
    assert served.found.arm("no_tool").no_look is None
    assert any("as no_tool is" in note for note in served.found.notes)


def test_an_audit_that_is_finished_asks_nothing_again(served: SimpleNamespace) -> None:
    before = len(served.server.requests)
    asyncio.run(audit(served.recipe, served.out, continuations=2))
    assert len(served.server.requests) == before
    with pytest.raises(ConfigError, match="seed"):
        asyncio.run(audit(served.recipe.model_copy(update={"seed": 7}), served.out))


def test_the_record_is_json(served: SimpleNamespace) -> None:
    assert Audit.model_validate_json(served.found.model_dump_json()) == served.found


def test_the_command_prints_tables_and_leaves_them(
    served: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    run_audit(served.recipe, served.out, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed["arms"][-1]["arm"] == "agent"
    assert json.loads((served.out / "audit.json").read_text()) == printed
    assert "Visual evidence gain" in (served.out / "audit.md").read_text()
    assert (served.out / "audit.png").read_bytes().startswith(b"\x89PNG")


def test_a_policy_that_ignores_its_crops_gains_nothing(tmp_path: Path) -> None:
    """It looks each time, and answers by the view: right in three questions of six."""
    found = audited(tmp_path, Telling(blind=True), arms=["no_tool", "direct", "blank_crop"])
    assert accuracies(found) == dict.fromkeys(accuracies(found), 3 / N)
    for effect in found.effects:
        assert effect.gain.value == 0
        assert effect.harm.value == 0
    for pair in found.pairs:
        low, high = pair.paired.interval
        assert low < 0 < high
    assert found.also_without is not None
    assert found.also_without.value == 1
    assert {(e.replaced_by, e.when) for e in found.evidence} == {
        ("blank", "at once"), ("wrong", "at once"), ("blank", "behind its thought"),
    }  # fmt: skip
    for gain in found.evidence:
        assert (gain.low, gain.gain, gain.high) == (0, 0, 0)


def test_a_policy_that_uses_its_crops_has_visual_evidence_gain(tmp_path: Path) -> None:
    twice = recipe(tasks={"kind": "looking:Patches", "times": 2})
    found = audited(tmp_path, Telling(), twice, arms=[])
    for gain in found.evidence:
        assert gain.measure == "log_prob"
        assert gain.low is not None
        # Elsewhere is white, which two of the ten questions want.
        assert gain.low > 0 or gain.replaced_by == "wrong"
        assert gain.gain is not None
        assert gain.gain > 1


def test_noise_is_no_gain(tmp_path: Path) -> None:
    """Answers that are drawn anew in each arm: gain and harm are alike."""
    tasks = {"kind": "looking:Patches", "times": 2}
    noisy = recipe(tasks=tasks, sampling={"temperature": 1.0}, samples=2)
    policy = Rule(blind=True, noise=0.6)
    found = audited(tmp_path, policy, noisy, arms=["no_tool"], continuations=1)
    (pair,) = found.pairs
    assert pair.paired.gained + pair.paired.lost > 3
    assert pair.paired.interval.low < 0 < pair.paired.interval.high
    (gain,) = found.evidence
    assert gain.low is not None
    assert gain.high is not None
    assert gain.low <= 0 <= gain.high


def test_a_blank_that_is_the_crop_would_be_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The staging switched off: then the arm is as good as the agent, and nothing is evidence."""
    monkeypatch.setattr(staged, "blank", lambda crop: crop)
    monkeypatch.setattr(evidence, "blank", lambda crop: crop)
    found = audited(tmp_path, Telling(), arms=["blank_crop"])
    right = accuracies(found)
    assert right["blank_crop"] == right["agent"] == pytest.approx(4 / N)
    for gain in found.evidence:
        assert gain.replaced_by == "wrong" or gain.gain == 0


def test_questions_without_a_box_are_left_out_of_the_arms_that_need_one(tmp_path: Path) -> None:
    some = recipe(tasks={"kind": "looking:Patches", "boxless": 2, "first": 4})
    arms = ["true_box", "wrong_box", "blank_crop"]
    found = audited(tmp_path / "some", Telling(), some, arms=arms)
    for name in ("true_box", "wrong_box"):
        arm = found.arm(name)
        assert arm is not None
        assert (arm.episodes, arm.left_out) == (2, 2)
    blank = found.arm("blank_crop")
    assert blank is not None
    assert (blank.episodes, blank.left_out) == (4, 0)
    none = recipe(tasks={"kind": "looking:Patches", "boxes": False, "first": 2})
    found = audited(tmp_path / "none", Telling(), none, arms=["true_box"])
    assert found.arm("true_box") is None
    assert any("wrong_box, true_box: no question has a true box" in n for n in found.notes)


def test_what_cannot_be_audited_is_said(tmp_path: Path) -> None:
    for tools, said in (
        ({"rotate": {}}, "image_rotate_tool"),
        ({"python": {}}, "python"),
        ({}, "none"),
    ):
        with pytest.raises(ConfigError, match=rf"image_zoom_in_tool.*{said}"):
            audited(tmp_path, Rule(), recipe(tools=tools))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds a run of its own"):
        audited(tmp_path / "run", Rule())
    with pytest.raises(ConfigError, match=r"max_turns must be 2"):
        audited(tmp_path, Rule(), recipe(environment={"limits": {"max_turns": 1}}))
    with pytest.raises(ConfigError, match="did you mean 'true_box'"):
        audited(tmp_path, Rule(), arms=["true_bx"])
    one_arm = validate(BenchRecipe, {"bench": {"kind": "vstar"}, "arm": "direct"})
    with pytest.raises(ConfigError, match="arm=direct"):
        audited(tmp_path, Rule(), one_arm)
    with pytest.raises(StoreError, match="no run"):
        read_audit(tmp_path)


def test_a_benchmark_is_audited_with_its_own_rule(tmp_path: Path) -> None:
    """V*'s rule reads options, whatever the run file says of rewards."""
    data = tmp_path / "data"
    (data / "direct_attributes").mkdir(parents=True)
    row = {"target_object": ["glove"], "bbox": [[10, 20, 30, 40]], "question": "Which colour?",
           "options": ["It is blue.", "It is red."]}  # fmt: skip
    for number in range(3):
        file = data / "direct_attributes" / f"sa_{number}"
        noise(200, 150, seed=number).pixels().save(f"{file}.jpg")
        file.with_suffix(".json").write_text(json.dumps(row))
    script = tmp_path / "script.jsonl"
    table = {
        "bench": {"kind": "vstar"}, "data": str(data), "order": "file",
        "policy": {"kind": "replay", "script": str(script)}, "tools": {"zoom_in": {"min_side": 5}},
    }  # fmt: skip
    chosen = validate(BenchRecipe, table)
    names = [task.id for task in make_tasks(chosen)]
    turns = [zoom_text(10, 20, 60, 70), "<answer>It is blue.</answer>"]
    rows = [{"task": name, "turns": turns} for name in names]
    script.write_text("\n".join(map(json.dumps, rows)))
    asyncio.run(audit(chosen, tmp_path / "out", arms=["true_box"]))
    found = read_audit(tmp_path / "out")
    assert accuracies(found) == {"agent": 1.0, "true_box": 1.0}
    (gain,) = found.evidence
    assert gain.gain == 0  # a script answers the same whatever it is shown
