"""Where images stand in a question that is written as text: the n-th `<image>` is the n-th image.

    interleaved("Is <image> older than <image>?", (first, second), "tasks.jsonl:3")
    # ("Is", first, "older than", second, "?")

A text without marks follows its images. Source: the convention of LLaVA's, verl's and
LLaMA-Factory's training data. Numbered marks are read too, where they stand in order, each once:
`<image 1>` as MMMU writes them, `<image_1>`. What other tools put in place of an image (`<img>`,
`<|image_pad|>`) is refused, unless the images have marks: then it is text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from saccade.errors import FormatError
from saccade.images.image import Image
from saccade.types import Part

IMAGE = "<image>"
_MARK = re.compile(r"<\s*+image\s*+(?:[-_#]?\s*+(?P<number>\d{1,3})\s*+)?/?>", re.IGNORECASE)
_FOREIGN = re.compile(
    r"<[\s/]*(?:img|image|video|audio)[^<>\n]{0,80}>"
    r"|<(?:start|end)_of_image>"
    r"|<\|[^<>|\n]{0,20}(?:img|image|vision|video|audio)[^<>|\n]{0,20}\|>"
    r"|\[IMG\w{0,10}\]"
    r"|(?:&lt;|\\<|\uff1c)\s*image[^<>\n]{0,10}?(?:&gt;|\\>|\uff1e)",
    re.IGNORECASE,
)
"""What stands for an image elsewhere. Source: the chat templates and processors of Qwen-VL, Phi-3
Vision, Llama 3.2, Gemma 3, Pixtral, DeepSeek-VL and InternLM-XComposer on the hub."""


def interleaved(text: str, images: Sequence[Image], where: str) -> tuple[Part, ...]:
    """A prompt of text and images in the order in which the text has them.

    White space beside a mark is left out.

    Raises:
        FormatError: the marks do not fit the images; see `marked`.
    """
    first, *others = marked(text, len(images), where).split(IMAGE)
    if not others:
        return (*images, text)
    parts: list[Part] = [first.strip()]
    for image, piece in zip(images, others, strict=True):
        parts += [image, piece.strip()]
    return tuple(part for part in parts if part != "")


def marked(text: str, images: int, where: str) -> str:
    """The text with each of its marks as `<image>`: one for each image, or none.

    Of a mark without its image, and of an image without its mark, nobody knows what was meant: also
    where there are no images, the mark is more often a lost picture than a word.

    Raises:
        FormatError: there is another number of marks than of images, they are numbered in another
            order, or the images have no marks and something else stands for them.
    """
    found = list(_MARK.finditer(text))
    numbers = [int(mark["number"]) for mark in found if mark["number"]]
    if numbers and (len(found) != images or numbers != list(range(1, images + 1))):
        names = " ".join(mark.group() for mark in found[:6])
        raise FormatError(
            f"{where}: the marks {names} for {_counted(images, 'image', 'images')}; expected a "
            "mark for each image, numbered from 1 in the order of the text: list the images in "
            "the order in which the text has them, each once"
        )
    if len(found) not in (0, images):
        marks = _counted(len(found), f"mark {IMAGE}", f"marks {IMAGE}")
        raise FormatError(
            f"{where}: {marks} for {_counted(images, 'image', 'images')}; the n-th mark says where "
            "the n-th image stands: write one for each, or none, and the images come first"
        )
    if images and not found and (foreign := _FOREIGN.search(text)):
        raise FormatError(
            f"{where}: {foreign.group()} stands for an image in other formats; write {IMAGE} where "
            f"each of the {_counted(images, 'image', 'images')} stands: other text is kept then"
        )
    return _MARK.sub(IMAGE, text)


def has_marks(text: str) -> bool:
    """Whether an image stands in a text."""
    return _MARK.search(text) is not None


def check_choices(choices: Sequence[str], question: str, images: int, where: str) -> None:
    """Make sure that no choice has a mark: an image can stand in the question only.

    Raises:
        FormatError: one has; or the images have no marks, and something stands for one of them.
    """
    loose = images > 0 and not has_marks(question)
    for number, choice in enumerate(choices, start=1):
        mark = _MARK.search(choice) or (_FOREIGN.search(choice) if loose else None)
        if mark:
            raise FormatError(
                f"{where}: choice {number} has the mark {mark.group()}, and an image can stand in "
                "the question only; show the options there and name them here, as in 'the first "
                "image'"
            )


def as_text(prompt: Sequence[Part], choices: Sequence[str], where: str) -> str:
    """The text from which `interleaved` makes this prompt again.

    Raises:
        FormatError: a text that shows a mark itself, which cannot be told from an image.
    """
    texts = [part for part in prompt if isinstance(part, str)]
    for text in (*texts, *choices):
        if mark := _MARK.search(text):
            raise FormatError(
                f"{where}: a text holds {mark.group()}, which would be read as an image"
            )
    first = len(prompt) - len(texts)
    foreign = first > 0 and any(map(_FOREIGN.search, (*texts, *choices)))
    if not foreign and all(isinstance(part, Image) for part in prompt[:first]):
        return "\n".join(texts)
    return " ".join(part if isinstance(part, str) else IMAGE for part in prompt)


def _counted(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"
