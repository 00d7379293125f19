"""`saccade solve`, interrupted."""

import queue
import signal
from pathlib import Path

from PIL import Image as PILImage
from processes import Running, forked
from waiting import LIMIT_S

from saccade.testing import ScriptedReply, ScriptedRequest, ScriptedServer


def test_ctrl_c_ends_a_question_and_says_what_is_kept(tmp_path: Path) -> None:
    started: queue.Queue[Running] = queue.Queue()

    def interrupt(request: ScriptedRequest) -> ScriptedReply:
        started.get(timeout=LIMIT_S).send_signal(signal.SIGINT)
        return ScriptedReply(fail="hang")

    PILImage.new("RGB", (60, 40)).save(tmp_path / "photo.png")
    with ScriptedServer(interrupt) as server:
        settings = ["policy.kind=openai", f"policy.base_url={server.url}", "policy.model=m"]
        with forked("solve", "photo.png", "What?", *settings, "out=run", cwd=tmp_path) as running:
            started.put(running)
            ended = running.wait()
    assert ended.returncode == 130
    assert "interrupted: nothing of this question is kept" in ended.stderr
    assert not (tmp_path / "run").exists()
