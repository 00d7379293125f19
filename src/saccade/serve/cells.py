"""What travels between a sandbox server and its clients: our format, and two published ones."""

from __future__ import annotations

import base64
import io

from PIL import Image as PILImage
from pydantic import Field, JsonValue

from saccade.sandbox.cells import Cell
from saccade.sandbox.pool import AfterKill
from saccade.types import Record

MAX_IMAGE_PIXELS = 64_000_000
MAX_SESSION_NAME = 200


class Refusal(Exception):
    """An answer that is not 200."""

    def __init__(self, status: int, error: str, retry_after: int | None = None) -> None:
        super().__init__(error)
        self.status, self.error, self.retry_after = status, error, retry_after


class NewSession(Record):
    """What a session is opened with."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    after_kill: AfterKill = "replay"


class NumberedCell(Record):
    """A cell; its number makes a repeated request harmless."""

    number: int = Field(ge=1)
    code: str
    seconds: float | None = Field(default=None, gt=0)


class JupyterCell(Record):
    """A cell as DeepEyesV2 sends it. Source: `deepeyesv2.py`, request of its sandbox."""

    session_id: str = Field(min_length=1, max_length=MAX_SESSION_NAME)
    code: str
    timeout: float | None = Field(default=None, gt=0)


class FusionRun(Record):
    """A program as SandboxFusion takes it. Source: `sandbox_api.py`, `RunCodeRequest`."""

    code: str
    language: str
    compile_timeout: float = 10
    run_timeout: float = Field(default=10, gt=0)
    memory_limit_MB: int = -1
    stdin: str | None = None
    files: dict[str, str | None] = Field(default_factory=dict)
    fetch_files: list[str] = Field(default_factory=list)
    args: list[str] = Field(default_factory=list)


def read_png(data: bytes) -> PILImage.Image:
    """A PNG of limited size.

    Raises:
        Refusal: it is none.
    """
    try:
        image = PILImage.open(io.BytesIO(data), formats=["PNG"])
        if image.width * image.height > MAX_IMAGE_PIXELS:
            raise Refusal(413, f"{image.width}x{image.height} are too many pixels")
        return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, PILImage.DecompressionBombError) as error:
        raise Refusal(422, f"not a PNG: {error}") from None


def cell_to_json(cell: Cell) -> dict[str, JsonValue]:
    """A cell as it travels; images as PNG in base64."""
    return {
        "status": cell.status,
        "stdout": cell.stdout,
        "stderr": cell.stderr,
        "value": cell.value,
        "error": cell.error,
        "images": [png(image) for image in cell.images],
        "notes": list(cell.notes),
        "seconds": cell.seconds,
    }


def png(image: PILImage.Image) -> str:
    """Base64."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return base64.b64encode(file.getvalue()).decode()


def jupyter_answer(cell: Cell) -> dict[str, object]:
    """As DeepEyesV2's sandbox answers: an exception is a success, with its text in stderr."""
    output = {
        "result": cell.value or "",
        "stdout": cell.stdout,
        "stderr": cell.stderr + (cell.error or ""),
        "images": [png(image) for image in cell.images],
        "debug_info": {},
    }
    status = "success" if cell.status in ("ok", "error") else "error"
    return {"output": output, "status": status, "execution_time": cell.seconds}


def not_supported(wanted: FusionRun) -> str | None:
    """What a program asks for and does not get here."""
    if wanted.language != "python":
        return f"language {wanted.language!r}"
    asked = [n for n in ("stdin", "files", "fetch_files", "args") if getattr(wanted, n)]
    return ", ".join(asked) or None


def fusion_refusal(what: str) -> dict[str, object]:
    """As SandboxFusion answers what it cannot do."""
    return _fusion("SandboxError", f"not supported here: {what}", None)


def fusion_answer(cell: Cell) -> dict[str, object]:
    """As SandboxFusion answers."""
    late = cell.status == "timeout"
    run: dict[str, object] = {
        "status": "TimeLimitExceeded" if late else "Finished",
        "execution_time": cell.seconds,
        "return_code": None if late else int(cell.status != "ok"),
        "stdout": cell.stdout,
        "stderr": cell.stderr + (cell.error or ""),
    }
    return _fusion("Success" if cell.status == "ok" else "Failed", "", run)


def _fusion(status: str, message: str, run: dict[str, object] | None) -> dict[str, object]:
    return {
        "status": status,
        "message": message,
        "compile_result": None,
        "run_result": run,
        "executor_pod_name": None,
        "files": {},
    }
