"""What `saccade curate` prints of a selection that sorts, and what it finds before it begins."""

import json
from pathlib import Path

from building import a_task, noise
from command import here

from saccade.formats.tasks import write_tasks

TERMS = '["duplicates", { kind = "decontaminate", against = [{ kind = "nano", n = 2 }] }]'


def run_file(folder: Path, terms: str = TERMS) -> Path:
    images = [noise(80, 80, seed) for seed in (1, 2, 1, 1)]
    source = write_tasks(
        [a_task(image, "What is it?", id=str(n), answer="7", source=f"s{n % 2}")
         for n, image in enumerate(images)], folder / "questions",
    )  # fmt: skip
    file = folder / "curation.toml"
    file.write_text(
        f'out = "{folder / "out"}"\npolicy.kind = "world"\n'
        f'tasks = {{ kind = "file", path = "{source}" }}\n[curate]\nterms = {terms}\n'
    )
    return file


def test_it_says_what_was_dropped_and_which_kinds_are_left(tmp_path: Path) -> None:
    file = run_file(tmp_path)
    done = here("curate", str(file))
    assert done.returncode == 0, done.stderr
    assert "2 of 4 questions kept" in done.stdout
    assert "2  duplicates: asked before" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["of", "kind", "source", "duplicates"] in rows, "what drops nothing has no column"
    assert ["source", "s0", "2", "(0.50)", "1", "(0.50)"] in rows
    printed = json.loads(here("curate", str(file), "--json").stdout)
    assert printed["sets"] == {"kept": 2}
    assert [stage["stage"] for stage in printed["diversity"]] == [
        "source", "duplicates", "decontaminate"
    ]  # fmt: skip


def test_a_benchmark_that_is_not_there_is_found_by_the_check_and_by_the_run(tmp_path: Path) -> None:
    file = run_file(tmp_path, '[{ kind = "decontaminate", against = ["vstr"] }]')
    for command in (("check", "recipe"), ("curate",)):
        done = here(*command, str(file))
        assert done.returncode != 0
        assert "there is no benchmark 'vstr'; did you mean 'vstar'" in done.stdout + done.stderr
    assert not (tmp_path / "out").exists()
