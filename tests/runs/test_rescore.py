"""Judging a run again: nothing is played, the old folder stays, both verdicts are side by side."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from building import a_result, a_task, a_trajectory, a_turn, plain
from typer.testing import CliRunner

from saccade.cli.rescore import rescore as command
from saccade.errors import ConfigError, PluginError
from saccade.measures.summary import is_correct
from saccade.recipe import Recipe
from saccade.rewards import RewardOptions
from saccade.runs.folder import RunFolder, RunReader, finished_in
from saccade.runs.manifest import manifest_of
from saccade.runs.rescore import (
    RESCORED_FROM,
    Rescored,
    RescoreRecipe,
    compared,
    own_reward,
    rescore,
)
from saccade.types import StopReason, Task, Trajectory, Verdict

PICTURE = plain(40, 30, "red")


class Lenient:
    """A judge that also takes a word for a digit, and has no opinion on a dozen."""

    name = "lenient"
    asked = 0
    raises = False

    async def judge(self, task: Task, answer: str) -> Verdict:
        type(self).asked += 1
        if self.raises:
            raise KeyError("verdict")
        if answer == "dozen":
            return Verdict(correct=None, reason="who knows", judge=self.name)
        return Verdict(correct=answer in ("7", "seven"), judge=self.name)

    async def close(self) -> None: ...


@pytest.fixture(autouse=True)
def lenient(monkeypatch: pytest.MonkeyPatch) -> type[Lenient]:
    monkeypatch.setattr(Lenient, "asked", 0)
    monkeypatch.setattr(Lenient, "raises", False)
    return Lenient


def episodes() -> Iterator[tuple[Task, Trajectory]]:
    """As the strict judge left them: what was answered, and whether that was right."""
    for name, answer, right in [
        ("same", "7", True), ("word", "seven", False), ("wrong", "8", False),
        ("lucky", "8", True), ("unsure", "dozen", False),
    ]:  # fmt: skip
        scored = {"verdict": Verdict(correct=right, judge="strict"), "score": float(right)}
        turns = a_turn(a_result(PICTURE)), a_turn(answer=answer)
        task = a_task(PICTURE, "How many?", id=name, answer="7")
        yield task, a_trajectory(*turns, id=f"{name}:0", task_id=name, **scored)
    turn = a_turn(answer="7")
    for name, task_answer, changes in [
        ("no-gold", None, {}),
        ("late", "7", {"stop": StopReason.TIMEOUT}),
        ("down", "7", {"stop": StopReason.ABORTED, "error": "ServiceError: 503"}),
        ("failed", "7", {"error": "reward.judge: KeyError", "traceback": "..."}),
    ]:
        task = a_task("How many?", id=name, answer=task_answer)
        yield task, a_trajectory(turn, id=f"{name}:0", task_id=name, **changes)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    recipe = Recipe(seed=3, reward=RewardOptions.model_validate({"weights": {"calls": -0.1}}))
    with RunFolder(tmp_path / "old", manifest_of("rollout", recipe, fingerprint="f")) as folder:
        for task, trajectory in episodes():
            folder.append(task, trajectory)
    return tmp_path / "old"


def a_recipe(run: Path, **changes: object) -> RescoreRecipe:
    reward = {"preset": "deepeyes_no_bonus", "judge": [f"{__name__}:Lenient"]}
    usual = {"run": str(run), "out": str(run.parent / "new"), "reward": reward}
    return RescoreRecipe.model_validate(usual | changes)


def content(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


async def test_every_finished_episode_is_judged_again_and_the_old_folder_stays(run: Path) -> None:
    before = content(run)
    await rescore(a_recipe(run))
    assert content(run) == before
    held = {e.task.id: e.trajectory for e in RunReader(run.parent / "new").entries()}
    assert {name: is_correct(t) for name, t in held.items()} == {
        "same": True, "word": True, "wrong": False, "lucky": False, "unsure": None,
        "no-gold": None, "late": None, "down": None, "failed": True,
    }  # fmt: skip
    for entry in RunReader(run).entries():
        new = held[entry.task.id]
        assert new.turns == entry.trajectory.turns
        noted = new.annotations.get(RESCORED_FROM)
        if entry.trajectory.stop in (StopReason.ABORTED, StopReason.TIMEOUT):
            assert new == entry.trajectory
        else:
            assert isinstance(noted, dict)
            old = entry.trajectory
            assert noted["verdict"] == (old.verdict and old.verdict.model_dump(mode="json"))
            assert noted["error"] == old.error
    picture = next(RunReader(run.parent / "new").tasks()).images[0]
    assert picture.pixels().getpixel((0, 0)) == (255, 0, 0)
    assert picture.source.encoded() == PICTURE.source.encoded()


async def test_both_verdicts_are_compared(run: Path) -> None:
    await rescore(a_recipe(run))
    found = compared(run.parent / "new")
    assert (found.before.scored, found.before.correct) == (5, 2)
    assert (found.after.scored, found.after.correct) == (5, 3)
    assert (found.both, found.agreement) == (4, 0.5)
    assert (found.wrong_to_right, found.right_to_wrong) == (("word:0",), ("lucky:0",))
    assert found.paired is not None
    assert (found.paired.n, found.paired.gained, found.paired.lost, found.paired.p) == (4, 1, 1, 1)
    assert found.judges_before == {"strict": 5}
    assert found.judges_after == {"lenient": 5}
    assert (found.after.aborted, found.after.timeout, found.failed) == (1, 1, 0)


async def test_the_new_run_says_what_it_is_and_resumes(run: Path, lenient: type[Lenient]) -> None:
    recipe = a_recipe(run)
    await rescore(recipe)
    manifest = RunReader(run.parent / "new").manifest
    assert (manifest.verb, manifest.fingerprint, manifest.seed) == ("rescore", "f", 3)
    assert manifest.config["run"] == str(run)
    assert manifest.config["samples"] == 1, "the settings with which it was played"
    asked, again = lenient.asked, content(run.parent / "new")
    await rescore(recipe)
    assert lenient.asked == asked
    assert content(run.parent / "new") == again
    more = a_task("How many?", id="more", answer="7")
    with RunFolder(run, RunReader(run).manifest) as folder:
        folder.append(more, a_trajectory(a_turn(answer="7"), id="more:0", task_id="more"))
    await rescore(recipe)
    assert lenient.asked == asked + 1, "what the run has finished since"
    with pytest.raises(ConfigError, match=r"holds another run:\s+reward.preset"):
        await rescore(a_recipe(run, reward={"judge": [f"{__name__}:Lenient"]}))


async def test_a_judge_that_raises_is_asked_again_by_the_same_command(
    run: Path, lenient: type[Lenient]
) -> None:
    lenient.raises = True
    with pytest.raises(
        PluginError, match=r"3 episodes in a row .*reward.judge: KeyError: 'verdict'"
    ):
        await rescore(a_recipe(run, max_aborts=3, concurrency=1))
    assert compared(run.parent / "new").failed == 3
    lenient.raises = False
    await rescore(a_recipe(run))
    after = compared(run.parent / "new")
    assert (after.failed, after.after.scored) == (0, 5)
    assert after.wrong_to_right == ("word:0",), "the earlier verdict is still that of the run"


async def test_samples_of_a_question_are_compared_by_their_share(tmp_path: Path) -> None:
    task = a_task("How many?", id="t", answer="7")
    with RunFolder(tmp_path / "old", manifest_of("rollout", Recipe())) as folder:
        for sample, answer in enumerate(("7", "seven", "8", "8")):
            right = Verdict(correct=answer == "7")
            done = a_trajectory(a_turn(answer=answer), sample=sample, verdict=right, score=1.0)
            folder.append(task, done.model_copy(update={"id": f"t:{sample}"}))
    await rescore(a_recipe(tmp_path / "old"))
    found = compared(tmp_path / "new")
    assert found.paired is not None
    assert (found.paired.n, found.paired.difference) == (1, 0.25)
    assert found.both == 4


async def test_where_it_cannot_begin_it_says_so_and_leaves_nothing(run: Path) -> None:
    for out in (run, run / "again"):
        with pytest.raises(ConfigError, match="choose a folder outside of"):
            await rescore(a_recipe(run, out=str(out)))
    with RunFolder(run.parent / "empty", manifest_of("rollout", Recipe())):
        pass
    with pytest.raises(ConfigError, match=r"no finished episode to judge"):
        await rescore(a_recipe(run.parent / "empty"))
    assert not (run.parent / "new").exists()


def test_the_reward_of_a_run_is_what_settings_come_over(run: Path) -> None:
    assert own_reward(run) == {"weights": {"calls": {"weight": -0.1}}}
    assert finished_in(run) == 8


def test_the_command_prints_both_and_does_nothing_the_second_time(
    run: Path, lenient: type[Lenient]
) -> None:
    import typer

    app = typer.Typer()
    app.command()(command)
    arguments = [str(run), f"reward.judge.kind={__name__}:Lenient", f"out={run.parent / 'new'}"]
    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 0, first.output
    shown = " ".join(first.output.split())
    assert "before 5 0.400" in shown
    assert "after 5 0.600" in shown
    assert "wrong -> right 1 word:0" in shown
    assert "right -> wrong 1 lucky:0" in shown
    file = run.parent / "other.toml"
    file.write_text(f'tasks = {{ kind = "world" }}\n[reward]\njudge = "{__name__}:Lenient"\n')
    other = [str(run), "--recipe", str(file), f"out={run.parent / 'other'}", "--json"]
    found = Rescored.model_validate(json.loads(CliRunner().invoke(app, other).stdout))
    assert found.after.parts.keys() == {"accuracy", "format_penalty", "tool_bonus"}
    assert compared(run.parent / "new").after.parts.keys() == {*found.after.parts, "calls"}
    asked = lenient.asked
    second = CliRunner().invoke(app, [*arguments, "--json"])
    assert "nothing was left to do" in second.stderr
    assert Rescored.model_validate(json.loads(second.stdout)) == compared(run.parent / "new")
    assert lenient.asked == asked
