"""Shards of a job array, joined: the run that one process would have left, or a refusal."""

import json
from pathlib import Path

import pytest
from photos import letter_of, write_photos
from pydantic import JsonValue

from saccade.bench.merge import merge
from saccade.bench.recipe import BenchRecipe
from saccade.bench.run import run_bench
from saccade.cli.benches.result import result_of
from saccade.config import validate
from saccade.errors import ConfigError
from saccade.runs.finished import finish
from saccade.runs.folder import RunReader
from saccade.runs.manifest import check_same, manifest_of, read_manifest
from saccade.testing import ScriptedServer


class Shards:
    """Runs of parts of one data set, with a server that knows the answers."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.data = write_photos(folder / "data", 9)

    def recipe(self, out: Path, **keys: JsonValue) -> BenchRecipe:
        policy: JsonValue = {"kind": "openai", "base_url": self.url, "model": "m"}
        table = {"bench": "vstar_mini", "data": str(self.data), "policy": policy, "canary": False,
                 "arm": "direct", "out": str(out)}  # fmt: skip
        return validate(BenchRecipe, {**table, **keys})

    async def run(self, shard: str, *, done: bool = True, **keys: JsonValue) -> Path:
        out = self.folder / f"shard-{shard.replace('/', '-')}-{len(list(self.folder.iterdir()))}"
        recipe = self.recipe(out, shard=shard, **keys)
        await run_bench(recipe, out, on_finish=lambda *_: None)
        if done:
            finish(out, "bench", recipe.model_dump(mode="json"), {})
        return out


@pytest.fixture
def shards(tmp_path: Path):  # type: ignore[no-untyped-def]
    with ScriptedServer(lambda request: letter_of(request.text)) as server:
        yield Shards(tmp_path, server.url)


async def test_shards_joined_are_the_run_without_shards(shards: Shards, tmp_path: Path) -> None:
    parts = [await shards.run(f"{k}/3") for k in (2, 1, 3)]
    before = {part: (part / "trajectories.jsonl").read_bytes() for part in parts}
    out, whole = tmp_path / "joined", tmp_path / "whole"
    _, kept = merge(parts, out)
    await run_bench(shards.recipe(whole), whole, on_finish=lambda *_: None)

    def held(folder: Path) -> dict[str, object]:
        varying = {"turns": {0: {"completion": {"seconds"}}}, "seconds": True}
        entries = RunReader(folder).entries()
        return {e.task.id: (e.task, e.trajectory.model_dump(exclude=varying)) for e in entries}  # type: ignore[arg-type]

    assert held(out) == held(whole)
    assert kept == {(name, 0) for name in held(whole)}
    images = {file.name: file.read_bytes() for file in (whole / "images").iterdir()}
    assert {file.name: file.read_bytes() for file in (out / "images").iterdir()} == images
    check_same(out, read_manifest(out), manifest_of("bench", shards.recipe(out)))
    assert {part: (part / "trajectories.jsonl").read_bytes() for part in parts} == before


async def test_a_merge_that_was_stopped_goes_on(shards: Shards, tmp_path: Path) -> None:
    parts = [await shards.run(f"{k}/2") for k in (1, 2)]
    done: list[int] = []

    def stop(what: str, number: int, total: int) -> None:
        done.append(number)
        if number == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge(parts, tmp_path / "out", on_progress=stop)
    first = (tmp_path / "out" / "trajectories.jsonl").read_bytes()
    merge(parts, tmp_path / "out")
    after = (tmp_path / "out" / "trajectories.jsonl").read_bytes()
    assert after.startswith(first)
    assert after.count(b"\n") == 9


async def test_shards_with_other_settings_are_refused_and_these_are_named(
    shards: Shards, tmp_path: Path
) -> None:
    one = await shards.run("1/2")
    for keys, named in (
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"order": "file"}, 'order: "hashed" -> "file"'),
        ({"arm": "cot"}, 'arm: "direct" -> "cot"'),
        ({"environment": {"view": {"max_pixels": 9999}}}, "environment.view.max_pixels"),
    ):
        other = await shards.run("2/2", **keys)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=named):
            merge([one, other], tmp_path / "out")
    another = await shards.run("2/2", concurrency=3)  # changes nothing that counts
    manifest = json.loads((another / "run.json").read_text())
    (another / "run.json").write_text(json.dumps({**manifest, "fingerprint": "0" * 16}))
    with pytest.raises(ConfigError, match=r"the environment: .* -> 0000000000000000"):
        merge([one, another], tmp_path / "out")
    assert not (tmp_path / "out").exists()


async def test_a_shard_that_is_missing_twice_or_unfinished_is_named(
    shards: Shards, tmp_path: Path
) -> None:
    one, two = [await shards.run(f"{k}/3") for k in (1, 2)]
    three = await shards.run("3/3", done=False)
    again = await shards.run("1/3")
    for runs, said in (
        ([one, two], "shard 3 of 3 is missing"),
        ([one, two, three], r"shard-3-3.*\(shard 3/3\) is not finished"),
        ([one, again, two], "both shard 1/3"),
        ([one, await shards.run("2/2")], "all have to be of the same number"),
        ([], "name the run folder"),
    ):
        with pytest.raises(ConfigError, match=said):
            merge(runs, tmp_path / "out")
    with pytest.raises(ConfigError, match="another folder"):
        merge([one], one)


async def test_shards_of_another_number_of_items_are_refused(
    shards: Shards, tmp_path: Path
) -> None:
    two = await shards.run("2/2", n=6)
    for keys, named in (({"n": 4}, "n=4"), ({}, "n=None"), ({"n": 6, "samples": 2}, "samples=2")):
        with pytest.raises(ConfigError, match=named):
            merge([await shards.run("1/2", **keys), two], tmp_path / "out")  # type: ignore[arg-type]
    grown = await shards.run("1/2", n=2)
    await run_bench(shards.recipe(grown, shard="1/2", n=6), grown, on_finish=lambda *_: None)
    with pytest.raises(ConfigError, match="is not finished"):  # its note is that of n=2
        merge([grown, two], tmp_path / "out")
    assert not (tmp_path / "out").exists()


async def test_what_a_larger_run_has_left_in_a_shard_is_not_merged(
    shards: Shards, tmp_path: Path
) -> None:
    one, two = [await shards.run(f"{k}/2", done=False) for k in (1, 2)]
    for out, shard in ((one, "1/2"), (two, "2/2")):
        recipe = shards.recipe(out, shard=shard, n=4)
        asked = await run_bench(recipe, out, on_finish=lambda *_: None)
        result, _ = result_of(recipe, out, asked)
        finish(out, "bench", recipe.model_dump(mode="json"), result)
    with pytest.raises(ConfigError, match=r"holds \d episodes, and \d are asked for"):
        merge([one, two], tmp_path / "out")


async def test_an_episode_that_is_in_two_shards_is_refused(shards: Shards, tmp_path: Path) -> None:
    one, two = [await shards.run(f"{k}/2") for k in (1, 2)]
    for name in ("tasks.jsonl", "trajectories.jsonl"):
        line = (one / name).read_text().splitlines(keepends=True)[0]
        with (two / name).open("a") as file:
            file.write(line)
    for image in (one / "images").iterdir():
        (two / "images" / image.name).write_bytes(image.read_bytes())
    with pytest.raises(ConfigError, match=r"the episode q.*:0 is in .*shard-1-2"):
        merge([one, two], tmp_path / "out")
