"""The Python API in one object: an agent that answers questions about images.

agent = Agent(policy={"kind": "openai", "base_url": "http://127.0.0.1:8000/v1", "model": "m"})
trajectory = agent.ask("street.jpg", "What word is on the blue flag?", choices=["A", "B"])
trajectory = await agent.ask_async("street.jpg", "What word is on the blue flag?")
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import hashlib
import logging
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Sequence
from typing import Self, TypeVar

from pydantic import JsonValue

from saccade.client.download import download, is_url
from saccade.client.hosts import Hosts
from saccade.config import validate
from saccade.embedded import with_folders
from saccade.env import Environment
from saccade.errors import ConfigError, ImageError
from saccade.formats.marks import check_choices, interleaved, marked
from saccade.images.color import Color
from saccade.images.decode import MAX_SOURCE_PIXELS
from saccade.images.given import Picture, image_of
from saccade.images.image import Image
from saccade.recipe import Recipe
from saccade.rollout import rollout
from saccade.runs.assemble import assemble
from saccade.types import Task, Trajectory
from saccade.untrusted.secrets import sent_along

Done = TypeVar("Done")

_log = logging.getLogger(__name__)

NOWHERE = Hosts.of(False)
"""No URL is fetched."""


class Agent:
    """A policy in an environment, ready to be asked. Sections are those of a run file.

    It may be asked from everywhere, and by many at the same time: from a script, from a notebook or
    another place where an event loop runs, from several threads, from the handlers of a server. All
    questions share one model or client, in one event loop that the agent keeps in a thread of its
    own; at most `concurrency` of them are under way, further ones wait.

    It keeps its model or connections between questions: `close` it, or use it in a `with` block.
    One that is dropped unclosed closes itself when it is garbage-collected; at the end of the
    process, nothing waits for it. After a fork, it can only be asked in the process that asked it
    first.
    """

    def __init__(self, *, allow_urls: bool | Sequence[str] = False, **sections: JsonValue) -> None:
        """Put an agent together.

        Args:
            allow_urls: Which URLs of images are fetched: none; with True, those of the public
                internet; or those of the named hosts ("example.org", "10.0.0.5:8080") alone, which
                may stand in a private network.
            **sections: `policy`, `dialect`, `tools`, `environment`, `sampling`, `reward`, `seed`,
                `concurrency` as in a run file; see `saccade.recipe.Recipe`.

        Raises:
            ConfigError: a section that cannot work; the message names the key.
        """
        self._hosts = Hosts.of(allow_urls)
        self.recipe = validate(Recipe, with_folders(sections))
        for line in dict.fromkeys(sent_along(sections)):
            _log.info("%s", line)
        self._parts = assemble(self.recipe)
        self._slots = asyncio.Semaphore(self.recipe.concurrency)
        self._loop = _LoopThread(self._parts.close)
        # The parts and the loop know nothing of the agent, or it would never be collected.
        weakref.finalize(self, self._loop.end).atexit = False

    @property
    def environment(self) -> Environment:
        """What the policy meets; its `fingerprint` tells whether two agents are comparable."""
        return self._parts.environment

    def ask(
        self,
        images: Picture | Sequence[Picture],
        question: str,
        *,
        choices: Sequence[str] = (),
        answer: str | None = None,
    ) -> Trajectory:
        """Ask one question and wait for the end of the episode; scored if the answer is given.

        Ctrl-C ends the episode too, and the agent can be asked again. In a coroutine, use
        `ask_async`: this holds up the caller's event loop while it waits.

        Args:
            images: One image or a list of them: image_1, image_2, ... Each is a path, a `data:`
                URI, an http or https URL where `allow_urls` has its host, the bytes of a file, a
                PIL image, an array (height x width x channels, uint8 or floats from 0 to 1), or an
                `Image`.
            question: The question as a person would ask it. Where it has the mark `<image>`, once
                for each image, they stand there; else they come before it.
            choices: Options, without letters.
            answer: The right answer, for the score; never shown to the model.

        Returns:
            The finished trajectory: `.answer`, `.turns`, `.stop`, `.score`.

        Raises:
            ImageError: an image that cannot be read, or a URL that is not allowed.
            FormatError: the question has another number of marks than there are images.
            ConfigError: something is set up so that no episode can succeed.
            RuntimeError: the agent is closed, or belongs to the process that this one was forked
                from, or is asked by one of its own tools, which would wait for itself.
        """
        task = self._task(images, question, choices, answer)
        attempt = self._loop.submit(lambda: self._attempt(task), waits=True)
        try:
            return attempt.result()
        except concurrent.futures.CancelledError:
            raise RuntimeError(_CLOSED) from None
        finally:
            attempt.cancel()  # where Ctrl-C ended the wait; a finished one is not changed by it

    async def ask_async(
        self,
        images: Picture | Sequence[Picture],
        question: str,
        *,
        choices: Sequence[str] = (),
        answer: str | None = None,
    ) -> Trajectory:
        """Ask one question from a coroutine: arguments, result and errors are those of `ask`.

        Any number of them may be awaited at the same time, also in several event loops. Cancelling
        the task that awaits it ends the episode.
        """
        task = await asyncio.to_thread(self._task, images, question, choices, answer)
        attempt = self._loop.submit(lambda: self._attempt(task))
        try:
            return await asyncio.wrap_future(attempt)
        except asyncio.CancelledError:
            asking = asyncio.current_task()
            if asking is None or asking.cancelling():
                raise
            raise RuntimeError(_CLOSED) from None

    def _task(
        self,
        images: Picture | Sequence[Picture],
        question: str,
        choices: Sequence[str],
        answer: str | None,
    ) -> Task:
        return make_task(
            images,
            question,
            choices,
            answer,
            max_pixels=self.recipe.max_image_pixels,
            hosts=self._hosts,
            color=self.recipe.environment.color,
        )

    async def _attempt(self, task: Task) -> Trajectory:
        async with self._slots:
            return await rollout(
                self._parts.policy,
                self._parts.environment,
                task,
                seed=self.recipe.seed,
                sampling=self.recipe.sampling,
                reward=self._parts.reward,
            )

    def close(self) -> None:
        """Give back the model, connections, worker processes and what tools have started.

        Questions that are under way end with a `RuntimeError`. Once more does nothing.
        """
        self._loop.close()

    async def aclose(self) -> None:
        """The same from a coroutine."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


_CLOSED = "agent: it is closed; make another one"


class _LoopThread:
    """An event loop in a thread of its own, to which work is handed from any thread.

    The thread starts with the first work. It is a daemon: a process does not wait for it to end.
    """

    def __init__(self, clean_up: Callable[[], Coroutine[None, None, None]]) -> None:
        """Take what is run in the loop after all work, when the thread is ended."""
        self._clean_up = clean_up
        self._changing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._process = 0
        self._closed = False

    def submit(
        self, work: Callable[[], Coroutine[None, None, Done]], *, waits: bool = False
    ) -> concurrent.futures.Future[Done]:
        """Start work; cancelling the future cancels it.

        Args:
            work: Makes the coroutine to run.
            waits: Whether the calling thread will wait for the future.

        Raises:
            RuntimeError: the loop is closed, is in another process, or would wait for itself.
        """
        if self._is_the_parents:
            raise RuntimeError(
                "agent: it was asked before this process was forked, and its connections are the "
                "parent's; make an agent in each process, or fork before the first question"
            )
        if waits and threading.current_thread() is self._thread:
            raise RuntimeError(
                "agent: asked from its own event loop, where `ask` would wait for itself; use "
                "`await agent.ask_async(...)`"
            )
        with self._changing:
            if self._closed:
                raise RuntimeError(_CLOSED)
            self._start()
            return asyncio.run_coroutine_threadsafe(work(), self._loop)

    def close(self) -> None:
        """Cancel all work, run the clean-up, and wait until the thread has ended.

        Raises:
            RuntimeError: called from the loop itself.
        """
        if self._is_the_parents:
            return
        if threading.current_thread() is self._thread:
            raise RuntimeError("agent: closed from its own event loop, which cannot wait for this")
        with self._changing:
            self._start()  # also where nothing was asked: the clean-up needs a loop
            ended = self.end()
        assert self._thread is not None
        try:
            if ended is not None:
                ended.result()
        finally:
            self._thread.join()

    def end(self) -> concurrent.futures.Future[None] | None:
        """Begin to end, without waiting; None where it has begun, or where no thread is."""
        if self._thread is None or self._closed or self._is_the_parents:
            return None
        self._closed = True
        return asyncio.run_coroutine_threadsafe(self._finish(), self._loop)

    @property
    def _is_the_parents(self) -> bool:
        """Whether this process was forked from the one in which the thread runs."""
        return self._thread is not None and self._process != os.getpid()

    def _start(self) -> None:
        if self._thread is not None:
            return
        ready = threading.Event()
        self._process = os.getpid()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(ready)), name="saccade-agent", daemon=True
        )
        self._thread.start()
        ready.wait()

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._finished = asyncio.get_running_loop(), asyncio.Event()
        self._serving = asyncio.current_task()
        ready.set()
        await self._finished.wait()

    async def _finish(self) -> None:
        work = asyncio.all_tasks() - {asyncio.current_task(), self._serving}
        for task in work:
            task.cancel()
        try:
            await asyncio.gather(*work, return_exceptions=True)
            await self._clean_up()
        finally:
            self._finished.set()


def make_task(
    images: Picture | Sequence[Picture],
    question: str,
    choices: Sequence[str] = (),
    answer: str | None = None,
    *,
    max_pixels: int = MAX_SOURCE_PIXELS,
    hosts: Hosts = NOWHERE,
    color: Color = Color.SRGB,
) -> Task:
    """A task of a user's own; its id follows from its content.

    Raises:
        ImageError: an image that cannot be read, down to its last pixel; a URL that is not allowed.
        FormatError: the question has another number of marks `<image>` than there are images.
        ConfigError: no question, or options that are no list of texts or more than the letters.
    """
    _check_texts(question, choices, answer)
    opened = tuple(
        _fetched(given, hosts, max_pixels)
        if isinstance(given, str) and is_url(given)
        else image_of(given, number, max_pixels=max_pixels, color=color)
        for number, given in enumerate(_listed(images), start=1)
    )
    for image in opened:
        image.source.pixels()
    question, *options = (_unicode(text) for text in (question, *choices))
    answer = None if answer is None else _unicode(answer)
    check_choices(options, marked(question, len(opened), "question"), len(opened), "choices")
    content = repr((opened, question, options, answer))
    return Task(
        id=f"ask-{hashlib.sha256(content.encode()).hexdigest()[:12]}",
        prompt=interleaved(question, opened, "question"),
        choices=tuple(options),
        answer=answer,
        judge="choice" if choices else None,
        source="ask",
    )


def _check_texts(question: object, choices: object, answer: object) -> None:
    """What is asked is text: types are not looked at when Python calls it.

    Raises:
        ConfigError: it is not.
    """
    if not isinstance(question, str) or not question.strip():
        raise ConfigError(f"question: expected a text, got {question!r:.60}")
    if (
        not isinstance(choices, Sequence)
        or isinstance(choices, str | bytes)
        or not all(isinstance(choice, str) for choice in choices)
    ):
        raise ConfigError(f"choices: expected a list of texts, got {choices!r:.60}")
    if len(choices) > 26:
        raise ConfigError(f"choices: at most 26 options have a letter, got {len(choices)}")
    if not isinstance(answer, str | None):
        raise ConfigError(f"answer: expected a text or None, got {answer!r:.60}")


def _listed(images: object) -> Sequence[object]:
    """One image alone, or several."""
    if isinstance(images, Sequence) and not isinstance(
        images, str | bytes | bytearray | memoryview
    ):
        return images
    return [images]


def _fetched(url: str, hosts: Hosts, max_pixels: int) -> Image:
    if hosts == NOWHERE:
        raise ImageError(
            f"{url[:200]}: a URL, and none is fetched; allow them with Agent(allow_urls=True) or "
            "saccade solve --allow-urls, or give the path of the file"
        )
    return Image.from_bytes(download(url, hosts), name=url[:200], max_pixels=max_pixels)


def _unicode(text: str) -> str:
    """Without the bytes of a command line that are no UTF-8, which no file could hold."""
    return text.encode("utf-8", "replace").decode()
