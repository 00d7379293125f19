"""The benchmark of docs/extending.md, run as the page says."""

import json
import re
from pathlib import Path

from command import here
from PIL import Image as PILImage

from saccade.testing import ScriptedRequest, ScriptedServer

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
SIGNS = {"a": "HARBOR", "b": "MARKET", "c": "STATION"}


def answer(request: ScriptedRequest) -> str:
    return f"<answer>{'harbor' if 'sign a' in request.text else 'MARKET'}</answer>"


def test_a_benchmark_of_ones_own_runs_as_the_page_says(tmp_path: Path) -> None:
    blocks = re.findall(r"```py\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (code,) = [block for block in blocks if "class Signs(Benchmark)" in block]
    assert len(code.splitlines()) < 95
    (tmp_path / "signs.py").write_text(code)
    (tmp_path / "signs").mkdir()
    rows = []
    for number, (name, word) in enumerate(SIGNS.items()):
        PILImage.new("RGB", (64, 48)).save(tmp_path / "signs" / f"{name}.jpg")
        rows.append({"id": number, "photo": f"{name}.jpg", "question": f"What says sign {name}?",
                     "answer": word, "box": [10, 12, 30, 24],
                     "light": "night" if number else "day"})  # fmt: skip
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "signs" / "test.jsonl").write_text(lines)
    with ScriptedServer(answer) as server:
        line = ["bench", "signs:Signs", "data=signs", "policy.kind=openai", "canary=false",
                f"policy.base_url={server.url}", "policy.model=m", "--json"]  # fmt: skip
        done = here(*line, "out=a", cwd=tmp_path)
        exact = here(*line, "out=b", "bench.letters=exact", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = {m["group"]: (m["value"], m["n"]) for m in json.loads(done.stdout)["metrics"]}
    assert shown == {"all": (2 / 3, 3), "at day": (1.0, 1), "at night": (0.5, 2)}
    assert json.loads(exact.stdout)["metrics"][0]["value"] == 1 / 3
    (tmp_path / "signs" / "test.jsonl").write_text(lines.replace('"answer": "MARKET", ', ""))
    with ScriptedServer(answer) as server:
        broken = here(*line, "out=c", cwd=tmp_path)
    assert broken.returncode == 1
    assert "test.jsonl:2: answer: missing" in broken.stderr
