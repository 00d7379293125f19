"""Hosts that run notebooks, and three ways of speaking to them over HTTP."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import math
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, cast

from PIL import Image as PILImage
from pydantic import JsonValue

from saccade.errors import ConfigError, ServiceError, ToolError
from saccade.images.decode import decode, read_header
from saccade.sandbox.cells import MAX_NOTES, NOTE_CHARS, Cell, Status, clean
from saccade.sandbox.replay import AfterKill
from saccade.sandbox.threads import in_thread
from saccade.untrusted.redactor import Redactor
from saccade.untrusted.values import parsed

if TYPE_CHECKING:
    import httpx

MAX_ANSWER_BYTES = 64 << 20
MAX_FACTS_BYTES = 1 << 16
"""Of an answer that is about no cell."""
MAX_NODES = 1_000_000
"""Commas, colons and brackets of an answer: what is made of JSON takes memory by their number."""
MAX_TEXT, MAX_IMAGES, MAX_PIXELS = 100_000, 16, 16_000_000
"""Of a cell; pixels of all its images together."""
MAX_REASON = 300
"""Bytes of what a host gives as a reason."""
STATUSES = ("ok", "error", "timeout", "killed")


class HostLost(Exception):
    """A host that does not answer, or does not know the session any more."""


class Host:
    """A session on a host that speaks our format."""

    outlives_cells, has_ended = True, False

    def __init__(
        self,
        url: str,
        client: httpx.AsyncClient,
        seed: int,
        after_kill: AfterKill,
        redact: Redactor,
    ) -> None:
        self.url, self._client = url, client
        self._seed, self._after_kill, self._redact = seed, after_kill, redact
        self._session: str | None = None

    @property
    def opened(self) -> bool:
        return self._session is not None

    async def health(self) -> Mapping[str, JsonValue]:
        """What the host says of its sandbox."""
        return self._sandbox_of(await self._ask("GET", "/v1/health", b""))

    async def open(self) -> Mapping[str, JsonValue]:
        """Begin the session; returns what the host says of its sandbox."""
        body = json.dumps({"seed": self._seed, "after_kill": self._after_kill}).encode()
        answer = await self._ask("POST", "/v1/sessions", body)
        name = answer.get("id")
        if not isinstance(name, str) or not _SESSION_ID.fullmatch(name):
            raise HostLost("no session id")
        self._session = name
        return self._sandbox_of(answer)

    async def give(
        self, name: str, image: PILImage.Image, *, seconds: float | None = None
    ) -> float:
        file = await in_thread(lambda: _png(image))
        await self._ask("PUT", f"/v1/sessions/{self._session}/images/{name}", file)
        return 0.0

    async def run(self, code: str, *, seconds: float | None, number: int) -> Cell:
        body = {"number": number, "code": code, "seconds": seconds}
        path = f"/v1/sessions/{self._session}/cells"
        begun = time.monotonic()
        answer = await self._ask("POST", path, json.dumps(body).encode(), MAX_ANSWER_BYTES)
        return await self._cell(answer, begun)

    async def close(self) -> None:
        """End the session, and what runs in it; once."""
        name, self._session = self._session, None
        if name is not None:
            await self._ask("DELETE", f"/v1/sessions/{name}", b"")

    async def _cell(self, answer: Mapping[str, JsonValue], begun: float) -> Cell:
        """A cell that took no longer than its answer did, and does not repeat the token."""
        cell = await in_thread(lambda: _without_token(cell_of(answer), self._redact))
        return replace(cell, seconds=min(cell.seconds, time.monotonic() - begun))

    def _sandbox_of(self, answer: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
        sandbox = answer.get("sandbox")
        if not isinstance(sandbox, dict):
            raise HostLost(f"{self.url}: it does not say what its sandbox is")
        return cast(Mapping[str, JsonValue], self._redact.value(sandbox))

    def _said(self, data: bytes) -> str:
        """The beginning of a reason, as a message may hold it."""
        return self._redact(clean(data[:MAX_REASON].decode(errors="replace")))

    async def _ask(
        self, method: str, path: str, body: bytes, most: int = MAX_FACTS_BYTES
    ) -> Mapping[str, JsonValue]:
        """One request with an answer of so many bytes; waits where the host says that it is full.

        Raises:
            HostLost: it does not answer, or has forgotten the session.
            ToolError: what is sent is more than it takes.
            ServiceError: it refuses what will not get better.
        """
        import httpx

        from saccade.client.post import unpacked

        url = self.url.rstrip("/") + path
        kind = "image/png" if method == "PUT" else "application/json"
        until, tries = time.monotonic() + FULL_SECONDS, 0
        while True:
            try:
                async with asyncio.timeout(self._client.timeout.read):
                    status, headers, data = await unpacked(
                        self._client, method, url, body, kind, max_bytes=most
                    )
            except ServiceError as error:
                raise HostLost(str(error)) from None
            except (httpx.HTTPError, TimeoutError) as error:
                tries += 1
                if tries < 2 and not isinstance(error, httpx.TimeoutException | TimeoutError):
                    await asyncio.sleep(0.1)  # harmless: requests have numbers
                    continue
                raise HostLost(f"{url}: {type(error).__name__}") from None
            if status == 429 and time.monotonic() < until:
                await asyncio.sleep(_pause(headers.get("retry-after", "")))
                continue
            if status in (404, 429) or status >= 500:
                raise HostLost(f"{url}: HTTP {status}")
            if status == 413:
                raise ToolError(f"notebook: too much for its host: {self._said(data)}")
            if status >= 400:
                raise ServiceError(f"sandbox: {url}: HTTP {status}: {self._said(data)}")
            if status >= 300:
                raise HostLost(f"{url}: HTTP {status}; redirects are not followed")
            return await in_thread(partial(_json, url, data))


class JupyterHost(Host):
    """DeepEyesV2's sandbox. Source: `deepeyesv2.py`, request and reply of its sandbox."""

    async def health(self) -> Mapping[str, JsonValue]:
        """Nothing: hosts of this protocol do not say what they are."""
        return {}

    async def open(self) -> Mapping[str, JsonValue]:
        """Name a session; it begins with its first cell."""
        self._session = secrets.token_hex(16)
        return {}

    async def give(
        self, name: str, image: PILImage.Image, *, seconds: float | None = None
    ) -> float:
        def inlined() -> str:
            file = base64.b64encode(_png(image)).decode()
            return (
                "import base64, io\nfrom PIL import Image\n"
                f"{name} = Image.open(io.BytesIO(base64.b64decode({file!r})))\n{name}.load()"
            )

        cell = await self._run(inlined, None)
        if cell.status != "ok":
            raise HostLost(f"{self.url}: it takes no image: {cell.error}")
        return 0.0

    async def run(self, code: str, *, seconds: float | None, number: int) -> Cell:
        return await self._run(lambda: code, seconds)

    async def _run(self, code: Callable[[], str], seconds: float | None) -> Cell:
        def written() -> bytes:
            body = {"session_id": self._session, "code": code(), "timeout": seconds or 200}
            return json.dumps(body).encode()

        data, begun = await in_thread(written), time.monotonic()
        answer = await self._ask("POST", "/jupyter_sandbox", data, MAX_ANSWER_BYTES)
        output = answer.get("output")
        if not isinstance(output, dict):
            raise HostLost("no output")
        failed = answer.get("status") != "success"
        said: dict[str, JsonValue] = {
            "status": "killed" if failed else "ok",
            "stdout": output.get("stdout"),
            "stderr": output.get("stderr"),
            "value": output.get("result") or None,
            "error": "the sandbox reports a failure" if failed else None,
            "images": output.get("images"),
            "seconds": answer.get("execution_time"),
        }
        return await self._cell(said, begun)

    async def close(self) -> None:
        """Sessions there end by themselves."""


class FusionHost(Host):
    """SandboxFusion. Source: `sandbox/server/sandbox_api.py`, RunCodeRequest, RunCodeResponse."""

    async def health(self) -> Mapping[str, JsonValue]:
        """Nothing: hosts of this protocol do not say what they are."""
        return {}

    async def open(self) -> Mapping[str, JsonValue]:
        """There are no sessions there; begin to remember cells."""
        self._session, self._cells = "", list[str]()
        return {}

    async def give(
        self, name: str, image: PILImage.Image, *, seconds: float | None = None
    ) -> float:
        raise ConfigError(
            "sandbox.remote: protocol sandbox_fusion cannot be given images; use one of the others"
        )

    async def run(self, code: str, *, seconds: float | None, number: int) -> Cell:
        silent = "".join(_SILENT.format(code=cell) for cell in self._cells)
        body = {"code": silent + code, "language": "python", "run_timeout": seconds or 10}
        begun, data = time.monotonic(), json.dumps(body).encode()
        answer = await self._ask("POST", "/run_code", data, MAX_ANSWER_BYTES)
        run = answer.get("run_result")
        if answer.get("status") == "SandboxError" or not isinstance(run, dict):
            reason = self._redact(clean(str(answer.get("message"))))[:MAX_REASON]
            raise ServiceError(f"sandbox: {self.url}: {reason}")
        late = run.get("status") == "TimeLimitExceeded"
        failed = bool(run.get("return_code"))
        if not late and not failed:
            self._cells.append(code)
        said: dict[str, JsonValue] = {
            "status": "killed" if late else "error" if failed else "ok",
            "stdout": run.get("stdout"),
            "stderr": "" if failed else run.get("stderr"),
            "error": run.get("stderr") if failed else None,
            "seconds": run.get("execution_time"),
        }
        return await self._cell(said, begun)

    async def close(self) -> None:
        """There are no sessions."""


FULL_SECONDS, LONGEST_PAUSE = 120.0, 5.0
"""How long a host may say that it is full, and how long it is left alone each time."""
_SESSION_ID = re.compile(r"[\w-]{1,100}", re.ASCII)

_SILENT = (
    "import contextlib as _c, io as _io\n"
    "with _c.redirect_stdout(_io.StringIO()), _c.redirect_stderr(_io.StringIO()):\n"
    "    exec(compile({code!r}, '<cell>', 'exec'), globals())\n"
)
HOSTS = {"saccade": Host, "deepeyes_v2": JupyterHost, "sandbox_fusion": FusionHost}


def _pause(said: str) -> float:
    """Seconds until the next try, whatever a host says."""
    try:
        seconds = float(said)
    except ValueError:  # it may also be a date
        return 1.0
    return min(LONGEST_PAUSE, seconds) if seconds >= 0.1 else 0.1


def _json(url: str, data: bytes) -> Mapping[str, JsonValue]:
    if sum(map(data.count, (b",", b":", b"[", b"{"))) > MAX_NODES:
        raise HostLost(f"{url}: an answer of too many parts")
    try:
        answer = parsed(data)
    except ValueError:
        raise HostLost(f"{url}: no JSON") from None
    if not isinstance(answer, dict):
        raise HostLost(f"{url}: no JSON object")
    return answer


def _png(image: PILImage.Image) -> bytes:
    file = io.BytesIO()
    image.convert("RGB").save(file, "PNG", compress_level=1)
    return file.getvalue()


def _without_token(cell: Cell, redact: Redactor) -> Cell:
    return replace(
        cell,
        stdout=redact(cell.stdout),
        stderr=redact(cell.stderr),
        value=None if cell.value is None else redact(cell.value),
        error=None if cell.error is None else redact(cell.error),
        notes=tuple(map(redact, cell.notes)),
    )


def cell_of(answer: Mapping[str, JsonValue]) -> Cell:
    """A cell from what a host says: types checked, text cleaned, images decoded within limits.

    Raises:
        HostLost: a host that says something else.
    """
    status = answer.get("status")
    if status not in STATUSES:
        raise HostLost(f"a cell of status {str(status)[:40]!r}")
    images, notes = answer.get("images") or [], answer.get("notes") or []
    if not isinstance(images, list) or len(images) > MAX_IMAGES or not isinstance(notes, list):
        raise HostLost("a cell of another form")
    return Cell(
        status=cast(Status, status),
        stdout=_text(answer.get("stdout")) or "",
        stderr=_text(answer.get("stderr")) or "",
        value=_text(answer.get("value")),
        error=_text(answer.get("error")),
        images=_images(images),
        notes=tuple(clean(str(note)[:NOTE_CHARS]) for note in notes[:MAX_NOTES]),
        seconds=_seconds(answer.get("seconds")),
    )


def _seconds(value: JsonValue) -> float:
    try:
        seconds = float(value) if isinstance(value, int | float) else 0.0
    except OverflowError:
        raise HostLost("seconds without end") from None
    if not (math.isfinite(seconds) and seconds >= 0):
        raise HostLost(f"{seconds} seconds")
    return seconds


def _text(value: JsonValue) -> str | None:
    if value is not None and not isinstance(value, str):
        raise HostLost("text of another type")
    return None if value is None else clean(value[:MAX_TEXT])


def _images(values: list[JsonValue]) -> tuple[PILImage.Image, ...]:
    """Images, of which a host sends no more pixels than a cell returns."""
    images, left = [], MAX_PIXELS
    for number, value in enumerate(values, start=1):
        name = f"image {number} of a cell"
        try:
            data = base64.b64decode(str(value), validate=True)
            header = read_header(data, name, left)
            if header.extension != "png":
                raise HostLost(f"{name}: no PNG")
            images.append(decode(data, name))
        except ValueError as error:
            raise HostLost(str(error)) from None
        left -= header.size.area
    return tuple(images)
