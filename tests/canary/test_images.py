"""How many images a server takes, how small they are legible, in which dialects."""

import pytest
from asking import found, on_probe
from pydantic import JsonValue
from seeing import Seeing

from saccade.canary.dialects import repeat_turns, try_dialects
from saccade.canary.examine import lines_of
from saccade.canary.findings import Finding
from saccade.canary.images import count_images, find_returned
from saccade.canary.legibility import find_legible
from saccade.canary.probe import Probe
from saccade.testing import ScriptedServer


@pytest.mark.parametrize(
    ("seeing", "says", "line"),
    [
        (Seeing(), "4 in one request", None),
        (Seeing(at_most=1), "1 in one request works, 2 are refused", 1),
        (Seeing(at_most=3), "2 in one request works, 4 are refused", 2),
        (Seeing(keeps=(-1, None)), "of 2 in one request only the last is seen", 1),
        (Seeing(keeps=(0, 1)), "of 2 in one request only the first is seen", 1),
        (Seeing(keeps=(0, 3)), "of 4 in one request only the first is seen", 2),
        (Seeing(keeps=(0, 0)), "neither the first nor the last", 1),
    ],
)
def test_images_that_are_refused_or_dropped_are_counted(
    seeing: Seeing, says: str, line: int | None
) -> None:
    one = found(seeing, lambda probe: count_images(probe, seed=0))
    assert says in one.text
    assert one.lines.get("environment.limits.max_images") == line
    assert one.state == ("ok" if line is None else "warning")


def test_the_smallest_legible_digits_show_a_server_that_shrinks() -> None:
    view: JsonValue = {"view": {"max_pixels": 800_000}}
    honest = found(Seeing(), lambda probe: find_legible(probe, seed=0), environment=view)
    assert honest.state == "ok"
    assert honest.text.count("px in") == 2
    shrinking = found(
        Seeing(longest=400), lambda probe: find_legible(probe, seed=0), environment=view
    )
    assert shrinking.state == "warning"
    assert shrinking.lines == {"environment.view.max_pixels": 504 * 392}
    assert shrinking.replies, "what could not be read is the evidence"


@pytest.mark.parametrize(
    ("seeing", "chosen", "says"),
    [
        (Seeing(), "deepeyes", {"dialect native": "parses calls into tool_calls"}),
        (Seeing(tool_parser=False), "deepeyes", {"dialect native": "hermes"}),
        (
            Seeing(parses=True),
            "deepeyes",
            {"dialect deepeyes": "were put back", "parser deepeyes": "were put back"},
        ),
        (Seeing(drops_thought=True), "deepeyes", {"parser deepeyes": "the thought was dropped"}),
        (Seeing(refuses=("stop",)), "native", {"dialect": "deepeyes is not kept, native is"}),
    ],
    ids=["honest", "no tool parser", "parses unasked", "drops thoughts", "no text dialect"],
)
def test_a_dialect_is_kept_or_what_took_it_is_named(
    seeing: Seeing, chosen: str, says: dict[str, str]
) -> None:
    async def ask(probe: Probe) -> list[Finding]:
        return [*await try_dialects(probe, seed=0), *await repeat_turns(probe)]

    with ScriptedServer(seeing) as server:
        findings = on_probe(server, ask)
    assert isinstance(findings, list)
    assert lines_of(findings) == {"dialect.kind": chosen}
    for part, text in says.items():
        assert text in next(one.text for one in findings if one.part == part)


def test_images_of_tools_are_seen_after_the_tool_message() -> None:
    assert found(Seeing(), lambda probe: find_returned(probe, "user", seed=0)).state == "ok"
    lost = found(Seeing(blind=True), lambda probe: find_returned(probe, "user", seed=0))
    assert lost.state == "warning"
    assert "not seen" in lost.text
