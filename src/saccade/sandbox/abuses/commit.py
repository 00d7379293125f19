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

OF_THE_SERVER = frozenset({"root", "network", "environment", "host name"})
"""Mechanisms that all sessions of a fork server share."""

FOR_EVER, PAST_ITS_LIMIT = 3600.0, 1.5
"""Seconds that an abuse without an end of its own goes on: it must be stopped, however late a busy
machine does that. With nothing to stop it, it ends by itself, after more than its limit."""


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
        code = scene.code(abuse.code, long=PAST_ITS_LIMIT if off else FOR_EVER)
        cell = await session.run(code, seconds=abuse.seconds)
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
    """The same with time for a busy machine; a cell that ignores its limit is killed soon."""
    limits = replace(options.limits, seconds=60.0, grace_seconds=0.5)
    return options.model_copy(update={"limits": limits})


async def neighbour_in(sandbox: Sandbox) -> Session:
    """A session to watch."""
    session = await sandbox.session()
    await session.run("marker = 'untouched'")
    return session
