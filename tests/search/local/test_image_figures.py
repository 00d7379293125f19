"""benchmarks/image_search.py on a few pictures: what it counts, and that it runs to its end."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage
from search.local.indexing import picture

FILE = Path(__file__).parents[3] / "benchmarks" / "image_search.py"


@pytest.fixture(scope="module")
def script() -> Any:
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("image_search", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["image_search"] = module
    spec.loader.exec_module(module)
    return module


def test_a_tiny_run_finds_whole_pictures_and_no_mirrored_ones(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for number, folder in enumerate(("vstar_mini", "mathvision_slice")):
        (tmp_path / folder / "images").mkdir(parents=True)
        picture(number).save(tmp_path / folder / "images" / "a.png")
    tiles = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    (tmp_path / "cifar10_slice").mkdir()
    np.savez(tmp_path / "cifar10_slice" / "cifar10_slice.npz", x_train=tiles, x_test=tiles)
    monkeypatch.setattr(script, "REPEATS", 1)
    monkeypatch.setattr(script, "AREAS", (100, 50))
    options = ["--n", "8", "--embedded", "3", "--unlike", "2", "--most", "1", "--crops", "1"]
    monkeypatch.setattr(
        sys, "argv", ["x", *options, "--data", str(tmp_path), "--no-network", "--json"]
    )
    script.main()
    result = json.loads(capsys.readouterr().out)
    rows = {(row["kind"], row["change"], row["way"]): row for row in result["changes"]}
    for kind in ("photographs", "drawings"):
        assert rows[kind, "crop 100 %", "both"]["found"]["share"] == 1
        assert rows[kind, "mirrored", "both"]["found"]["share"] == 0
        assert rows[kind, "mirrored", "both"]["n"] == 1
    assert result["limits"]["false_hits"]["both"]["chosen"]["n"] == 4
    script.show(result)
    assert "unlike queries" in capsys.readouterr().out


def test_the_rank_of_a_picture_counts_those_before_it(script: Any, tmp_path: Path) -> None:
    class Fixed(script.Tables):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            pass

        def distances(self, hashes: object, way: str) -> Any:
            return np.array([0.5, 0.2, 0.5, 1.5])

    ranks = [Fixed().rank(None, of, "both") for of in range(4)]
    assert [rank.rank for rank in ranks] == [2, 1, 3, 4]
    assert [rank.found for rank in ranks] == [False, True, False, False]
    assert isinstance(script.cropped(PILImage.new("RGB", (40, 20)), 0.5, script.random.Random(0)),
                      PILImage.Image)  # fmt: skip
