"""A training by TRL whose turns vLLM writes, in the same process (colocate), on a CPU."""

import json
from pathlib import Path

import checks
import engines
from figures import Record

ENGINE = "training"
STEPS = 20
VARIABLES = {
    **engines.VLLM_ENVIRONMENT,
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # TRL loads weights into the engine of its own process
    "OMP_NUM_THREADS": "1",
}
TRL = (
    "train.trl.use_vllm=true", "train.trl.vllm_mode=colocate",
    "train.trl.vllm_max_model_length=1024", "train.trl.vllm_gpu_memory_utilization=0.3",
)  # fmt: skip


def test_vllm_samples_from_the_model_that_is_trained(
    record: Record, tmp_path: Path, logs: Path
) -> None:
    base = checks.exported(tmp_path / "base", "nano-base")
    log = logs / "training.log"
    log.unlink(missing_ok=True)
    process = engines.in_a_process(
        "rl", "recipes/nano_deepeyes.toml", f"model={base}", f"out={tmp_path / 'run'}",
        f"train.steps={STEPS}", "train.warmup_steps=0", "train.keep_every=0",
        *TRL, "--threads", 1,
        log=log, command=(engines.vllm_python(), engines.BESIDE / "unpacked.py"), **VARIABLES,
    )  # fmt: skip
    assert process.wait() == 0, log.read_text()[-4000:]
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    first, last = _mean(rows[:3], "tool_calls"), _mean(rows[-3:], "tool_calls")
    gap = max(row["sampling_gap_mean"] for row in rows)
    record(
        f"TRL with use_vllm, colocate, {STEPS} steps",
        f"divergence from the start {rows[0]['kl']:.1g} at the first step and {rows[-1]['kl']:.2g} "
        f"at the last; sampled and trained log-probabilities {gap:.1g} apart on average; calls in "
        f"an episode {first:.2f} -> {last:.2f}, accuracy {_mean(rows[:3], 'accuracy'):.2f} -> "
        f"{_mean(rows[-3:], 'accuracy'):.2f}",
        n=sum(row["episodes"] for row in rows), seed=0, kl=[row["kl"] for row in rows],
        gap=[row["sampling_gap_mean"] for row in rows],
        tool_calls=[row["tool_calls"] for row in rows],
        accuracy=[row["accuracy"] for row in rows],
    )  # fmt: skip
    assert abs(rows[0]["kl"]) < 1e-3
    assert gap < 1e-2
    assert last > first + 0.5


def _mean(rows: list[dict[str, float]], name: str) -> float:
    return sum(row[name] for row in rows) / len(rows)
