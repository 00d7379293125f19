"""`saccade nano`: the embedded world and its models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saccade.cli.common.options import Json
from saccade.cli.common.say import say, say_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import JsonValue
    from rich.progress import TaskID
    from rich.table import Table

    from saccade.measures.summary import Summary
    from saccade.nano.base import Base
    from saccade.nano.deepeyes.options import BaseOptions
    from saccade.nano.deepeyes_v2.options import BaseOptions as BaseOptionsV2
    from saccade.nano.stage import Progress

SYSTEMS = ("deepeyes", "deepeyes_v2")
"""What there are bases for: looks alone, or looks, search and Python."""


def probe(
    seed: Annotated[int, typer.Option(help="Seed of the scenes and of the weights.")] = 0,
    n: Annotated[int, typer.Option(min=1, help="Number of held-out digits in each row.")] = 1000,
    as_json: Json = False,
) -> None:
    """Measure whether the digits can be read at all.

    Exit code 1 if the world is not as hard as it must be.
    """
    from rich.table import Table

    from saccade.cli.common.console import terminal
    from saccade.cli.common.extras import needs
    from saccade.cli.common.progress import bars

    with needs("local"):
        from saccade.models.threads import use_threads
        from saccade.nano.deepeyes.legibility import CONDITIONS, LIMITS, measure_legibility

    use_threads(2)
    with bars(quiet=as_json) as progress:
        rows = {s: progress.add_task(s.replace("_", ", "), total=None) for s in CONDITIONS}
        found = measure_legibility(
            seed=seed,
            n=n,
            on_step=lambda condition, step, last_step: progress.update(
                rows[condition], completed=step, total=last_step
            ),
        )
    passed = {s: LIMITS[s][0] <= r.accuracy <= LIMITS[s][1] for s, r in found.items()}
    if as_json:
        say_json({s: r.model_dump() | {"passed": passed[s]} for s, r in found.items()})
    else:
        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column("held-out digits")
        for name in ("n", "accuracy", "95 % CI", "required"):
            table.add_column(name, justify="right")
        for s, r in found.items():
            low, high = LIMITS[s]
            wanted = f"at most {high:.2f}" if low == 0 else f"at least {low:.2f}"
            verdict = "" if passed[s] else "  FAILED"
            table.add_row(
                s.replace("_", " in the "), str(r.n), f"{r.accuracy:.3f}",
                f"{r.low:.3f}-{r.high:.3f}", wanted + verdict,
            )  # fmt: skip
        terminal().print(table)
    if not all(passed.values()):
        raise typer.Exit(1)


def library(
    out: Annotated[Path, typer.Option(help="The JSON Lines file to write; it is replaced.")],
    split: Annotated[
        str, typer.Option(help="The questions that can be answered with them: test, dev or train.")
    ] = "test",
    seed: Annotated[int, typer.Option(min=0, help="Seed of these questions.")] = 0,
    as_json: Json = False,
) -> None:
    """Write the documents that hold the world's facts.

    One a line, with id, title and text; saccade index build makes an index of them.
    """
    import json
    from typing import cast, get_args

    from saccade.config import check_choice
    from saccade.files import make_folder, write_whole
    from saccade.world.digits import Split
    from saccade.world.library import rows

    check_choice("--split", split, get_args(Split))
    lines = [json.dumps(row) + "\n" for row in rows(cast(Split, split), seed)]
    make_folder(out.parent)
    write_whole(out, "".join(lines).encode())
    if as_json:
        say_json({"out": str(out), "documents": len(lines), "split": split, "seed": seed})
    else:
        say(f"{len(lines)} documents written to {out}")


def train_base(
    out: Annotated[
        Path,
        typer.Option(help="Folder of the checkpoints and of the model; the same command resumes."),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="Options of the training: seed=1, prior=0.05, ...",
            show_default=False,
        ),
    ] = None,
    system: Annotated[
        str,
        typer.Option(help="The system it is a base of: deepeyes or deepeyes_v2."),
    ] = "deepeyes",
    threads: Annotated[int, typer.Option(min=1, help="Number of CPU threads.")] = 2,
    as_json: Json = False,
) -> None:
    """Train an embedded base from nothing.

    The same command resumes. Exit code 1 if a stage did not reach what it must.
    """
    from saccade.cli.common.outcome import finished_before
    from saccade.config import check_choice, validate, with_overrides
    from saccade.nano.deepeyes.options import BaseOptions
    from saccade.nano.deepeyes_v2.options import BaseOptions as BaseOptionsV2

    check_choice("--system", system, SYSTEMS)
    table = with_overrides({}, settings or [])
    options = (
        validate(BaseOptions, table) if system == SYSTEMS[0] else validate(BaseOptionsV2, table)
    )
    result = finished_before("nano train-base", options.model_dump(mode="json"), out)
    if result is None:
        result = _train_base(options, out, threads, quiet=as_json)
    if as_json:
        say_json(result)
        return
    stages, folder = result["skills"], result["folder"]
    assert isinstance(stages, dict)
    for stage, skills in stages.items():
        assert isinstance(skills, dict)
        say(f"{stage}: " + ", ".join(f"{k} {v:.3f}" for k, v in skills.items()))
    say(f"written to {folder}; try it with: saccade nano eval --model {folder}")


def _train_base(
    options: BaseOptions | BaseOptionsV2, out: Path, threads: int, *, quiet: bool
) -> dict[str, JsonValue]:
    from saccade.cli.common.extras import needs
    from saccade.cli.common.progress import bars
    from saccade.runs.finished import finish

    with needs("local"):
        from saccade.models.threads import use_threads

        train = _training(options, out)

    use_threads(threads)
    with bars(quiet=quiet) as progress:
        rows: dict[str, TaskID] = {}

        def on_step(step: Progress) -> None:
            if step.stage not in rows:
                before = step.step - 1
                rows[step.stage] = progress.add_task(
                    step.stage, total=step.last_step, completed=before
                )
                if before:
                    progress.console.print(f"{step.stage}: resumed from step {before}")
            progress.update(rows[step.stage], completed=step.step, total=step.last_step)
            if step.skills:
                skills = "  ".join(f"{k} {v:.2f}" for k, v in step.skills.items())
                progress.console.print(f"{step.stage} {step.step}  loss {step.loss:.3f}  {skills}")

        base = train(on_step)
    skills: dict[str, JsonValue] = {stage: dict(found) for stage, found in base.skills.items()}
    result: dict[str, JsonValue] = {"folder": str(base.folder), "skills": skills}
    config = options.model_dump(mode="json")
    finish(out, "nano train-base", config, result, needs=[base.folder.name])
    return result


def _training(
    options: BaseOptions | BaseOptionsV2, out: Path
) -> Callable[[Callable[[Progress], None]], Base]:
    """The training that these options are for, still to be begun."""
    from saccade.nano.deepeyes import train_base as deepeyes
    from saccade.nano.deepeyes.options import BaseOptions
    from saccade.nano.deepeyes_v2 import train_base as deepeyes_v2

    if isinstance(options, BaseOptions):
        return lambda on_step: deepeyes.train_base(options, out, on_step=on_step)
    return lambda on_step: deepeyes_v2.train_base(options, out, on_step=on_step)


def evaluate(
    model: Annotated[
        str, typer.Option(help="The name of an embedded model, a folder, or a model id.")
    ] = "",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the scenes and of sampling.")] = 0,
    n: Annotated[
        int, typer.Option(min=1, help="Number of questions of each family in each arm.")
    ] = 200,
    split: Annotated[
        str, typer.Option(help="The scenes that are asked about: test, dev or train.")
    ] = "test",
    temperature: Annotated[
        float, typer.Option(min=0, help="Sampling temperature; 0 is greedy.")
    ] = 0.0,
    samples: Annotated[int, typer.Option(min=1, help="Number of attempts at each question.")] = 1,
    family: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A family of questions to ask; repeat for more."),
    ] = None,
    arm: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="An arm to run; repeat for more.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare arms of the same weights on held-out scenes.

    A model is asked in the environment that it was trained in, and about all that its tools are
    for. Nothing is kept: another run starts over, also with a larger --n.
    """
    from saccade.arms import ARMS
    from saccade.cli.common.console import terminal
    from saccade.cli.common.extras import needs
    from saccade.cli.common.progress import bars
    from saccade.embedded import DEFAULT, resolve
    from saccade.errors import ConfigError
    from saccade.nano.evaluate import COMPARED, CONCURRENCY, environment_of, families_of, table
    from saccade.world import FAMILIES as KNOWN

    name = model or DEFAULT
    for given, known, what in ((family, KNOWN, "--family"), (arm, ARMS, "--arm")):
        for unknown in set(given or ()) - set(known):
            raise ConfigError(f"{what}: there is no {unknown!r}; choose from {', '.join(known)}")
    path = resolve(name)
    with needs("local"):
        from saccade.models.threads import use_threads
        from saccade.policies.hf import HFOptions, HFPolicy

    use_threads(1)
    policy = HFPolicy(HFOptions(path=path, max_batch=CONCURRENCY))
    _ = policy.loaded  # a wrong path is reported once, not by every episode
    asker = environment_of(policy.info)
    cells = families_of(asker)
    if family or arm:
        cells = {name: tuple(arm or cells.get(name, COMPARED)) for name in family or cells}
    with bars(quiet=as_json) as progress:
        bar = progress.add_task("cells", total=sum(map(len, cells.values())))
        found = table(
            policy,
            n=n,
            seed=seed,
            split=split,
            temperature=temperature,
            samples=samples,
            cells=cells,
            asker=asker,
            on_progress=lambda cell, done, total: progress.update(bar, completed=done),
        )
    if as_json:
        measured = {f: {a: _cell(s) for a, s in row.items()} for f, row in found.items()}
        content = {
            "model": name, "fingerprint": asker.fingerprint, "seed": seed, "n": n,
            "split": split, "temperature": temperature, "samples": samples, "families": measured,
        }  # fmt: skip
        say_json(content)
    else:
        console = terminal()
        console.print(_arms_table(found))
        console.print(
            f"{name}, environment {asker.fingerprint}, split {split}, seed {seed}, "
            f"temperature {temperature:g}",
            style="dim",
        )
    aborted = sum(s.aborted for row in found.values() for s in row.values())
    if aborted:
        say(f"{aborted} episodes were aborted: they failed on our side", err=True)
        raise typer.Exit(1)


def _cell(summary: Summary) -> dict[str, float | int | None]:
    return {
        "accuracy": summary.accuracy,
        "low": summary.low,
        "high": summary.high,
        "n": summary.scored,
        "tasks": summary.tasks,
        "tool_call_rate": summary.tool_call_rate,
        "mean_iou": summary.mean_iou,
        "aborted": summary.aborted,
    }


def _arms_table(found: dict[str, dict[str, Summary]]) -> Table:
    from rich.table import Table

    from saccade.cli.common.show import interval, number

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("family")
    table.add_column("arm")
    of = ("tasks",) if any(s.repeated for row in found.values() for s in row.values()) else ()
    for head in ("n", *of, "accuracy", "95 % CI", "tool-call rate", "mean IoU"):
        table.add_column(head, justify="right")
    for family, row in found.items():
        for i, (arm, s) in enumerate(row.items()):
            table.add_row(
                "" if i else family, arm, str(s.scored), *(str(getattr(s, c)) for c in of),
                number(s.accuracy), interval(s), number(s.tool_call_rate), number(s.mean_iou),
                end_section=i == len(row) - 1,
            )  # fmt: skip
    return table
