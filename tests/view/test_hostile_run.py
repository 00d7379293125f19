"""Run folders that Saccade did not make: what cannot be read is named, and the rest is shown."""

import asyncio
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from building import a_task, noise, plain, played, zoom_text
from pydantic import JsonValue

from saccade.cache import ByteCache
from saccade.images.geometry import Box
from saccade.runs.folder import RunFolder
from saccade.runs.manifest import Manifest
from saccade.testing.lies import HOSTILE_TEXT
from saccade.types import Score, TargetBox, Verdict
from saccade.view import sound
from saccade.view.page import make_page
from saccade.view.report import as_json, as_markdown, report, report_parts
from saccade.view.tables import Table, latex, markdown

HOSTILE: list[JsonValue] = [
    None, True, -1, 10**400, 2**63, 1e308, -1e308, float("nan"), float("inf"), -float("inf"), 0.5,
    "", "\0", "x\u202e\x1b[2J", "../../../etc/passwd", "/dev/zero", "y" * 5000, [], {}, [[]],
    [float("nan")] * 4, [1e308] * 4, {"": None}, "0" * 64 + ".png", "<script>",
]  # fmt: skip
COPIES = 250


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, JsonValue]]:
    """A task and its episode as a real run writes them."""
    folder = tmp_path_factory.mktemp("real") / "run"
    target = TargetBox(box=Box(3, 3, 20, 20))
    task = a_task(noise(60, 60), "What?", answer="A", choices=("x", "y"), boxes=(target,),
                  meta={"family": "f"})  # fmt: skip
    done = asyncio.run(played(zoom_text(3, 3, 30, 30), "<answer>A</answer>", task=task))
    said = {"token_ids": (1, 2, 3), "log_probs": (-0.1, -0.2, -0.3), "model": "/none/m"}
    first = done.turns[0].model_copy(
        update={"completion": done.turns[0].completion.model_copy(update=said)}
    )
    earlier = {"run": "x", "verdict": {"correct": False}, "score": {"value": 0.0}}
    done = done.model_copy(
        update={
            "turns": (first, *done.turns[1:]),
            "verdict": Verdict(correct=True, judge="choice"),
            "score": Score(value=1.0, parts={"accuracy": 1.0}),
            "annotations": {"advantage": 0.5, "rescored_from": earlier},
        }
    )
    with RunFolder(folder, Manifest(verb="rollout", config={}, fingerprint="0" * 16)) as run:
        run.append(task, done)
    names = {"tasks.jsonl": "task", "trajectories.jsonl": "episode", "run.json": "run"}
    read = {names[name]: json.loads((folder / name).read_text()) for name in names}
    read["files"] = {file.name: file.read_bytes().hex() for file in (folder / "images").iterdir()}
    return read


def places(value: JsonValue, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if place:
        yield place
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(
        value, list) else ()  # fmt: skip
    for key, held in inner:
        yield from places(held, (*place, key))


def replaced(value: JsonValue, place: tuple[str | int, ...], new: JsonValue) -> JsonValue:
    if not place:
        return new
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[place[0]] = replaced(changed[place[0]], place[1:], new)
    return changed


def folder_of(
    path: Path,
    lines: dict[str, dict[str, JsonValue]],
    tasks: list[JsonValue],
    episodes: list[JsonValue],
) -> Path:
    (path / "images").mkdir(parents=True)
    for name, data in lines["files"].items():
        (path / "images" / name).write_bytes(bytes.fromhex(str(data)))
    (path / "run.json").write_text(json.dumps(lines["run"]))
    for name, held in (("tasks.jsonl", tasks), ("trajectories.jsonl", episodes)):
        (path / name).write_text("".join(json.dumps(line) + "\n" for line in held))
    return path


def content(*runs: Path) -> list[dict[str, JsonValue]]:
    """What the page holds, as a browser reads it."""
    block = make_page(runs).html.split('id="data">')[1].split("</script>")[0]
    return json.loads(block)["runs"]


def everything(run: Path) -> dict[str, JsonValue]:
    made = report([run, run])
    for text in (latex(report_parts(made, lambda _: None)), as_markdown(made, run)):
        assert text
    return as_json(made)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_hostile_value_anywhere_costs_no_more_than_its_record(
    tmp_path: Path, lines: dict[str, dict[str, JsonValue]], seed: int
) -> None:
    """Each line is the real one with other values in one or two places."""
    rng = random.Random(seed)
    good = {"task": lines["task"], "episode": lines["episode"]}
    made: dict[str, list[JsonValue]] = {"task": [good["task"]], "episode": [good["episode"]]}
    for number in range(COPIES):
        kind = rng.choice(["task", "episode", "episode"])
        for of in ("task", "episode"):
            line: JsonValue = dict(good[of])
            if of == kind:
                for _ in range(rng.randint(1, 2)):
                    line = replaced(line, rng.choice(list(places(line))), rng.choice(HOSTILE))
            key, name = ("id" if of == "task" else "task_id"), f"t{number}"
            if isinstance(line, dict) and line.get(key) == good[of][key]:
                line |= {key: name, "id": name if of == "task" else f"{name}:0"}
            made[of].append(line)
    run = folder_of(tmp_path / "run", lines, made["task"], made["episode"])
    (shown,) = content(run)
    ids = {episode["id"] for episode in shown["episodes"]}
    assert "t:0" in ids
    assert 10 < len(ids) < COPIES
    said = " ".join(shown["notes"])
    assert "jsonl:" in said
    assert "more records" in said
    left_out = everything(run)["runs"][0]["left_out"]
    assert len(left_out) > 20


@pytest.mark.parametrize(
    ("of", "place", "value", "says"),
    [
        ("episode", ("sample",), -1, r"trajectories.jsonl:2: damaged (sample"),
        ("episode", ("prompt", 1, "content", 0, "region"), [float("nan")] * 4,
         "trajectories.jsonl:2: damaged (prompt"),
        ("episode", ("prompt", 1, "content", 0, "source"), "../../../etc/passwd",
         "trajectories.jsonl:2: damaged (prompt"),
        ("episode", ("score", "value"), 1e308, "the reward score is 1e+308"),
        ("episode", ("seconds",), float("nan"), "seconds: nan is no number"),
        ("episode", ("sample",), 10**400, "'u:0': cannot be used"),
        ("episode", ("task_id",), "gone", "task 'gone' is missing"),
        ("task", ("boxes", 0, "box"), [float("nan")] * 4, "nan is no number that was measured"),
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_used_is_named_and_the_others_are_shown(
    tmp_path: Path, lines: dict[str, dict[str, JsonValue]], of: str, place: tuple[str | int, ...],
    value: JsonValue, says: str,
) -> None:  # fmt: skip
    named = {"task": {"id": "u"}, "episode": {"id": "u:0", "task_id": "u"}}
    other = {kind: lines[kind] | names for kind, names in named.items()}
    other[of] = replaced(other[of], place, value)
    tasks, episodes = ([lines[kind], other[kind]] for kind in ("task", "episode"))
    run = folder_of(tmp_path / "run", lines, tasks, episodes)
    (shown,) = content(run)
    assert [episode["id"] for episode in shown["episodes"]] == ["t:0"]
    assert says in " ".join(shown["notes"])
    (left_out,) = everything(run)["runs"][0]["left_out"]
    assert says in left_out


def test_fields_that_contradict_each_other_cost_no_episode(
    tmp_path: Path, lines: dict[str, dict[str, JsonValue]]
) -> None:
    probabilities = ("turns", 0, "completion", "log_probs")
    episode = replaced(lines["episode"], probabilities, [-0.1])
    run = folder_of(tmp_path / "run", lines, [lines["task"]], [episode, lines["episode"]])
    (shown,) = content(run)
    assert len(shown["episodes"]) == 1
    assert "it comes twice; the first one counts" in " ".join(shown["notes"])


def test_without_the_guard_one_record_ends_the_page(
    tmp_path: Path, lines: dict[str, dict[str, JsonValue]], monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = replaced(lines["task"], ("boxes", 0, "box"), [float("nan")] * 4)
    run = folder_of(tmp_path / "run", lines, [boxes], [lines["episode"]])
    assert content(run)[0]["episodes"] == []
    monkeypatch.setattr(sound, "UNUSABLE", ())
    with pytest.raises(ValueError, match="nan"):
        make_page([run])


def test_pictures_that_are_forged_linked_or_too_large_are_notes(
    tmp_path: Path, lines: dict[str, dict[str, JsonValue]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh: ByteCache[object, object] = ByteCache(2**20, lambda _: 1)  # no pixels of other tests
    monkeypatch.setattr("saccade.images.source._DECODED", fresh)
    honest = folder_of(tmp_path / "a", lines, [lines["task"]], [lines["episode"]])
    forged = folder_of(tmp_path / "b", lines, [lines["task"]], [lines["episode"]])
    linked = folder_of(tmp_path / "c", lines, [lines["task"]], [lines["episode"]])
    (name,) = lines["files"]
    (forged / "images" / name).write_bytes(plain(60, 60, "red").source.encoded())
    (linked / "images" / name).unlink()
    (linked / "images").rmdir()
    (linked / "images").symlink_to(honest / "images")
    for run, says in ((forged, "holds something else"), (linked, "is no image of a run folder")):
        (shown,) = content(run)
        (picture,) = shown["episodes"][0]["pictures"]
        assert picture["name"] is None
        assert says in picture["note"]
    (shown,) = content(honest)
    assert shown["episodes"][0]["pictures"][0]["name"] is not None


def test_files_of_a_run_that_are_none_are_named(
    tmp_path: Path, lines: dict[str, dict[str, JsonValue]]
) -> None:
    outside = folder_of(tmp_path / "outside", lines, [lines["task"]], [lines["episode"]])
    run = folder_of(tmp_path / "run", lines, [lines["task"]], [lines["episode"]])
    os.mkfifo(run / "aborted.jsonl")
    (run / "reward_failed.jsonl").symlink_to(outside / "trajectories.jsonl")
    (shown,) = content(run)
    notes = " ".join(shown["notes"])
    assert "aborted.jsonl: cannot be read (no regular file, but a pipe or a device)" in notes
    assert "a link that leads out of the run folder is not read" in notes
    (run / "trajectories.jsonl").unlink()
    (run / "trajectories.jsonl").symlink_to("trajectories.jsonl")
    assert "trajectories.jsonl: " in " ".join(content(run)[0]["notes"])


def test_a_record_of_very_many_values_is_refused_before_it_is_read(
    tmp_path: Path, lines: dict[str, dict[str, JsonValue]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saccade.runs.lines.MAX_VALUES", 1000)
    many = lines["episode"] | {"id": "u:0", "annotations": {"x": [0] * 1001}}
    run = folder_of(tmp_path / "run", lines, [lines["task"]], [many, lines["episode"]])
    monkeypatch.setattr("saccade.runs.folder.MAX_LINE_BYTES", len(json.dumps(many)) + 1)
    (shown,) = content(run)
    assert "jsonl:1: more than 1000 values in a record" in " ".join(shown["notes"])
    monkeypatch.setattr("saccade.runs.folder.MAX_LINE_BYTES", len(json.dumps(lines["episode"])) + 9)
    (shown,) = content(run)
    assert "jsonl:1: a line of more than" in " ".join(shown["notes"])
    assert len(shown["episodes"]) == 1


def test_titles_heads_and_paragraphs_stay_on_their_line() -> None:
    hostile = f"# {HOSTILE_TEXT}\n\n# head\n| a |"
    text = markdown([Table(hostile, (hostile, "n"), ((hostile, "1"),)), hostile])
    assert {c for c in text if not c.isprintable()} == {"\n"}
    title, _, head, _, row, _, said = text.rstrip("\n").split("\n")
    assert (title[:2], head[:2], row[:2], said[:2]) == ("**", "| ", "| ", "\\#")
