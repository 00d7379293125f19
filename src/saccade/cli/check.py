"""`saccade check`: whether something will work, before it is started."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from saccade.cli.common.options import Json, RecipeFile, Settings, read_runfile
from saccade.cli.common.say import say, say_json

if TYPE_CHECKING:
    from pydantic import JsonValue

    from saccade.cli.checks.examine import Examination, State
    from saccade.cli.checks.kinds import Kind
    from saccade.recipe import Recipe
    from saccade.train.recipe import RLRecipe
    from saccade.types import Record

GIB = 80.0
"""GiB of an accelerator that the answer is given for, where none is named."""


def recipe(
    path: RecipeFile,
    settings: Settings = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Number of processes that train together.")
    ] = 1,
    sharded: Annotated[
        bool, typer.Option(help="Weights and optimiser state are sharded (ZeRO-3, FSDP).")
    ] = False,
    memory: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="GiB of memory that each process has; exit code 1 if that is too little. "
            "Without it the page says whether a step fits in 80.",
        ),
    ] = None,
    probe: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Play N questions of each family; exit code 1 if a training has a family that is "
            "never answered right.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find out whether a run would work, and what a step costs.

    The parts of the run are made as its command makes them. If a model is here, it plays an
    episode. Exit code 1 if the command would fail.
    """
    from saccade.cli.checks.examine import Examination, Finding, examine_parts
    from saccade.cli.checks.kinds import kind_of, read_as
    from saccade.untrusted.printable import one_line

    table = read_runfile(path, settings)
    kind = kind_of(table, str(path))
    chosen = read_as(kind, table)
    if probe is not None:
        from saccade.cli.checks.probe import check_probed

        check_probed(kind, chosen)

    def show(finding: Finding) -> None:
        if not as_json:
            say(f"{finding.state:<10} {finding.part:<12} {one_line(finding.text)}")

    found = Examination(show)
    if not as_json:
        say(f"{path}: a run file of saccade {kind.verb}")
    examine_parts(kind, chosen, found)
    more: dict[str, JsonValue] = {}
    if not found.has_error("packages"):
        from saccade.cli.checks.trial import try_run

        try_run(kind, chosen, found, processes=processes)
        if kind.name == "rl":
            more = _estimated(chosen, found, processes, sharded=sharded, memory=memory)
        if probe is not None:
            more |= _probed(kind, chosen, found, probe, quiet=as_json)
    if as_json:
        findings = [finding._asdict() for finding in found.findings]
        content: dict[str, object] = {
            "kind": kind.name,
            "fingerprint": found.fingerprint,
            "findings": findings,
        }
        say_json({**content, **more})
    if found.failed:
        raise typer.Exit(1)


def _probed(
    kind: Kind, recipe: Record, found: Examination, n: int, *, quiet: bool
) -> dict[str, JsonValue]:
    from saccade.cli.checks.probe import probe
    from saccade.cli.checks.trial import acting

    chosen = cast("Recipe", recipe)
    policy = chosen.policy if kind.name != "rl" else acting(kind, chosen)
    return probe(kind, chosen, policy, n, found, quiet=quiet)


def _estimated(
    recipe: Record, found: Examination, processes: int, *, sharded: bool, memory: float | None
) -> dict[str, JsonValue]:
    """What a step costs, as findings and as content for machines."""
    from saccade.errors import ConfigError
    from saccade.train.estimate import estimate

    try:
        cost = estimate(cast("RLRecipe", recipe), processes=processes, sharded=sharded)
    except ConfigError as error:  # a model whose shape is not known can be trained all the same
        found.add("memory", "not tried", str(error))
        return {}
    limit = GIB if memory is None else memory
    fits = cost.total <= limit
    for line in cost.lines(processes):
        found.add("memory", "ok", line)
    state: State = "error" if memory is not None and not fits else "ok"
    text = f"about {cost.total:,.1f} GiB at the peak (activations are an estimate)"
    found.add("memory", state, f"{text}; fits in {limit:g} GiB: {'yes' if fits else 'no'}")
    return cost.model_dump() | {"total": cost.total, "fits": fits}


def policy(
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RECIPE] [KEY=VALUE]...",
            help="A run file (TOML), keys of one, or both; policy.kind=... chooses the model.",
            show_default=False,
        ),
    ] = None,
    n: Annotated[
        int, typer.Option(min=4, help="Number of questions about what is in an image.")
    ] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Seed of what is drawn.")] = 0,
    write: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Put the lines into this run file, or begin one."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask a model what it sees and does before it is relied on.

    A minute of questions tells what no server says: whether the model sees, how many images, its
    frame of boxes, what is legible, which dialect, which parameters. Exit code 1 if it is blind or
    cannot be reached.
    """
    from saccade.canary.examine import lines_of
    from saccade.cli.checks.policy import examined, read_played, show
    from saccade.cli.checks.runfile import check_writable, write_lines

    recipe, given = read_played(list(settings or []))
    if write is not None:
        check_writable(write)
    findings = examined(recipe, n=n, seed=seed, quiet=as_json)
    lines = lines_of(findings)
    if as_json:
        listed = [found.model_dump(mode="json") for found in findings]
        say_json({"findings": listed, "lines": lines})
    else:
        show(findings, lines)
    if any(found.state == "error" for found in findings):
        raise typer.Exit(1)
    if write is not None:
        write_lines(write, lines, begin=given)
        say(f"written to {write}", err=True)


def sandbox(
    mode: Annotated[
        str, typer.Option(help="How code is isolated: auto, namespaces or landlock.")
    ] = "auto",
    scratch: Annotated[
        str, typer.Option(help="Folder for scratch files in Landlock mode.")
    ] = "/tmp",
    allow_degraded: Annotated[
        bool, typer.Option(help="Go on where a mechanism of isolation is missing.")
    ] = False,
    only: Annotated[
        str, typer.Option(help="Part of the names of the abuses to try; all if left out.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Try to break out of the sandbox in every known way.

    Before that it says how this machine can isolate code. Exit code 1 if anything that a model may
    try is not contained.
    """
    import asyncio

    from saccade.cli.common.extras import needs

    with needs("sandbox"):
        import pyseccomp  # noqa: F401
    from saccade.config import Table, validate
    from saccade.sandbox.abuses.commit import Committed, commit_all
    from saccade.sandbox.modes import machine, tried
    from saccade.sandbox.options import SandboxOptions

    table: Table = {"mode": mode, "scratch": scratch, "allow_degraded": allow_degraded}
    options = validate(SandboxOptions, table)
    has, modes = machine(options), tried(options)
    if not as_json:
        works = {f"mode {mode}": found for mode, found in modes.items()}
        for name, found in {**has, **works}.items():
            say(f"{name:<16} {found}")
        say("")

    def on_done(done: Committed) -> None:
        if not as_json:
            held = "contained    " if done.contained else "NOT CONTAINED"
            say(f"{held} {done.name:<48} {done.mechanism}")
            if not done.contained:
                say(f"              {done.evidence[:200]!r}")

    facts, abuses = asyncio.run(commit_all(options, only=only, on_done=on_done))
    escaped = [done for done in abuses if not done.contained]
    if as_json:
        listed = [done._asdict() for done in abuses]
        say_json({"machine": has, "modes": modes, **facts, "abuses": listed})
    else:
        say("")
        say(f"mode {facts['mode']}: {len(abuses) - len(escaped)} of {len(abuses)} contained")
    raise typer.Exit(1 if escaped else 0)
