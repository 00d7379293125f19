"""A server that goes away in the middle of an examination, or fails now and then."""

import asyncio
import itertools

import pytest
from asking import recipe_of
from seeing import Seeing

from saccade.canary.examine import examine_policy, lines_of
from saccade.canary.findings import Finding
from saccade.config import Part
from saccade.testing import ScriptedReply, ScriptedRequest, ScriptedServer


def examined(seeing: Seeing, **failing: int) -> list[Finding]:
    """What is found at a server that fails from the `after`-th request on, or each `every`-th."""
    count, after, every = itertools.count(1), failing.get("after"), failing.get("every")

    def answer(request: ScriptedRequest) -> str | ScriptedReply:
        number = next(count)
        if (after and number > after) or (every and number % every == 0):
            return ScriptedReply(status=429, raw=b'{"error": {"message": "slow down"}}')
        return seeing(request)

    with ScriptedServer(answer) as server:
        recipe = recipe_of(server.url, concurrency=1)
        assert recipe.policy is not None
        policy = Part.model_validate({**recipe.policy.model_dump(), "max_retries": 0})
        return asyncio.run(examine_policy(recipe.model_copy(update={"policy": policy}), n=4))


@pytest.mark.parametrize(
    ("after", "measured"), [(0, []), (5, ["server"]), (13, ["server", "vision"])]
)
def test_nothing_is_claimed_of_a_server_that_went_away(after: int, measured: list[str]) -> None:
    findings = examined(Seeing(), after=after or -1, every=0 if after else 1)
    *before, gone = findings
    assert (gone.part, gone.state) == ("server", "error")
    assert "slow down" in gone.text
    assert set(measured) <= {one.part for one in before}
    assert all(one.state == "ok" and not one.lines for one in before)


def test_what_fails_now_and_then_gives_no_lines_that_narrow_a_run() -> None:
    findings = examined(Seeing(), every=7)
    assert not {"environment.limits.max_images", "environment.view.max_pixels"} & {
        *lines_of(findings)
    }
    assert next(one.state for one in findings if one.part == "images") in ("ok", "undecided")
