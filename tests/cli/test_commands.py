"""The commands as a user meets them: processes of their own, exit codes, messages, run folders."""

import json
import re
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from command import here, in_a_process
from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont
from processes import forked
from rich.console import Console

from saccade.cli.demo import ALL_TOOLS, LOOKS_ALONE, _choose
from saccade.errors import ConfigError
from saccade.runs.folder import RunReader
from saccade.testing import ScriptedReply, ScriptedRequest, ScriptedServer


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    PILImage.fromarray(noise).save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


def answer(request: ScriptedRequest) -> str:
    call = '{"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [10, 10, 150, 150]}}'
    return "<answer>B</answer>" if request.turn else f"<tool_call>{call}</tool_call>"


def server_settings(server: ScriptedServer) -> list[str]:
    return ["policy.kind=openai", f"policy.base_url={server.url}", "policy.model=script",
            "policy.max_retries=0"]  # fmt: skip


def test_the_demo_shows_four_scenes_and_keeps_every_episode(tmp_path: Path) -> None:
    done = in_a_process("demo", "--n", "8", "--seed", "4", "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("shown to the model at 56x56") == 4
    assert done.stdout.count("the correct answer is ") == 4
    assert "8 held-out tasks" in done.stdout
    assert "run folder: run, 12 episodes" in done.stdout
    assert "saccade view run --open" in done.stdout
    entries = list(RunReader(tmp_path / "run").entries())
    assert len(entries) == 12
    assert {e.task.meta["split"] for e in entries} == {"test"}
    shown = [e for e in entries if e.task.id in done.stdout]
    assert [e.task.id for e in shown] == [
        "read-test-672-s4-00000", "easy-test-672-s5-00000", "compute-test-672-s6-00000",
        "all-test-672-s7-00000",
    ]  # fmt: skip
    for entry in shown:
        assert f"answers  {entry.trajectory.answer}" in done.stdout


def test_the_table_of_the_demo_counts_what_is_in_the_folder(tmp_path: Path) -> None:
    done = in_a_process("demo", "--n", "14", "--out", "run", cwd=tmp_path)
    entries = list(RunReader(tmp_path / "run").entries())
    for family in ALL_TOOLS.families:
        asked = [e for e in entries if e.task.id.startswith(f"{family}-test-672-s4-")]
        right = sum(e.trajectory.answer == e.task.answer for e in asked)
        calls = sum(len(e.trajectory.results) for e in asked)
        (line,) = re.findall(rf"^{family}: .*$", done.stdout, re.MULTILINE)
        assert f" {right / 2:.2f} [" in line
        assert line.split()[-2:] == [f"{calls / 2:.2f}", "2"]


def test_the_demo_is_one_of_looks_where_code_cannot_be_isolated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(options: object) -> None:
        raise ConfigError("sandbox: this machine cannot isolate code.")

    printed = Console(file=StringIO())
    monkeypatch.setattr("saccade.sandbox.modes.choose", refuse)
    assert _choose(printed) is LOOKS_ALONE
    assert "cannot isolate code" in printed.file.getvalue()  # type: ignore[attr-defined]


def test_nano_eval_prints_json_and_nothing_else(tmp_path: Path) -> None:
    done = in_a_process(
        "nano", "eval", "--json", "--n", "6", "--seed", "3", "--family", "read0", "--family",
        "easy", "--arm", "agent", "--arm", "direct", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert (content["model"], content["seed"], content["n"]) == ("nano-agent", 3, 6)
    assert set(content["families"]) == {"read0", "easy"}
    for row in content["families"].values():
        assert set(row) == {"agent", "direct"}
        for cell in row.values():
            assert {"accuracy", "low", "high", "n", "tool_call_rate", "mean_iou"} <= set(cell)
            assert cell["low"] <= cell["accuracy"] <= cell["high"]
            assert cell["n"] == 6
    assert content["families"]["read0"]["direct"]["tool_call_rate"] == 0


def test_a_base_that_does_not_learn_is_a_failure(tmp_path: Path) -> None:
    options = ["scenes=20", "dev_scenes=4", "skill_questions=1", "step_limit=1"]
    done = in_a_process("nano", "train-base", "--out", "base", *options, cwd=tmp_path)
    assert done.returncode == 1
    assert "vision: not learned after 1 steps: colour is 0.000 of 0.97" in done.stderr
    assert not (tmp_path / "base" / "nano-base").exists()


def test_demonstrations_and_cold_start_are_two_commands(tmp_path: Path) -> None:
    recipes = Path(__file__).parents[2] / "recipes"
    demos = str(recipes / "nano_demos.toml")
    assert in_a_process("rollout", demos, "--n", "8", "out=demos", cwd=tmp_path).returncode == 0
    settings = ['runs=["demos"]', "out=sft", "steps=2", "batch_size=4"]
    done = in_a_process("sft", str(recipes / "nano_sft.toml"), *settings, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content["trajectories"] == 8
    assert len(content["losses"]) == 2
    again = ["--model", content["model"], "--n", "2", "--family", "easy", "--arm", "direct"]
    assert in_a_process("nano", "eval", *again, cwd=tmp_path).returncode == 0


def test_solve_without_a_policy_names_the_ways_out(tmp_path: Path, photo: Path) -> None:
    done = in_a_process("solve", photo.name, "Which?", cwd=tmp_path)
    assert done.returncode == 2
    assert "knows only the scenes of its own world" in done.stderr
    assert "policy.kind=reader" in done.stderr
    assert "policy.kind=openai" in done.stderr
    assert "policy.kind=hf" in done.stderr


def test_solve_with_the_reader_looks_again_and_says_that_it_is_a_rule(tmp_path: Path) -> None:
    street = PILImage.new("RGB", (4000, 3000), (120, 140, 160))
    draw, font = ImageDraw.Draw(street), ImageFont.load_default(size=13)
    draw.rectangle((390, 290, 510, 325), fill=(240, 240, 230))
    draw.text((405, 295), "HARBOR", font=font, fill=(20, 20, 20))
    street.save(tmp_path / "street.png")
    choices = ["--choice", "MARKET", "--choice", "HARBOR"]
    question = ["solve", "street.png", "What word is on the sign?", *choices]
    done = in_a_process(*question, "policy.kind=reader", "out=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "answers  B. HARBOR" in done.stdout
    assert "image_zoom_in_tool" in done.stdout
    assert "by reader (a rule, not a model)" in done.stdout
    few = in_a_process(
        *question, "policy.kind=reader", "environment.limits.max_turns=1", cwd=tmp_path
    )
    assert "ended without an answer" in few.stdout


def test_solve_warns_that_an_embedded_model_knows_no_photographs(
    tmp_path: Path, photo: Path
) -> None:
    settings = ["policy.kind=hf", "policy.path=nano-sft", "environment.view.factor=14",
                "environment.view.max_pixels=3136", "out=run"]  # fmt: skip
    done = in_a_process(
        "solve", photo.name, "What digit is on the red object?", *settings, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "knows only the scenes of its own world" in done.stderr
    assert "turn 1" in done.stdout


def test_solve_prints_every_turn_and_keeps_the_run(tmp_path: Path, photo: Path) -> None:
    choices = ["--choice", "cat", "--choice", "dog", "--answer", "dog"]
    with ScriptedServer(answer) as server:
        asked = ("solve", photo.name, "Which?", *server_settings(server), "out=run", *choices)
        done = in_a_process(*asked, cwd=tmp_path)
    again = here(*asked, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for text in ("400x300", "B. dog", "turn 1", "image_zoom_in_tool", "answers  B", "reward 2"):
        assert text in done.stdout
    assert again.returncode == 0
    assert again.stdout == done.stdout, "without the server: it was there already"
    assert "run is finished: nothing was left to do" in again.stderr
    entry = next(RunReader(tmp_path / "run").entries())
    assert entry.task.images[0].source.encoded() == photo.read_bytes()


def test_solve_prints_json_and_nothing_else(tmp_path: Path, photo: Path) -> None:
    with ScriptedServer(answer) as server:
        done = in_a_process(
            "solve",
            photo.name,
            "Which?",
            *server_settings(server),
            "out=run",
            "--json",
            cwd=tmp_path,
        )
    trajectory = json.loads(done.stdout)
    assert trajectory["stop"] == "answer"
    assert len(trajectory["turns"]) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["solve", "photo.jpg", "q"], 2, "policy.kind=openai"),
        (["solve", "none.jpg", "q", "policy.kind=openai"], 1, "none.jpg: cannot be read"),
        (["solve", "half.jpg", "q", "policy.kind=openai"], 1, "half.jpg|truncated"),
        (["solve", "text.jpg", "q", "policy.kind=openai"], 1, "not an image"),
        (["solve", "photo.jpg", "q", "polcy.kind=openai"], 2, "did you mean 'policy'"),
        (
            ["solve", "photo.jpg", "q", "policy.kind=hf", "max_image_pixels=9"],
            1,
            "max_image_pixels",
        ),
        (["solve", "photo.jpg"], 2, "QUESTION"),
        (["rollout", "none.toml"], 2, "none.toml: cannot be read"),
        (["rollout", "run.toml"], 2, "out: missing"),
        (["slove"], 2, "No such command"),
    ],
)
def test_mistakes_are_told_without_a_traceback(
    tmp_path: Path, photo: Path, arguments: list[str], code: int, says: str
) -> None:
    (tmp_path / "half.jpg").write_bytes(photo.read_bytes()[:2000])
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "run.toml").write_text('tasks = { kind = "world" }\n')
    done = in_a_process(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert re.search(says, done.stderr)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_an_argument_that_is_no_unicode_is_survived(tmp_path: Path, photo: Path) -> None:
    with ScriptedServer(answer) as server:
        question = "no\udce9n"
        settings = [*server_settings(server), "out=run"]
        command = [sys.executable, "-m", "saccade", "solve", photo.name, question, *settings]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "no?n" in RunReader(tmp_path / "run").manifest.command
    assert "no?n" in server.requests[0].text


def test_a_server_that_is_down_is_reported_and_fails(tmp_path: Path, photo: Path) -> None:
    with ScriptedServer(lambda request: ScriptedReply(status=500)) as server:
        done = in_a_process(
            "solve", photo.name, "q", *server_settings(server), "out=run", cwd=tmp_path
        )
    assert done.returncode == 1
    assert "aborted (not the model's fault" in done.stdout
    assert "Traceback" not in done.stderr


RECIPE = """
out = "run"
samples = 2
tasks = { kind = "world", family = "read", n = 6 }
environment.view = { max_pixels = 112896 }
"""


def test_rollout_resumes_and_reports(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(RECIPE)
    down = [False]

    def sometimes(request: ScriptedRequest) -> str | ScriptedReply:
        down[0] = not down[0]
        return ScriptedReply(status=500) if down[0] else answer(request)

    with ScriptedServer(sometimes) as server:
        settings = [*server_settings(server), "concurrency=1"]
        first = in_a_process("rollout", "run.toml", *settings, "--json", cwd=tmp_path)
        summary = json.loads(first.stdout)["all"]
        assert summary["episodes"] == 12
        assert summary["aborted"] > 0
        assert first.returncode == 1
        assert "failed on our side" in first.stderr
        server.answer = lambda body: ScriptedReply("<answer>7</answer>")  # type: ignore[method-assign]
        second = in_a_process("rollout", "run.toml", *settings, "--json", cwd=tmp_path)
        third = in_a_process("rollout", "run.toml", *settings, cwd=tmp_path)
    after = json.loads(second.stdout)
    assert after["all"]["aborted"] == 0
    assert after["all"]["scored"] == 12
    assert set(after["groups"]) == {"read"}
    assert after["fingerprint"] == json.loads(first.stdout)["fingerprint"]
    assert "12" in third.stdout
    assert third.returncode == 0


def test_an_interrupted_run_keeps_what_was_finished(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(RECIPE.replace("n = 6", "n = 40"))
    with ScriptedServer(answer) as server:
        settings = [*server_settings(server), "concurrency=2", "canary=false"]
        with forked("rollout", "run.toml", *settings, cwd=tmp_path) as running:
            while len(server.requests) < 16:
                assert running.poll() is None
                time.sleep(0.001)
            running.send_signal(signal.SIGINT)
            ended = running.wait()
        kept = len(list(RunReader(tmp_path / "run").trajectories()))
        less = in_a_process("rollout", "run.toml", *settings, "--n", "2", "--json", cwd=tmp_path)
        after = in_a_process("rollout", "run.toml", *settings, "--json", cwd=tmp_path)
    assert json.loads(less.stdout)["all"]["scored"] == 4, "what was not asked for is not counted"
    assert ended.returncode == 130
    assert "the same command resumes" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert 4 < kept < 80
    assert json.loads(after.stdout)["all"]["scored"] == 80


def test_another_configuration_needs_another_folder(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(RECIPE)
    with ScriptedServer(answer) as server:
        settings = server_settings(server)
        assert in_a_process("rollout", "run.toml", *settings, cwd=tmp_path).returncode == 0
        done = in_a_process("rollout", "run.toml", *settings, "--seed", "1", cwd=tmp_path)
        assert done.returncode == 2
        assert "seed: 0 -> 1" in done.stderr
        assert in_a_process(
            "rollout", "run.toml", *settings, "concurrency=3", cwd=tmp_path
        ).returncode == 0, "the concurrency changes no episode"  # fmt: skip


def test_the_manifest_says_what_was_run(tmp_path: Path) -> None:
    in_a_process("demo", "--n", "2", "--out", "run", cwd=tmp_path)
    manifest = json.loads((tmp_path / "run" / "run.json").read_text())
    assert set(manifest) == {
        "verb", "config", "fingerprint", "prompts", "seed", "versions", "commit", "dirty",
        "command", "created",
    }  # fmt: skip
    assert manifest["verb"] == "demo"
    assert {"python", "saccade", "numpy", "pillow"} <= set(manifest["versions"])
    assert manifest["config"]["reward"]["preset"] == "deepeyes"
    assert "key" not in json.dumps(manifest).replace("api_key_env", "")


def test_importing_loads_no_torch() -> None:
    code = "import saccade, saccade.cli, saccade.agent, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
