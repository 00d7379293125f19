"""`saccade attack`: how a classifier, or an agent, stands up to attacks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from saccade.cli.common.options import Json, Threads
from saccade.cli.common.robust import (
    Arguments,
    Data,
    Model,
    N,
    Out,
    Seed,
    check_installed,
    classifier_recipe,
    read_table,
    show_table,
    shown_progress,
)
from saccade.cli.common.say import say, say_record

if TYPE_CHECKING:
    from saccade.config import Table
    from saccade.robust.agent.recipe import AgentAttackRecipe
    from saccade.robust.agent.results import AgentAttackResult
    from saccade.robust.classifiers.recipe import RobustRecipe
    from saccade.robust.classifiers.results import AttackResult


def attack(
    arguments: Arguments = None,
    data: Data = None,
    model: Model = None,
    seed: Seed = None,
    n: N = None,
    out: Out = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Attack a classifier or an agent, budget by budget.

    A run file with a `policy` is one of an agent: how it stands up to attacks on what it sees when
    it answers at once, and when it looks again. The same command resumes; with a larger --n it
    goes on with further images.
    """
    table = read_table(arguments)
    if "policy" in table:
        _of_agent(table, data, model, seed, n, out, threads, as_json=as_json)
        return
    flags = {"data": data, "model": model, "seed": seed, "n": n, "out": out}
    _of_classifier(classifier_recipe(table, flags), threads, as_json=as_json)


def _of_classifier(recipe: RobustRecipe, threads: int | None, *, as_json: bool) -> None:
    from saccade.cli.common.interrupt import says
    from saccade.cli.common.outcome import finished_before
    from saccade.robust.classifiers.folder import FILES, config_of, folder_of
    from saccade.robust.classifiers.recipe import check_attack
    from saccade.robust.classifiers.results import AttackResult
    from saccade.robust.classifiers.tables import (
        RATES,
        SCORES,
        attack_table,
        caption,
        vulnerability_table,
    )

    folder = folder_of(recipe, "attack")
    done = finished_before("attack", config_of(recipe, "attack"), folder)
    if done is None:
        check_attack(recipe)
        check_installed("robust")
        says(
            f"interrupted: {recipe.out} keeps the nets that were trained, and every 256 images "
            "that were attacked; the same command resumes"
        )
        result = _attack_classifier(recipe, threads, quiet=as_json)
    else:
        result = AttackResult.model_validate(done)
    if as_json:
        say_record(result)
        return
    say(f"{caption(result)}\n\n{RATES}")
    show_table(attack_table(result))
    say(SCORES)
    show_table(vulnerability_table(result))
    say(f"written to {folder}: {', '.join(FILES['attack'])}")


def _attack_classifier(recipe: RobustRecipe, threads: int | None, *, quiet: bool) -> AttackResult:
    from saccade.cli.common.extras import needs
    from saccade.files import write_whole
    from saccade.robust.classifiers.folder import FILES, config_of, folder_of
    from saccade.robust.classifiers.tables import attack_page, caption
    from saccade.runs.finished import finish

    with needs("robust"):
        from saccade.models.threads import use_threads
        from saccade.robust.classifiers.attack import measure_attacks
        from saccade.robust.classifiers.figures import draw_attack, draw_examples
        from saccade.robust.classifiers.subjects import Subject
    if threads is not None:
        use_threads(threads)
    folder = folder_of(recipe, "attack")
    with shown_progress(quiet=quiet) as (on_progress, on_note):
        nets: list[Subject] = []
        result = measure_attacks(recipe, on_progress, on_note=on_note, on_net=nets.append)
    draw_attack(result, folder / "attack.png")
    draw_examples(nets[0], recipe.attack, folder / "examples.png", text=caption(result))
    write_whole(folder / "attack.md", attack_page(result).encode())
    finish(
        folder, "attack", config_of(recipe, "attack"), result.model_dump(mode="json"),
        needs=FILES["attack"],
    )  # fmt: skip
    return result


def _of_agent(
    table: Table,
    data: str | None,
    model: str | None,
    seed: int | None,
    n: int | None,
    out: str | None,
    threads: int | None,
    *,
    as_json: bool,
) -> None:
    from saccade.cli.common.outcome import finished_before
    from saccade.config import validate
    from saccade.embedded import with_folders
    from saccade.errors import ConfigError
    from saccade.recipe import count_tasks
    from saccade.robust.agent.recipe import FILES, AgentAttackRecipe
    from saccade.robust.agent.results import AgentAttackResult
    from saccade.robust.agent.tables import KEYS, TITLES, agent_table, caption
    from saccade.runs.preflight import preflight

    if data is not None:
        raise ConfigError("--data: the questions of an agent are the run file's `tasks`")
    for name, key, value in (("policy", "path", model), ("tasks", "n", n)):
        section = table.get(name, {})
        if value is not None and isinstance(section, dict):
            table = {**table, name: {**section, key: value}}
    flags = {key: value for key, value in (("seed", seed), ("out", out)) if value is not None}
    recipe = validate(AgentAttackRecipe, with_folders({**table, **flags}))
    folder, config = Path(recipe.out), recipe.model_dump(mode="json")
    done = finished_before("attack", config, folder, total=count_tasks(recipe))
    if done is None:
        preflight(recipe, scored=False)
        check_installed("local")
        check_installed("robust")
        result = _attack_agent(recipe, threads, quiet=as_json)
    else:
        result = AgentAttackResult.model_validate(done)
    if as_json:
        say_record(result)
        return
    say(f"{caption(result)}\n")
    for threat in result.threats:
        say(TITLES[threat])
        show_table(agent_table(result, threat), keys=KEYS)
    say(f"written to {folder}: {', '.join(FILES)}")


def _attack_agent(
    recipe: AgentAttackRecipe, threads: int | None, *, quiet: bool
) -> AgentAttackResult:
    from saccade.cli.common.extras import needs
    from saccade.files import write_whole
    from saccade.recipe import count_tasks
    from saccade.robust.agent.recipe import FILES
    from saccade.robust.agent.tables import agent_page
    from saccade.runs.finished import finish

    with needs("robust"):
        from saccade.models.threads import use_threads
        from saccade.robust.agent.attack import measure_agent
        from saccade.robust.agent.figures import draw_agent, draw_attacked
    if threads is not None:
        use_threads(threads)
    folder = Path(recipe.out)
    with shown_progress(quiet=quiet) as (on_progress, on_note):
        result = measure_agent(recipe, on_progress, on_note=on_note)
    draw_agent(result, folder / "agent_attack.png")
    draw_attacked(recipe, folder / "attacked.png")
    write_whole(folder / "agent_attack.md", agent_page(result).encode())
    finish(
        folder, "attack", recipe.model_dump(mode="json"), result.model_dump(mode="json"),
        needs=FILES, total=count_tasks(recipe),
    )  # fmt: skip
    return result
