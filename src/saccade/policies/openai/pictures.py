"""Images as a chat server is sent them: a data URI, or the URL of a file that is shown as it is."""

from __future__ import annotations

import asyncio
import base64
import os
from concurrent.futures import ThreadPoolExecutor

from saccade.cache import ByteCache
from saccade.images.image import Image
from saccade.policies.openai.options import OpenAIOptions

CACHE_BYTES = 256 * 2**20
"""Encoded images are kept up to this size: each turn sends all images again."""

AT_ONCE = min(8, os.cpu_count() or 1)
"""Number of images that are decoded and encoded at the same time: each of 21 megapixels is 80 MB
while it is, however many episodes are under way."""


class Pictures:
    """The URLs of images; each image is encoded once."""

    def __init__(self, options: OpenAIOptions) -> None:
        self._format = options.image_format
        self._links = options.image_urls
        self._urls: ByteCache[Image, str] = ByteCache(CACHE_BYTES, len)
        # Threads of its own: in each that has held an image, the allocator keeps room for one.
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="encode")

    async def url(self, image: Image) -> str:
        """Where the server finds an image; pixels are encoded outside the event loop."""
        url = self._urls.get(image)
        if url is None:
            loop = asyncio.get_running_loop()
            url = await loop.run_in_executor(self._threads, self._url, image)
            self._urls.put(image, url)
        return url

    def _url(self, image: Image) -> str:
        file = image.source.file
        if self._links is not None and file is not None and image.is_sent_as_file(self._format):
            link = self._links.link(file)
            if link is not None:
                return link
        data, media_type = image.encoded(self._format)
        return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
