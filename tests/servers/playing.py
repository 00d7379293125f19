"""Episodes of an embedded model, by its weights in this process and by a server of them."""

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from saccade.dialects.base import Dialect
from saccade.dialects.deepeyes import DeepEyes
from saccade.dialects.tags import call_text
from saccade.embedded import folder_of
from saccade.env import Environment
from saccade.nano import spec
from saccade.policies.hf import HFOptions, HFPolicy
from saccade.policies.openai import OpenAIOptions, OpenAIPolicy
from saccade.render.qwen_vl import chat_template
from saccade.rewards import RewardOptions
from saccade.rollout import Job, rollout_many
from saccade.tasks.world import WorldTasks
from saccade.types import Action, Completion, Policy, Sampling, StopReason, Task, Trajectory

MODEL = "nano-look"
FOLDER = folder_of(MODEL)
N = 100
"""Number of questions, half of each family."""

SEED = 0


class Begun(DeepEyes):
    """DeepEyes whose turns begin with a given text: the one that the model begins with anyway."""

    prefix: ClassVar[str] = "<think>"


class Wired(DeepEyes):
    """DeepEyes whose calls are parsed by the server and travel in a field of their own.

    The embedded models know the prompts of this dialect alone, to the last line break. Its tools
    are in the prompt already, so a server must not add them: `wired_template` is for that.
    """

    native_tools: ClassVar[bool] = True

    def read(self, completion: Completion, prefix: str) -> Action:
        """Parsed calls as the text that they were."""
        text, calls = completion.text, completion.tool_calls
        for call in calls:
            text += f"<tool_call>{call_text(call.name, call.arguments)}</tool_call>"
        whole = completion.model_copy(update={"text": text, "tool_calls": ()})
        action = super().read(whole, prefix)
        named = zip(action.calls, calls, strict=False)
        known = tuple(read.model_copy(update={"id": call.id}) for read, call in named)
        return action.model_copy(update={"calls": known}) if calls else action


def wired_template() -> str:
    """The template without the section on tools, and with calls as DeepEyes writes them."""
    template = chat_template()
    for written, wanted in (
        (r"'\n' if message.content or not loop.first else ''", "''"),
        (r"'<tool_call>\n{", "'<tool_call>{"),
        (r"+ '}\n</tool_call>'", "+ '}</tool_call>'"),
    ):
        assert written in template
        template = template.replace(written, wanted)
    return "{%- set tools = none %}" + template


def thinking_template() -> str:
    """The template with the thoughts that are sent in a field of their own where they were."""
    opened = "    {%- if message.content is string %}"
    assert chat_template().count(opened) == 1
    thought = "{{- '<think>' + message.reasoning_content + '</think>' }}"
    return chat_template().replace(
        opened, f"    {{%- if message.reasoning_content %}}{thought}{{%- endif %}}\n{opened}"
    )


def questions(n: int = N) -> list[Task]:
    """Questions of the test split, half of which need a look."""
    drawn = WorldTasks(family=("read", "easy"), n=n, split="test")
    return list(drawn.tasks(seed=SEED, max_pixels=10**9))


def environment(dialect: Dialect | None = None, *, turns: int = 4) -> Environment:
    """The environment of the embedded models, perhaps in another dialect."""
    return Environment(
        dialect or DeepEyes(), [spec.ZOOM], view=spec.VIEW, observation=spec.OBSERVATION,
        limits=spec.LIMITS.model_copy(update={"max_turns": turns}),
    )  # fmt: skip


def local() -> Policy:
    """The weights in this process."""
    return HFPolicy(HFOptions(path=str(FOLDER)))


def served(url: str, **options: object) -> Policy:
    """The same weights behind a server."""
    given = {"base_url": url, "model": MODEL, "concurrency": 16, **options}
    return OpenAIPolicy(OpenAIOptions.model_validate(given))


def play(
    policy: Policy,
    asked: Sequence[Task],
    *,
    within: Environment | None = None,
    temperature: float = 0.0,
) -> list[Trajectory]:
    """Finished and scored episodes, in the order of the questions."""
    found: dict[str, Trajectory] = {}

    async def episodes() -> None:
        try:
            await rollout_many(
                policy,
                within or environment(),
                [Job(task) for task in asked],
                on_finish=lambda task, trajectory: found.__setitem__(task.id, trajectory),
                concurrency=16,
                seed=SEED,
                sampling=Sampling(temperature=temperature),
                reward=RewardOptions().make(),
            )
        finally:
            await policy.close()

    asyncio.run(episodes())
    return [found[task.id] for task in asked]


def completions(trajectories: Sequence[Trajectory]) -> list[Completion]:
    return [turn.completion for played in trajectories for turn in played.turns]


def texts(trajectory: Trajectory) -> list[str]:
    """What was written, the given beginning of each turn included."""
    return [turn.prefix + turn.completion.text for turn in trajectory.turns]


def equal(ours: Sequence[Trajectory], theirs: Sequence[Trajectory]) -> int:
    """Number of episodes whose turns are the same texts."""
    return sum(texts(a) == texts(b) for a, b in zip(ours, theirs, strict=True))


def same_actions(ours: Sequence[Trajectory], theirs: Sequence[Trajectory]) -> int:
    """Number of episodes with the same thoughts, calls and answers, however they were sent."""

    def actions(trajectory: Trajectory) -> list[object]:
        return [
            (turn.action.answer, [(call.name, call.arguments) for call in turn.action.calls])
            for turn in trajectory.turns
        ]

    return sum(actions(a) == actions(b) for a, b in zip(ours, theirs, strict=True))


def right(trajectories: Sequence[Trajectory]) -> int:
    """Number of episodes that a judge found right."""
    return sum(bool(t.verdict is not None and t.verdict.correct) for t in trajectories)


def aborted(trajectories: Sequence[Trajectory]) -> int:
    return sum(t.stop is StopReason.ABORTED for t in trajectories)


def same_counts(ours: Sequence[Trajectory], theirs: Sequence[Trajectory]) -> int:
    """Number of turns of equal episodes that both count the same tokens of."""
    pairs = zip(completions(ours), completions(theirs), strict=True)
    return sum(
        (a.prompt_tokens, a.completion_tokens) == (b.prompt_tokens, b.completion_tokens)
        for a, b in pairs
    )
