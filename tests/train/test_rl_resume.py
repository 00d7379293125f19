"""Runs of `saccade rl` that are killed, resumed, or shared by processes: the same weights."""

import signal
import time
import uuid
from pathlib import Path

import pytest
from command import here
from processes import forked, run_here
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from trainings import (
    assert_same_weights,
    command,
    episodes,
    metrics,
    recipe_of,
)
from waiting import LIMIT_S

from saccade.runs.finished import read_finished
from saccade.train.checkpoints import Step
from saccade.train.rl import rl


def test_killed_in_mid_run_the_same_command_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    """Also to the same questions: `compute` is dropped after the second step, before the kill."""
    usual = (
        "train.steps=6", "train.save_steps=3", "train.keep_every=1",
        'tasks.family=["far","compute"]', "train.drop_hopeless={questions = 2, batches = 2}",
    )  # fmt: skip
    whole = rl(recipe_of(tmp_path / "whole", *usual))
    asked = [row.get("families/compute/questions") for row in metrics(tmp_path / "whole")]
    assert asked == [1, 1, None, None, None, None]
    out = tmp_path / "killed"
    typed = command(out, *usual)
    with forked(*typed) as process:
        until = time.monotonic() + 5 * LIMIT_S
        lines = out / "metrics.jsonl"
        while not lines.exists() or lines.read_text().count("\n") < 4:
            assert time.monotonic() < until, "no fourth step in ten minutes"
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait().returncode == -signal.SIGKILL
    assert not (out / "model").exists()
    assert here(*typed).returncode == 0
    assert [row["step"] for row in metrics(out)] == [1, 2, 3, 4, 5, 6]
    assert_same_weights(whole, out / "model", 1e-6)
    for ours, theirs in zip(metrics(out), metrics(tmp_path / "whole"), strict=True):
        assert ours["reward"] == theirs["reward"]
    assert episodes(out) == episodes(tmp_path / "whole")
    for folder in (out, tmp_path / "whole"):
        assert read_finished(folder).result["dropped"] == {"compute": 2}
    superseded = {path.name for path in (out / "superseded").iterdir()}
    assert {"metrics.jsonl", "step-00004"} <= superseded
    kept = sorted(path.name for path in (out / "rollouts").iterdir())
    assert kept == [f"step-0000{n}" for n in range(1, 7)]


def test_several_updates_a_batch_resume_at_the_start_of_one(tmp_path: Path) -> None:
    """Two steps are trained on each batch of episodes; what is clipped is counted."""
    usual = ("train.steps=6", "train.updates=2", "train.save_steps=2", "train.keep_every=1")
    whole = rl(recipe_of(tmp_path / "whole", *usual))
    rewards = [row.get("reward") for row in metrics(tmp_path / "whole")]
    assert [reward is not None for reward in rewards] == [True, False] * 3

    class Stop(Exception):
        pass

    def stop(step: Step) -> None:
        if step.step == 3:
            raise Stop

    with pytest.raises(Stop):
        rl(recipe_of(tmp_path / "broken", *usual), on_step=stop)
    resumed = rl(recipe_of(tmp_path / "broken", *usual))
    assert_same_weights(whole, resumed, 1e-6)
    assert [row["step"] for row in metrics(tmp_path / "broken")] == [1, 2, 3, 4, 5, 6]
    kept = sorted(path.name for path in (tmp_path / "broken" / "rollouts").iterdir())
    assert kept == ["step-00001", "step-00003", "step-00005"]

    recipe, news = recipe_of(tmp_path / "broken", *usual), list[Step]()
    written = (resumed / "model.safetensors").stat().st_mtime_ns
    assert rl(recipe, on_step=news.append) == resumed
    assert (resumed / "model.safetensors").stat().st_mtime_ns == written, "it was finished"
    (tmp_path / "broken" / "finished.json").unlink()  # as if killed before it was noted
    from_where: list[Path] = []
    rl(recipe, on_step=news.append, on_resume=from_where.append)
    assert [path.name for path in from_where] == ["checkpoint-6"]
    assert news == [], "no step beyond the last"
    assert_same_weights(whole, resumed, 1e-6)


def launched(processes: int, *arguments: object) -> None:
    """As `torchrun --standalone --nproc_per_node`, which is the same launcher, but forked."""
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=processes, run_id=str(uuid.uuid4()),
        rdzv_backend="c10d", rdzv_endpoint="localhost:0", max_restarts=0, start_method="forkserver",
    )  # fmt: skip
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    handlers = {number: signal.getsignal(number) for number in numbers}
    try:
        elastic_launch(config, run_here)(*arguments)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def test_two_processes_are_one(tmp_path: Path) -> None:
    """LoRA, two forward passes a step; three steps on the same questions."""
    usual = (
        "train.steps=3", "train.lora={rank = 4, alpha = 8}", "train.micro_batch=2",
        "train.keep_every=1",
    )  # fmt: skip
    one = rl(recipe_of(tmp_path / "one", *usual))
    said = tmp_path / "said"
    launched(2, ["saccade", *command(tmp_path / "two", *usual)], said, said)
    kept = sorted(path.name for path in (tmp_path / "two" / "rollouts").iterdir())
    assert kept == [f"step-0000{step}-{rank}" for step in (1, 2, 3) for rank in (0, 1)]
    for ours, theirs in zip(metrics(tmp_path / "one"), metrics(tmp_path / "two"), strict=True):
        assert ours["reward"] == theirs["reward"]
        assert ours["episodes"] == theirs["episodes"] == 8
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-6)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-3)
        assert ours["grad_norm"] > 1e-3
    assert episodes(tmp_path / "one") == episodes(tmp_path / "two")
    assert_same_weights(one, tmp_path / "two" / "model", 1e-5)
