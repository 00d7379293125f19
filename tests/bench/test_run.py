"""A benchmark played: arms over the same tasks, servers that die, memory that is bounded."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from photos import letter_of, write_photos
from pydantic import JsonValue

from saccade.arms import apply_arm
from saccade.bench.recipe import BenchRecipe
from saccade.bench.run import arm_of, play_arm, preflight, reward_of, run_bench
from saccade.bench.scoring import rule_verdict
from saccade.config import validate
from saccade.errors import ConfigError, FormatError
from saccade.policies.forced import FirstMove
from saccade.recipe import make_environment
from saccade.rewards import RewardOptions
from saccade.runs.folder import RunReader
from saccade.testing import ScriptedReply, ScriptedRequest, ScriptedServer
from saccade.types import StopReason, Task, Trajectory

HERE = Path(__file__).parent


def recipe_of(data: Path, url: JsonValue, **keys: JsonValue) -> BenchRecipe:
    policy: JsonValue = {"kind": "openai", "base_url": url, "model": "m", "backoff_s": 0.001,
                         "cooldown_s": 0.0}  # fmt: skip
    table = {"bench": "vstar_mini", "data": str(data), "policy": policy, "canary": False, **keys}
    return validate(BenchRecipe, table)


async def played(recipe: BenchRecipe, out: Path) -> list[tuple[Task, Trajectory]]:
    await run_bench(recipe, out, on_finish=lambda *_: None)
    return sorted(RunReader(out).entries(), key=lambda entry: entry.task.id)


def in_words(request: ScriptedRequest) -> str:
    """Right in each arm, in the words that its prompt asks for."""
    letter = letter_of(request.text)
    if "last line of this form" in request.text:
        return f"It says HARBOR.\nAnswer: {letter}"
    return (
        f"<think>HARBOR</think>{letter}"
        if "answer alone" in request.text
        else (f"<answer>{letter}</answer>")
    )


async def test_three_arms_attempt_the_same_tasks_in_their_own_words(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "data", 4)
    runs: dict[str, list[tuple[Task, Trajectory]]] = {}
    with ScriptedServer(in_words) as server:
        for arm in ("direct", "cot", "agent"):
            runs[arm] = await played(recipe_of(data, server.url, arm=arm), tmp_path / arm)
    asked = [[(task.id, task.choices) for task, _ in run] for run in runs.values()]
    assert asked[0] == asked[1] == asked[2]
    for arm, run in runs.items():
        manifest = json.loads((tmp_path / arm / "run.json").read_text())
        assert (manifest["verb"], manifest["config"]["arm"]) == ("bench", arm)
        assert manifest["config"]["environment"]["coords"] == "absolute"
        for task, trajectory in run:
            record = trajectory.environment
            assert trajectory.verdict is not None
            assert trajectory.verdict.correct
            assert (manifest["prompts"], manifest["fingerprint"]) == (
                record.prompts, record.fingerprint,
            )  # fmt: skip
            assert trajectory.answer == letter_of(trajectory.prompt[-1].text), task.id
            assert bool(record.tools) == (arm == "agent")
    assert len({run[0][1].environment.fingerprint for run in runs.values()}) == 3


async def test_direct_is_one_prompt_in_a_run_and_in_an_audit(tmp_path: Path) -> None:
    recipe = recipe_of(write_photos(tmp_path / "data", 1), "http://127.0.0.1:9", arm="direct")
    async with arm_of(recipe) as run:
        whole = make_environment(recipe.model_copy(update={"arm": "agent"}))
        audited = apply_arm("direct", run.policy, whole, forced=False)
        assert audited.environment.fingerprint == run.environment.fingerprint


async def test_a_model_on_a_server_is_not_said_to_be_forced(tmp_path: Path) -> None:
    """An embedded model may be served: nothing makes it answer at once there."""
    data = write_photos(tmp_path / "data", 1)
    policy = {"kind": "openai", "base_url": "http://127.0.0.1:9", "model": "nano-look"}
    recipe = recipe_of(data, "", arm="direct", policy=policy)
    async with arm_of(recipe) as run:
        assert not isinstance(run.policy, FirstMove)
        assert not run.environment.tools


async def test_what_the_rule_says_stands_beside_what_a_judge_says(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "data", 2)

    def answer(request: ScriptedRequest) -> str:
        judging = "answer alone" not in request.text
        return "CORRECT" if judging else "the one by the water"

    with ScriptedServer(answer) as server:
        judge = {"kind": "llm", "base_url": server.url, "model": "judge"}
        recipe = recipe_of(data, server.url, arm="direct", reward={"judge": ["exact", judge]})
        for _, trajectory in await played(recipe, tmp_path / "run"):
            assert trajectory.verdict is not None
            assert trajectory.verdict.correct
            assert trajectory.verdict.judge.startswith("llm:judge")
            rule = rule_verdict(trajectory)
            assert rule is not None
            assert rule.correct is None


async def test_a_judge_that_is_down_leaves_no_score_and_the_same_run_scores_it(
    tmp_path: Path,
) -> None:
    data, out = write_photos(tmp_path / "data", 2), tmp_path / "run"
    up: list[bool] = []

    def answer(request: ScriptedRequest) -> ScriptedReply:
        if "answer alone" in request.text:
            return ScriptedReply("the one by the water")
        return ScriptedReply("CORRECT") if up else ScriptedReply(status=500)

    with ScriptedServer(answer) as server:
        judge: JsonValue = {"kind": "llm", "base_url": server.url, "model": "judge",
                            "max_retries": 0}  # fmt: skip
        recipe = recipe_of(data, server.url, arm="direct", reward={"judge": ["exact", judge]})
        before = await played(recipe, out)
        assert all(t.score is None and t.reward_failed for _, t in before)
        up.append(True)
        asked = len(server.requests)
        after = await played(recipe, out)
        assert all(t.score is not None for _, t in after)
        assert len(server.requests) == asked + 2, "nothing is played again"


async def test_a_blind_model_is_named_before_the_first_question(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "data", 1)
    with (
        ScriptedServer(lambda _: "<answer>A</answer>") as server,
        pytest.warns(UserWarning, match="seems blind"),
    ):
        await played(recipe_of(data, server.url, canary=True), tmp_path / "run")


async def test_a_run_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    data, out = write_photos(tmp_path / "data", 6), tmp_path / "run"
    with ScriptedServer(in_words) as server:
        few = await played(recipe_of(data, server.url, arm="direct", n=2), out)
        asked = await run_bench(
            recipe_of(data, server.url, arm="direct", samples=2), out, on_finish=lambda *_: None
        )
        assert len(server.requests) == 12
    assert {(task.id, t.sample) for task, t in few} < asked
    assert len(asked) == 12
    kept = [(t.task_id, t.sample) for t in RunReader(out).trajectories()]
    assert sorted(kept) == sorted(asked)


async def test_data_that_has_changed_under_the_same_ids_is_not_mixed(tmp_path: Path) -> None:
    data, out = write_photos(tmp_path / "data", 6), tmp_path / "run"
    file = data / "questions.json"
    asked = json.loads(file.read_text())
    with ScriptedServer(in_words) as server:
        few = recipe_of(data, server.url, arm="direct", n=2)
        finished = {task.id for task, _ in await played(few, out)}
        for key, value, named in (
            ("question", "What is above the sign?", "prompt"),
            ("options", ["MARKET", "HARBOR", "CITY"], "choices"),
            ("bbox", [10, 12, 30, 25], "boxes"),
            ("answer_index", 2, "answer"),
        ):
            changed = [{**row, key: value} if row["id"] in finished else row for row in asked]
            file.write_text(json.dumps(changed))
            for again in ({}, {"n": 2, "samples": 2}):
                with pytest.raises(ConfigError, match=f"{named}.* changed.*choose another out"):
                    await played(recipe_of(data, server.url, arm="direct", **again), out)
        assert len(server.requests) == 2, "nothing is asked"
        others = [row if row["id"] in finished else {**row, "question": "?"} for row in asked]
        file.write_text(json.dumps(others))
        assert len(await played(recipe_of(data, server.url, arm="direct"), out)) == 6


async def test_other_tasks_can_be_played_in_an_arm_that_stands(tmp_path: Path) -> None:
    from saccade.bench.run import arm_of

    data = write_photos(tmp_path / "data", 3)
    with ScriptedServer(in_words) as server:
        recipe = recipe_of(data, server.url, arm="direct")
        first = next(recipe.source.tasks(seed=0, max_pixels=10**8))
        async with arm_of(recipe) as assembly:
            asked = await play_arm(
                recipe, assembly, tmp_path / "run", on_finish=lambda *_: None, tasks=[first]
            )
    assert asked == {(first.id, 0)}


@contextmanager
def a_server(name: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, str(HERE / "server_worker.py"), name]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process
        finally:
            process.kill()


async def test_a_server_that_dies_in_mid_run_costs_no_episode(tmp_path: Path) -> None:
    """Two real processes; the first is killed while requests are under way at it."""
    data = write_photos(tmp_path / "data", 40)
    finished: list[str] = []
    with ExitStack() as stack:
        (first, process), (second, _) = (stack.enter_context(a_server(n)) for n in ("one", "two"))

        def on_finish(task: Task, trajectory: Trajectory) -> None:
            finished.append(task.id)
            if len(finished) == 10:
                process.kill()

        policy = recipe_of(data, [first, second]).model_dump(mode="json")["policy"]
        recipe = recipe_of(data, "", concurrency=8, policy={**policy, "max_retries": 0})
        await run_bench(recipe, tmp_path / "run", on_finish=on_finish)
    assert len(set(finished)) == len(finished) == 40
    reader = RunReader(tmp_path / "run")
    assert list(reader.aborted()) == []
    by = [t.turns[0].action.thought for t in reader.trajectories()]
    assert {t.stop for t in reader.trajectories()} == {StopReason.ANSWER}
    assert 0 < by.count("one") <= 10 + 8
    assert by.count("two") == 40 - by.count("one")


MEMORY = """
import asyncio, re
from pathlib import Path
import saccade.images.source as source
from saccade.bench.recipe import BenchRecipe
from saccade.bench.run import arm_of, play_arm, preflight, reward_of, run_bench
from saccade.policies.forced import FirstMove
from saccade.arms import apply_arm
from saccade.recipe import make_environment
from saccade.config import validate
source._DECODED._limit = {cache}
recipe = validate(BenchRecipe, {table!r})
async def main(n):
    chosen = recipe.model_copy(update={{"n": n}})
    await run_bench(chosen, Path("run"), on_finish=lambda *_: None)
    # That of `resource` begins with what the parent held.
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
print(asyncio.run(main(1)), asyncio.run(main(None)))
"""


def test_large_photographs_are_not_all_held_decoded(tmp_path: Path) -> None:
    """12 photographs and 8 episodes at a time, with photographs and cache a sixth of usual.

    A decoded photograph of 3.5 megapixels is 14 MB. The cache holds three of them; an image that is
    encoded is there up to three times (decoded, a copy, resized), two at a time: nine, and up to
    three more that the allocator keeps on a busy machine. To encode eight at a time takes
    seventeen, to hold all of them twelve more.
    """
    size = (2200, 1600)
    data = write_photos(tmp_path / "data", 12, size=size)
    each = 4 * size[0] * size[1]
    with ScriptedServer(lambda _: "A") as server:
        recipe = recipe_of(data, server.url, arm="direct", concurrency=8)
        table = recipe.model_dump(mode="json")
        code = MEMORY.format(cache=3 * each, table=table)
        code = f"import os; os.cpu_count = lambda: 2\n{code}"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    one, all_of_them = map(int, done.stdout.split())
    assert all_of_them - one < 14 * each


def test_rules_of_a_run_file(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "data", 2)
    compat = recipe_of(data, "http://127.0.0.1:1/v1", compat="vlmevalkit")
    assert compat.order == "file"
    assert recipe_of(data, "http://127.0.0.1:1/v1", reward={"unread": "wrong"}).reward.preset == (
        "benchmark"
    )
    for wrong, said in (
        ({"compat": "vlmevalkit", "order": "hashed"}, "order of the file"),
        ({"tasks": {"kind": "world"}}, "leave it out"),
        ({"arm": "agnet"}, "arm"),
        ({"shard": "3/2"}, "shard"),
    ):
        with pytest.raises(ConfigError, match=said):
            recipe_of(data, "http://127.0.0.1:1/v1", **wrong)  # type: ignore[arg-type]


def test_mistakes_are_found_before_a_model_is_asked(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "data", 2)
    assert preflight(recipe_of(data, "http://127.0.0.1:1/v1")) == ["q00", "q01"]
    shares = [
        preflight(recipe_of(data, "http://127.0.0.1:1/v1", shard=f"{k}/9")) for k in range(1, 10)
    ]
    assert [] in shares
    assert sorted(name for share in shares for name in share) == ["q00", "q01"]
    (data / "images" / "1.jpg").write_bytes(b"no image")
    with pytest.raises(FormatError, match=r"questions\.json: row 1.*1\.jpg"):
        preflight(recipe_of(data, "http://127.0.0.1:1/v1"))


def test_the_reward_of_another_run_is_none(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"verb": "rollout", "config": {}}')
    assert reward_of(tmp_path, RewardOptions()) is None
