"""`saccade bench` as a user types it: a table, a folder that resumes, shards, exit codes."""

import csv
import json
import re
import signal
from pathlib import Path

import pytest
from command import here
from photos import letter_of, write_photos
from processes import Running, forked

from saccade.cli.benches.chosen import recipe_of
from saccade.runs.folder import RunReader
from saccade.testing import ScriptedReply, ScriptedRequest, ScriptedServer


def right(request: ScriptedRequest) -> str:
    return f"<answer>{letter_of(request.text)}</answer>"


def words(url: str, *more: str, data: Path) -> list[str]:
    return ["bench", "vstar_mini", f"data={data}", "policy.kind=openai", f"policy.base_url={url}",
            "policy.model=a/model", "policy.max_retries=0", "canary=false", *more]  # fmt: skip


def test_nano_needs_nothing_else_and_a_second_time_does_nothing(tmp_path: Path) -> None:
    done = here("bench", "nano", "--n", "6", "--seed", "1", "concurrency=6", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "runs" / "nano-nano-look-agent-1"
    assert "accuracy" in done.stdout
    assert "95 % CI" in done.stdout
    assert "runs/nano-nano-look-agent-1" in done.stdout
    assert "episodes 6/6, accuracy " in done.stderr
    assert len(list(RunReader(out).entries())) == 6
    again = here("bench", "nano", "--n", "6", "--seed", "1", "--json", cwd=tmp_path)
    assert "nothing was left to do" in again.stderr
    result = json.loads(again.stdout)
    assert result == json.loads((out / "finished.json").read_text())["result"]
    assert (result["benchmark"], result["arm"]) == ("nano", "agent")
    assert result["metrics"][0]["n"] == result["rule"][0]["n"] == 6
    assert result["fingerprint"] == "a795f36830051b8e", "that of `saccade nano eval`"


def test_the_list_says_where_to_get_what_and_what_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photos(tmp_path / "vstar_mini", 1)
    monkeypatch.setenv("SACCADE_DATA", str(tmp_path))
    monkeypatch.setenv("LMUData", str(tmp_path))
    rows = {row["name"]: row for row in json.loads(here("bench", "list", "--json").stdout)}
    assert rows["vstar_mini"]["on_disk"] == str(tmp_path / "vstar_mini")
    assert rows["nano"]["on_disk"] == "in the package"
    assert rows["vstar"]["on_disk"] is None
    for row in rows.values():
        assert row["title"]
        assert row["licence"]
        assert row["source"]
        assert row["items"] is None or row["items"] > 0
    monkeypatch.setenv("COLUMNS", "80")
    table = here("bench", "list").stdout
    lines = [line for line in table.splitlines() if str(tmp_path) not in line]
    assert max(map(len, lines)) <= 80
    for name, row in rows.items():
        assert re.search(rf"^{name} ", table, re.MULTILINE)
        address = re.search(r"https://[^\s,;]+", row["source"])
        assert row["on_disk"] or (address and f"  {address[0]}" in table)


def test_the_list_says_all_of_one_benchmark() -> None:
    page = " ".join(here("bench", "list", "vstar").stdout.split())
    (row,) = json.loads(here("bench", "list", "vstar", "--json").stdout)
    assert row["name"] == "vstar"
    for key in ("title", "licence", "source", "layout", "metric", "differs", "paper"):
        assert row[key] in page


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["bench", "vstr"], "did you mean 'vstar'. `saccade bench list` names them"),
        (["bench", "VStarBench"], "did you mean 'vstar'"),
        (["bench", "list", "HRBench4K"], "did you mean 'hrbench_4k'"),
        (["bench", "lst"], "did you mean 'list'"),
        (["bench", "xyz"], "^error: bench: there is no benchmark 'xyz'. `saccade bench list`"),
        (["bench", "vstar_mini", "policy.kind=reader"], "get it from: .*penghao-wu/vstar"),
        (["bench", "nano", "data=x"], "data: nano reads no files"),
        (["bench", "nano", "oder=file"], "did you mean 'order'"),
        (["bench", "nano", "--arm", "agnet"], "arm"),
        (["bench", "nano", "--shard", "0/2"], "shard"),
        (["bench", "merge", "a"], "out=runs/NAME"),
    ],
)
def test_a_mistake_is_answered_with_what_helps(
    tmp_path: Path, line: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SACCADE_DATA", raising=False)
    done = here(*line, cwd=tmp_path)
    assert done.returncode == 2
    assert re.search(said, done.stderr), done.stderr
    assert not list(tmp_path.glob("runs/*"))


def test_a_policy_goes_with_the_environment_that_it_is_measured_in() -> None:
    reader, out = recipe_of("vstar_mini", ["policy.kind=reader", "seed=3"], {"n": None})
    assert reader.environment.limits.max_turns == 30
    assert reader.environment.view.max_pixels == 1_000_000
    assert str(out) == "runs/vstar_mini-reader-agent-3"
    server = ["policy.kind=openai", "policy.base_url=http://h/v1", "policy.model=Qwen/A b"]
    chat, out = recipe_of("nano", server, {"shard": "2/4", "arm": "direct"})
    assert chat.environment.view.max_pixels == 56**2
    assert chat.environment.limits.max_turn_tokens == 1024
    assert str(out) == "runs/nano-A-b-direct-0-shard-2-of-4"


def test_accuracy_tokens_and_money_so_far_and_in_all(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "d", 3)
    with ScriptedServer(right) as server:
        prices = ["policy.price_in=1000", "policy.price_out=2000", "concurrency=1"]
        done = here(*words(server.url, *prices, "--json", data=data), cwd=tmp_path)
    result = json.loads(done.stdout)
    tokens = result["tokens"]
    assert result["cost"] == pytest.approx((tokens["in"] * 1000 + tokens["out"] * 2000) / 1e6)
    assert "accuracy 1.00 (n 3), " in done.stderr
    assert f"cost {result['cost']:.2f}" in done.stderr


def test_an_outage_is_exit_code_1_and_the_same_command_goes_on(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "d", 4)
    up: list[bool] = []

    def answer(request: ScriptedRequest) -> ScriptedReply:
        broken = "sign 2" in request.text and not up
        return ScriptedReply(status=500) if broken else ScriptedReply(right(request))

    with ScriptedServer(answer) as server:
        line = words(server.url, data=data)
        failed = here(*line, cwd=tmp_path)
        assert failed.returncode == 1
        assert "1 episodes were aborted" in failed.stderr
        assert "aborted 1," in failed.stdout
        up.append(True)
        done = here(*line, cwd=tmp_path)
    assert done.returncode == 0
    assert len(server.requests) == 5
    assert "resumed: 3 of 4" in done.stderr


def test_a_process_that_is_killed_loses_and_repeats_nothing(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "d", 12)
    running: list[Running] = []

    def answer(request: ScriptedRequest) -> str:
        if len(server.requests) == 7 and running:
            running.pop().send_signal(signal.SIGKILL)
        return right(request)

    with ScriptedServer(answer) as server:
        line = words(server.url, "concurrency=2", "out=run", data=data)
        with forked(*line, cwd=tmp_path) as process:
            running.append(process)
            assert process.wait().returncode == -signal.SIGKILL
        kept = [t.id for t in RunReader(tmp_path / "run").trajectories()]
        before = len(server.requests)
        assert 0 < len(kept) < 12
        done = here(*line, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert len(server.requests) == before + 12 - len(kept)
    after = [t.id for t in RunReader(tmp_path / "run").trajectories()]
    assert after[: len(kept)] == kept
    assert sorted(after) == [f"q{k:02d}:0" for k in range(12)]


def test_shards_are_joined_and_the_whole_is_finished(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "d", 5)
    with ScriptedServer(right) as server:
        line = words(server.url, data=data)
        for k in range(1, 7):  # more than there are items: some are empty
            done = here(*line, "--shard", f"{k}/6", f"out=s{k}", cwd=tmp_path)
            assert done.returncode == 0, done.stderr
        folders = [f"s{k}" for k in range(1, 7)]
        early = here("bench", "merge", *folders[1:], "out=whole", cwd=tmp_path)
        assert "shard 1 of 6 is missing" in early.stderr
        joined = here("bench", "merge", *folders, "out=whole", "--json", cwd=tmp_path)
        assert joined.returncode == 0, joined.stderr
        assert json.loads(joined.stdout)["metrics"][0]["n"] == 5
        asked = len(server.requests)
        again = here(*line, "out=whole", cwd=tmp_path)
        assert "nothing was left to do" in again.stderr
        assert len(server.requests) == asked == 5


def test_a_run_can_be_judged_again_with_the_rule_of_its_benchmark(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "d", 2)

    def answer(request: ScriptedRequest) -> str:
        judging = "CORRECT" in request.text
        return "CORRECT" if judging else "<answer>the one by the water</answer>"

    with ScriptedServer(answer) as server:
        run = here(*words(server.url, "out=run", "--json", data=data), cwd=tmp_path)
        assert json.loads(run.stdout)["ends"]["undecided"] == 2
        judge = f'reward.judge=["exact", {{kind="llm", base_url="{server.url}", model="j"}}]'
        done = here("rescore", "run", judge, "out=again", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["after"]["correct"] == 2


def test_published_numbers_stand_beside_ours_when_asked_for(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "d", 2)
    with ScriptedServer(right) as server:
        line = words(server.url, "--compat", "vlmevalkit", "--json", data=data)
        result = json.loads(here(*line, cwd=tmp_path).stdout)
    assert (result["order"], result["compat"]) == ("file", "vlmevalkit")
    assert "vlmevalkit_metrics" in result
    assert result["out"] == "runs/vstar_mini-model-agent-file-0"


def test_the_answers_of_a_run_become_a_file_of_predictions(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "d", 3)
    with ScriptedServer(right) as server:
        assert here(*words(server.url, "out=run", data=data), cwd=tmp_path).returncode == 0
    done = here("bench", "predictions", "run", "--out", "p.tsv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "p.tsv").open(newline="") as file:
        rows = [*csv.DictReader(file, delimiter="\t")]
    assert len(rows) == 3
    assert all(row["prediction"] for row in rows)


def test_an_audit_keeps_a_run_for_each_arm_and_says_what_was_gained(tmp_path: Path) -> None:
    done = here("bench", "nano", "--n", "1", "--audit", "--json", "out=audit", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["arms"]
    assert (tmp_path / "audit" / "agent" / "run.json").is_file()
    assert (tmp_path / "audit" / "audit.md").is_file()


@pytest.mark.parametrize("lost", ["measured", "causes"])
def test_what_an_older_version_noted_as_finished_is_measured_again(
    tmp_path: Path, lost: str
) -> None:
    data, note = write_photos(tmp_path / "d", 2), tmp_path / "run" / "finished.json"
    with ScriptedServer(right) as server:
        line = words(server.url, "out=run", "--json", data=data)
        first = here(*line, cwd=tmp_path)
        content = json.loads(note.read_text())
        del content["result"][lost]
        note.write_text(json.dumps(content))
        again = here(*line, cwd=tmp_path)
        assert len(server.requests) == 2
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout) == json.loads(first.stdout)


def test_a_run_file_is_checked_as_the_command_would(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "d", 2)
    with ScriptedServer(right) as server:
        (tmp_path / "mine.toml").write_text(
            f'bench = "vstar_mini"\ndata = "{data}"\narm = "direct"\n'
            f'policy = {{ kind = "openai", base_url = "{server.url}", model = "m" }}\n'
        )
        good = here("check", "recipe", "mine.toml", cwd=tmp_path)
        bad = here("check", "recipe", "mine.toml", "data=nowhere", cwd=tmp_path)
    assert good.returncode == 0, good.stdout
    assert "a run file of saccade bench" in good.stdout
    assert re.search(r"tasks +2\n", good.stdout)
    assert bad.returncode == 1
    assert re.search(r"error +tasks +nowhere: expected a folder with these ten", bad.stdout)


def test_a_run_file_can_hold_it_all(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "d", 2)
    with ScriptedServer(right) as server:
        (tmp_path / "mine.toml").write_text(
            f'bench = "vstar_mini"\ndata = "{data}"\nout = "here"\ncanary = false\n'
            f'policy = {{ kind = "openai", base_url = "{server.url}", model = "m" }}\n'
        )
        done = here("bench", "mine.toml", "--n", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list(RunReader(tmp_path / "here").entries())) == 1


def test_the_command_alone_says_what_to_do() -> None:
    done = here("bench")
    page = done.stdout + done.stderr
    assert "saccade bench nano" in page
    assert all(word in page for word in ("NAME", "list", "merge", "predictions"))
