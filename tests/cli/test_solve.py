"""`saccade solve`, in this process."""

import os
import signal
from pathlib import Path

import pytest
import typer
from PIL import Image as PILImage

from saccade.cli.solve import solve
from saccade.testing import ScriptedReply, ScriptedRequest, ScriptedServer


def test_ctrl_c_ends_a_question_and_says_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(request: ScriptedRequest) -> ScriptedReply:
        os.kill(os.getpid(), signal.SIGINT)
        return ScriptedReply(fail="hang")

    monkeypatch.chdir(tmp_path)
    PILImage.new("RGB", (60, 40)).save("photo.png")
    with ScriptedServer(interrupt) as server:
        settings = ["policy.kind=openai", f"policy.base_url={server.url}", "policy.model=m"]
        with pytest.raises(typer.Exit) as left:
            solve(Path("photo.png"), "What?", [*settings, "out=run"])
    assert left.value.exit_code == 130
    assert "interrupted: nothing of this question is kept" in capsys.readouterr().err
