"""What a chat server takes, refuses and ignores: parameters, stop strings, limits.

Requests go through the ordinary client, with as few parameters as the question needs. What a server
refuses is told from what it fails at by asking without it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, Self

from pydantic import JsonValue

from saccade.canary.findings import Finding, State, finding
from saccade.client.chat import ChatClient
from saccade.client.reply import Reply
from saccade.client.request import body_of
from saccade.config import Table, validate
from saccade.errors import ContextOverflow, ServiceError
from saccade.policies.openai import OpenAIOptions
from saccade.types import Sampling, ToolSpec

PATIENCE: dict[str, float] = {"max_retries": 2, "timeout_s": 60.0, "deadline_s": 120.0}
"""How long a server may take at most; what the user allows is for runs of days."""
UNREACHABLE = {"401", "403", "429"}
"""Statuses that say nothing of a parameter."""
HELLO = "Reply with the word yes."
WORDS = (
    "Write the following words on one line, and nothing else: alpha bravo charlie delta echo "
    "foxtrot golf hotel"
)
COUNT = "Count from 1 to 60. Write the numbers on one line with spaces between them."
BEGUN = "Here they are: alpha bravo charlie delta"
"""An answer to `WORDS` that is to be continued; no model would begin one anew with these words."""
FEW = 5
"""Number of tokens of a turn that is cut."""
TOOL = ToolSpec(
    name="look",
    description="Look at the picture.",
    parameters={"type": "object", "properties": {}},
)
MENDS: dict[str, tuple[Table, ...]] = {
    "max_tokens": ({"rename": {"max_tokens": "max_completion_tokens"}}, {"omit": ["max_tokens"]}),
    "temperature": ({"omit": ["temperature"]},),
    "seed": ({"omit": ["seed"]},),
    "stop": ({"omit": ["stop"]},),
    "top_p": ({"omit": ["top_p"]},),
}
"""Parameter of every request -> options that do without it, the best first."""
BESIDE: dict[str, tuple[JsonValue, str]] = {
    "top_p": (0.9, "leave sampling.top_p at 1"),
    "tools": ([TOOL.function()], "dialect.kind=native cannot work"),
    "logprobs": (True, "token log-probabilities cannot be had"),
}
"""Parameter that some requests have -> a value, and what its refusal means."""


class Answered(NamedTuple):
    """What came of a request."""

    reply: Reply | None
    error: str | None

    @property
    def text(self) -> str:
        return "" if self.reply is None else self.reply.text

    @property
    def refused(self) -> bool:
        """Whether the server was there and did not want the request."""
        status = re.search(r"status (\d{3})", self.error or "")
        return status is not None and status[1] not in UNREACHABLE


class Wire:
    """A server, asked with the options of a policy."""

    def __init__(
        self,
        options: Mapping[str, JsonValue],
        sampling: Sampling,
        *,
        on_reply: Callable[[], None] = lambda: None,
    ) -> None:
        self.options: Table = dict(options)
        self.failure: str | None = None
        """Why the last request failed that did."""
        self._sampling, self._on_reply = sampling, on_reply
        self._open()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def change(self, mend: Table) -> None:
        """Go on with other options."""
        await self.replace(merged_options(self.options, mend))

    async def replace(self, options: Table) -> None:
        """Go on with these options."""
        await self._client.close()
        self.options = options
        self._open()

    async def send(self, parameters: Table, prompt: str = HELLO, begun: str = "") -> Answered:
        """One request with these parameters and no others, and an answer that is begun."""
        messages: list[JsonValue] = [{"role": "user", "content": prompt}]
        if begun:
            messages.append({"role": "assistant", "content": begun})
        try:
            return Answered(await self._client.chat({"messages": messages, **parameters}), None)
        except (ServiceError, ContextOverflow) as error:
            self.failure = str(error)
            return Answered(None, self.failure)
        finally:
            self._on_reply()

    @property
    def usual(self) -> Table:
        """The parameters of every request of a run."""
        usual: Table = {
            "max_tokens": self._sampling.max_tokens,
            "temperature": self._sampling.temperature,
            "seed": 0,
            "stop": ["\n\n\n\n"],
        }
        if self._sampling.top_p < 1:
            usual["top_p"] = self._sampling.top_p
        return usual

    def omits(self, parameter: str) -> bool:
        """Whether a parameter is not sent."""
        return body_of(self._chosen, {parameter: 1}) == body_of(self._chosen, {})

    def _open(self) -> None:
        asked = {key: value for key, value in self.options.items() if key != "cache"}
        chosen = validate(OpenAIOptions, asked, "policy")
        patience = {key: min(most, getattr(chosen, key)) for key, most in PATIENCE.items()}
        self._chosen = chosen.model_copy(update=patience)
        self._client = ChatClient(self._chosen)


def merged_options(options: Table, mend: Table) -> Table:
    """Options with those of a mend added: lists and tables grow."""
    merged = dict(options)
    for key, value in mend.items():
        held = merged.get(key)
        if isinstance(held, list | tuple) and isinstance(value, list):
            merged[key] = [*held, *(item for item in value if item not in held)]
        elif isinstance(held, dict) and isinstance(value, dict):
            merged[key] = {**held, **value}
        else:
            merged[key] = value
    return merged


async def find_refused(wire: Wire) -> list[Finding]:
    """Whether the server answers, and which parameters it refuses; `wire` is mended on the way."""
    whole = await wire.send(wire.usual)
    if whole.reply is not None:
        return [await _of_kind(wire, whole.reply)]
    if not whole.refused:
        return [finding("server", "error", f"does not answer: {whole.error}")]
    findings = []
    base: Table = {}
    bare = await wire.send(base)
    if bare.error is not None:
        base = {"max_tokens": wire.usual["max_tokens"]}  # some servers want it in every request
        if (await wire.send(base)).error is not None:
            base = {}
            streamed = await _streamed(wire)
            if streamed is None:
                return [finding("server", "error", f"refuses a bare request: {bare.error}")]
            findings.append(streamed)
    for name, value in wire.usual.items():
        alone = await wire.send(base | {name: value})
        if alone.refused:
            findings.append(await _mended(wire, base, name, value, alone.error or ""))
    again = await wire.send(wire.usual)
    state: State = "ok" if again.error is None else "error"
    text = "answers with the lines below" if again.error is None else f"refuses: {again.error}"
    return [finding("server", state, text), *findings]


async def _of_kind(wire: Wire, reply: Reply) -> Finding:
    """The server answers; what its replies show of its kind becomes an option."""
    text, said = f"answers as {reply.model!r}", wire.options.get("server")
    if reply.server is None or reply.server == said:
        return finding("server", "ok", text)
    before, line = wire.options, {"server": reply.server}
    await wire.change(dict(line))
    if (await wire.send(wire.usual)).reply is None:  # a proxy may leave its marks in replies
        await wire.replace(before)
        return finding("server", "ok", text)
    text += f", and is of the kind {reply.server}"
    text += f", not {said}: the ends of turns would be misread" if said else ""
    lines: Table = {"policy.server": reply.server}
    return finding("server", "warning" if said else "ok", text, lines=lines)


async def find_tokens(wire: Wire) -> Finding:
    """Whether token ids and log-probabilities are told."""
    told = await wire.send({"logprobs": True, "return_token_ids": True})
    if told.reply is None or told.reply.token_ids is None:
        return finding("tokens", "ok", "token ids are not told: policy.token_ids=false")
    text = "token ids are told" + (", with log-probabilities" if told.reply.log_probs else "")
    return finding("tokens", "ok", f"{text}; policy.token_ids=true keeps them")


async def find_beside(wire: Wire) -> list[Finding]:
    """Which of the parameters that not every run needs are refused."""
    refused, replies = [], []
    for name, (value, means) in BESIDE.items():
        answered = await wire.send({name: value})
        if answered.refused:
            refused.append(f"{name} ({means})")
            replies.append(answered.error or "")
    if not refused:
        return [finding("parameters", "ok", f"{', '.join(BESIDE)} are not refused")]
    text = f"refused: {', '.join(refused)}"
    return [finding("parameters", "ok", text, replies=tuple(replies))]


async def find_stop(wire: Wire) -> Finding:
    """Whether a stop string ends the text, and whether it is kept in it."""
    if wire.omits("stop"):
        return finding("stop", "not tried", "stop strings are not sent to this server")
    usual: Table = {"temperature": 0.0, "max_tokens": wire.usual["max_tokens"]}
    whole = await wire.send(usual, WORDS)
    once = [word for word in whole.text.split() if whole.text.count(word) == 1]
    if len(once) < 3:
        return _unclear("stop", whole)
    stop = once[len(once) // 2]
    cut = await wire.send(usual | {"stop": [stop]}, WORDS)
    if cut.reply is None:
        return _unclear("stop", cut)
    before, found, after = cut.text.partition(stop)
    if after.strip():
        text = (
            f"stop strings are ignored: {stop!r} did not end the text. Turns run on after a call; "
            "dialect.kind=native needs no stop strings"
        )
        return finding("stop", "warning", text, replies=(cut.text,))
    told = cut.reply.stop_reason == stop
    if not told and before.strip() != whole.text.partition(stop)[0].strip():
        return _unclear("stop", cut)  # it may have ended of itself: it is another text
    how = "stays in the text" if found else "is cut off"
    how += ", and the reply names it" if told else ""
    return finding("stop", "ok", f"stop strings end the turn; the string {how}")


async def find_limit(wire: Wire) -> Finding:
    """Whether a limit of tokens cuts the turn, and whether that is told."""
    if wire.omits("max_tokens"):
        return finding("max_tokens", "not tried", "it is not sent to this server")
    cut = await wire.send({"max_tokens": FEW}, COUNT)
    if cut.reply is not None and cut.reply.finish == "length":
        return finding("max_tokens", "ok", "cuts the turn, and finish_reason says so")
    if cut.reply is None or not cut.text.strip():
        return _unclear("max_tokens", cut)
    if len(cut.text) > 8 * FEW:
        text = f"ignored: {FEW} tokens were allowed"
        return finding("max_tokens", "warning", text, replies=(cut.text,))
    text = f"a cut turn would look finished: finish_reason is {cut.reply.finish!r}"
    return finding("max_tokens", "undecided", text, replies=(cut.text,))


async def find_prefix(wire: Wire) -> Finding:
    """Whether a turn that is begun is continued, as a dialect with a prefix needs it."""
    parameters = {"add_generation_prompt": False, "continue_final_message": True}
    limit = {"max_tokens": wire.usual["max_tokens"], "temperature": 0.0}
    answered = await wire.send(limit | parameters, WORDS, begun=BEGUN)
    text = answered.text.strip()
    if answered.refused:
        said = "a turn that is begun is refused"
    elif text.removeprefix(BEGUN).strip().startswith("echo"):
        said = "a turn that is begun is continued; policy.continues_prefix=true makes use of it"
    elif text:
        said = "a turn that is begun is not continued: policy.continues_prefix=false"
    else:
        return _unclear("prefix", answered)
    return finding("prefix", "ok", said)


async def _mended(wire: Wire, base: Table, name: str, value: JsonValue, error: str) -> Finding:
    """The first option with which a refused parameter is no longer in the way."""
    for mend in MENDS.get(name, ()):
        before = wire.options
        await wire.change(mend)
        if (await wire.send(base | {name: value})).error is None:
            lines = {f"policy.{key}": wire.options[key] for key in mend}
            text = f"{name} is refused; {_how(mend)}"
            return finding("parameters", "warning", text, lines=lines, replies=(error,))
        await wire.replace(before)
    return finding("parameters", "error", f"{name} is refused", replies=(error,))


async def _streamed(wire: Wire) -> Finding | None:
    """The finding that the server only streams; None if it does not answer then either."""
    before = wire.options
    await wire.change({"stream": True})
    if (await wire.send({})).error is None:
        lines: Table = {"policy.stream": True}
        return finding("parameters", "warning", "only streams are answered", lines=lines)
    await wire.replace(before)
    return None


def _how(mend: Table) -> str:
    (key,) = mend
    named = mend[key]
    if isinstance(named, dict):
        return "; ".join(f"it is sent as {new}" for new in named.values())
    return "it is left out"


def _unclear(part: str, answered: Answered) -> Finding:
    text = "the reply does not tell"
    return finding(part, "undecided", text, replies=(answered.error or answered.text,))
