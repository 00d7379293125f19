"""Hosts that run notebooks, and three ways of speaking to them over HTTP."""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import json
import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from PIL import Image as PILImage
from pydantic import JsonValue

from saccade.errors import ConfigError, ServiceError
from saccade.sandbox.cells import Cell, Status, clean
from saccade.sandbox.pool import AfterKill

if TYPE_CHECKING:
    import httpx

MAX_ANSWER_BYTES = 64 << 20
MAX_TEXT, MAX_IMAGES, MAX_PIXELS = 100_000, 16, 16_000_000
STATUSES = ("ok", "error", "timeout", "killed")


class HostLost(Exception):
    """A host that does not answer, or does not know the session any more."""


class Host:
    """A session on a host that speaks our format."""

    def __init__(
        self, url: str, client: httpx.AsyncClient, seed: int, after_kill: AfterKill
    ) -> None:
        self.url, self._client = url, client
        self._seed, self._after_kill = seed, after_kill
        self._session: str | None = None
        self._number = 0
        self.done = 0
        """Entries of the log that it has seen."""

    @property
    def opened(self) -> bool:
        return self._session is not None

    async def health(self) -> Mapping[str, JsonValue]:
        """What the host says of its sandbox."""
        return _sandbox_of(await self._ask("GET", "/v1/health", b""))

    async def open(self) -> Mapping[str, JsonValue]:
        """Begin the session; returns what the host says of its sandbox."""
        body = json.dumps({"seed": self._seed, "after_kill": self._after_kill}).encode()
        answer = await self._ask("POST", "/v1/sessions", body)
        if not isinstance(answer.get("id"), str):
            raise HostLost("no session id")
        self._session = cast(str, answer["id"])
        return _sandbox_of(answer)

    async def give(self, name: str, image: PILImage.Image) -> None:
        file = io.BytesIO()
        image.convert("RGB").save(file, "PNG", compress_level=1)
        await self._ask("PUT", f"/v1/sessions/{self._session}/images/{name}", file.getvalue())

    async def run(self, code: str, seconds: float | None) -> Cell:
        self._number += 1
        body = {"number": self._number, "code": code, "seconds": seconds}
        path = f"/v1/sessions/{self._session}/cells"
        return cell_of(await self._ask("POST", path, json.dumps(body).encode()))

    async def close(self) -> None:
        if self._session is not None:
            await self._ask("DELETE", f"/v1/sessions/{self._session}", b"")

    async def _ask(self, method: str, path: str, body: bytes) -> Mapping[str, JsonValue]:
        """One request; waits where the host says that it is full.

        Raises:
            HostLost: it does not answer, or has forgotten the session.
            ServiceError: it refuses what will not get better.
        """
        import httpx

        url = self.url.rstrip("/") + path
        until, tries = time.monotonic() + FULL_SECONDS, 0
        while True:
            try:
                status, headers, data = await _answer(self._client, method, url, body)
            except httpx.HTTPError as error:
                tries += 1
                if tries < 2 and not isinstance(error, httpx.TimeoutException):
                    await asyncio.sleep(0.1)  # harmless: requests have numbers
                    continue
                raise HostLost(f"{url}: {type(error).__name__}") from None
            if status == 429 and time.monotonic() < until:
                await asyncio.sleep(min(5.0, float(headers.get("retry-after", "1") or 1)))
                continue
            if status in (404, 429) or status >= 500:
                raise HostLost(f"{url}: HTTP {status}")
            if status >= 400:
                raise ServiceError(f"sandbox: {url}: HTTP {status}: {data[:300]!r}")
            try:
                answer = json.loads(data)
            except (ValueError, RecursionError):
                raise HostLost(f"{url}: no JSON") from None
            if not isinstance(answer, dict):
                raise HostLost(f"{url}: no JSON object")
            return answer


class JupyterHost(Host):
    """DeepEyesV2's sandbox. Source: `deepeyesv2.py`, request and reply of its sandbox."""

    async def health(self) -> Mapping[str, JsonValue]:
        """Nothing: hosts of this protocol do not say what they are."""
        return {}

    async def open(self) -> Mapping[str, JsonValue]:
        """Name a session; it begins with its first cell."""
        self._session = secrets.token_hex(16)
        return {}

    async def give(self, name: str, image: PILImage.Image) -> None:
        file = io.BytesIO()
        image.convert("RGB").save(file, "PNG", compress_level=1)
        inlined = base64.b64encode(file.getvalue()).decode()
        await self.run(
            "import base64, io\nfrom PIL import Image\n"
            f"{name} = Image.open(io.BytesIO(base64.b64decode({inlined!r})))\n{name}.load()",
            None,
        )

    async def run(self, code: str, seconds: float | None) -> Cell:
        body = {"session_id": self._session, "code": code, "timeout": seconds or 200}
        answer = await self._ask("POST", "/jupyter_sandbox", json.dumps(body).encode())
        output = answer.get("output")
        if not isinstance(output, dict):
            raise HostLost("no output")
        failed = answer.get("status") != "success"
        return cell_of(
            {
                "status": "killed" if failed else "ok",
                "stdout": output.get("stdout"),
                "stderr": output.get("stderr"),
                "value": output.get("result") or None,
                "error": "the sandbox reports a failure" if failed else None,
                "images": output.get("images"),
                "seconds": answer.get("execution_time"),
            }
        )

    async def close(self) -> None:
        """Sessions there end by themselves."""


class FusionHost(Host):
    """SandboxFusion. Source: `sandbox/server/sandbox_api.py`, RunCodeRequest, RunCodeResponse."""

    def __init__(
        self, url: str, client: httpx.AsyncClient, seed: int, after_kill: AfterKill
    ) -> None:
        super().__init__(url, client, seed, after_kill)
        self._cells: list[str] = []

    @property
    def opened(self) -> bool:
        """There are no sessions."""
        return True

    async def health(self) -> Mapping[str, JsonValue]:
        """Nothing: hosts of this protocol do not say what they are."""
        return {}

    async def give(self, name: str, image: PILImage.Image) -> None:
        raise ConfigError(
            "sandbox.remote: protocol sandbox_fusion cannot be given images; use one of the others"
        )

    async def run(self, code: str, seconds: float | None) -> Cell:
        silent = "".join(_SILENT.format(code=cell) for cell in self._cells)
        body = {"code": silent + code, "language": "python", "run_timeout": seconds or 10}
        answer = await self._ask("POST", "/run_code", json.dumps(body).encode())
        run = answer.get("run_result")
        if answer.get("status") == "SandboxError" or not isinstance(run, dict):
            raise ServiceError(f"sandbox: {self.url}: {str(answer.get('message'))[:300]}")
        late = run.get("status") == "TimeLimitExceeded"
        failed = bool(run.get("return_code"))
        if not late and not failed:
            self._cells.append(code)
        return cell_of(
            {
                "status": "killed" if late else "error" if failed else "ok",
                "stdout": run.get("stdout"),
                "stderr": "" if failed else run.get("stderr"),
                "error": run.get("stderr") if failed else None,
                "seconds": run.get("execution_time"),
            }
        )

    async def close(self) -> None:
        """There are no sessions."""


FULL_SECONDS = 120.0
"""How long a host may say that it is full."""

_SILENT = (
    "import contextlib as _c, io as _io\n"
    "with _c.redirect_stdout(_io.StringIO()), _c.redirect_stderr(_io.StringIO()):\n"
    "    exec(compile({code!r}, '<cell>', 'exec'), globals())\n"
)
HOSTS = {"saccade": Host, "deepeyes_v2": JupyterHost, "sandbox_fusion": FusionHost}


async def _answer(
    client: httpx.AsyncClient, method: str, url: str, body: bytes
) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and a body of limited length."""
    kind = "image/png" if method == "PUT" else "application/json"
    async with client.stream(method, url, content=body, headers={"Content-Type": kind}) as reply:
        data = bytearray()
        async for chunk in reply.aiter_bytes():
            data += chunk
            if len(data) > MAX_ANSWER_BYTES:
                raise HostLost(f"{url}: an answer of more than {MAX_ANSWER_BYTES >> 20} MiB")
        return reply.status_code, reply.headers, bytes(data)


def _sandbox_of(answer: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    sandbox = answer.get("sandbox")
    if not isinstance(sandbox, dict):
        raise HostLost("it does not say what its sandbox is")
    return sandbox


def cell_of(answer: Mapping[str, JsonValue]) -> Cell:
    """A cell from what a host says: types checked, text cleaned, images decoded within limits.

    Raises:
        HostLost: a host that says something else.
    """
    status = answer.get("status")
    if status not in STATUSES:
        raise HostLost(f"a cell of status {str(status)[:40]!r}")
    images, seconds, notes = (
        answer.get("images") or [],
        answer.get("seconds"),
        answer.get("notes") or [],
    )
    if not isinstance(images, list) or len(images) > MAX_IMAGES or not isinstance(notes, list):
        raise HostLost("a cell of another form")
    return Cell(
        status=cast(Status, status),
        stdout=_text(answer.get("stdout")) or "",
        stderr=_text(answer.get("stderr")) or "",
        value=_text(answer.get("value")),
        error=_text(answer.get("error")),
        images=tuple(_image(image) for image in images),
        notes=tuple(clean(str(note)[:200]) for note in notes[:20]),
        seconds=float(seconds) if isinstance(seconds, int | float) else 0.0,
    )


def _text(value: JsonValue) -> str | None:
    if value is not None and not isinstance(value, str):
        raise HostLost("text of another type")
    return None if value is None else clean(value[:MAX_TEXT])


def _image(value: JsonValue) -> PILImage.Image:
    try:
        data = base64.b64decode(str(value), validate=True)
        image = PILImage.open(io.BytesIO(data), formats=["PNG"])
        if image.width * image.height > MAX_PIXELS:
            raise HostLost(f"an image of {image.width}x{image.height}")
        return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, binascii.Error, PILImage.DecompressionBombError):
        raise HostLost("an image that is no PNG") from None
