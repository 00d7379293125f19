"""Whether a model sees: large digits and colours, in pairs that differ in nothing but the image.

A model without eyes guesses. So the number of right answers is compared with chance by an exact
test, and within a pair, whose text is the same, the answer must change with the image.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from saccade.canary.drawing import COLOURS, digit_image, disc_image, size_of
from saccade.canary.probe import Probe, Reply
from saccade.canary.reading import colour_in, digit_in
from saccade.env import Environment
from saccade.images.geometry import PixelBudget
from saccade.images.image import Image
from saccade.rollout import rollout
from saccade.types import Policy, Sampling, StopReason, Task, Trajectory
from saccade.world import tasks

ALPHA = 0.01
"""A model is taken to see if guessing is right so often with at most this probability."""
AREA = 448 * 336
"""Number of pixels of a drawn image, where the view allows as many."""
BRIEFLY = (2, 2, 4)
"""Number of pairs of each look before a run."""
SCENES = 200
"""Number of scenes that are drawn at most to find pairs with one text."""
WORLD_FAMILY = "easy"
"""Questions about the world's large objects, which the embedded models read at a glance."""


class Question(NamedTuple):
    """A question about one image."""

    image: Image
    text: str
    right: str
    chance: float
    """The probability with which a guess is right."""
    read: Callable[[str], str | None]
    """The answer that a reply gives, in the words of `right`."""
    task: Task | None = None
    """The task of the world that it is, if it is one."""


class Asked(NamedTuple):
    """A question and what came of it."""

    question: Question
    answer: str | None
    """None where nothing can be read."""
    shown: str
    """The reply as evidence."""
    error: bool = False
    """Whether no reply came."""
    mute: bool = False
    """Whether the reply came and ended before an answer."""

    @property
    def correct(self) -> bool:
        return self.answer == self.question.right

    @property
    def evidence(self) -> str:
        return f"{self.question.right} was drawn, the reply: {self.shown or '(empty)'}"


class Vision(NamedTuple):
    """The answers to pairs of questions, one after the other."""

    asked: tuple[Asked, ...]

    @property
    def right(self) -> int:
        return sum(asked.correct for asked in self.asked)

    @property
    def chance(self) -> float:
        """The probability that guesses are right at least as often."""
        return at_least(self.right, [asked.question.chance for asked in self.asked])

    @property
    def pairs(self) -> int:
        return len(self.asked) // 2

    @property
    def changed(self) -> int:
        """Number of pairs whose answers, both read, differ."""
        both = zip(self.asked[::2], self.asked[1::2], strict=True)
        return sum(None not in (a.answer, b.answer) and a.answer != b.answer for a, b in both)

    @property
    def lost(self) -> int:
        """Number of questions to which no reply came."""
        return sum(asked.error for asked in self.asked)

    @property
    def failed(self) -> bool:
        """Whether replies did not come, so that nothing is known of a model that seems blind."""
        return self.blind and self.lost > 0

    @property
    def mute(self) -> bool:
        """Whether most replies end before an answer: a long thought, or a parser that takes all."""
        return 2 * sum(asked.mute for asked in self.asked) > len(self.asked)

    @property
    def blind(self) -> bool:
        """Whether guesses would do as well."""
        return self.chance > ALPHA or not self.changed

    @property
    def wrong(self) -> tuple[str, ...]:
        """What was wrong, as evidence."""
        return tuple(asked.evidence for asked in self.asked if not asked.correct)


class VisionTest(Protocol):
    """Where questions of one kind come from, and who answers them."""

    def pairs(self, seed: int) -> Iterator[tuple[Question, Question]]:
        """Pairs of one text and two right answers, the same for a seed."""
        ...

    async def answer(self, question: Question) -> Asked: ...


async def look(test: VisionTest, *, pairs: int, seed: int) -> Vision:
    """Ask pairs of questions, all side by side."""
    return await _look(test, test.pairs(seed), pairs)


async def look_briefly(test: VisionTest, *, seed: int) -> Vision:
    """Ask four questions; where they leave a doubt up to eight, and up to sixteen.

    A model that guesses is taken to see with at most `ALPHA` at each of the three looks, one
    that is right eight times in ten is taken for blind once in a thousand.
    """
    drawn = test.pairs(seed)
    found = Vision(())
    for pairs in BRIEFLY:
        found = Vision(found.asked + (await _look(test, drawn, pairs)).asked)
        if found.failed or not found.blind:
            break
    return found


async def _look(test: VisionTest, drawn: Iterator[tuple[Question, Question]], n: int) -> Vision:
    questions = [question for _, pair in zip(range(n), drawn, strict=False) for question in pair]
    return Vision(tuple(await asyncio.gather(*map(test.answer, questions))))


class Drawn:
    """Digits and discs, which any model can read that sees."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe

    def pairs(self, seed: int) -> Iterator[tuple[Question, Question]]:
        return drawn_pairs(self._probe.view, seed)

    async def answer(self, question: Question) -> Asked:
        reply = await self._probe.ask(question.image, question.text)
        return _asked(question, reply)


class World:
    """Scenes of the procedural world, which the embedded models were trained on, as episodes."""

    def __init__(
        self,
        policy: Policy,
        environment: Environment,
        *,
        sampling: Sampling | None = None,
        on_reply: Callable[[], None] = lambda: None,
    ) -> None:
        self._policy, self._environment = policy, environment
        self._sampling, self._on_reply = sampling, on_reply

    def pairs(self, seed: int) -> Iterator[tuple[Question, Question]]:
        waiting: dict[str, Task] = {}
        for task in tasks(WORLD_FAMILY, n=SCENES, seed=seed, split="test"):
            other = waiting.pop(task.question, None)
            if other is None or other.answer == task.answer:
                waiting[task.question] = task
            else:
                yield _scene(other), _scene(task)

    async def answer(self, question: Question) -> Asked:
        assert question.task is not None
        played = await rollout(
            self._policy, self._environment, question.task, sampling=self._sampling
        )
        self._on_reply()
        text = _last_text(played)
        failed = played.stop in (StopReason.ABORTED, StopReason.TIMEOUT)
        return Asked(question, digit_in(played.answer or ""), played.error or text, failed)


def drawn_pairs(view: PixelBudget, seed: int) -> Iterator[tuple[Question, Question]]:
    """Digits and colours by turns, without end."""
    rng = random.Random(seed)
    colours = ", ".join(COLOURS)
    while True:
        size = size_of(view, AREA, rng.choice((4 / 3, 3 / 4)))
        text = "Which digit is drawn in this image? Reply with the digit alone."
        yield _pair(*(
            Question(digit_image(rng, digit, size), text, digit, 1 / 10, digit_in)
            for digit in rng.sample("0123456789", 2)
        ))  # fmt: skip
        text = f"Which colour has the disc in this image: {colours}? Reply with the colour alone."
        yield _pair(*(
            Question(disc_image(rng, colour, size), text, colour, 1 / len(COLOURS), colour_in)
            for colour in rng.sample(list(COLOURS), 2)
        ))  # fmt: skip


def at_least(right: int, chances: Sequence[float]) -> float:
    """The probability of at least `right` successes in independent trials, exactly.

    Source: the Poisson binomial distribution, by convolution of its trials.
    """
    mass = [1.0]
    for chance in chances:
        missed = [share * (1 - chance) for share in mass] + [0.0]
        hit = [0.0] + [share * chance for share in mass]
        mass = [a + b for a, b in zip(missed, hit, strict=True)]
    return sum(mass[right:])


def _pair(first: Question, second: Question) -> tuple[Question, Question]:
    return first, second


def _scene(task: Task) -> Question:
    assert task.answer is not None
    return Question(task.images[0], task.question, task.answer, 1 / 10, digit_in, task)


def _asked(question: Question, reply: Reply) -> Asked:
    answer = question.read(reply.answer)
    mute = reply.mute and answer is None
    return Asked(question, answer, reply.shown, reply.error is not None, mute)


def _last_text(trajectory: Trajectory) -> str:
    return trajectory.turns[-1].completion.text if trajectory.turns else ""
