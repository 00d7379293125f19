"""Which items of a benchmark are asked, whatever it is."""

from pathlib import Path

from photos import write_photos

from saccade.bench.source import BenchTasks
from saccade.config import Part


def source(folder: Path, **options: object) -> BenchTasks:
    return BenchTasks(benchmark=Part(kind="vstar_mini"), data=folder, **options)  # type: ignore[arg-type]


def test_items_that_are_finished_are_left_out_before_their_images_are_opened(
    tmp_path: Path,
) -> None:
    made = source(write_photos(tmp_path / "d", 4))
    (tmp_path / "d" / "images" / "2.jpg").unlink()
    left = made.tasks(seed=0, max_pixels=10**8, wanted=lambda name: name not in {"q02", "q03"})
    assert [task.id for task in left] == ["q00", "q01"]


def test_shards_of_a_part_are_a_part_of_it(tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "d", 12)
    some = source(folder, n=7).ids(5)
    parts = [source(folder, n=7, shard=f"{k}/2").ids(5) for k in (1, 2)]
    assert sorted(parts[0] + parts[1]) == sorted(some)
    assert source(folder, n=7, shard="1/2").count() is None
    assert source(folder, n=7).count() == 7


def test_every_rotation_is_a_task_of_one_unit(tmp_path: Path) -> None:
    made = source(write_photos(tmp_path / "d", 2), order="circular")
    asked = list(made.tasks(seed=0, max_pixels=10**8))
    assert [task.id for task in asked[:3]] == ["q00+0", "q00+1", "q00+2"]
    assert {task.meta["unit"] for task in asked} == {"q00", "q01"}
    assert {(task.answer or "")[0] for task in asked} == {"A", "B", "C"}
    assert made.count() is None
