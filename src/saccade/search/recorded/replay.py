"""`replay`: what another provider found is recorded once and replayed for ever.

    provider = { kind = "replay", file = "web.sqlite", mode = "record",
                 provider = { kind = "serper" } }

With `mode = "replay"`, which is the default, nothing is asked: a search that is not recorded aborts
the episode. `provider` can then be left out, and neither its key nor its index is needed. Records
belong to a provider *and* what its results depend on (`facts`), so that results of two engines, or
of two states of an index, never mix. What is shown while recording is read back from the file: a
replay shows the same to the byte. Nothing that failed is recorded, and an empty result is one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast
from weakref import WeakValueDictionary

from pydantic import JsonValue

from saccade.config import Part, build
from saccade.errors import ConfigError, FormatError, ServiceRefused
from saccade.search.found import Kind, Query, Results
from saccade.search.provider import PROVIDERS, Provider
from saccade.search.recorded.content import packed
from saccade.search.recorded.keys import Key, key_of, keys_by_id
from saccade.search.recorded.recording import Engine, Recording
from saccade.types import Record

MAX_SHOWN = 200
"""Number of characters of a query in a message."""


class ReplayOptions(Record):
    """Options of the provider `replay`."""

    file: Path
    """The SQLite file in which searches are kept."""
    mode: Literal["replay", "record"] = "replay"
    """With "replay", a search that is not in the file aborts the episode. With "record", the
    provider is asked for it, and its answer is kept."""
    provider: Part | None = None
    """The provider that is recorded. For a replay it can be left out, unless the file holds results
    of several, and is never started."""


class Replay:
    """A provider in front of another one. It carries the name of that one."""

    Options = ReplayOptions

    def __init__(self, options: ReplayOptions) -> None:
        """Find out what is replayed; for `mode = "replay"` the file is looked at.

        Raises:
            ConfigError: there is no recording, or it is not clear what is replayed or recorded.
            FormatError: the file is something else, or damaged.
        """
        self._options = options
        self._inner: Provider | None = None
        if options.provider is not None:
            self._inner = cast(Provider, build(options.provider, PROVIDERS, "replay.provider"))
        self._recording: Recording | None = None
        self._locks = WeakValueDictionary[Key, asyncio.Lock]()
        if self._inner is not None:
            self._engine = Engine.of(self._inner.name, self._inner.facts)
            self.kinds = self._inner.kinds
        elif options.mode == "record":
            raise ConfigError(
                "replay.provider: missing; name what is recorded, for example { kind = "
                '"searxng", url = "http://127.0.0.1:8080" }'
            )
        self._digest = ""
        if options.mode == "replay":
            self._look_at(options.file)

    def _look_at(self, file: Path) -> None:
        """Which engine of the file is replayed, and the digest of what it found."""
        recording = Recording(file)
        try:
            held = recording.engines()
            if self._inner is None:
                if len(held) != 1:
                    raise ConfigError(
                        f"{file}: holds results of {_listed(held)}; name the one that is replayed "
                        "with provider = { kind = ..., ... }, or keep each in a file of its own"
                    )
                (self._engine,) = held
                kinds: tuple[Kind, Kind] = ("text", "image")
                known = recording.kinds(self._engine)
                self.kinds = frozenset(kind for kind in kinds if kind in known)
            elif self._engine not in held:
                raise ConfigError(
                    f"{file}: holds nothing of {_shown(self._engine)}, but of {_listed(held)}; "
                    'record it with mode = "record"'
                )
            self._digest = held[self._engine]
        finally:
            recording.close()

    @property
    def name(self) -> str:
        """What is replayed or recorded is called: the trajectories are the same."""
        return self._engine.name

    @property
    def facts(self) -> Mapping[str, JsonValue]:
        """Those of what is recorded; of a replay also the digest of what was found."""
        facts = json.loads(self._engine.facts)
        if not isinstance(facts, dict):
            raise FormatError(f"{self._options.file}: facts of {self.name}: expected an object")
        return facts | ({"recorded": self._digest} if self._digest else {})

    async def start(self) -> None:
        """Open the file; for recording, start what is recorded as well.

        Raises:
            ConfigError: there is no recording, it has changed since the run was set up, or the
                provider cannot work.
            FormatError: the file is something else, or damaged.
            ServiceError: the provider cannot be reached.
        """
        if self._recording is not None:
            return
        record = self._options.mode == "record"
        recording = await asyncio.to_thread(self._opened, record)
        if record and self._inner is not None:
            try:
                await self._inner.start()
            except BaseException:
                recording.close()
                raise
        self._recording = recording

    def _opened(self, record: bool) -> Recording:
        recording = Recording(self._options.file, write=record)
        try:
            if not record and recording.engines().get(self._engine) != self._digest:
                raise ConfigError(
                    f"{self._options.file}: the recording has changed since the run was set up, "
                    "and results would no longer be comparable; start the command again"
                )
        except BaseException:
            recording.close()
            raise
        return recording

    async def recall(self, query: Query) -> Results | None:
        """What is recorded of a search; None if nothing is, which costs nothing to find out.

        Raises:
            FormatError: the record is damaged.
        """
        return await asyncio.to_thread(self._find, query)

    async def search(self, query: Query) -> Results:
        """What is recorded of a search; for recording, of a new one what the provider finds.

        The same search that is made several times at once is made once.

        Raises:
            ServiceRefused: it is not in the file, and nothing is recorded.
            ServiceError: the provider failed.
            FormatError: the record is damaged.
            StoreError: the file cannot be written.
        """
        key = key_of(query)
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            if (kept := await self.recall(query)) is not None:
                return kept
            if self._options.mode == "replay" or self._inner is None:
                raise ServiceRefused(await asyncio.to_thread(self._miss, query, key))
            found = await self._inner.search(query)
            return await asyncio.to_thread(self._keep, query, key, found)

    async def close(self) -> None:
        """Close the file, and what is recorded."""
        recording, self._recording = self._recording, None
        self._locks = WeakValueDictionary()  # they belong to their event loop
        if recording is not None:
            await asyncio.to_thread(recording.close)
        if self._options.mode == "record" and self._inner is not None:
            await self._inner.close()

    @property
    def _open(self) -> Recording:
        if self._recording is None:
            raise RuntimeError("replay: search comes after start")
        return self._recording

    def _find(self, query: Query) -> Results | None:
        for key in (key_of(query), *keys_by_id(query)):
            if (kept := self._open.get(self._engine, key)) is not None:
                return kept.results._replace(results=kept.results.results[: query.k])
        return None

    def _keep(self, query: Query, key: Key, found: Results) -> Results:
        """Record what was found, and read it back: another process may have been first."""
        found = found._replace(results=found.results[: query.k])
        task = query.task_id if query.kind == "image" and any(keys_by_id(query)) else ""
        self._open.put(self._engine, key, packed(found), asked=query.text, task=task)
        kept = self._open.get(self._engine, key)
        assert kept is not None
        return kept.results

    def _miss(self, query: Query, key: Key) -> str:
        asked = query.text[:MAX_SHOWN] if query.kind == "text" else f"picture {key.what}"
        what = f'"{asked}"' if query.kind == "text" else asked
        of = f" (question {query.task_id})" if query.task_id else ""
        near = [
            f"{engine.name} with k = {k}" if engine == self._engine else _shown(engine)
            for engine, k in self._open.others(key)
        ]
        beside = f"; it holds the same search of {', '.join(near[:4])}" if near else ""
        return (
            f"{self._options.file}: no {query.kind} search of {self.name} for {what} with k = "
            f'{query.k}{of} is recorded{beside}; record it with mode = "record" and provider = '
            f'{{ kind = "{self.name}", ... }}, then run the same command again'
        )


def _shown(engine: Engine) -> str:
    return f"{engine.name} {engine.facts[:MAX_SHOWN]}"


def _listed(engines: Mapping[Engine, str]) -> str:
    return " and of ".join(map(_shown, engines)) or "no search at all"
