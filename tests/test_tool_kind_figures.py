"""What docs/evaluation.md says of the kinds of calls is what was measured, of these very rules."""

import json
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from building import a_result, a_task, a_trajectory, a_turn, plain
from scripts import benchmark

from saccade.runs.folder import RunFolder
from saccade.runs.manifest import Manifest
from saccade.types import ToolCall

ROOT = Path(__file__).resolve().parent.parent
MEASURED = ROOT / "results" / "tool_kinds" / "agreement.json"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return benchmark("tool_kinds")


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    return dict(json.loads(MEASURED.read_text()))


def test_the_table_is_made_from_what_was_measured(
    script: ModuleType, measured: dict[str, Any]
) -> None:
    page = (ROOT / "docs" / "evaluation.md").read_text()
    table = script.block(measured).strip("\n")
    assert f"<!-- tool_kinds -->\n{table}\n<!-- /tool_kinds -->" in page


def test_it_was_measured_of_these_rules(script: ModuleType, measured: dict[str, Any]) -> None:
    """Whoever changes the classifier measures again, and with labels that it has not seen."""
    assert measured["classifier"] == script.digest()
    sets = {name: script._measured(calls) for name, calls in script.committed(None).items()}
    assert sets == {name: measured["sets"][name] for name in sets}


def test_more_than_a_hundred_calls_of_every_kind_of_code_are_unseen(
    measured: dict[str, Any],
) -> None:
    held = [found for name, found in measured["sets"].items() if name.endswith("test")]
    assert sum(found["primary"]["n"] for found in held) >= 100
    for kind in ("crop", "mark", "numeric", "other"):
        assert sum(sum(found["confusion"][kind].values()) for found in held) >= 25


def test_kappa_is_that_of_a_textbook(script: ModuleType) -> None:
    """Fifty cases, both yes 20, both no 15: J. Cohen's kappa is 0.4 (0.7 seen, 0.5 by chance)."""
    kinds = {"yes": script.Kinds("crop", frozenset()), "no": script.Kinds("other", frozenset())}
    table = {("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15}
    calls = [script.Labelled("g", "u", kinds[a], kinds[b])
             for (a, b), n in table.items() for _ in range(n)]  # fmt: skip
    assert script.kappa(calls) == pytest.approx(0.4)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Thirty calls of one family, four of another."""
    with RunFolder(tmp_path / "run", Manifest(verb="rollout", config={}, fingerprint="f")) as out:
        for family, n in (("compute", 30), ("lookup", 4)):
            for number in range(n):
                task = a_task(plain(30, 30), "?", id=f"{family}{number}", meta={"family": family})
                call = ToolCall(name="search", arguments={"query": "red 47"})
                if family == "compute":
                    code = f"print({number} * 83)"
                    call = ToolCall(name="python", arguments={"code": code})
                result = a_result("x").model_copy(update={"call": call})
                made = a_trajectory(a_turn(result), a_turn(answer="7"), id=task.id, task_id=task.id)
                out.append(task, made)
    return tmp_path / "run"


def test_a_sample_is_drawn_by_family_and_labelled_and_compared(
    script: ModuleType,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    drawn = script.sample([run], n=10, seed=0)
    assert Counter(call["family"] for call in drawn["cells"]) == {"compute": 6, "lookup": 4}
    assert drawn == script.sample([run], n=10, seed=0)
    other = script.sample([run], n=10, seed=1)
    assert {call["id"] for call in drawn["cells"]} != {call["id"] for call in other["cells"]}
    file = tmp_path / "labels.json"
    file.write_text(json.dumps(drawn))
    with pytest.raises(ValueError, match="10 of 10 calls have no label yet"):
        script.labels_of(file)
    for call in drawn["cells"]:
        call["primary"] = "text_search" if call["tool"] == "search" else "numeric"
    drawn["cells"][0]["primary"] = "mark"
    file.write_text(json.dumps(drawn))
    monkeypatch.setattr(sys, "argv", ["tool_kinds.py", "--labels", str(file)])
    script.main()
    assert "| 10 | 10 | 0.900 | [0.596, 0.982] |" in capsys.readouterr().out  # Wilson, nine of ten
    drawn["cells"][0]["primary"] = "marc"
    file.write_text(json.dumps(drawn))
    with pytest.raises(ValueError, match="the label 'marc' is none of crop, mark"):
        script.labels_of(file)


def test_labels_are_not_written_over(
    script: ModuleType,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "labels.json"
    monkeypatch.setattr(sys, "argv", ["tool_kinds.py", "--sample", str(run), "--out", str(file)])
    script.main()
    assert "34 calls: " in capsys.readouterr().out
    file.write_text("hours of work")
    with pytest.raises(SystemExit):
        script.main()
    assert "--out: name a file that does not exist yet" in capsys.readouterr().err
    assert file.read_text() == "hours of work"
