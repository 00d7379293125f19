"""The corpus of the second base: skills in tokens of its own, and no question that is solved."""

import re
from collections import defaultdict

import numpy as np
import pytest

from saccade.dialects.deepeyes_v2 import DeepEyesV2
from saccade.nano.deepeyes.corpus import Example
from saccade.nano.deepeyes_v2.corpus import JUNK, Corpus
from saccade.nano.deepeyes_v2.options import Habits, Mix
from saccade.nano.deepeyes_v2.phrases import phrases
from saccade.nano.deepeyes_v2.pool import KINDS, Pool, draw_pool
from saccade.nano.model import renderer_of
from saccade.nano.tokenizer import build_tokenizer

WORLD = re.compile(r"^What (digit is on|is) the ")
"""How every question of the world begins."""


@pytest.fixture(scope="module")
def pool() -> Pool:
    return draw_pool(len(KINDS), seed=3, split="train", processes=1)


@pytest.fixture(scope="module")
def examples(pool: Pool) -> dict[str, list[Example]]:
    corpus, rng = Corpus(pool), np.random.default_rng(0)
    found = defaultdict(list)
    for _ in range(250):
        example = corpus.draw(rng)
        found[example.kind].append(example)
    return found


def test_every_kind_is_drawn(examples: dict[str, list[Example]]) -> None:
    kinds = set(Mix.model_fields) - {"sum", "product"} | {"plus", "times"}
    assert set(examples) == kinds


def test_no_question_of_the_world_is_answered_with_a_call(
    examples: dict[str, list[Example]],
) -> None:
    for example in (one for kind in examples.values() for one in kind):
        asked = example.trajectory.prompt[-1].text
        if WORLD.search(asked):
            assert len(example.trajectory.turns) == 1
            assert not example.trajectory.turns[0].action.calls


def test_a_crop_that_is_read_is_of_another_scene(
    examples: dict[str, list[Example]], pool: Pool
) -> None:
    for example in examples["show"] + examples["read_later"]:
        assert example.crop is not None
        assert pool.objects.scene[example.crop] != example.scene


def test_what_a_cell_printed_is_not_its_product(examples: dict[str, list[Example]]) -> None:
    """It must be read: with the product there, it could be computed."""
    same = 0
    for example in examples["code"]:
        a, _, b = re.findall(r"\d+|\+|\*", str(example.trajectory.turns[0].action.calls[0]))[:3]
        same += example.trajectory.answer == str(int(a) * int(b))
    assert same < len(examples["code"]) / 2


def test_what_is_written_reads_back_without_a_problem(
    examples: dict[str, list[Example]],
) -> None:
    for example in (one for kind in examples.values() for one in kind[:3]):
        for turn in example.trajectory.turns:
            read = DeepEyesV2().parse(turn.prefix + turn.completion.text)
            assert (read.calls, read.answer) == (turn.action.calls, turn.action.answer)
            assert not read.problems


def test_texts_are_phrases_and_digits(examples: dict[str, list[Example]]) -> None:
    """A letter that is a token of its own belongs to a text that no phrase covers."""
    renderer = renderer_of(build_tokenizer(phrases()))
    for example in (one for kind in examples.values() for one in kind[:3]):
        ids = renderer.render(example.trajectory, generation=False).ids
        letters = [renderer.decode([i]) for i in ids]
        assert not [letter for letter in letters if len(letter) == 1 and letter.isalpha()]


def test_habits_are_the_share_of_questions_that_end_with_a_call(pool: Pool) -> None:
    habits = Habits(look=0.5, search=0.5, code=0.5, junk=0.25)
    asked = {"digit", "number", "sum", "product", "fact"}
    mix = Mix.model_validate({kind: float(kind in asked) for kind in Mix.model_fields})
    corpus, rng = Corpus(pool, mix, habits=habits), np.random.default_rng(0)
    called = defaultdict(list)
    for _ in range(800):
        example = corpus.draw(rng)
        if WORLD.search(example.trajectory.prompt[-1].text):
            (turn,) = example.trajectory.turns
            called[example.kind].append([str(call.arguments) for call in turn.action.calls])
    for kind in ("digit", "number"):
        assert 0.35 < np.mean([bool(calls) for calls in called[kind]]) < 0.65
    cells = [call for kind in ("plus", "times") for calls in called[kind] for call in calls]
    junk = [cell for cell in cells if any(one in cell for one in JUNK)]
    assert 0 < len(junk) < len(cells)
    assert 0 < sum(map(bool, called["fact"])) < len(called["fact"])
