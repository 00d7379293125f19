"""Run folders of others: they choose neither the code that is run nor the files that are read."""

import json
import shutil
from pathlib import Path

import pytest
from command import here
from photos import letter_of, write_photos

from saccade.errors import FormatError
from saccade.runs.export import rows
from saccade.testing import ScriptedServer

MODULE = """
from pathlib import Path
Path(__file__).with_name("imported").touch()
"""


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("strangers")
    data = write_photos(folder / "data", 4)
    with ScriptedServer(lambda request: letter_of(request.text)) as server:
        for k in (1, 2):
            done = here("bench", "vstar_mini", f"data={data}", "policy.kind=openai", "canary=false",
                        f"policy.base_url={server.url}", "policy.model=m", "arm=direct",
                        f"shard={k}/2", f"out={folder / f's{k}'}")  # fmt: skip
            assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("s1", "s2"):
        shutil.copytree(shards / name, tmp_path / name)
    (tmp_path / "stranger.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def change(folder: Path, name: str, old: str, new: str) -> None:
    for run in ("s1", "s2"):
        file = folder / run / name
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))


COMMANDS = {
    "report": ["report", "s1"],
    "view": ["view", "s1"],
    "predictions": ["bench", "predictions", "s1", "--out", "p.tsv"],
    "merge": ["bench", "merge", "s1", "s2", "out=whole"],
    "rescore": ["rescore", "s1", "out=again"],
}


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_run_folder_chooses_no_code(folder: Path, verb: str) -> None:
    for name in ("run.json", "finished.json"):
        change(folder, name, '"vstar_mini"', '"stranger:Bench"')
        change(folder, name, '"exact"', '"stranger:Judge"')
    done = here(*COMMANDS[verb], cwd=folder)
    assert not (folder / "imported").exists(), done.stderr
    if verb == "rescore":
        assert done.returncode == 2
        assert "stranger:Bench, stranger:Judge" in done.stderr
        assert "--recipe FILE" in done.stderr
        (folder / "mine.toml").write_text(
            'bench = "stranger:Bench"\nreward.judge = ["stranger:Judge"]\n'
        )
        here(*COMMANDS[verb], "--recipe", "mine.toml", cwd=folder)
        assert (folder / "imported").exists(), "who names it has chosen it"
        return
    assert done.returncode == 0, done.stderr
    if verb == "merge":
        assert "is not loaded" in done.stdout
        assert not (folder / "whole" / "finished.json").exists(), "its own metrics are missing"


@pytest.mark.parametrize("how", ["path", "link"])
def test_a_run_folder_names_no_file_outside(folder: Path, how: str) -> None:
    secret = folder / "secret.jpg"
    image = next((folder / "s1" / "images").iterdir())
    shutil.copy(image, secret)
    if how == "path":
        for name in ("tasks.jsonl", "trajectories.jsonl"):
            file = folder / "s1" / name
            file.write_text(file.read_text().replace(image.name, f"../../{secret.name}"))
    else:
        image.unlink()
        image.symlink_to(secret)
    for verb in ("merge", "rescore"):
        assert here(*COMMANDS[verb], cwd=folder).returncode == 1, verb
    for out in ("whole", "again"):
        kept = [file.name for file in (folder / out).rglob("*.jpg")] if how == "path" else []
        assert not [name for name in kept if name in (image.name, secret.name)]
        assert not any(file.is_symlink() for file in (folder / out).rglob("*"))
    with pytest.raises(FormatError):
        list(rows(folder / "s1"))


def test_what_a_model_says_is_text_in_every_file(folder: Path) -> None:
    said = '=HYPERLINK("http://x")\t\n\x1b[31m\u202e' + "x" * 2**20
    for line in (folder / "s1" / "trajectories.jsonl").read_text().splitlines():
        made = json.loads(line)
    made["turns"][-1]["action"]["answer"] = said
    kept = (folder / "s1" / "trajectories.jsonl").read_text().splitlines()[:-1]
    lines = "".join(one + "\n" for one in [*kept, json.dumps(made)])
    (folder / "s1" / "trajectories.jsonl").write_text(lines)
    for suffix in ("tsv", "xlsx"):
        out = str(folder / f"p.{suffix}")
        done = here("bench", "predictions", "s1", "--out", out, cwd=folder)
        assert done.returncode == 0, done.stderr
    table = (folder / "p.tsv").read_text()
    assert "'=HYPERLINK" in table
    assert "\x1b" not in table
