"""The items of a benchmark as the samples of Inspect AI, and the task that a sample holds."""

from __future__ import annotations

from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageUser, Content, ContentImage, ContentText
from inspect_ai.solver import TaskState

from saccade.bench.recipe import BenchRecipe
from saccade.engines.inspect.pictures import data_of, whole_uri
from saccade.errors import FormatError
from saccade.images.image import Image
from saccade.rewards.judges import gold_option
from saccade.types import Task, option_letter

TASK = "saccade_task"
"""Key of a sample's metadata: the task, as run folders hold it."""
FAMILY = "family"
"""Key of a sample's metadata: the group by which numbers are told apart."""
SERVED = ("jpg", "png", "webp", "gif")
"""Kinds of files that are named by their path: Inspect reads them when their sample begins."""


def dataset_of(recipe: BenchRecipe) -> MemoryDataset:
    """Every item that a run file asks for.

    Images that are files are named, and become data URIs when their sample begins; those of a table
    are held in memory, as Inspect holds them.

    Raises:
        ConfigError: the data set is not on this machine.
        FormatError: a row cannot be used; names file and row.
    """
    tasks = recipe.source.tasks(seed=recipe.seed, max_pixels=recipe.max_image_pixels)
    name = recipe.source.made.name
    place = None if recipe.data is None else str(recipe.data)
    return MemoryDataset([sample_of(task) for task in tasks], name=name, location=place)


def sample_of(task: Task) -> Sample:
    """A task as a sample; another solver than ours finds question, options and images in it."""
    content: list[Content] = [
        ContentText(text=part) if isinstance(part, str) else ContentImage(image=_reference(part))
        for part in task.prompt
    ]
    gold = gold_option(task) if task.choices else None
    return Sample(
        id=task.id,
        input=[ChatMessageUser(content=content)],
        target=option_letter(gold) if gold is not None else task.answer or "",
        choices=[*task.choices] or None,
        metadata={FAMILY: task.family, TASK: task.model_dump(mode="json")},
    )


def task_in(state: TaskState, recipe: BenchRecipe) -> Task:
    """The task of a sample, its images from the data URIs of the sample.

    Raises:
        FormatError: the sample is none of ours.
    """
    record = state.metadata.get(TASK)
    if record is None:
        raise FormatError(
            f"sample {state.sample_id}: it holds no task of Saccade; make the samples with "
            "saccade/bench"
        )
    uris = [
        part.image
        for message in ([] if isinstance(state.input, str) else state.input)
        if not isinstance(message.content, str)
        for part in message.content
        if isinstance(part, ContentImage)
    ]
    task = Task.model_validate(record, context={"max_pixels": recipe.max_image_pixels})
    if len(uris) != len(task.images):
        raise FormatError(
            f"sample {state.sample_id}: {len(uris)} images for the {len(task.images)} of its task"
        )
    held = {image.source.name: uri for image, uri in zip(task.images, uris, strict=True)}

    def find(name: str) -> bytes:
        return data_of(held[name])

    return Task.model_validate(
        record, context={"images": find, "max_pixels": recipe.max_image_pixels}
    )


def _reference(image: Image) -> str:
    file = image.source.file
    if file is not None and image.source.extension in SERVED:
        return str(file)
    return whole_uri(image)
