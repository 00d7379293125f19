"""The world's `compute` questions, solved end to end with Python in the real sandbox."""

import asyncio
import re

import pytest
from pixel_oracle import read_plates
from unhurried import UNHURRIED

from saccade.dialects.deepeyes_v2 import DeepEyesV2
from saccade.env import Environment
from saccade.images.geometry import PixelBudget
from saccade.images.image import Image
from saccade.policies.replay import ReplayPolicy
from saccade.rewards import RewardOptions
from saccade.rollout import rollout
from saccade.sandbox import SandboxOptions
from saccade.tools.python import Python, PythonOptions
from saccade.types import Task, Trajectory
from saccade.world import tasks

VIEW = PixelBudget(factor=14, max_pixels=56 * 56)
WHOLE = PixelBudget(factor=14, max_pixels=2016 * 2016)
PLATES = {"compute": (1.5, 10.0), "compute_far": (0.4, 0.9)}


def cell(code: str) -> str:
    return f"I compute.</think>\n<code>\n```python\n{code}\n```\n</code>"


def scripted(family: str) -> ReplayPolicy:
    """Asks for the whole image, reads the plates on it, lets Python multiply, answers with that."""

    def act(trajectory: Trajectory) -> str:
        said = [m.text for m in trajectory.messages]
        colours = re.findall(r"on the (\w+) plate", "".join(said))
        if not trajectory.turns:
            return cell("print(image_1.size)\ndisplay(image_1)")
        if len(trajectory.turns) == 1:
            numbers = read_plates(trajectory.images[1].pixels(), *PLATES[family])
            return cell(f"a, b = {numbers[colours[0]]}, {numbers[colours[1]]}\na * b")
        product = re.search(r"stdout:\n```(\d+)```", said[-1])
        return f"It is computed.</think><answer>{product[1] if product else 'unknown'}</answer>"

    return ReplayPolicy(act)


def attempted(family: str, n: int, tool: Python) -> list[tuple[Task, Trajectory]]:
    environment = Environment(DeepEyesV2(), [tool], view=VIEW, observation=WHOLE)
    native = 672 if family == "compute" else 2016
    reward = RewardOptions().make()

    async def all_of_them() -> list[tuple[Task, Trajectory]]:
        asked = list(tasks(family, n=n, seed=5, native=native))
        done = await asyncio.gather(
            *(rollout(scripted(family), environment, task, reward=reward) for task in asked)
        )
        await environment.close()
        return list(zip(asked, done, strict=True))

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("family", PLATES)
def test_a_scripted_agent_computes_the_answer(family: str) -> None:
    for task, trajectory in attempted(
        family, 8, Python(PythonOptions(sandbox=SandboxOptions(limits=UNHURRIED)))
    ):
        assert trajectory.error is None
        assert trajectory.answer == task.answer
        assert trajectory.verdict is not None
        assert trajectory.verdict.correct
        assert [len(turn.results) for turn in trajectory.turns] == [1, 1, 0]
        assert isinstance(trajectory.images[1], Image)
        native = 672 if family == "compute" else 2016
        assert f"({native}, {native})" in trajectory.messages[3].text
