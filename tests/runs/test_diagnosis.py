"""What may help an episode that ended without an answer, and a run of them."""

import asyncio
from pathlib import Path

import pytest
from building import a_result, a_task, a_trajectory, a_turn, plain, played, zoom_text

from saccade import dialects
from saccade.cli.rollout import rollout as rollout_command
from saccade.dialects.deepeyes import DeepEyes
from saccade.embedded import resolve
from saccade.env import Environment
from saccade.policies.replay import ReplayPolicy
from saccade.rollout import rollout
from saccade.runs.diagnosis import FEW, RunWatch, common_causes, unread_text, what_may_help
from saccade.testing import ScriptedServer
from saccade.tools.zoom import ZoomIn
from saccade.types import Completion, Limits, StopReason, Trajectory, WireCall


async def ended(
    *turns: str | Completion, dialect: str = "deepeyes", limits: Limits | None = None
) -> Trajectory:
    spoken = dialects.built_in(dialect)
    assert spoken is not None
    environment = Environment(spoken, [ZoomIn()], limits=limits)
    task = a_task(plain(300, 200), "What?")
    return await rollout(ReplayPolicy({task.id: turns}), environment, task)


CUT = Completion(text="<think>it is hard to say because of the", finish="length")
LOOP = Completion(text="<think>" + "look at the left of it again and " * 9, finish="length")
THOUGHT = Completion(text="", thought="It is B.")
FEW_TURNS = Limits(max_turns=2)


@pytest.mark.parametrize(
    ("turns", "how", "stop", "advice"),
    [
        (["The answer is B."], {}, StopReason.NO_ACTION, "try dialect.kind=native"),
        (["Thought: it is B.\nAnswer: B"], {}, StopReason.NO_ACTION, "try dialect.kind=plain"),
        (["Let me see. <answer>B</answer>"], {"dialect": "plain"}, StopReason.NO_ACTION,
         "reads an answer in it: try dialect.kind=deepeyes"),
        ([zoom_text(0, 0, 90, 90)], {"dialect": "plain"}, StopReason.NO_ACTION,
         "reads a call in it: try dialect.kind=deepeyes"),
        (["<think>It is B.</think>"], {}, StopReason.NO_ACTION, "dialect.prompts=FILE"),
        ([" "], {}, StopReason.NO_ACTION, "the last reply is empty"),
        ([THOUGHT], {}, StopReason.NO_ACTION, "a thought and nothing else: if the server has a"),
        ([CUT], {}, StopReason.MAX_TOKENS, "raise environment.limits.max_turn_tokens (now 1024)"),
        ([LOOP], {}, StopReason.MAX_TOKENS, "repeats itself"),
        ([zoom_text(0, 0, 90, 90)] * 2, {"limits": FEW_TURNS}, StopReason.MAX_TURNS,
         "raise environment.limits.max_turns (now 2)"),
        ([zoom_text(9, 9, 9, 9)] * 2, {"limits": FEW_TURNS}, StopReason.MAX_TURNS,
         "no call succeeded"),
        ([zoom_text(0, 0, 90, 90)], {"limits": Limits(max_images=1)}, StopReason.MAX_IMAGES,
         "raise environment.limits.max_images (now 1)"),
        (["<answer>B</answer>"], {}, StopReason.ANSWER, None),
    ],
)  # fmt: skip
async def test_the_advice_names_the_key_that_may_help(
    turns: list[str | Completion], how: dict[str, object], stop: StopReason, advice: str | None
) -> None:
    trajectory = await ended(*turns, **how)  # type: ignore[arg-type]
    assert trajectory.stop is stop
    found = what_may_help(trajectory)
    assert found is None if advice is None else found and advice in found


def test_limits_that_are_not_the_models_are_told_too() -> None:
    full = a_trajectory(a_turn(a_result("x"), dropped="context"), stop=StopReason.MAX_TOKENS)
    assert "environment.limits.max_context (now 32768)" in (what_may_help(full) or "")
    for turns in ((), (a_turn(a_result("x")),)):
        late = a_trajectory(*turns, stop=StopReason.TIMEOUT)
        assert "environment.limits.max_seconds (now 600)" in (what_may_help(late) or "")
    assert what_may_help(a_trajectory(stop=StopReason.ABORTED)) is None
    assert what_may_help(a_trajectory(stop=None)) is None


def test_text_that_is_more_than_a_thought_is_unread() -> None:
    def read(text: str, *wires: WireCall) -> str | None:
        completion = Completion(text=text, tool_calls=wires)
        action = DeepEyes().read(completion, "")
        turn = a_turn().model_copy(update={"completion": completion, "action": action})
        return unread_text(turn, "deepeyes")

    assert read("<think>a</think>") is None
    assert read("<think>a</think><answer>B</answer>") is None
    assert read("<think>a</think> It is B.") == "<think>a</think> It is B."
    assert read("<tool_call>{</tool_call>") == "<tool_call>{</tool_call>"
    apart = Completion(text="", thought="Hm.")
    action = DeepEyes().read(apart, "")
    turn = a_turn().model_copy(update={"completion": apart, "action": action})
    assert unread_text(turn, "deepeyes") is None, "it is in the thought, which is shown"
    assert read("", WireCall(id="1", name="zoom", arguments="{")) == " zoom {"


def test_a_run_is_told_once_what_most_of_its_episodes_came_to() -> None:
    lost = asyncio.run(played("The answer is B."))
    fine = asyncio.run(played("<answer>B</answer>"))
    watch, task = RunWatch(), a_task(source="world")
    said = [watch.add(task, lost) for _ in range(FEW + 5)]
    assert said.count(None) == FEW + 4
    assert "10 of 10 episodes ended without an answer" in (said[FEW - 1] or "")
    half = RunWatch()
    assert not any(half.add(task, t) for _ in range(FEW) for t in (fine, lost))
    lines = common_causes([lost] * 30 + [fine] * 69 + [a_trajectory(stop=StopReason.TIMEOUT)])
    assert len(lines) == 1, "what one of a hundred came to is no line"
    assert lines[0].startswith("30 of 100 episodes ended without an answer: the last reply")


def test_an_embedded_model_outside_its_world_is_told_once() -> None:
    answered = a_turn(answer="7")
    named = answered.completion.model_copy(update={"model": resolve("nano-look")})
    trajectory = a_trajectory(answered.model_copy(update={"completion": named}))
    watch = RunWatch()
    assert watch.add(a_task(source="world"), trajectory) is None
    assert "its own world" in (watch.add(a_task(source="photos"), trajectory) or "")
    assert watch.add(a_task(source="photos"), trajectory) is None
    assert watch.add(a_task(source="photos"), a_trajectory(answered)) is None
    assert RunWatch().count(trajectory) is None, "a model that is trained may come to know them"


def test_rollout_says_it_while_it_runs_and_at_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "run.toml"
    with ScriptedServer(lambda request: "It is 7.") as server:
        recipe.write_text(
            f'out = "{tmp_path}/run"\ncanary = false\n'
            f'tasks = {{ kind = "world", family = "easy", n = {FEW + 2} }}\n'
            f'policy = {{ kind = "openai", base_url = "{server.url}", model = "m" }}\n'
        )
        with pytest.warns(UserWarning, match=r"10 of 10 episodes .* try dialect\.kind=native"):
            rollout_command(recipe)
    shown = " ".join(capsys.readouterr().out.split())
    assert "12 of 12 episodes ended without an answer: the last reply is neither" in shown
