"""The options of a policy that plays with a chat server."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import field_validator, model_validator

from saccade.client.options import ClientOptions
from saccade.images.encode import WireFormat
from saccade.types import Record


class ImageLinks(Record):
    """A folder of images and the URL under which the server finds it."""

    folder: Path
    """The folder on this machine; images of files elsewhere are sent whole."""
    url: str
    """What the server finds the folder under, such as "https://host/data" or "file:///data"."""

    @field_validator("url")
    @classmethod
    def _is_a_place(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("a URL with a password, a query or a fragment; name the folder alone")
        remote = parts.scheme in ("http", "https") and parts.hostname
        local = parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc
        if not (remote or local):
            raise ValueError(f"expected https://HOST/PATH or file:///PATH, got {value!r}")
        return value.rstrip("/")

    def link(self, file: Path) -> str | None:
        """The URL of a file; None if it does not lie in the folder, links followed."""
        folder, place = self.folder.resolve(), file.resolve()
        if not place.is_relative_to(folder):
            return None
        return f"{self.url}/{quote(place.relative_to(folder).as_posix())}"


class OpenAIOptions(ClientOptions):
    """The `policy` section of a run file, kind "openai"."""

    continues_prefix: bool = False
    """Whether the server goes on from an unfinished assistant message (vLLM's
    continue_final_message)."""
    send_thought: Literal["no", "reasoning_content", "reasoning"] = "no"
    """The field in which the thoughts of earlier turns go back: DeepSeek and others refuse a turn
    with a call that comes back without its `reasoning_content`, vLLM takes `reasoning`."""
    tool_images: Literal["user", "tool"] = "user"
    """The message in which images of a tool result go: the tool message itself, or a user message
    after it, since many servers take no image in a tool message."""
    image_format: WireFormat = "auto"
    """How images are encoded. `auto` sends a JPEG or PNG file that is shown whole as it is, small
    images and drawings as PNG, and photographs that had to be resized as JPEG of high quality."""
    image_detail: Literal["low", "high", "auto"] | None = None
    """The `detail` of each image, for servers that know it; left out, it is not sent."""
    image_urls: ImageLinks | None = None
    """Images that are sent as their file is are named by a URL instead: the server fetches them."""
    token_ids: bool = False
    """Whether token ids and log-probabilities are asked for and kept: vLLM tells them, but in no
    stream."""

    @model_validator(mode="after")
    def _links_are_fetched(self) -> Self:
        if self.image_urls is not None and not self.rules.image_links:
            raise ValueError(f"image_urls: {self.server} fetches no images; leave it out")
        return self

    @model_validator(mode="after")
    def _tokens_come_whole(self) -> Self:
        if self.token_ids and (self.rules.stream if self.stream is None else self.stream):
            raise ValueError("token_ids: they are not read from a stream; set stream=false")
        return self
