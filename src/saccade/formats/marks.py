"""Where images stand in a question that is written as text: the n-th `<image>` is the n-th image.

    interleaved("Is <image> older than <image>?", (first, second), "tasks.jsonl:3")
    # ("Is", first, "older than", second, "?")

A text without marks follows its images. Source: the convention of LLaVA's and verl's training data.
"""

from __future__ import annotations

from collections.abc import Sequence

from saccade.errors import FormatError
from saccade.images.image import Image
from saccade.types import Part

IMAGE = "<image>"


def interleaved(text: str, images: Sequence[Image], where: str) -> tuple[Part, ...]:
    """A prompt of text and images in the order in which the text has them.

    White space beside a mark is left out.

    Raises:
        FormatError: there are marks, but another number of them than of images.
    """
    check_marks(text, len(images), where)
    first, *others = text.split(IMAGE)
    if not others:
        return (*images, text)
    parts: list[Part] = [first.strip()]
    for image, piece in zip(images, others, strict=True):
        parts += [image, piece.strip()]
    return tuple(part for part in parts if part != "")


def check_marks(text: str, images: int, where: str) -> None:
    """Make sure that a text has a mark for each image, or none.

    Of a mark without its image, and of an image without its mark, nobody knows what was meant: also
    where there are no images, the mark is more often a lost picture than a word.

    Raises:
        FormatError: there are marks, but another number of them than of images.
    """
    marks = text.count(IMAGE)
    if marks not in (0, images):
        raise FormatError(
            f"{where}: {_counted(marks, f'mark {IMAGE}', f'marks {IMAGE}')} for "
            f"{_counted(images, 'image', 'images')}; the n-th mark says where the n-th image "
            "stands: write one for each, or none, and the images come first"
        )


def refuse_marks(choices: Sequence[str], where: str) -> None:
    """Make sure that no choice has a mark: an image can stand in the question only.

    Raises:
        FormatError: one has.
    """
    for number, choice in enumerate(choices, start=1):
        if IMAGE in choice:
            raise FormatError(
                f"{where}: choice {number} has the mark {IMAGE}, and an image can stand in the "
                "question only; show the options there and name them here, as in 'the first image'"
            )


def as_text(prompt: Sequence[Part], where: str) -> str:
    """The text from which `interleaved` makes this prompt again.

    Raises:
        FormatError: a text that shows the mark itself, which cannot be told from an image.
    """
    texts = [part for part in prompt if isinstance(part, str)]
    if any(IMAGE in text for text in texts):
        raise FormatError(f"{where}: a text holds {IMAGE}, which would be read as an image")
    first = len(prompt) - len(texts)
    if all(isinstance(part, Image) for part in prompt[:first]):
        return "\n".join(texts)
    return " ".join(part if isinstance(part, str) else IMAGE for part in prompt)


def _counted(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"
