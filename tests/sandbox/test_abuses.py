"""What must not work, in every mode of this machine; and that it works without what holds it."""

import asyncio
from collections.abc import Iterator

import pytest

from saccade.sandbox.abuses import Abuse, all_abuses
from saccade.sandbox.abuses.commit import OF_THE_SERVER, commit, neighbour_in, quick
from saccade.sandbox.abuses.scene import Scene
from saccade.sandbox.inside.plan import MECHANISMS
from saccade.sandbox.options import SandboxOptions
from saccade.sandbox.pool import Sandbox
from saccade.sandbox.session import Session

ABUSES = all_abuses()
SWITCHED = [abuse for abuse in ABUSES if not abuse.always]


class Boxes:
    """A sandbox, with a session to watch, for each set of mechanisms that are off in its server."""

    def __init__(self) -> None:
        self._made: dict[frozenset[str], Sandbox] = {}
        self._neighbours: dict[frozenset[str], Session] = {}

    async def get(self, off: frozenset[str]) -> tuple[Sandbox, Session]:
        key = off & OF_THE_SERVER
        if key not in self._made:
            self._made[key] = Sandbox(quick(SandboxOptions()), off=key)
        neighbour = self._neighbours.get(key)
        if neighbour is None or neighbour.ended:
            with pytest.MonkeyPatch.context() as patch:
                if key:  # what works without them needs no libraries
                    patch.setattr("saccade.sandbox.server.USUAL", ())
                self._neighbours[key] = await neighbour_in(self._made[key])
        return self._made[key], self._neighbours[key]

    def close(self) -> None:
        for sandbox in self._made.values():
            asyncio.run(sandbox.close())


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Scene() as scene:
        yield scene


@pytest.fixture(scope="module")
def boxes(scene: Scene) -> Iterator[Boxes]:
    """After the scene, so that its secret is in the environment that a server is started from."""
    boxes = Boxes()
    yield boxes
    boxes.close()


@pytest.mark.parametrize("abuse", ABUSES, ids=lambda abuse: abuse.name)
async def test_an_abuse_is_contained(abuse: Abuse, boxes: Boxes, scene: Scene) -> None:
    sandbox, neighbour = await boxes.get(frozenset())
    verdict = await commit(abuse, sandbox, scene, neighbour)
    assert verdict.contained, verdict.evidence


@pytest.mark.parametrize("abuse", SWITCHED, ids=lambda abuse: abuse.name)
async def test_without_what_holds_it_an_abuse_works(
    abuse: Abuse, boxes: Boxes, scene: Scene
) -> None:
    off = frozenset(abuse.held_by)
    sandbox, neighbour = await boxes.get(off)
    verdict = await commit(abuse, sandbox, scene, neighbour, off - OF_THE_SERVER)
    scene.restore()
    assert not verdict.contained, verdict.evidence


def test_every_abuse_says_what_holds_it_or_why_that_stays() -> None:
    names = [abuse.name for abuse in ABUSES]
    assert len(set(names)) == len(names) >= 98  # 88 of the study, and ten more
    for abuse in ABUSES:
        assert abuse.held_by or abuse.always, abuse.name
        assert set(abuse.held_by) <= MECHANISMS.keys(), abuse.name
    used = {mechanism for abuse in SWITCHED for mechanism in abuse.held_by}
    # Not every machine grants a cgroup: tests of the kernel's memory show the need of it.
    assert used == MECHANISMS.keys() - {"cgroup"}, "a mechanism that nothing shows the need of"
