"""What an environment does with good turns, bad turns, limits, and failures on our side."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from building import CustomTool, a_task, call_text, plain, played, zoom_text
from waiting import LIMIT_S, Clock

from saccade.dialects.deepeyes import DeepEyes
from saccade.dialects.native import Native
from saccade.env import Environment
from saccade.errors import ConfigError, ContextOverflow, ServiceError, ServiceTimeout
from saccade.images.geometry import CoordSpace, PixelBudget
from saccade.policies.replay import ReplayPolicy
from saccade.rollout import Job, rollout, rollout_group, rollout_many
from saccade.tools.zoom import ZoomIn
from saccade.types import (
    Completion,
    Limits,
    Sampling,
    StopReason,
    Task,
    Tool,
    ToolContext,
    ToolFunction,
    Trajectory,
    WireCall,
)

TASK = a_task(plain(1000, 800), "What?", answer="7")
ZOOM = zoom_text(0, 0, 200, 200)
ANSWER = "<think>x</think><answer>7</answer>"


def environment(*tools: Tool, **limits: object) -> Environment:
    return Environment(
        DeepEyes(),
        tools or (ZoomIn(),),
        limits=Limits(**limits),  # type: ignore[arg-type]
        view=PixelBudget(max_pixels=500 * 400),
        observation=PixelBudget(min_pixels=56 * 56, max_pixels=112 * 112),
    )


async def play(*turns: str, env: Environment | None = None) -> Trajectory:
    return await played(*turns, task=TASK, environment=env or environment())


CUSTOM = call_text("custom")


async def test_a_question_is_answered_by_looking_again() -> None:
    done = await play(ZOOM, ANSWER)
    assert done.stop is StopReason.ANSWER
    assert done.answer == "7"
    assert [type(p).__name__ for p in done.turns[0].observation[0].content] == [
        "str",
        "Image",
        "str",
    ]
    assert done.images[1].size == (112, 84)
    assert done.turns[0].results[0].ok
    assert done.seconds > 0


async def test_an_answer_wins_over_a_call_in_the_same_turn() -> None:
    done = await play(ZOOM + ANSWER)
    assert done.stop is StopReason.ANSWER
    assert done.results == ()
    assert [p.kind.value for p in done.turns[0].action.problems] == [
        "text_after_call",
        "answer_and_call",
    ]


@pytest.mark.parametrize(
    ("turn", "says"),
    [
        ("<tool_call>{broken</tool_call>", "Error: invalid tool call: not valid JSON"),
        ("<tool_call>[1]</tool_call>", "Error: invalid tool call: expected a JSON object"),
        (
            '<tool_call>{"name": "x", "arguments": {}}</tool_call>',
            "Error: unknown tool 'x'; the tools",
        ),
        (ZOOM.replace("200, 200", "NaN, 1"), "NaN is no number"),
        (ZOOM.replace("[0, 0, 200, 200]", '"all"'), "four finite numbers"),
    ],
)
async def test_mistakes_become_observations_and_the_episode_goes_on(turn: str, says: str) -> None:
    done = await play(turn, ANSWER)
    assert done.stop is StopReason.ANSWER
    assert says in done.turns[0].observation[0].text
    assert not done.turns[0].results[0].ok
    assert done.successes == ()


async def test_neither_answer_nor_call_ends_the_episode() -> None:
    assert (await play("I do not know.")).stop is StopReason.NO_ACTION


async def test_the_last_turn_gets_no_observation() -> None:
    done = await play(ZOOM, ZOOM, ANSWER, env=environment(max_turns=2))
    assert done.stop is StopReason.MAX_TURNS
    assert done.turns[1].results == ()
    assert len(done.images) == 2


async def test_a_turn_that_was_cut_is_not_acted_on() -> None:
    async with environment().episode(TASK) as episode:
        await episode.step(Completion(text=ZOOM, finish="length"))
    assert episode.trajectory.stop is StopReason.MAX_TOKENS
    assert episode.trajectory.results == ()


async def test_an_observation_beyond_the_image_limit_is_dropped_as_a_whole() -> None:
    done = await play(ZOOM, ZOOM, ANSWER, env=environment(max_images=2))
    assert done.stop is StopReason.MAX_IMAGES
    assert done.turns[1].dropped == "images"
    assert done.turns[1].observation == ()
    assert done.turns[1].results[0].ok
    assert len(done.successes) == 1, "a result that was not shown is no use of a tool"


class Counting(ReplayPolicy):
    """A policy that knows its context: 100 tokens and 1000 an observation."""

    def count_tokens(self, trajectory: Trajectory) -> int:  # type: ignore[override]
        return 100 + 1000 * sum(bool(turn.observation) for turn in trajectory.turns)


async def test_an_observation_beyond_the_context_is_dropped_as_a_whole() -> None:
    policy = Counting({"t": (ZOOM, ZOOM, ANSWER)})
    done = await rollout(policy, environment(max_context=2000), TASK)
    assert done.stop is StopReason.MAX_TOKENS
    assert [turn.dropped for turn in done.turns] == [None, "context"]
    assert done.turns[1].observation == ()


async def test_a_server_that_finds_no_room_takes_the_observation_back() -> None:
    class Full(ReplayPolicy):
        async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
            if trajectory.turns:
                raise ContextOverflow("full")
            return await super().act(trajectory, sampling)

    done = await rollout(Full({"t": (ZOOM,)}), environment(), TASK)
    assert done.stop is StopReason.MAX_TOKENS
    assert done.turns[0].dropped == "context"
    assert done.turns[0].observation == ()


@pytest.mark.parametrize("error", [ServiceError("down"), ServiceTimeout("late"), KeyError("bug")])
async def test_our_failures_abort_and_are_not_the_models(error: Exception) -> None:
    def fail() -> None:
        raise error

    done = await play(CUSTOM, ANSWER, env=environment(CustomTool(fail)))
    assert done.stop is StopReason.ABORTED
    assert type(error).__name__ in (done.error or "")
    assert done.score is None


async def test_a_policy_that_fails_aborts() -> None:
    class Down(ReplayPolicy):
        async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
            raise ServiceError("503")

    done = await rollout(Down({}), environment(), TASK)
    assert (done.stop, done.error) == (StopReason.ABORTED, "ServiceError: 503")


async def test_wall_time_ends_an_episode_as_timeout() -> None:
    clock = Clock()

    async def late() -> None:
        clock.forward(601)
        await asyncio.sleep(LIMIT_S)

    done = await play(CUSTOM, ANSWER, env=environment(CustomTool(late), max_seconds=600))
    assert done.stop is StopReason.TIMEOUT
    assert done.turns == ()
    assert done.error is None


async def test_configuration_errors_are_not_swallowed() -> None:
    with pytest.raises(ConfigError, match="2 turns for task 't', turn 3"):
        await play(ZOOM, ZOOM)


async def test_tools_are_opened_and_closed_with_each_episode() -> None:
    tool = CustomTool()
    await play(CUSTOM, ANSWER, env=environment(tool))
    await play(ANSWER, env=environment(tool))
    assert (tool.opened, tool.closed) == (2, 2)


@pytest.mark.parametrize(
    ("error", "stop"),
    [(ServiceError("no sandbox"), StopReason.ABORTED), (None, StopReason.TIMEOUT)],
)
async def test_a_tool_that_cannot_be_opened_ends_the_episode(
    error: Exception | None, stop: StopReason
) -> None:
    """It raises, or it takes longer than an episode may."""
    clock = Clock()

    class Closed(CustomTool):
        @asynccontextmanager
        async def open(self, context: ToolContext) -> AsyncIterator[ToolFunction]:
            if error:
                raise error
            clock.forward(601)
            await asyncio.sleep(LIMIT_S)
            yield  # type: ignore[misc]

    done = await play(ANSWER, env=environment(Closed(lambda: None), max_seconds=600))
    assert (done.stop, done.turns) == (stop, ())
    assert "no sandbox" in (done.error or "no sandbox")


async def test_an_episode_is_single_use_and_never_left_unfinished() -> None:
    async with environment().episode(TASK) as episode:
        await episode.step(Completion(text=ANSWER))
        with pytest.raises(RuntimeError, match="the episode is over"):
            await episode.step(Completion(text=ANSWER))
    async with environment().episode(TASK) as left:
        pass
    assert left.trajectory.stop is StopReason.ABORTED


async def test_a_slow_tool_does_not_stall_other_episodes() -> None:
    release = asyncio.Event()
    slow = environment(CustomTool(release.wait))
    fast = environment()
    waiting = asyncio.create_task(play(CUSTOM, ANSWER, env=slow))
    done = await asyncio.gather(*(play(ZOOM, ANSWER, env=fast) for _ in range(300)))
    assert all(t.stop is StopReason.ANSWER for t in done)
    assert not waiting.done()
    release.set()
    assert (await waiting).stop is StopReason.ANSWER


async def test_jobs_are_drawn_lazily_and_all_are_finished() -> None:
    drawn = 0
    finished: list[int] = []

    def jobs() -> "AsyncIterator[Job]":
        nonlocal drawn
        for sample in range(40):
            drawn += 1
            assert drawn <= len(finished) + 2 * 4
            yield Job(TASK, sample)

    await rollout_many(
        ReplayPolicy({"t": (ZOOM, ANSWER)}), environment(), jobs(),
        on_finish=lambda task, t: finished.append(t.sample), concurrency=4,
    )  # fmt: skip
    assert sorted(finished) == list(range(40))


async def test_the_end_of_the_jobs_is_met_once_and_not_by_each_worker() -> None:
    class Jobs:
        """Unlike a generator, it counts how often it is asked after its end."""

        def __init__(self) -> None:
            self.left, self.ends = list(range(6)), 0

        def __iter__(self) -> "Jobs":
            return self

        def __next__(self) -> Job:
            if not self.left:
                self.ends += 1
                raise StopIteration
            return Job(TASK, self.left.pop())

    asked, finished = Jobs(), list[int]()
    await rollout_many(
        ReplayPolicy({"t": (ANSWER,)}), environment(), asked,
        on_finish=lambda task, t: finished.append(t.sample), concurrency=4,
    )  # fmt: skip
    assert sorted(finished) == list(range(6))
    assert asked.ends == 1


async def test_a_group_has_its_samples_in_order() -> None:
    group = await rollout_group(ReplayPolicy({"t": (ANSWER,)}), environment(), TASK, size=5)
    assert [t.sample for t in group] == [0, 1, 2, 3, 4]
    assert len({t.id for t in group}) == 5


async def test_noise_differs_by_seed_task_sample_and_turn_and_by_nothing_else() -> None:
    async def seeds(task: Task, sample: int, seed: int) -> list[int]:
        async with environment().episode(task, sample=sample, seed=seed) as episode:
            first = episode.sampling(Sampling()).seed
            await episode.step(Completion(text=ZOOM))
            return [first, episode.sampling(Sampling()).seed]

    other = TASK.model_copy(update={"id": "u"})
    drawn = [*await seeds(TASK, 0, 0), *await seeds(TASK, 1, 0), *await seeds(TASK, 0, 1)]
    drawn += await seeds(other, 0, 0)
    assert len(set(drawn)) == 8
    assert await seeds(TASK, 0, 0) == drawn[:2]


def test_the_fingerprint_follows_everything_that_the_model_meets() -> None:
    base = environment()
    changed = [
        environment(max_turns=3),
        environment(ZoomIn(min_side=4)),
        Environment(DeepEyes(), [ZoomIn()], coords=CoordSpace.RELATIVE_1000),
        Environment(Native(), [ZoomIn()]),
        Environment(DeepEyes(), [ZoomIn()], view=PixelBudget(max_pixels=10**6)),
        Environment(
            DeepEyes(prompts=DeepEyes().prompts.model_copy(update={"user": "{question}"})),
            [ZoomIn()],
        ),
    ]
    assert len({base.fingerprint, *(e.fingerprint for e in changed)}) == 7
    assert environment().fingerprint == base.fingerprint


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="a name of its own"):
        environment(ZoomIn(), ZoomIn(square=True))


async def test_every_native_call_gets_a_result_with_its_id() -> None:
    env = Environment(Native(), [ZoomIn()])
    calls = (
        WireCall(id="a", name="image_zoom_in_tool", arguments='{"bbox_2d": [0, 0, 500, 500]}'),
        WireCall(id="b", name="image_zoom_in_tool", arguments="{broken"),
        WireCall(id="c", name="nothing", arguments="{}"),
    )
    async with env.episode(TASK) as episode:
        await episode.step(Completion(text="", tool_calls=calls))
        turn = episode.trajectory.turns[0]
        assert [r.call.id for r in turn.results] == ["a", "b", "c"]
        assert [r.ok for r in turn.results] == [True, False, False]
        assert [m.call_id for m in turn.observation] == ["a", "b", "c", None]
        assert [m.role for m in turn.observation] == ["tool", "tool", "tool", "user"]
        await episode.step(Completion(text="7"))
    assert episode.trajectory.answer == "7"


async def test_tools_are_started_once_and_closed_with_the_environment() -> None:
    tool = CustomTool()
    env = environment(tool)
    assert (tool.started, tool.ended) == (0, 0), "making an environment starts nothing"
    call = '<tool_call>{"name": "custom", "arguments": {}}</tool_call>'
    policy = ReplayPolicy({"t": (call, ANSWER)})
    await asyncio.gather(*(rollout(policy, env, TASK, sample=n) for n in range(5)))
    assert (tool.started, tool.opened, tool.ended) == (1, 5, 0)
    await env.close()
    assert tool.ended == 1
    await rollout(policy, env, TASK)
    assert tool.started == 2, "an environment that is used again starts its tools again"


def test_an_environment_serves_several_event_loops_one_after_the_other() -> None:
    tool = CustomTool()
    env = environment(tool)
    for _ in range(2):
        policy = ReplayPolicy({"t": (ANSWER,)})
        done = asyncio.run(rollout_group(policy, env, TASK, size=3))
        assert all(t.stop is StopReason.ANSWER for t in done)
        asyncio.run(env.close())
    assert tool.started == 2


async def test_a_tool_that_cannot_be_started_aborts_its_episode() -> None:
    class Broken(CustomTool):
        async def start(self) -> None:
            raise ServiceError("no such server")

    trajectory = await play(ANSWER, env=environment(Broken(lambda: None)))
    assert trajectory.stop is StopReason.ABORTED
    assert "no such server" in (trajectory.error or "")


async def test_a_result_carries_data_that_the_model_is_not_shown() -> None:
    trajectory = await play(CUSTOM, ANSWER, env=environment(CustomTool()))
    (result,) = trajectory.results
    assert result.data == {"ran": True}
    assert "ran" not in trajectory.turns[0].observation[0].text
    assert Trajectory.model_validate_json(trajectory.model_dump_json()).results[0].data == {
        "ran": True
    }


async def test_annotations_touch_neither_messages_nor_the_fingerprint() -> None:
    trajectory = await play(ANSWER)
    noted = trajectory.model_copy(update={"annotations": {"guard": 0.25}})
    assert noted.messages == trajectory.messages
    assert noted.environment.fingerprint == trajectory.environment.fingerprint
    assert Trajectory.model_validate_json(noted.model_dump_json()) == noted


def test_how_long_an_episode_may_take_is_no_part_of_the_fingerprint() -> None:
    assert environment().fingerprint == environment(max_seconds=1.0).fingerprint
    assert environment().fingerprint != environment(max_turns=3).fingerprint
