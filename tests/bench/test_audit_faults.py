"""An audit that is killed, refused, or meets failures: nothing is lost, repeated or scored."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from building import a_task, noise, zoom_text
from looking import Given, write

from saccade.bench.audit import Audit, audit, read_audit
from saccade.bench.audit.looks import another_place, has_place_beside, looks
from saccade.bench.audit.notes import notes_on
from saccade.bench.audit.record import ArmResult
from saccade.config import validate
from saccade.errors import PluginError, ServiceError
from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.measures.means import mean_of
from saccade.policies.replay import ReplayPolicy
from saccade.recipe import Recipe, make_environment, make_reward
from saccade.rollout import Scorer
from saccade.runs.assemble import Assembly
from saccade.runs.folder import RunReader
from saccade.types import Completion, ModelInfo, Policy, Sampling, TargetBox, Task, Trajectory

N = 3


def recipe(**changes: object) -> Recipe:
    table = {
        "tasks": {"kind": "looking:Patches", "first": N},
        "environment": {"view": {"max_pixels": 112 * 84}, "limits": {"max_turns": 3}},
        **changes,
    }
    return validate(Recipe, table)


class Rule:
    """Looks and says the colour; it keeps which turns it was asked for, in a file."""

    info = ModelInfo(name="rule")

    def __init__(self, log: Path, *, dies_at: int = 0, fails: frozenset[str] = frozenset()) -> None:
        self._log, self._dies_at, self._fails, self._asked = log, dies_at, fails, 0

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        self._asked += 1
        if self._asked == self._dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        tools = bool(trajectory.environment.tools)
        with self._log.open("a") as log:
            shown = len(trajectory.images)
            log.write(f"{trajectory.environment.fingerprint} {trajectory.id} "
                      f"{len(trajectory.turns)} {shown}\n")  # fmt: skip
        if not tools and {"all", trajectory.task_id} & self._fails:
            raise ServiceError("nobody answers")
        pictures = [image.pixels() for image in trajectory.images]
        begun = bool(trajectory.turns)
        text = write(trajectory.prompt[-1].text, pictures, tools=tools, begun=begun, tagged=True)
        return Completion(text=text, model="rule")

    def count_tokens(self, trajectory: Trajectory) -> None:
        return None

    async def close(self) -> None:
        """Nothing to give back."""


class Outage:
    """A judge that is away while questions are asked without tools."""

    def __init__(self, reward: Scorer) -> None:
        self.away, self._reward = True, reward

    async def apply(self, task: Task, trajectory: Trajectory) -> Trajectory:
        if self.away and not trajectory.environment.tools and task.id == "patch-1":
            return trajectory.unscored(PluginError("the judge is away"))
        return await self._reward.apply(task, trajectory)


def audited(
    out: Path, policy: Policy, chosen: Recipe, reward: Scorer | None = None, **how: object
) -> Audit:
    parts = Assembly(policy, make_environment(chosen), reward or make_reward(chosen))  # type: ignore[arg-type]
    asyncio.run(audit(chosen, out, assembly=parts, **how))  # type: ignore[arg-type]
    return read_audit(out)


def turns_of(log: Path) -> list[str]:
    return log.read_text().splitlines()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Audit, int]:
    """What comes of an audit that nothing happens to, and the number of its turns."""
    folder = tmp_path_factory.mktemp("undisturbed")
    policy, chosen = Rule(folder / "log"), recipe(concurrency=1)
    found = audited(folder / "out", policy, chosen, arms=["no_tool"])
    return found, len(turns_of(folder / "log"))


@pytest.mark.parametrize("dies_at", [5, 8, 11])
def test_an_audit_that_is_killed_goes_on_and_repeats_nothing(
    tmp_path: Path, dies_at: int, undisturbed: tuple[Audit, int]
) -> None:
    """Killed in the agent, in an arm, and in a continuation; one episode was under way."""
    log, chosen, arms = tmp_path / "log", recipe(concurrency=1), ["no_tool"]
    whole, turns = undisturbed
    child = os.fork()
    if child == 0:
        try:
            audited(tmp_path / "out", Rule(log, dies_at=dies_at), chosen, arms=arms)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    before = turns_of(log)
    assert len(before) == dies_at - 1
    found = audited(tmp_path / "out", Rule(log), chosen, arms=arms)
    assert [(arm.arm, arm.episodes, arm.accuracy) for arm in found.arms] == [
        (arm.arm, arm.episodes, arm.accuracy) for arm in whole.arms
    ]
    assert found.evidence == whole.evidence
    again = len(turns_of(log)) - turns
    assert 0 <= again <= 1  # an earlier turn of the episode that was under way


def test_an_aborted_episode_leaves_its_pair_out_and_is_counted(tmp_path: Path) -> None:
    chosen, arms = recipe(samples=2), ["no_tool", "blank_crop"]
    failing = Rule(tmp_path / "log", fails=frozenset(["patch-1"]))
    found = audited(tmp_path / "out", failing, chosen, arms=arms)
    without = found.arm("no_tool")
    assert without is not None
    assert (without.episodes, without.failed, without.accuracy.n) == (2 * N, 2, 2 * (N - 1))
    (pair,) = [p for p in found.pairs if (p.before, p.after) == ("no_tool", "agent")]
    assert (pair.paired.n, pair.paired.gained) == (N - 1, N - 1)
    (other,) = [p for p in found.pairs if (p.before, p.after) == ("agent", "blank_crop")]
    assert other.paired.n == N
    (effect,) = found.effects
    assert (effect.gain.value, effect.gain.units) == (1, N - 1)
    assert found.unfinished == 2
    assert any("2 that failed on our side" in note for note in found.notes)
    before = len(turns_of(tmp_path / "log"))
    mended = audited(tmp_path / "out", Rule(tmp_path / "log"), chosen, arms=arms)
    assert len(turns_of(tmp_path / "log")) == before + 2
    assert mended.unfinished == 0
    assert mended.effects[0].gain.units == N


def test_a_judge_that_is_away_scores_nothing_and_is_asked_again(tmp_path: Path) -> None:
    chosen = recipe()
    reward = Outage(make_reward(chosen))
    found = audited(tmp_path / "out", Rule(tmp_path / "log"), chosen, reward, arms=["no_tool"])
    without = found.arm("no_tool")
    assert without is not None
    assert (without.unscored, without.unjudged, without.failed) == (1, 1, 0)
    assert without.accuracy.n == found.effects[0].gain.n == N - 1
    assert found.unfinished == 1
    reward.away = False
    before = turns_of(tmp_path / "log")
    found = audited(tmp_path / "out", Rule(tmp_path / "log"), chosen, reward, arms=["no_tool"])
    assert turns_of(tmp_path / "log") == before
    assert (found.unfinished, found.effects[0].gain.n) == (0, N)


def test_a_server_that_dies_ends_the_audit_and_costs_nothing_but_time(tmp_path: Path) -> None:
    chosen = recipe(max_aborts=2, concurrency=1)
    dead = Rule(tmp_path / "log", fails=frozenset(["all"]))
    with pytest.raises(ServiceError, match="2 episodes in a row were aborted"):
        audited(tmp_path / "out", dead, chosen, arms=["no_tool"])
    half = read_audit(tmp_path / "out")
    arms = {arm.arm: (arm.episodes, arm.failed) for arm in half.arms}
    assert arms == {"no_tool": (2, 2), "agent": (N, 0)}
    assert (half.pairs, half.effects[0].gain.value, half.evidence) == ((), None, ())
    found = audited(tmp_path / "out", Rule(tmp_path / "log"), chosen, arms=["no_tool"])
    assert found.effects[0].gain.units == N


def test_several_looks_at_several_objects_of_a_second_image(tmp_path: Path) -> None:
    photo, other = noise(600, 400), noise(600, 400, seed=1)
    places = [Box(20, 20, 100, 100), Box(480, 280, 560, 360)]
    boxes = tuple(TargetBox(box=box, image=2) for box in places)
    task = a_task(photo, other, "?", id="a", answer="7", boxes=boxes)
    calls = [zoom_text(*box, image="image_2") for box in ((30, 30, 130, 130), (400, 200, 500, 300))]
    policy = ReplayPolicy({"a": (*calls, "<answer>7</answer>")})
    tools = {"zoom_in": {}, "rotate": {}}
    chosen = recipe(tasks={"kind": "looking:Given"}, tools=tools, environment={})
    Given.held = (task,)
    arms = ["true_box", "wrong_box", "result_only"]
    found = audited(tmp_path, policy, chosen, arms=arms)
    assert {arm.arm: arm.episodes for arm in found.arms} == dict.fromkeys([*arms, "agent"], 1)
    assert found.looked_again == 1
    assert any("1 episodes of the agent looked more than once" in note for note in found.notes)
    assert any(note.startswith("image_rotate_tool: not staged") for note in found.notes)
    shown = {arm: next(iter(RunReader(tmp_path / arm).trajectories())) for arm in [*arms, "agent"]}
    assert [look.crop.region for look in looks(shown["true_box"])] == places
    for look in looks(shown["wrong_box"]):
        assert look.crop.source.digest == other.source.digest
        assert all(look.crop.region.intersect(box).area == 0 for box in places)
    crops = [look.crop for look in looks(shown["agent"])]
    assert [*shown["result_only"].images[2:]] == crops
    assert has_place_beside(task)
    beside = another_place(task, shown["agent"], looks(shown["agent"])[-1])
    assert isinstance(beside, Image)
    assert beside.source.digest == other.source.digest
    assert all(beside.region.intersect(box).area == 0 for box in [*places, crops[-1].region])


def test_an_arm_in_which_a_model_cannot_answer_is_named() -> None:
    def arm(name: str, silent: int) -> ArmResult:
        accuracy = mean_of("accuracy", "all", [(str(n), 0.0) for n in range(20)])
        return ArmResult(arm=name, accuracy=accuracy, episodes=20, no_look=None,
                         no_answer=silent, unscored=0, failed=0)  # fmt: skip

    arms = (arm("no_tool", 9), arm("format_only", 1), arm("agent", 1))
    found = Audit(out="", fingerprint=None, command="", arms=arms)
    said = [note for note in notes_on(found, {}, boxes=True) if "without an answer" in note]
    assert len(said) == 1
    assert said[0].startswith("no_tool: 9 of 20 episodes ended without an answer (the agent's: 1")
