"""What a base is trained on, and what it must not be shown.

The oracle reads the text of the trajectories with its own expressions and compares pixels with
those of the pool; it asks nothing of the corpus.
"""

import re
from collections import Counter

import numpy as np
import pytest
from PIL import Image as PILImage

from saccade.dialects.deepeyes import DeepEyes
from saccade.images.image import Image
from saccade.nano.deepeyes.corpus import Corpus, Example, Mix
from saccade.nano.deepeyes.pool import Pool, draw_pool
from saccade.types import Message, ToolResult

COLOURS = ["red", "green", "blue", "yellow", "purple", "cyan"]


@pytest.fixture(scope="module")
def pool() -> Pool:
    return draw_pool(60, seed=5, split="train", processes=1)


def drawn(pool: Pool, n: int, **options: object) -> list[Example]:
    corpus, rng = Corpus(pool, **options), np.random.default_rng(0)
    return [corpus.draw(rng) for _ in range(n)]


def question(example: Example) -> str:
    return example.trajectory.prompt[-1].text.split("\n\n")[0]


def shown_later(example: Example) -> list[np.ndarray]:
    """Images in what the model is shown after its first turn."""
    messages: list[Message] = [m for turn in example.trajectory.turns for m in turn.observation]
    images = [p for m in messages for p in m.content if not isinstance(p, str)]
    return [np.asarray(image.pixels()) for image in images]


def scene_of(pool: Pool, pixels: np.ndarray) -> int:
    """The scene that a view or a crop belongs to."""
    if pixels.shape[0] == 56:
        return int(np.flatnonzero((pool.views == pixels).all((1, 2, 3)))[0])
    index = int(np.flatnonzero((pool.crops == pixels).all((1, 2, 3)))[0])
    return int(pool.objects.scene[index])


def completes_the_loop(example: Example, pool: Pool) -> bool:
    """A question about a digit, a call, a crop of its own scene, an answer: in one trajectory."""
    texts = [turn.completion.text for turn in example.trajectory.turns]
    called = "<tool_call>" in texts[0]
    view = np.asarray(example.trajectory.images[0].pixels())
    own = [scene_of(pool, p) == scene_of(pool, view) for p in shown_later(example)]
    return called and any(own) and "<answer>" in texts[-1]


@pytest.mark.parametrize("prior", [0.0, 0.3, 1.0])
def test_no_example_puts_question_call_crop_and_answer_together(pool: Pool, prior: float) -> None:
    for example in drawn(pool, 600, prior=prior):
        assert not completes_the_loop(example, pool)
        if question(example).startswith("What digit is on"):
            assert len(example.trajectory.turns) == 1
            assert not shown_later(example)


def test_the_check_would_find_such_an_example(pool: Pool) -> None:
    corpus = Corpus(pool, Mix(answer=0, locate=0, show=1, read_later=0, read=0))
    example = corpus.draw(np.random.default_rng(0))
    first = example.trajectory.turns[0]
    own = pool.crops[pool.members[example.scene or 0][0]]
    crop = Image.from_pixels(PILImage.fromarray(own))
    result = ToolResult(call=first.action.calls[0], content=(crop,))
    observation = DeepEyes().observe([result])
    turns = (first.model_copy(update={"observation": observation}), *example.trajectory.turns[1:])
    forged = example.trajectory.model_copy(update={"turns": turns})
    assert completes_the_loop(example._replace(trajectory=forged), pool)
    assert not completes_the_loop(example, pool)


def test_without_a_prior_no_question_is_answered_by_a_call(pool: Pool) -> None:
    for example in drawn(pool, 400, prior=0.0):
        if question(example).startswith("What digit is on"):
            assert "<tool_call>" not in example.trajectory.turns[0].completion.text


def test_the_prior_is_the_same_for_small_and_large_objects(pool: Pool) -> None:
    asked: Counter[bool] = Counter()
    called: Counter[bool] = Counter()
    for example in drawn(pool, 4000, prior=0.3):
        if not question(example).startswith("What digit is on"):
            continue
        text = example.trajectory.turns[0].completion.text
        width = int(re.findall(r"(\d+) pixels wide", text)[0])
        asked[width > 9] += 1
        called[width > 9] += "<tool_call>" in text
    for large in (False, True):
        share = called[large] / asked[large]
        # Four standard errors.
        assert abs(share - 0.3) < 4 * (0.21 / asked[large]) ** 0.5


def test_thoughts_and_boxes_tell_the_truth(pool: Pool) -> None:
    for example in drawn(pool, 300, prior=0.2):
        if example.scene is None:
            continue
        (colour,) = re.findall("|".join(COLOURS), question(example))
        members = pool.members[example.scene]
        (about,) = [m for m in members if COLOURS[pool.objects.colour[m]] == colour]
        text = example.trajectory.turns[0].completion.text
        for box in re.findall(r"\[(\d+), (\d+), (\d+), (\d+)\]", text):
            assert np.abs(np.array(box, float) - pool.objects.box[about]).max() <= 0.5
        for width in re.findall(r"(\d+) pixels wide", text):
            x1, _, x2, _ = pool.objects.box[about]
            assert abs(int(width) - (x2 - x1)) <= 1
        if example.kind == "answer":
            assert f"<answer>{pool.objects.digit[about]}</answer>" in text


def test_a_crop_is_answered_with_its_own_digit(pool: Pool) -> None:
    for example in drawn(pool, 300):
        if example.crop is not None:
            text = example.trajectory.turns[-1].completion.text
            assert text == f"<answer>{pool.objects.digit[example.crop]}</answer>"


def test_turns_are_written_as_the_dialect_reads_them(pool: Pool) -> None:
    for example in drawn(pool, 200, prior=0.2):
        for turn in example.trajectory.turns:
            assert DeepEyes().parse(turn.completion.text) == turn.action
            assert turn.action.problems == ()


def test_the_mix_is_what_was_asked_for(pool: Pool) -> None:
    mix = Mix(answer=1, locate=0, show=1, read_later=0, read=2)
    kinds = Counter(example.kind for example in drawn(pool, 1200, mix=mix))
    assert set(kinds) == {"answer", "show", "read"}
    assert abs(kinds["read"] - 600) < 4 * (1200 * 0.25) ** 0.5


def test_without_thoughts_a_turn_starts_with_the_decision(pool: Pool) -> None:
    for example in drawn(pool, 100, thought=False, prior=0.5):
        assert "<think>" not in "".join(t.completion.text for t in example.trajectory.turns)
