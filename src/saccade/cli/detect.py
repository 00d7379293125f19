"""`saccade detect`: how well attacked images are detected."""

from __future__ import annotations

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
    from saccade.robust.classifiers.recipe import RobustRecipe
    from saccade.robust.classifiers.results import DetectResult


def detect(
    arguments: Arguments = None,
    data: Data = None,
    model: Model = None,
    seed: Seed = None,
    n: N = None,
    out: Out = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Measure how well attacked images are detected.

    Clean and noisy images are the negatives of every signal. The same command resumes with the
    next net; with another --n every net is measured anew, since images are split by their number.
    """
    from saccade.cli.common.interrupt import says
    from saccade.cli.common.outcome import finished_before
    from saccade.robust.classifiers.folder import FILES, config_of, folder_of
    from saccade.robust.classifiers.recipe import check_detect
    from saccade.robust.classifiers.results import DetectResult
    from saccade.robust.classifiers.tables import (
        AREAS,
        CROSSED,
        caption,
        cross_table,
        detection_table,
    )

    flags = {"data": data, "model": model, "seed": seed, "n": n, "out": out}
    recipe = classifier_recipe(read_table(arguments), flags)
    folder = folder_of(recipe, "detect")
    done = finished_before("detect", config_of(recipe, "detect"), folder)
    if done is None:
        check_detect(recipe)
        check_installed("robust")
        says(
            f"interrupted: {recipe.out} keeps the nets that were trained and those that were "
            "measured; the same command goes on with the next"
        )
        result = _measure(recipe, threads, quiet=as_json)
    else:
        result = DetectResult.model_validate(done)
    if as_json:
        say_record(result)
        return
    say(f"{caption(result)}\n\n{AREAS}")
    show_table(detection_table(result))
    say(CROSSED)
    show_table(cross_table(result))
    say(f"written to {folder}: {', '.join(FILES['detect'])}")


def _measure(recipe: RobustRecipe, threads: int | None, *, quiet: bool) -> DetectResult:
    from saccade.cli.common.extras import needs
    from saccade.files import write_whole
    from saccade.robust.classifiers.folder import FILES, config_of, folder_of
    from saccade.robust.classifiers.tables import detection_page
    from saccade.runs.finished import finish

    with needs("robust"):
        from saccade.models.threads import use_threads
        from saccade.robust.classifiers.detection import measure_detection
        from saccade.robust.classifiers.figures import draw_detection
    if threads is not None:
        use_threads(threads)
    folder = folder_of(recipe, "detect")
    with shown_progress(quiet=quiet) as (on_progress, on_note):
        result = measure_detection(recipe, on_progress, on_note=on_note)
    draw_detection(result, folder / "detect.png")
    write_whole(folder / "detect.md", detection_page(result).encode())
    finish(
        folder, "detect", config_of(recipe, "detect"), result.model_dump(mode="json"),
        needs=FILES["detect"],
    )  # fmt: skip
    return result
