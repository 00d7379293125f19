"""The library: every fact of a world is found by what is seen and asked, in that world alone."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from command import here
from PIL import Image as PILImage

from saccade.config import Part
from saccade.errors import ConfigError
from saccade.images.image import Image
from saccade.search.found import Hit, Query
from saccade.search.provider import provider_of
from saccade.world import tasks
from saccade.world.emblems import emblems_of, picture_of
from saccade.world.facts import facts_of
from saccade.world.library import Library, LibraryOptions
from saccade.world.scene import background


def found(library: Library, *queries: Query) -> list[Sequence[Hit]]:
    async def ask() -> list[Sequence[Hit]]:
        await library.start()
        results = [await library.search(query) for query in queries]
        await library.close()
        return [[result.hit for result in each.results] for each in results]

    return asyncio.run(ask())


def test_each_fact_is_found_by_its_attribute_and_the_name() -> None:
    known = list(facts_of("dev", 5).facts.values())
    queries = [Query("text", text=f"{f.attribute} {f.thing.name}") for f in known]
    hits = found(Library(LibraryOptions(split="dev", seed=5)), *queries)
    ranks = [
        [hit.document for hit in several].index(fact.document)
        for fact, several in zip(known, hits, strict=True)
    ]
    assert max(ranks) < 5
    # What is outdated, or of another thing, shares the words: not every first hit is right.
    assert 0.5 < sum(rank == 0 for rank in ranks) / len(ranks) < 1
    first = hits[0][0]
    assert (first.title, first.url) == (known[0].thing.name, "")


def test_a_question_is_searched_for_in_its_own_library() -> None:
    asked = [next(tasks("lookup", n=1, seed=seed, split="dev")) for seed in (1, 2)]
    facts = [task.meta["facts"][0] for task in asked]
    queries = [
        Query("text", text=f"{fact['attribute']} {fact['entity']}", task_id=task.id)
        for task, fact in zip(asked, facts, strict=True)
    ]
    hits = found(Library(), *queries)
    for fact, several in zip(facts, hits, strict=True):
        assert fact["document"] in [hit.document for hit in several]
    assert Library().facts == Library(LibraryOptions()).facts
    assert Library().facts != Library(LibraryOptions(seed=1)).facts


@pytest.mark.parametrize(
    ("options", "task_id", "message"),
    [
        ({"split": "test", "seed": 0}, "lookup-test-672-s1-00000", "seed 0.*of test, seed 1"),
        ({"split": "dev"}, "all-test-672-s1-00000", "documents of dev.*of test"),
        ({"seed": 3}, "photo", "no task of this world"),
        ({}, "photo", "no task of this world"),
    ],
)
def test_the_library_of_another_world_is_refused(
    options: dict[str, object], task_id: str, message: str
) -> None:
    """Its facts would be others: all answers would be wrong, and nothing would say why."""
    library = Library(LibraryOptions.model_validate(options))
    with pytest.raises(ConfigError, match=message):
        found(library, Query("text", text="price red 47", task_id=task_id))


def test_a_run_file_names_it() -> None:
    part = Part(kind="saccade.world.library:Library", split="test")
    for kind in ("text", "image"):
        assert provider_of(part, kind, "tools.x.provider").name == "library"  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"split.*'train', 'dev' or 'test'"):
        provider_of(Part(kind=part.kind, split="tests"), "text", "tools.text_search.provider")


def on_a_scene(picture: PILImage.Image, *, seed: int) -> Image:
    """A picture with some of the dark background around it, as a box that is too large shows it."""
    canvas = PILImage.fromarray(background(np.random.default_rng(seed), 100))
    canvas.paste(picture, (20, 30))
    return Image.from_pixels(canvas)


def test_what_an_emblem_stands_for_is_found_by_its_picture() -> None:
    emblems = list(emblems_of("dev", 0).items())[:12]
    queries = [
        Query("image", image=on_a_scene(picture_of(thing, emblem), seed=n))
        for n, (thing, emblem) in enumerate(emblems)
    ]
    blank = Query("image", image=Image.from_pixels(PILImage.new("RGB", (60, 40), "grey")))
    hits = found(Library(LibraryOptions(split="dev", seed=0)), *queries, blank)
    assert [several[0].title for several in hits[:-1]] == [thing.name for thing, _ in emblems]
    assert hits[-1] == []


def test_its_documents_are_rows_for_an_index(tmp_path: Path) -> None:
    file = tmp_path / "new" / "library.jsonl"
    done = here("nano", "library", "--split", "dev", "--seed", "4", "--out", str(file), "--json")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert json.loads(done.stdout)["documents"] == len(rows)
    documents = facts_of("dev", 4).documents
    assert [(r["id"], r["title"], r["text"]) for r in rows] == list(documents)
    wrong = here("nano", "library", "--split", "val", "--out", str(file))
    assert (wrong.returncode, "'train', 'dev', 'test'" in wrong.stderr) == (2, True)
