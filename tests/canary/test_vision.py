"""Whether a model sees: exact odds, and servers that see, guess or think too long."""

import asyncio
import random
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from asking import on_probe, recipe_of
from PIL import Image as PILImage
from pydantic import JsonValue
from seeing import Seeing

from saccade.canary.drawing import (
    COLOURS,
)
from saccade.canary.examine import examine_policy
from saccade.canary.probe import Probe
from saccade.canary.reading import digit_in
from saccade.canary.vision import (
    Asked,
    Drawn,
    Question,
    Vision,
    World,
    at_least,
    look,
    look_briefly,
)
from saccade.canary.warning import said_of
from saccade.images.image import Image
from saccade.nano.spec import environment as nano_environment
from saccade.recipe import Recipe, make_policy
from saccade.testing import ScriptedReply, ScriptedRequest, ScriptedServer


def test_the_chance_of_guessing_is_exact() -> None:
    """Against every outcome, counted."""
    chances = [0.1, 1 / 6, 0.1, 1 / 6, 0.5]
    for right in range(len(chances) + 1):
        expected = sum(
            float(np.prod([p if hit else 1 - p for p, hit in zip(chances, hits, strict=True)]))
            for hits in product((0, 1), repeat=len(chances))
            if sum(hits) >= right
        )
        assert at_least(right, chances) == pytest.approx(expected)
    assert at_least(0, []) == 1


BLANK = Image.from_pixels(PILImage.new("RGB", (8, 8)))


class Guesser:
    """Answers the canary's questions without looking."""

    def __init__(self, guess: Callable[[random.Random, Question], str | None], seed: int) -> None:
        self._guess, self._rng = guess, random.Random(f"guesser {seed}")
        self.asked = 0

    def pairs(self, seed: int) -> Iterator[tuple[Question, Question]]:
        rng = random.Random(seed)
        while True:
            for kinds in ("0123456789", tuple(COLOURS)):
                first, second = (
                    Question(BLANK, "?", right, 1 / len(kinds), digit_in)
                    for right in rng.sample(kinds, 2)
                )
                yield first, second

    async def answer(self, question: Question) -> Asked:
        self.asked += 1
        return Asked(question, self._guess(self._rng, question), "")


def any_kind(rng: random.Random, question: Question) -> str:
    return rng.choice("0123456789" if question.chance == 0.1 else list(COLOURS))


def the_usual(_: random.Random, question: Question) -> str:
    return "7" if question.chance == 0.1 else "red"


@pytest.mark.parametrize("guess", [any_kind, the_usual, lambda *_: None])
def test_a_model_that_guesses_is_blind(guess: Callable[..., str | None]) -> None:
    """A guesser is taken to see in 3 % at most, since there are three looks of 1 % each.

    Here 150 times; of 4000 it was 1.1 %.
    """

    async def looks() -> list[Vision]:
        return [await look_briefly(Guesser(guess, n), seed=n) for n in range(150)]

    seen = asyncio.run(looks())
    assert sum(not vision.blind for vision in seen) <= 4


def test_a_model_that_is_right_eight_times_in_ten_sees() -> None:
    def mostly(rng: random.Random, question: Question) -> str:
        return question.right if rng.random() < 0.8 else any_kind(rng, question)

    guessers = [Guesser(mostly, n) for n in range(100)]

    async def looks() -> list[Vision]:
        return [await look_briefly(guesser, seed=n) for n, guesser in enumerate(guessers)]

    seen = asyncio.run(looks())
    assert sum(vision.blind for vision in seen) <= 1
    assert sum(guesser.asked == 4 for guesser in guessers) > 75, "four questions are enough"


def test_a_pair_differs_in_nothing_but_the_image() -> None:
    probe = Probe(
        make_policy(recipe_of("http://127.0.0.1:9/v1")), recipe_of("http://127.0.0.1:9/v1")
    )
    for (one, other), _ in zip(Drawn(probe).pairs(3), range(6), strict=False):
        assert (one.text, one.image.size, one.chance) == (
            other.text,
            other.image.size,
            other.chance,
        )
        assert one.right != other.right
        assert one.image != other.image
    for (one, other), _ in zip(
        World(probe.policy, nano_environment()).pairs(3), range(2), strict=False
    ):
        assert (one.text, one.chance) == (other.text, other.chance)
        assert one.right != other.right


@pytest.mark.parametrize(
    ("seeing", "blind"),
    [(Seeing(), False), (Seeing(blind=True), True), (Seeing(keeps=(0, 0)), True)],
)
def test_a_model_behind_a_server_sees_or_is_blind(seeing: Seeing, blind: bool) -> None:
    with ScriptedServer(seeing) as server:
        vision = on_probe(server, lambda probe: look(Drawn(probe), pairs=6, seed=0))
    assert vision.blind is blind  # type: ignore[attr-defined]
    assert len(server.requests) == 12


def test_a_server_that_refuses_images_has_failed() -> None:
    def refuse(request: ScriptedRequest) -> str | ScriptedReply:
        return ScriptedReply(status=400, raw=b'{"error": {"message": "no images"}}')

    with ScriptedServer(refuse) as server:
        vision = on_probe(server, lambda probe: look_briefly(Drawn(probe), seed=0))
    assert vision.failed  # type: ignore[attr-defined]
    assert len(server.requests) == 4, "it is not asked again"


def test_a_model_that_thinks_too_long_is_not_taken_for_a_blind_one() -> None:
    def think(request: ScriptedRequest) -> ScriptedReply:
        return ScriptedReply("<think>Let me see", finish="length")

    with ScriptedServer(think) as server:
        vision = on_probe(server, lambda probe: look_briefly(Drawn(probe), seed=0))
    said = said_of(vision)  # type: ignore[arg-type]
    assert vision.mute  # type: ignore[attr-defined]
    assert said is not None
    assert "max_turn_tokens" in said


def test_a_local_model_is_shown_sizes_that_it_takes(tiny_qwen3_vl: Path) -> None:
    """Its patches make cells of 32 pixels, those of the view are 28."""
    policy: JsonValue = {"kind": "hf", "path": str(tiny_qwen3_vl)}
    limits: JsonValue = {"max_turn_tokens": 2, "max_images": 2}
    recipe = Recipe.model_validate({"policy": policy, "environment": {"limits": limits}})
    findings = asyncio.run(examine_policy(recipe, n=4))
    assert findings[0].part == "model"
    assert findings[0].lines == {"environment.view.factor": 32}
    (vision,) = (one for one in findings if one.part == "vision")
    assert vision.state == "undecided", "two tokens are cut before an answer"
