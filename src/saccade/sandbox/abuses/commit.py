"""Commits an abuse and says whether it was contained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from pydantic import JsonValue

from saccade.sandbox.abuses import Abuse, all_abuses
from saccade.sandbox.abuses.scene import Scene
from saccade.sandbox.options import SandboxOptions
from saccade.sandbox.pool import Sandbox
from saccade.sandbox.session import Session

OF_THE_SERVER = frozenset({"root", "network", "environment"})
"""Mechanisms that all sessions of a fork server share."""


@dataclass(frozen=True)
class Verdict:
    """What became of an abuse."""

    contained: bool
    evidence: str


async def commit(
    abuse: Abuse,
    sandbox: Sandbox,
    scene: Scene,
    neighbour: Session,
    off: frozenset[str] = frozenset(),
) -> Verdict:
    """Let a fresh session commit an abuse.

    Args:
        abuse: What to try.
        sandbox: Where; mechanisms that its sessions share must be off in it already.
        scene: What to reach for.
        neighbour: A session that must not notice.
        off: Mechanisms that are left out.
    """
    session = await sandbox.session(off=off)
    try:
        cell = await session.run(scene.code(abuse.code), seconds=abuse.seconds)
        said = f"{cell.status}: {cell.stdout[-300:]}{cell.error or ''}".strip()
        if abuse.check is not None:
            try:
                held = await abuse.check(scene, session, cell)
            except Exception as error:
                held, said = False, f"{said}; {type(error).__name__}: {error}"
        elif "ESCAPED" in cell.stdout:
            held = False
        else:
            ended = cell.status in ("killed", "timeout") and abuse.may_end
            held = "CONTAINED" in cell.stdout or ended
    except Exception as error:
        held, said = False, f"the host failed: {type(error).__name__}: {error}"
    finally:
        session.close()
    if not scene.untouched():
        held, said = False, f"{said}; the host was changed"
    if (await neighbour.run("marker")).value != "'untouched'":
        held, said = False, f"{said}; another session was changed"
    return Verdict(held, said)


class Committed(NamedTuple):
    """A line of the report."""

    name: str
    mechanism: str
    """What holds it."""
    contained: bool
    evidence: str


async def commit_all(
    options: SandboxOptions,
    *,
    only: str = "",
    on_done: Callable[[Committed], None] = lambda done: None,
) -> tuple[dict[str, JsonValue], list[Committed]]:
    """Commit every abuse that the mode of this machine must contain, or those named `only`.

    Returns:
        What the sandbox is, and what became of each.

    Raises:
        ConfigError: this machine cannot isolate.
    """
    done = []
    with Scene() as scene:
        async with Sandbox(quick(options)) as sandbox:
            neighbour = await neighbour_in(sandbox)
            for abuse in all_abuses():
                if only not in abuse.name or sandbox.mode not in (*abuse.modes, "bare"):
                    continue
                verdict = await commit(abuse, sandbox, scene, neighbour)
                if neighbour.ended:
                    neighbour = await neighbour_in(sandbox)
                scene.restore()
                held = ", ".join(abuse.held_by) or abuse.always
                done.append(Committed(abuse.name, held, verdict.contained, verdict.evidence))
                on_done(done[-1])
            return sandbox.facts(), done


def quick(options: SandboxOptions) -> SandboxOptions:
    """The same, but what does not end by itself is killed sooner."""
    limits = replace(options.limits, grace_seconds=0.5)
    return options.model_copy(update={"limits": limits})


async def neighbour_in(sandbox: Sandbox) -> Session:
    """A session to watch."""
    session = await sandbox.session()
    await session.run("marker = 'untouched'")
    return session
