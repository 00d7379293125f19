"""`saccade bench merge`: the runs of all shards, joined into one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from saccade.cli.common.options import Json


def merge(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN... out=FOLDER", help="The run folder of each shard, in any order."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Join the runs of all shards of a benchmark into one.

    Refused are shards with other settings, and one that is missing or not finished. Of a benchmark
    of your own, the command of the run with this folder as `out` measures the rest.

    saccade bench merge runs/a-1 runs/a-2 out=runs/a
    """
    from saccade.bench.merge import merge as join
    from saccade.bench.recipe import BenchRecipe
    from saccade.bench.results import known_benchmark
    from saccade.cli.benches.result import is_result, result_of
    from saccade.cli.benches.show import show
    from saccade.cli.common.outcome import finished_before
    from saccade.cli.common.progress import bars, one_bar
    from saccade.config import validate
    from saccade.errors import ConfigError
    from saccade.runs.finished import finish

    runs = [Path(word) for word in words if not word.startswith("out=")]
    named = [word.removeprefix("out=") for word in words if word.startswith("out=")]
    if len(named) != 1 or not named[0]:
        raise ConfigError("out: missing; name the new run folder with out=runs/NAME")
    out = Path(named[0])
    with bars(quiet=as_json) as progress:
        manifest, kept = join(runs, out, on_progress=one_bar(progress))
    config = manifest.config
    result = finished_before("bench", config, out, is_result=is_result)
    if result is None:
        # Shards may come from others: no module that they name is imported.
        known = known_benchmark(manifest)
        result, _ = result_of(validate(BenchRecipe, config), out, kept, known=known)
        if not known[1]:
            finish(out, "bench", config, result, needs=["trajectories.jsonl"])
    show(result, as_json=as_json)
