"""A stage ends on what was learned, fails loudly, and resumes after a crash as if none had been."""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import FORKS
from torch import nn

from saccade.errors import TrainingError
from saccade.nano import stage
from saccade.nano.stage import Plan, Progress, train

PLAN = Plan(
    take_off={"fit": 0.5}, aims={"fit": 0.8}, step_limit=200, decay_steps=30, measure_every=10
)


class Line:
    """Learns to multiply by a fixed matrix; its skill is the share of variance explained."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network = nn.Linear(4, 4)
        self.truth = torch.randn(4, 4)
        self.fixed = torch.randn(256, 4)

    @property
    def modules(self) -> nn.ModuleDict:
        return nn.ModuleDict({"line": self.network})

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        x = torch.from_numpy(rng.normal(size=(32, 4))).float()
        loss = (self.network(x) - x @ self.truth).square().mean()
        loss.backward()
        return loss.detach()

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        wanted = self.fixed @ self.truth
        off = (self.network(self.fixed) - wanted).square().mean() / wanted.square().mean()
        return {"fit": float(1 - off)}


def weights(line: Line) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in line.network.parameters()])


def run(folder: Path, plan: Plan = PLAN, *, muon: bool = True) -> tuple[Line, list[Progress]]:
    folder.mkdir(exist_ok=True)
    line, news = Line(), []
    train(line, plan, folder, name="line", seed=[0], muon=muon, on_step=news.append)
    return line, news


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "MUON_LR", 0.2)
    monkeypatch.setattr(stage, "ADAMW_LR", 0.05)


@pytest.mark.parametrize("muon", [True, False])
def test_the_rate_falls_after_the_take_off_and_the_stage_then_ends(
    tmp_path: Path, muon: bool
) -> None:
    _, news = run(tmp_path, muon=muon)
    measured = [p for p in news if p.skills]
    took_off = next(p.step for p in measured if p.skills and p.skills["fit"] >= 0.5)
    assert news[-1].step == news[-1].last_step == took_off + PLAN.decay_steps
    assert took_off % PLAN.measure_every == 0
    assert [p.step for p in news] == list(range(1, news[-1].step + 1))
    assert (measured[-1].skills or {})["fit"] >= 0.8


def test_what_never_takes_off_fails_and_says_what_is_missing(tmp_path: Path) -> None:
    plan = replace(PLAN, take_off={"fit": 2.0}, step_limit=40)
    with pytest.raises(TrainingError, match=r"line: not learned after 40 steps: fit is .* of 2.0"):
        run(tmp_path, plan)


def test_a_missed_aim_fails_also_when_asked_again(tmp_path: Path) -> None:
    plan = replace(PLAN, aims={"fit": 2.0})
    for _ in range(2):
        with pytest.raises(TrainingError, match=r"fit is .* of 2.0"):
            run(tmp_path, plan)


def test_a_skill_that_is_not_a_number_has_not_been_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Line, "measure", lambda self: {"fit": float("nan")})
    with pytest.raises(TrainingError, match="fit is nan"):
        run(tmp_path, replace(PLAN, step_limit=20))


def test_a_finished_stage_is_not_trained_again(tmp_path: Path) -> None:
    first, _ = run(tmp_path)
    again, news = run(tmp_path)
    assert news == []
    assert torch.equal(weights(first), weights(again))


@pytest.mark.parametrize("at", [13, 20, 57])
def test_an_interrupted_stage_ends_with_the_same_weights(tmp_path: Path, at: int) -> None:
    whole, _ = run(tmp_path / "whole")
    broken = tmp_path / "broken"
    broken.mkdir()

    class Stop(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.step == at:
            raise Stop

    with pytest.raises(Stop):
        train(Line(), PLAN, broken, name="line", seed=[0], on_step=stop)
    resumed, news = run(broken)
    assert news[0].step == at // PLAN.measure_every * PLAN.measure_every + 1
    torch.testing.assert_close(weights(resumed), weights(whole), atol=1e-6, rtol=0)
    steps = [json.loads(line)["step"] for line in (broken / "line.jsonl").read_text().splitlines()]
    assert steps == [*range(10, steps[-1] + 1, 10)]


def train_for_ever(folder: Path) -> None:
    stage.MUON_LR = stage.ADAMW_LR = 0.05
    torch.set_num_threads(1)
    run(folder, replace(PLAN, take_off={"fit": 2.0}, step_limit=10**9, measure_every=2))


def test_kill_9_loses_no_checkpoint(tmp_path: Path) -> None:
    """A process is killed at a random moment of its writing, again and again."""
    rng = np.random.default_rng(0)
    reached = 0
    for _ in range(4):
        checkpoint, before = tmp_path / "run" / "line.pt", time.time_ns()
        process = FORKS.Process(target=train_for_ever, args=(tmp_path / "run",), daemon=True)
        process.start()
        while not checkpoint.exists() or checkpoint.stat().st_mtime_ns < before:
            assert process.is_alive()
            time.sleep(0.01)
        time.sleep(float(rng.random()) / 20)
        process.kill()
        process.join()
        saved = torch.load(checkpoint, weights_only=True)
        assert saved["step"] > reached
        reached = saved["step"]
        # The file is written anew with each checkpoint, after it: a kill can leave it behind.
        history = tmp_path / "run" / "line.jsonl"
        lines = history.read_text().splitlines() if history.exists() else []
        steps = [json.loads(line)["step"] for line in lines]
        assert [row["step"] for row in saved["history"]] == list(range(2, reached + 1, 2))
        assert steps == list(range(2, 2 * len(steps) + 1, 2))
        assert 2 * len(steps) <= reached
