"""Tables: cut between columns where a terminal is narrow, and never within a name or a number."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from saccade.cli.common.robust import show_table
from saccade.robust.agent.results import AgentAttackResult
from saccade.robust.agent.tables import KEYS, agent_page, agent_table
from saccade.robust.classifiers.results import AttackResult, DetectResult
from saccade.robust.classifiers.tables import (
    attack_page,
    attack_table,
    cross_table,
    detection_page,
    detection_table,
    gain_table,
    vulnerability_table,
)
from saccade.robust.tables import GAP, Rows, markdown, widths_of, within

RESULTS = Path(__file__).parents[2] / "results" / "robust"
ATTACK = AttackResult.model_validate_json((RESULTS / "mnist_attack.json").read_bytes())
DETECT = DetectResult.model_validate_json((RESULTS / "mnist_detect.json").read_bytes())
AGENT = AgentAttackResult.model_validate_json((RESULTS / "agent_easy.json").read_bytes())
CELLS = st.text("ab_ 0", max_size=12)


@given(
    st.integers(1, 6).flatmap(
        lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), min_size=1, max_size=4)
    ),
    st.integers(0, 60),
    st.integers(1, 2),
)
def test_every_column_is_in_one_table_that_fits(rows: Rows, width: int, keys: int) -> None:
    parts = within(rows, width, keys=keys)
    for place, row in enumerate(rows):
        assert [list(part[place][:keys]) for part in parts] == [list(row[:keys])] * len(parts)
        assert [cell for part in parts for cell in part[place][keys:]] == list(row[keys:])
    for part in parts:
        widths = widths_of(part)
        fits = sum(widths) + GAP * (len(widths) - 1) <= width
        assert fits or len(widths) <= keys + 1  # a single column is wider than the terminal


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    ("rows", "keys"),
    [
        (attack_table(ATTACK), 1), (vulnerability_table(ATTACK), 1), (detection_table(DETECT), 1),
        (gain_table(DETECT), 1), (cross_table(DETECT), 1), (agent_table(AGENT, "view"), KEYS),
    ],
    ids=["attack", "vulnerability", "detection", "gain", "cross", "agent"],
)  # fmt: skip
def test_no_name_and_no_number_is_broken_in_a_terminal(
    rows: Rows, keys: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.StringIO()
    show_table(rows, keys=keys, console=Console(file=shown, width=width, highlight=False))
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    for row in rows[1:]:
        for cell in row:
            assert any(cell in line for line in lines), cell
    for word in " ".join(rows[0]).split():
        assert word in shown.getvalue(), word


def test_a_name_may_hold_what_begins_something_else() -> None:
    """In Markdown a column or a row, in a terminal a style."""
    name = "mine(a|b\\, [bold]c[/bold],\nd [/])"
    rows = [["attack", "[red]1"], [name, "0.5"]]
    text = markdown(rows)
    assert text.splitlines()[2:] == [r"| mine(a\|b\\, [bold]c[/bold], d [/]) | 0.5 |"]
    shown = io.StringIO()
    show_table(rows, console=Console(file=shown, width=80, highlight=False))
    for part in ("[red]1", "[bold]c[/bold],", "d [/])"):
        assert part in shown.getvalue()


def test_pages_say_what_was_measured_and_by_which_command() -> None:
    command = "/home/somebody/bin/saccade attack recipes/ossa_mnist.toml data=mnist.npz"
    for result, page in (
        (ATTACK, attack_page), (DETECT, detection_page), (AGENT, agent_page),
    ):  # fmt: skip
        text = page(result.model_copy(update={"command": command}))  # type: ignore[operator]
        assert text.startswith("# ")
        assert "Command: `saccade attack recipes/ossa_mnist.toml data=mnist.npz`" in text
        assert (
            "n = 200 questions" in text or "5 nets (test accuracy 0.990 to 0.991), n = 600" in text
        )
        assert "seed 0" in text
