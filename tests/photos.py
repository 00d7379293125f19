"""A data set of small photographs in the format of vstar_mini, written by the test."""

import json
from pathlib import Path

from PIL import Image as PILImage


def write_photos(folder: Path, n: int, *, size: tuple[int, int] = (64, 48)) -> Path:
    """A folder with `questions.json`: the right option is the second of each question."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for number in range(n):
        photo = PILImage.new("RGB", size, (number % 256, 90, 120))
        photo.save(folder / "images" / f"{number}.jpg", quality=60)
        rows.append(
            {
                "id": f"q{number:02d}",
                "image": f"images/{number}.jpg",
                "question": f"What is written on sign {number}?",
                "options": ["MARKET", "HARBOR", "STATION"],
                "answer_index": 1,
                "bbox": [10, 12, 30, 24],
                "category": "direct_attributes" if number % 2 else "relative_position",
            }
        )
    (folder / "questions.json").write_text(json.dumps(rows))
    return folder


def letter_of(text: str, option: str = "HARBOR") -> str:
    """The letter before an option in a prompt."""
    return next(line[0] for line in text.splitlines() if line[1:] == f". {option}")
