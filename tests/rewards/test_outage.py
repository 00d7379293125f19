"""A judge that is down costs no episode: the same command scores what it could not judge."""

from pathlib import Path

from building import a_task

from saccade.recipe import Recipe
from saccade.rollout import Job
from saccade.runs.execute import run
from saccade.runs.folder import RunReader
from saccade.runs.rescore import RescoreRecipe, compared, rescore
from saccade.testing import ScriptedReply, ScriptedServer

QUESTIONS = [
    a_task(id="open", answer="7.5"),
    a_task(id="rule", answer="7.5", judge="exact"),
    a_task(id="options", answer="B", choices=("cat", "7.5")),
]


async def played(out: Path, policy: str, judge: str) -> list[bool | None]:
    """What `saccade rollout` leaves of each question: is its answer right?"""
    llm = {"kind": "llm", "base_url": judge, "model": "j", "max_retries": 0}
    recipe = Recipe.model_validate(
        {
            "tasks": {"kind": "world"},
            "policy": {"kind": "openai", "base_url": policy, "model": "m"},
            "reward": {"judge": ["exact", llm]},
        }
    )
    jobs = [Job(task) for task in QUESTIONS]
    await run("rollout", recipe, jobs, out, on_finish=lambda *_: None)
    done = sorted(RunReader(out).trajectories(), key=lambda t: t.task_id)
    return [t.verdict.correct if t.verdict else None for t in done]


async def test_what_a_judge_could_not_say_is_asked_again_at_another_address(
    tmp_path: Path,
) -> None:
    out, again = tmp_path / "run", tmp_path / "again"
    with (
        ScriptedServer(lambda _: "<answer>seven and a half</answer>") as policy,
        ScriptedServer(lambda _: ScriptedReply(status=503)) as down,
        ScriptedServer(lambda _: "CORRECT") as up,
    ):
        assert await played(out, policy.url, down.url) == [None] * 3
        asked = len(policy.requests)
        judge = ["exact", {"kind": "llm", "base_url": up.url, "model": "j"}]
        recipe = RescoreRecipe.model_validate(
            {"run": str(out), "out": str(again), "reward": {"judge": judge}}
        )
        await rescore(recipe)
        assert compared(again).after.correct == 3
        assert await played(out, policy.url, up.url) == [True] * 3
        assert len(policy.requests) == asked, "nothing is played again"
