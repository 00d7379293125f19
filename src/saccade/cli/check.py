"""`saccade check`: whether something will work, before it is started."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from saccade.cli.common.options import Json, RecipeFile, Settings, read_runfile


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
            min=0, help="GiB of memory that each process has; exit code 1 if that is too little."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Validate a run file and estimate what a step of it costs."""
    from saccade.cli.common.extras import needs
    from saccade.config import validate
    from saccade.recipe import make_environment

    table = read_runfile(path, settings)
    with needs("train"):
        from saccade.train.estimate import estimate
        from saccade.train.recipe import RLRecipe
    chosen = validate(RLRecipe, table)
    fingerprint = make_environment(chosen).fingerprint
    found = estimate(chosen, processes=processes, sharded=sharded)
    fits = memory is None or found.total <= memory
    if as_json:
        more = {"fingerprint": fingerprint, "total": found.total, "fits": fits}
        typer.echo(json.dumps(found.model_dump() | more))
    else:
        typer.echo(f"{path}: valid; environment {fingerprint}")
        typer.echo(
            f"{found.model}: {found.parameters / 1e6:,.1f} million parameters, "
            f"{found.trained / 1e6:,.1f} of them trained"
        )
        typer.echo(
            f"a step: {found.episodes:,} episodes of at most {found.context:,} tokens "
            f"({found.prompt_tokens:,} an image of the question, {found.crop_tokens:,} a crop), "
            f"{found.tokens / 1e6:,.1f} million tokens and {found.images:,} images at most"
        )
        parts = (
            "weights", "reference", "gradients", "optimiser", "activations", "logits", "gathered",
            "cache",
        )  # fmt: skip
        each = ", ".join(f"{name} {getattr(found, name):,.1f}" for name in parts)
        typer.echo(f"GiB for each of {processes} process(es): {each}")
        typer.echo(f"about {found.total:,.1f} GiB at the peak (activations are an estimate)")
        if not fits:
            typer.echo(f"that is more than {memory:g} GiB", err=True)
    if not fits:
        raise typer.Exit(1)


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
            typer.echo(f"{name:<16} {found}")
        typer.echo("")

    def on_done(done: Committed) -> None:
        if not as_json:
            held = "contained    " if done.contained else "NOT CONTAINED"
            typer.echo(f"{held} {done.name:<48} {done.mechanism}")
            if not done.contained:
                typer.echo(f"              {done.evidence[:200]!r}")

    facts, abuses = asyncio.run(commit_all(options, only=only, on_done=on_done))
    escaped = [done for done in abuses if not done.contained]
    if as_json:
        listed = [done._asdict() for done in abuses]
        typer.echo(json.dumps({"machine": has, "modes": modes, **facts, "abuses": listed}))
    else:
        typer.echo("")
        typer.echo(f"mode {facts['mode']}: {len(abuses) - len(escaped)} of {len(abuses)} contained")
    raise typer.Exit(1 if escaped else 0)
