"""What travels between a sandbox server and its clients: our format, and two published ones."""

from __future__ import annotations

import base64
import io
from typing import Annotated

from PIL import Image as PILImage
from pydantic import Field, JsonValue

from saccade.errors import ImageError
from saccade.images.decode import decode, read_header
from saccade.images.geometry import Size
from saccade.sandbox.cells import Cell
from saccade.sandbox.replay import AfterKill
from saccade.serve.gate import Refusal
from saccade.types import Record

MAX_IMAGE_PIXELS = 64_000_000
SIGNATURE = b"\x89PNG\r\n\x1a\n"
ANY = 2**62

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
SessionName = Annotated[str, Field(pattern=r"^[!-~]{1,200}$")]
"""No control characters, no spaces: it is a name, and not a place to keep something."""


class NewSession(Record):
    """What a session is opened with."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    after_kill: AfterKill = "replay"


class NumberedCell(Record):
    """A cell; its number makes a repeated request harmless."""

    number: int = Field(ge=1, lt=2**53)
    code: str
    seconds: Seconds | None = None


class JupyterCell(Record):
    """A cell as DeepEyesV2 sends it. Source: `deepeyesv2.py`, request of its sandbox."""

    session_id: SessionName
    code: str
    timeout: Seconds | None = None


class JupyterEnd(Record):
    """The end of a session, as DeepEyesV2's sandbox takes it."""

    session_id: SessionName | None = None


class FusionRun(Record):
    """A program as SandboxFusion takes it. Source: `sandbox_api.py`, `RunCodeRequest`."""

    code: str
    language: str
    compile_timeout: Seconds = 10
    run_timeout: Seconds = 10
    memory_limit_MB: int = -1
    stdin: str | None = None
    files: dict[str, str | None] = Field(default_factory=dict)
    fetch_files: list[str] = Field(default_factory=list)
    args: list[str] = Field(default_factory=list)


def png_size(data: bytes) -> Size:
    """Width and height of a PNG of limited size, of which no pixel is decoded.

    Raises:
        Refusal: it is none.
    """
    if not data.startswith(SIGNATURE):
        raise Refusal(422, "not a PNG")
    try:
        size = read_header(data, "the image", ANY).size
    except ImageError as error:
        raise Refusal(422, f"not a PNG: {error}") from None
    if size.width * size.height > MAX_IMAGE_PIXELS:
        raise Refusal(413, f"more than {MAX_IMAGE_PIXELS} pixels")
    return size


def read_png(data: bytes) -> PILImage.Image:
    """The pixels of a PNG whose size was looked at.

    Raises:
        Refusal: it is broken.
    """
    try:
        return decode(data, "the image")
    except ImageError as error:
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


def jupyter_answer(cell: Cell) -> dict[str, JsonValue]:
    """As DeepEyesV2's sandbox answers: an exception is a success, with its text in stderr."""
    output: dict[str, JsonValue] = {
        "result": cell.value or "",
        "stdout": cell.stdout,
        "stderr": cell.stderr + (cell.error or ""),
        "images": [png(image) for image in cell.images],
        "debug_info": {},
    }
    status = "success" if cell.status in ("ok", "error") else "error"
    return {"output": output, "status": status, "execution_time": cell.seconds}


def jupyter_refusal(error: str) -> dict[str, JsonValue]:
    """As DeepEyesV2's sandbox answers what it does not do."""
    return jupyter_answer(Cell("killed", stderr=error))


def jupyter_end_refusal(error: str) -> dict[str, JsonValue]:
    """The same, of what is no cell."""
    return {"status": "error", "message": error}


def not_supported(wanted: FusionRun) -> str | None:
    """What a program asks for and does not get here."""
    if wanted.language != "python":
        return "another language than python"
    asked = [n for n in ("stdin", "files", "fetch_files", "args") if getattr(wanted, n)]
    return ", ".join(asked) or None


def fusion_refusal(error: str) -> dict[str, JsonValue]:
    """As SandboxFusion answers what it does not do."""
    return _fusion("SandboxError", error, None)


def fusion_answer(cell: Cell) -> dict[str, JsonValue]:
    """As SandboxFusion answers."""
    late = cell.status == "timeout"
    run: dict[str, JsonValue] = {
        "status": "TimeLimitExceeded" if late else "Finished",
        "execution_time": cell.seconds,
        "return_code": None if late else int(cell.status != "ok"),
        "stdout": cell.stdout,
        "stderr": cell.stderr + (cell.error or ""),
    }
    return _fusion("Success" if cell.status == "ok" else "Failed", "", run)


def _fusion(status: str, message: str, run: dict[str, JsonValue] | None) -> dict[str, JsonValue]:
    return {
        "status": status,
        "message": message,
        "compile_result": None,
        "run_result": run,
        "executor_pod_name": None,
        "files": {},
    }
