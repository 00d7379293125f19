"""The reply of a chat server as a turn of the model: with what the server cut off or added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from saccade.client.reply import Reply
from saccade.client.servers import rules_of
from saccade.dialects.tags import first_thought
from saccade.policies.openai.marks import unmarked
from saccade.types import Completion, Sampling, Trajectory, distinct_ids


class _Written(NamedTuple):
    text: str
    thought: str | None


def completion_of(reply: Reply, trajectory: Trajectory, sampling: Sampling) -> Completion:
    """What the model wrote, by what the server says of it.

    Args:
        reply: The reply to the last request.
        trajectory: What the request was made of; ids of its calls are not used again.
        sampling: How the turn was sampled.
    """
    written = _without_echo(reply, trajectory.prefix)
    if not reply.token_ids:
        text, thought = unmarked(written.text)
        written = _Written(text, written.thought or thought)
    cut = written.text if reply.token_ids else _cut(written.text, sampling.stop)
    finish: Literal["stop", "length"] = "length" if reply.finish == "length" else "stop"
    if cut != written.text:
        written, finish = written._replace(text=cut), "stop"
    elif finish == "stop" and not reply.tool_calls:
        written = _with_stop(reply, written, sampling.stop)
    earlier = [call.id for turn in trajectory.turns for call in turn.completion.tool_calls]
    # vLLM's log-probabilities are those before the temperature: ours are at it.
    # Source: vLLM docs, engine argument --logprobs-mode, default raw_logprobs.
    known = sampling.temperature in (0, 1)
    return Completion(
        text=written.text,
        thought=written.thought,
        finish=finish,
        tool_calls=distinct_ids(reply.tool_calls, earlier),
        token_ids=reply.token_ids,
        log_probs=reply.log_probs if known else None,
        model=reply.model,
        prompt_tokens=reply.usage.prompt_tokens,
        completion_tokens=reply.usage.completion_tokens,
    )


def _without_echo(reply: Reply, prefix: str) -> _Written:
    """The turn without the beginning that it was given, which llama.cpp repeats."""
    thought = None if reply.thought is None else reply.thought.removeprefix(prefix)
    return _Written(reply.text.removeprefix(prefix), thought)


def _cut(text: str, stops: Sequence[str]) -> str:
    """The text up to the first stop string behind its thought.

    Where a server takes no stop strings, a model goes on to write the result of its own call, and
    an answer that it makes of it.
    """
    thought = first_thought(text)
    start = 0 if thought is None else len(text) - len(thought[1])
    ends = [text.index(stop, start) + len(stop) for stop in stops if stop in text[start:]]
    return text[: min(ends)] if ends else text


def _with_stop(reply: Reply, written: _Written, stops: Sequence[str]) -> _Written:
    """The turn with the stop string that ended it, which most servers cut off.

    It ended what was written last: the thought, if there is no text after it.
    """
    if written.text.strip() or not written.thought:
        return written._replace(text=written.text + _stop_of(reply, written.text, stops))
    return written._replace(thought=written.thought + _stop_of(reply, written.thought, stops))


def _stop_of(reply: Reply, text: str, stops: Sequence[str]) -> str:
    """The stop string that is missing at the end of a text.

    vLLM and SGLang say which it was, if it was one. Others do not: then it is the one that would
    close the last open tag, because nothing else than it or the end of the turn can have come
    there. A model that ends its turn with an open tag is thereby read as if it had closed it.
    """
    stop = reply.stop_reason
    if stop in stops:
        return "" if stop is None or text.endswith(stop) else stop
    if rules_of(reply.server, reply.model).names_stop:
        return ""
    open_at = {
        stop: text.rfind(f"<{stop[2:]}")
        for stop in stops
        if stop.startswith("</") and text.rfind(f"<{stop[2:]}") > text.rfind(stop)
    }
    return max(open_at, key=open_at.__getitem__) if open_at else ""
