"""`saccade rescore`: a finished run, judged again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saccade.cli.common.options import Json, Settings
from saccade.cli.common.say import say, say_record

if TYPE_CHECKING:
    from saccade.runs.rescore import Rescored, RescoreRecipe

MOST_NAMED = 10
"""Number of episodes of each kind that are named in a terminal; `--json` names all."""


def rescore(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of the run.")],
    settings: Settings = None,
    recipe: Annotated[
        Path | None,
        typer.Option(help="A run file whose reward judges; without it that of the run does."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Judge a finished run again, without playing it.

    The new verdicts go into a new folder, beside the earlier ones; the run stays as it is. The same
    command resumes. Exit code 1 if the reward failed on an episode.

    saccade rescore runs/demo reward.judge=math out=runs/demo-math
    """
    import asyncio

    from saccade.bench.run import reward_of
    from saccade.cli.common.outcome import finished_before
    from saccade.cli.common.progress import bars, one_bar
    from saccade.runs.finished import finish
    from saccade.runs.folder import finished_in
    from saccade.runs.rescore import VERB, Rescored, compared, manifest_for
    from saccade.runs.rescore import rescore as judge
    from saccade.untrusted.printable import one_line

    chosen = _recipe(run, recipe, settings)
    out, config, total = Path(chosen.out), manifest_for(chosen).config, finished_in(run)
    held = finished_before(VERB, config, out, total=total)
    if held is not None:
        result = Rescored.model_validate(held)
    else:
        with bars(quiet=as_json) as progress:
            rule = reward_of(run, chosen.reward)
            asyncio.run(judge(chosen, reward=rule, on_progress=one_bar(progress)))
        result = compared(out)
        if not result.failed:
            kept = result.model_dump(mode="json")
            finish(out, VERB, config, kept, needs=["trajectories.jsonl"], total=total)
    if as_json:
        say_record(result)
    else:
        _show(result)
    if result.failed:
        say(
            f"{result.failed} episodes have no score because the reward failed; the same command "
            f"judges them again. Most often: {one_line(result.reason or '')}",
            err=True,
        )
        raise typer.Exit(1)


def _recipe(run: Path, file: Path | None, settings: list[str] | None) -> RescoreRecipe:
    """The settings over the reward of the file, or over that of the run.

    Raises:
        ConfigError: a key that is unknown or missing.
    """
    from saccade.cli.common.options import read_runfile
    from saccade.config import validate, with_overrides
    from saccade.errors import ConfigError
    from saccade.runs.rescore import RescoreRecipe, check_code, own_reward

    table = {} if file is None else read_runfile(file, [])
    said = f"{settings} {table}"
    reward = own_reward(run) if file is None else table.get("reward", {})
    named = settings or []
    if isinstance(reward, dict) and any(s.startswith("reward.judge.") for s in named):
        reward.pop("judge", None)  # one judge, given key by key, in place of those of the run
    table = with_overrides({"reward": reward}, named)
    if "out" not in table:
        raise ConfigError("out: missing; name the new run folder with out=runs/NAME")
    chosen = validate(RescoreRecipe, {**table, "run": str(run)})
    check_code(chosen, said)
    return chosen


def _show(result: Rescored) -> None:
    from rich.table import Table

    from saccade.cli.common.console import terminal
    from saccade.cli.common.show import interval, number
    from saccade.untrusted.printable import one_line

    console = terminal()
    table = Table(box=None, header_style="bold", pad_edge=False, collapse_padding=True)
    table.add_column("")
    rows = {"before": result.before, "after": result.after}
    columns = ("undecided", "unscored", "timeout", "aborted")
    counts = [c for c in columns if any(getattr(s, c) for s in rows.values())]
    of = ("tasks",) if any(s.repeated for s in rows.values()) else ()
    least = ("accuracy_at_least",) if any(s.left_open for s in rows.values()) else ()
    heads = ("n", *of, "accuracy", "95 % CI", *("at least" for _ in least))
    for head in (*heads, "reward", *counts):
        table.add_column(head, justify="right")
    table.add_column("judges")
    judges = {"before": result.judges_before, "after": result.judges_after}
    for name, s in rows.items():
        table.add_row(
            name, str(s.scored), *(str(getattr(s, c)) for c in of), number(s.accuracy),
            interval(s), *(number(getattr(s, c)) for c in least), number(s.score),
            *(str(getattr(s, c)) for c in counts),
            one_line(", ".join(f"{judge} {n}" for judge, n in judges[name].items())),
        )  # fmt: skip
    console.print(table)
    if result.paired is not None and result.agreement is not None:
        low, high = result.paired.interval
        console.print(
            f"difference {result.paired.difference:+.3f} [{low:+.3f}, {high:+.3f}] over "
            f"{result.paired.n} tasks, McNemar p = {result.paired.p:.3g}; the verdicts agree on "
            f"{result.agreement:.3f} of {result.both} episodes"
        )
        for what, ids in (
            ("wrong -> right", result.wrong_to_right),
            ("right -> wrong", result.right_to_wrong),
        ):
            more = f" and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else ""
            named = one_line(", ".join(ids[:MOST_NAMED]))
            console.print(f"{what}  {len(ids)}  {named}{more}", soft_wrap=True)
    console.print(f"environment {result.fingerprint}, run folder {result.out}", style="dim")
