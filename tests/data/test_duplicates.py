"""Planted duplicates are caught, within the questions and in benchmarks; without the terms not."""

import asyncio
import io
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
from building import a_task, plain

from saccade.cli.common.references import with_benchmarks
from saccade.config import Table
from saccade.data.curate import Curated, CurateRecipe, curate
from saccade.errors import ConfigError, FormatError
from saccade.formats.tasks import write_tasks
from saccade.images.image import Image
from saccade.types import Task
from saccade.world import tasks as world_tasks

ASKED = "What digit is on the red object?"
PROBLEM = " ".join(a + b for a in "abcdefgh" for b in "ijklmnop") + " how many are left of 12"
"""A text that is long enough for a typing error to be seen through."""


@cache
def scene(seed: int) -> Image:
    return next(world_tasks("read", n=1, seed=seed, split="train")).images[0]


def copy_of(image: Image, scale: float = 0.5, quality: int = 80) -> Image:
    """The image at another size, compressed again."""
    pixels = image.pixels()
    size = (round(pixels.width * scale), round(pixels.height * scale))
    buffer = io.BytesIO()
    pixels.resize(size).save(buffer, "JPEG", quality=quality)
    return Image.from_bytes(buffer.getvalue())


def recipe_of(folder: Path, questions: Sequence[Task], *terms: Table | str) -> CurateRecipe:
    path = write_tasks(questions, folder / "source")
    return with_benchmarks(
        CurateRecipe.model_validate(
            {
                "out": str(folder / "out"),
                "tasks": {"kind": "file", "path": str(path)},
                "policy": {"kind": "world"},
                "curate": {"terms": list(terms)},
            }
        )
    )


def run(folder: Path, questions: Sequence[Task], *terms: Table | str) -> Curated:
    return asyncio.run(curate(recipe_of(folder, questions, *terms)))


def dropped(curated: Curated) -> dict[str, str]:
    return {o.id: o.reason for o in curated.outcomes if not o.kept}


def planted() -> list[Task]:
    """Copies of "first" in text and image, and what is only like it."""
    first, long = scene(1), PROBLEM.replace("dm", "md")
    return [
        a_task(first, ASKED, id="first", answer="7"),
        a_task(copy_of(first), "what digit is on the RED object", id="copy", answer="7"),
        a_task(copy_of(first, 0.3), ASKED, id="relabelled", answer="1"),
        a_task(copy_of(first), "What digit is on the blue object?", id="other question"),
        a_task(scene(2), ASKED, id="other image"),
        a_task(first, scene(2), ASKED, id="two images"),
        a_task(ASKED, id="no image"),
        a_task(PROBLEM, id="long"),
        a_task(long, id="typo"),
        a_task(long.replace("12", "13"), id="other number"),
        a_task(first, ASKED, id="options", choices=("7", "1"), answer="A"),
        a_task(first, ASKED, id="options in another order", choices=("1", "7"), answer="B"),
    ]


def test_a_planted_duplicate_is_dropped_and_what_is_only_like_it_stays(tmp_path: Path) -> None:
    curated = run(tmp_path, planted(), "duplicates")
    found = {o.id: o.measures for o in curated.outcomes if not o.kept}
    assert found == {
        "copy": {"duplicate_of": "first", "same_answer": True},
        "relabelled": {"duplicate_of": "first", "same_answer": False},
        "typo": {"duplicate_of": "long", "same_answer": True},
        "options in another order": {"duplicate_of": "options", "same_answer": False},
    }
    assert set(dropped(curated).values()) == {"asked before"}


def test_without_the_mechanism_it_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No term: nothing is dropped. Without the comparison of images, no copy of one is found; and
    at a Jaccard index of 1 no typing error is seen through."""
    assert dropped(run(tmp_path / "none", planted(), "structure")) == {}
    exact: Table = {"kind": "duplicates", "text": 1.0}
    assert "typo" not in dropped(run(tmp_path / "exact", planted(), exact))
    blind = "saccade.data.curate.duplicates.ImageIndex.nearest"
    monkeypatch.setattr(blind, lambda index, sketch: [])
    assert not {"copy", "relabelled"} & set(
        dropped(run(tmp_path / "blind", planted(), "duplicates"))
    )


def held_out(folder: Path) -> Path:
    """A benchmark of three items."""
    items = [
        a_task(scene(1), ASKED, id="item-1", answer="7"),
        a_task(scene(3), "What colour is the digit 4 on?", id="item-2", answer="red"),
        a_task(PROBLEM, id="item-3", answer="12"),
    ]
    return write_tasks(items, folder / "held_out")


def leaking() -> list[Task]:
    return [
        a_task(copy_of(scene(1)), "what digit is on the RED object", id="leak", answer="7"),
        a_task(scene(2), copy_of(scene(1), 0.25, 60), ASKED, id="among others", answer="7"),
        a_task(copy_of(scene(3)), "How many objects are there?", id="image", answer="5"),
        a_task(PROBLEM.replace("dm", "md"), id="text", answer="12"),
        a_task(scene(2), ASKED, id="clean", answer="7"),
        a_task("How many are left of 13?", id="clean text", answer="13"),
    ]


def test_what_a_benchmark_asks_is_dropped_and_the_item_is_named(tmp_path: Path) -> None:
    source: Table = {"kind": "file", "path": str(held_out(tmp_path)), "name": "held out"}
    curated = run(tmp_path, leaking(), {"kind": "decontaminate", "against": [source]})
    assert dropped(curated) == {
        "leak": "asked in held out",
        "among others": "asked in held out",
        "image": "an image of held out",
        "text": "asked in held out",
    }
    matches = {o.id: o.measures["match"] for o in curated.outcomes if o.measures}
    items = {name: match["item"] for name, match in matches.items() if isinstance(match, dict)}
    assert items == {
        "leak": "item-1", "among others": "item-1", "image": "item-2", "text": "item-3"
    }  # fmt: skip
    leak = matches["leak"]
    assert isinstance(leak, dict)
    assert (leak["benchmark"], leak["text"]) == ("held out", 1.0)
    assert {"bits", "difference"} < set(leak)


def test_without_the_term_the_leak_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source: Table = {"kind": "file", "path": str(held_out(tmp_path))}
    assert dropped(run(tmp_path / "none", leaking(), "structure")) == {}
    term: Table = {"kind": "decontaminate", "against": [source]}
    blind = "saccade.data.curate.duplicates.ImageIndex.nearest"
    monkeypatch.setattr(blind, lambda index, sketch: [])
    assert set(dropped(run(tmp_path / "blind", leaking(), term))) == {"text"}


def test_an_image_of_a_benchmark_in_other_words_can_stay_and_is_noted(tmp_path: Path) -> None:
    source: Table = {"kind": "file", "path": str(held_out(tmp_path))}
    term: Table = {"kind": "decontaminate", "against": [source], "same_image": "note"}
    curated = run(tmp_path, leaking(), term)
    assert "image" not in dropped(curated)
    (noted,) = (o.measures for o in curated.outcomes if o.id == "image")
    assert isinstance(match := noted["match"], dict)
    assert (match["benchmark"], match["item"]) == (str(held_out(tmp_path)), "item-2")


def test_a_benchmark_is_named_as_saccade_bench_names_it(tmp_path: Path) -> None:
    """An item of the benchmark of the embedded world, in another size, among training questions."""
    source: Table = {"kind": "nano", "n": 3}
    made = recipe_of(tmp_path, [], {"kind": "decontaminate", "against": [source]})
    (part,) = made.curate.terms
    assert isinstance(against := part.options["against"], list)
    assert isinstance(resolved := against[0], dict)
    assert (resolved["name"], resolved["n"]) == ("nano", 3)
    item = item_of_nano()
    questions = [
        a_task(copy_of(item.images[0]), item.question, id="leak", answer="7"),
        a_task(scene(2), ASKED, id="clean", answer="7"),
    ]
    curated = run(tmp_path, questions, {"kind": "decontaminate", "against": [source]})
    assert dropped(curated) == {"leak": "asked in nano"}
    assert curated.outcomes[0].measures["match"]["item"] == item.id  # type: ignore[index, call-overload]


def item_of_nano() -> Task:
    """One of the three items that a run of the benchmark with n=3 and this seed asks."""
    from saccade.bench.source import BenchTasks
    from saccade.config import Part

    source = BenchTasks(benchmark=Part(kind="nano"), n=3)
    return next(source.tasks(seed=0, max_pixels=10**7))


@pytest.mark.parametrize(
    ("against", "says"),
    [
        ([], 'name a benchmark, as in against = \\["vstar"\\]'),
        (["vstr"], "there is no benchmark 'vstr'; did you mean 'vstar'"),
        (["nano", {"kind": "file"}], "against.path: "),
        ([{"kind": "file", "path": "none.jsonl"}], "none.jsonl: cannot be read"),
        ([{"kind": "nano", "familie": "read"}], "familie"),
    ],
)
def test_a_benchmark_that_is_not_there_is_said_before_the_run(
    tmp_path: Path, against: list[Table | str], says: str
) -> None:
    with pytest.raises((ConfigError, FormatError), match=says):
        run(tmp_path, leaking(), {"kind": "decontaminate", "against": against})  # type: ignore[dict-item]
    assert not (tmp_path / "out" / "report.jsonl").exists()


def damaged(image: Image) -> Image:
    """An image whose file has its size and breaks off."""
    return Image.from_bytes(image.source.encoded()[:2000])


def test_a_question_whose_image_is_damaged_is_dropped_and_a_damaged_item_is_named(
    tmp_path: Path,
) -> None:
    broken = a_task(damaged(scene(1)), ASKED, id="broken", answer="7")
    whole = a_task(scene(2), ASKED, id="whole", answer="7")
    reasons = dropped(run(tmp_path, [broken, whole], "duplicates"))
    assert reasons == {"broken": "an image cannot be decoded"}
    source: Table = {"kind": "file", "path": str(write_tasks([broken], tmp_path / "held_out"))}
    with pytest.raises(FormatError, match=r"curate.terms.against: .*, item broken: "):
        run(tmp_path / "b", [whole], {"kind": "decontaminate", "against": [source]})


def test_white_pages_with_the_same_question_are_told_apart(tmp_path: Path) -> None:
    """What is too flat for a hash is a copy of the same file alone."""
    pages = [a_task(plain(80, 80 + n, "white"), ASKED, id=f"page-{n}") for n in (0, 1, 0)]
    pages[2] = pages[2].model_copy(update={"id": "again"})
    assert set(dropped(run(tmp_path, pages, "duplicates"))) == {"again"}


def test_the_counts_of_a_run_say_how_many_were_asked_before(tmp_path: Path) -> None:
    run(tmp_path, planted(), "duplicates")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["dropped"] == {"duplicates: asked before": 4}
