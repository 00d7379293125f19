"""`saccade solve`, interrupted."""

import queue
import signal
import subprocess
import sys
from pathlib import Path

from PIL import Image as PILImage
from waiting import LIMIT_S, heed_interrupts

from saccade.testing import ScriptedReply, ScriptedRequest, ScriptedServer


def test_ctrl_c_ends_a_question_and_says_what_is_kept(tmp_path: Path) -> None:
    started: queue.Queue[subprocess.Popen[str]] = queue.Queue()

    def interrupt(request: ScriptedRequest) -> ScriptedReply:
        started.get(timeout=LIMIT_S).send_signal(signal.SIGINT)
        return ScriptedReply(fail="hang")

    PILImage.new("RGB", (60, 40)).save(tmp_path / "photo.png")
    with ScriptedServer(interrupt) as server:
        settings = ["policy.kind=openai", f"policy.base_url={server.url}", "policy.model=m"]
        command = [sys.executable, "-m", "saccade", "solve", "photo.png", "What?", *settings]
        with subprocess.Popen(
            [*command, "out=run"], cwd=tmp_path, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=heed_interrupts,
        ) as process:  # fmt: skip
            started.put(process)
            _, said = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert "interrupted: nothing of this question is kept" in said
    assert not (tmp_path / "run").exists()
