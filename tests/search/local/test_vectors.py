"""Vectors of passages on disk."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import saccade.search.local.vectors as vectors_module
from saccade.errors import ConfigError, FormatError
from saccade.search.local.vectors import Near, Place, VectorIndex

EAST, NORTH, UP = np.eye(3, dtype=np.float32)


def found(index: VectorIndex, vector: np.ndarray = EAST, k: int = 10) -> list[str]:
    return [near.place.document for near in index.search(vector, k)]


def test_the_nearest_come_first(tmp_path: Path) -> None:
    index = VectorIndex(tmp_path, "letters")
    index.add([Place("up", 0), Place("east", 2)], np.stack([UP, EAST]))
    index.add([Place("between", 1)], (np.stack([EAST + UP]) / 2**0.5))
    assert index.search(EAST, 2) == []
    index.commit()
    assert index.search(EAST, 2)[0] == Near(Place("east", 2), 1.0)
    assert found(index) == ["east", "between", "up"]
    assert found(VectorIndex(tmp_path, "letters"), UP) == ["up", "between", "east"]
    assert len(index) == 3


def test_what_is_not_committed_is_lost_and_nothing_else(tmp_path: Path) -> None:
    index = VectorIndex(tmp_path, "letters")
    index.add([Place("a", 0), Place("b", 0)], np.stack([EAST, NORTH]))
    index.commit()
    index.add([Place("c", 0)], UP[None])
    index.remove("a")
    index.close()
    assert found(VectorIndex(tmp_path, "letters")) == ["a", "b"]


def test_a_crash_within_a_commit_leaves_the_state_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = VectorIndex(tmp_path, "letters")
    index.add([Place("a", 0)], EAST[None])
    index.commit()
    index.remove("a")
    index.add([Place("b", 0)], NORTH[None])
    whole = vectors_module.write_whole

    def crash(file: Path, data: bytes) -> None:
        if file.name == vectors_module.NAMES:
            raise KeyboardInterrupt
        whole(file, data)

    monkeypatch.setattr(vectors_module, "write_whole", crash)
    with pytest.raises(KeyboardInterrupt):
        index.commit()
    monkeypatch.undo()
    again = VectorIndex(tmp_path, "letters")
    assert found(again) == ["a"]
    again.add([Place("c", 0)], UP[None])
    again.commit()
    assert found(VectorIndex(tmp_path, "letters")) == ["a", "c"]


def test_a_reader_keeps_its_state_while_a_writer_goes_on(tmp_path: Path) -> None:
    writer = VectorIndex(tmp_path, "letters")
    writer.add([Place("a", 0)], EAST[None])
    writer.commit()
    reader = VectorIndex(tmp_path, "letters")
    writer.remove("a")
    writer.add([Place("b", 0)], EAST[None])
    writer.commit()
    assert found(reader) == ["a"]
    assert found(writer) == ["b"]


def test_removed_passages_take_no_place_among_the_nearest(tmp_path: Path) -> None:
    index = VectorIndex(tmp_path, "letters")
    index.add([Place("a", 0), Place("a", 1), Place("b", 0)], np.stack([EAST, EAST, NORTH]))
    index.commit()
    index.remove("a")
    index.commit()
    assert found(index, EAST, 1) == ["b"]


STEP = st.tuples(st.sampled_from("+-"), st.sampled_from("abcdef")) | st.just(("commit", ""))


@given(st.lists(STEP, max_size=30))
@settings(max_examples=15, deadline=None)
def test_it_holds_what_a_dictionary_would(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("vectors")
    index = VectorIndex(folder, "letters")
    held: dict[str, int] = {}
    for number, (step, document) in enumerate(steps):
        if step == "commit":
            index.commit()
        else:
            index.remove(document)
            held.pop(document, None)
        if step == "+":
            index.add([Place(document, number)], EAST[None])
            held[document] = number
    index.commit()
    expected = sorted(held.items())
    assert [tuple(near.place) for near in index.search(EAST, 10)] == expected
    assert [tuple(n.place) for n in VectorIndex(folder, "letters").search(EAST, 10)] == expected
    assert len(list(folder.glob("*.f32"))) <= vectors_module.MOST_PARTS


def test_many_commits_are_written_together(tmp_path: Path) -> None:
    index = VectorIndex(tmp_path, "letters")
    for number in range(20):
        index.add([Place(f"{number:02d}", 0)], EAST[None])
        index.commit()
    assert len(list(tmp_path.iterdir())) <= 2 * vectors_module.MOST_PARTS + 1
    assert found(index, k=20) == [f"{number:02d}" for number in range(20)]


def test_vectors_of_another_embedder_or_width_are_refused(tmp_path: Path) -> None:
    index = VectorIndex(tmp_path, "letters")
    index.add([Place("a", 0)], EAST[None])
    with pytest.raises(ValueError, match=r"expected \(1, 3\)"):
        index.add([Place("b", 0)], np.ones((1, 2), dtype=np.float32))
    index.commit()
    with pytest.raises(ConfigError, match="made by letters"):
        VectorIndex(tmp_path, "words")


@pytest.mark.parametrize("file", ["0.f32", "0.json", "vectors.json"])
def test_a_damaged_file_is_named(tmp_path: Path, file: str) -> None:
    index = VectorIndex(tmp_path, "letters")
    index.add([Place("a", 0)], EAST[None])
    index.commit()
    (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:-2])
    with pytest.raises(FormatError, match="build it again"):
        VectorIndex(tmp_path, "letters")
