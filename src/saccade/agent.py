"""The Python API in one object: an agent that answers questions about images.

agent = Agent(policy={"kind": "openai", "base_url": "http://127.0.0.1:8000/v1", "model": "m"})
trajectory = agent.ask("street.jpg", "What word is on the blue flag?", choices=["A", "B"])
print(describe(trajectory))
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydantic import JsonValue

from saccade.config import validate
from saccade.embedded import with_folders
from saccade.env import Environment
from saccade.errors import ConfigError
from saccade.images.decode import MAX_SOURCE_PIXELS
from saccade.images.image import Image
from saccade.recipe import Recipe
from saccade.rollout import rollout
from saccade.runs.assemble import assemble
from saccade.types import Task, Trajectory

Picture = str | Path | Image


class Agent:
    """A policy in an environment, ready to be asked. Sections are those of a run file.

    It keeps its model or connections between questions; `close` it, or use it in a `with` block.
    """

    def __init__(self, **sections: JsonValue) -> None:
        """Put an agent together.

        Args:
            **sections: `policy`, `dialect`, `tools`, `environment`, `sampling`, `reward`, `seed`
                as in a run file; see `saccade.recipe.Recipe`.

        Raises:
            ConfigError: a section that cannot work; the message names the key.
        """
        self.recipe = validate(Recipe, with_folders(sections))
        self._parts = assemble(self.recipe)
        self._runner = asyncio.Runner()

    @property
    def environment(self) -> Environment:
        """What the policy meets; its `fingerprint` tells whether two agents are comparable."""
        return self._parts.environment

    def ask(
        self,
        images: Picture | Sequence[Picture],
        question: str,
        *,
        choices: Sequence[str] = (),
        answer: str | None = None,
    ) -> Trajectory:
        """Ask one question; scored if the right answer is given.

        Args:
            images: One or more files (or `Image`s): image_1, image_2, ...
            question: The question as a person would ask it.
            choices: Options, without letters.
            answer: The right answer, for the score; never shown to the model.

        Returns:
            The finished trajectory: `.answer`, `.turns`, `.stop`, `.score`.

        Raises:
            ImageError: an image that cannot be read.
        """
        limit = self.recipe.max_image_pixels
        task = make_task(images, question, choices, answer, max_pixels=limit)
        attempt = rollout(
            self._parts.policy,
            self._parts.environment,
            task,
            seed=self.recipe.seed,
            sampling=self.recipe.sampling,
            reward=self._parts.reward,
        )
        return self._runner.run(attempt)

    def close(self) -> None:
        """Give back the model, connections, worker processes and what tools have started."""
        with self._runner as runner:
            runner.run(self._parts.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def make_task(
    images: Picture | Sequence[Picture],
    question: str,
    choices: Sequence[str] = (),
    answer: str | None = None,
    *,
    max_pixels: int = MAX_SOURCE_PIXELS,
) -> Task:
    """A task of a user's own; its id follows from its content.

    Raises:
        ImageError: an image that cannot be read, down to its last pixel.
        ConfigError: more options than there are letters.
    """
    if len(choices) > 26:
        raise ConfigError(f"choices: at most 26 options have a letter, got {len(choices)}")
    several = [images] if isinstance(images, str | Path | Image) else images
    opened = tuple(
        i if isinstance(i, Image) else Image.open(i, max_pixels=max_pixels) for i in several
    )
    for image in opened:
        image.source.pixels()
    question, *options = (_unicode(text) for text in (question, *choices))
    answer = None if answer is None else _unicode(answer)
    content = repr((opened, question, options, answer))
    return Task(
        id=f"ask-{hashlib.sha256(content.encode()).hexdigest()[:12]}",
        prompt=(*opened, question),
        choices=tuple(options),
        answer=answer,
        judge="choice" if choices else None,
        source="ask",
    )


def _unicode(text: str) -> str:
    """Without the bytes of a command line that are no UTF-8, which no file could hold."""
    return text.encode("utf-8", "replace").decode()
