"""Reading a turn that is marked up with tags: shared by `deepeyes`, `deepeyes_v2` and `native`.

Everything is linear in the length of the text, and nothing raises.
"""

from __future__ import annotations

import json
import math
import re
from collections import deque
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, NoReturn

from pydantic import JsonValue

from saccade.types import Action, Problem, ProblemKind, ToolCall

MAX_TURN_CHARS = 1_000_000
"""More of a turn is not read; a turn limit of 100,000 tokens stays well below."""

MAX_ANSWER_CHARS = 1000
"""Answers from this length on are a format problem and never correct.

Source: DeepEyes, `verl/utils/reward_score/vl_agent.py`: against answers that talk to the judge.
"""

TAGS = ("think", "tool_call", "answer")
_FORGED = re.compile("<[|\uff5c][\\w\u2581]+[|\uff5c]>")
_MAX_DEPTH = 64


class Block(NamedTuple):
    """The inside of a pair of tags; `closed` is false if the text ended first."""

    tag: str
    text: str
    closed: bool


class Scan(NamedTuple):
    """A turn taken apart."""

    blocks: tuple[Block, ...]
    outside: str
    """What stands in no block."""
    problems: tuple[Problem, ...]
    text: str = ""
    """What was taken apart: the turn without a thought that it does not open."""
    bare: bool = False
    """Whether it follows a thought that it does not open, and holds no tag: see `split_thought`."""


_UNBALANCED = {
    "think": ProblemKind.UNBALANCED_THINK,
    "answer": ProblemKind.UNBALANCED_ANSWER,
    "tool_call": ProblemKind.UNBALANCED_CALL,
    "code": ProblemKind.UNBALANCED_CALL,
}


def scan(
    text: str,
    names: tuple[str, ...] = TAGS,
    *,
    thought: str | None = None,
    template_opens: bool = False,
) -> Scan:
    """Take a turn apart into blocks.

    A block ends at its own closing tag. Tags inside a closed block are its text: what a model
    quotes while it thinks is no action. An unclosed thought ends where an answer or a call
    begins. What comes before a thought's end that nothing opens is thought.

    Args:
        text: What the model wrote.
        names: The tags that blocks have.
        thought: The thought that a server sent apart from the text.
        template_opens: Whether a chat template may have opened the thought, so that a turn that
            only closes it has no problem.
    """
    text, problems = readable(text)
    split = split_thought(text)
    before, rest = ("", text) if split is None else split
    blocks, outside, unbalanced = _blocks(rest, names)
    if split is not None and not template_opens:
        unbalanced.add("think")
    thoughts = [clean(thought[:MAX_TURN_CHARS])] if thought else []
    thoughts += [] if split is None else [before]
    kinds = dict.fromkeys(_UNBALANCED[name] for name in _UNBALANCED if name in unbalanced)
    problems += [Problem(kind=kind) for kind in kinds]
    return Scan(
        (*(Block("think", inside, closed=True) for inside in thoughts), *blocks),
        outside,
        tuple(problems),
        text=rest,
        bare=bool(thoughts) and _tag(names).search(rest) is None,
    )


def readable(text: str) -> tuple[str, list[Problem]]:
    """The part of a turn that is read, without what no file can hold, and what is wrong with it."""
    problems: list[Problem] = []
    if len(text) > MAX_TURN_CHARS:
        detail = f"{len(text)} characters, read {MAX_TURN_CHARS}"
        problems.append(Problem(kind=ProblemKind.TOO_LONG, detail=detail))
    text = clean(text[:MAX_TURN_CHARS])
    return text, [*problems, *forged_tokens(text)]


def split_thought(text: str) -> tuple[str, str] | None:
    """A turn that closes a thought without opening one: what comes before and after its end.

    The templates of many thinking models end the prompt with `<think>`, so that a turn begins
    inside of its thought and all that is seen is the end: the last `</think>` before any `<think>`.
    One in the arguments of a call, or in a cell, is data.

    Source: the chat template of Qwen3-VL-Thinking; `vllm/reasoning/qwen3_reasoning_parser.py`.

    Returns:
        None if the turn opens its thought itself, or has none.
    """
    end: re.Match[str] | None = None
    within: re.Match[str] | None = None  # the opening of a call or a cell
    held: re.Match[str] | None = None  # the last `</think>` since then
    for tag in _tag(("think", "tool_call", "code")).finditer(text):
        slash, name = tag.groups()
        if name == "think":
            if not slash:
                break
            end, held = (tag, None) if within is None else (end, tag)
        elif not slash:
            end, within, held = held or end, tag, None
        elif within is not None and within[2] == name:
            is_data = held is None or _is_data(name, text[within.end() : tag.start()])
            end, within, held = end if is_data else held, None, None
    end = held or end
    return None if end is None else (text[: end.start()], text[end.end() :])


def first_thought(text: str) -> tuple[str, str] | None:
    """The thought with which a turn begins, opened by it or not, and the rest of the turn."""
    opening, closing = "<think>", "</think>"
    begun = text.lstrip()
    if begun.startswith(opening) and closing in begun:
        inside, _, rest = begun.removeprefix(opening).partition(closing)
        return inside, rest
    return split_thought(text)


def _is_data(name: str, inside: str) -> bool:
    """Whether what stands in a block is what belongs there: a call that can be read, or a cell."""
    return "```" in inside if name == "code" else isinstance(read_call(inside), ToolCall)


def _blocks(text: str, names: tuple[str, ...]) -> tuple[list[Block], str, set[str]]:
    """The blocks of a turn, what stands in none, and the names of tags that are not balanced."""
    tags = list(_tag(names).finditer(text))
    closings = {
        name: deque(i for i, tag in enumerate(tags) if tag.groups() == ("/", name))
        for name in names
    }
    blocks: list[Block] = []
    outside: list[str] = []
    unbalanced: set[str] = set()
    index, at = 0, 0
    while index < len(tags):
        opening = tags[index]
        slash, name = opening.groups()
        outside.append(text[at : opening.start()])
        at = opening.end()
        if slash:
            unbalanced.add(name)
            index += 1
            continue
        ends = closings[name]
        while ends and ends[0] <= index:
            ends.popleft()
        if ends:
            end = ends[0]
            blocks.append(Block(name, text[at : tags[end].start()], closed=True))
            if any(t.groups() == ("", name) for t in tags[index + 1 : end]):
                unbalanced.add(name)
            at, index = tags[end].end(), end + 1
            continue
        unbalanced.add(name)
        index += 1
        end_of_text = tags[index].start() if index < len(tags) else len(text)
        blocks.append(Block(name, text[at:end_of_text], closed=False))
        at = end_of_text
    outside.append(text[at:])
    return blocks, "".join(outside), unbalanced


@cache
def _tag(names: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"<(/?)({'|'.join(names)})>")


def thought_of(found: Scan) -> str | None:
    """All thoughts of a turn, in order."""
    thoughts = [block.text for block in found.blocks if block.tag == "think"]
    return "\n".join(thoughts) if thoughts else None


class Calls(NamedTuple):
    """Calls that can be read, and what is wrong with the others."""

    calls: tuple[ToolCall, ...]
    problems: tuple[Problem, ...]


def calls_of(found: Scan, *, at_most: int) -> Calls:
    """The calls of a turn; of more than `at_most` the last ones count.

    An unclosed call is no call (it is a problem of the tags already).
    """
    texts = [block.text for block in found.blocks if block.tag == "tool_call" and block.closed]
    problems: list[Problem] = []
    if len(texts) > at_most:
        detail = f"{len(texts)} calls, {at_most} counted"
        problems.append(Problem(kind=ProblemKind.SEVERAL_CALLS, detail=detail))
        texts = texts[-at_most:]
    calls: list[ToolCall] = []
    for text in texts:
        read = read_call(text)
        if isinstance(read, Problem):
            problems.append(read)
        else:
            calls.append(read)
    return Calls(tuple(calls), tuple(problems))


def read_call(text: str) -> ToolCall | Problem:
    """A call from its JSON: an object with `name` and `arguments`, all numbers finite."""
    try:
        value = json.loads(text, parse_constant=refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        return _bad_call(f"not valid JSON ({error})")
    if not isinstance(value, dict):
        return _bad_call("expected a JSON object with name and arguments")
    name, arguments = value.get("name"), value.get("arguments", {})
    if not isinstance(name, str) or not 0 < len(name) <= 200:
        return _bad_call("name must be a string of 1 to 200 characters")
    if not isinstance(arguments, dict):
        return _bad_call("arguments must be a JSON object")
    if set(value) - {"name", "arguments"}:
        return _bad_call("only name and arguments are expected")
    if _depth(arguments) > _MAX_DEPTH:
        return _bad_call("nested too deeply")
    return ToolCall(name=clean(name), arguments=_cleaned(arguments))


def write_call(call: ToolCall) -> str:
    """The JSON of a call, keys in the published order."""
    return json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False)


def answer_of(found: Scan, calls: Sequence[ToolCall]) -> tuple[str | None, tuple[Problem, ...]]:
    """The last answer that is not empty.

    An answer that the text ends in counts (as in the published reward, with a format problem),
    unless the turn also holds a call. So does all of what follows a thought that the turn does not
    open, if there is no tag in it: models that think so answer in plain text.
    """
    if found.bare:
        return last_answer([found.text] if found.text.strip() else [])
    blocks = [block for block in found.blocks if block.tag == "answer"]
    answer, problems = last_answer([block.text for block in blocks if block.closed])
    if answer is not None or calls or not blocks or blocks[-1].closed:
        return answer, problems
    answer, more = last_answer([blocks[-1].text])
    return answer, (*problems, *more)


def last_answer(texts: Sequence[str]) -> tuple[str | None, tuple[Problem, ...]]:
    """The last text that is not blank, and what is wrong with the answers of a turn."""
    answers = [text.strip() for text in texts if text.strip()]
    problems: list[Problem] = []
    if len(texts) > 1:
        problems.append(Problem(kind=ProblemKind.SEVERAL_ANSWERS, detail=str(len(texts))))
    if texts and not answers:
        problems.append(Problem(kind=ProblemKind.EMPTY_ANSWER))
    if answers and len(answers[-1]) >= MAX_ANSWER_CHARS:
        problems.append(Problem(kind=ProblemKind.LONG_ANSWER, detail=str(len(answers[-1]))))
    return (answers[-1] if answers else None), tuple(problems)


def forged_tokens(text: str) -> tuple[Problem, ...]:
    """A problem if a turn holds the text of a control token, such as `<|image_pad|>`."""
    return (Problem(kind=ProblemKind.FORGED_TOKENS),) if _FORGED.search(text) else ()


def call_text(name: str, arguments: str) -> str:
    """The JSON of a call whose arguments are JSON already, well-formed or not."""
    return f'{{"name": {json.dumps(name)}, "arguments": {arguments.strip() or "{}"}}}'


def text_after_call(text: str, closing: str = "</tool_call>") -> tuple[Problem, ...]:
    """A problem if anything but space follows the last call."""
    _, closed, rest = text[:MAX_TURN_CHARS].rpartition(closing)
    if closed and rest.strip():
        return (Problem(kind=ProblemKind.TEXT_AFTER_CALL),)
    return ()


def action(
    thought: str | None,
    calls: tuple[ToolCall, ...],
    answer: str | None,
    problems: Sequence[Problem],
) -> Action:
    """An action in which an answer wins over calls."""
    found = list(problems)
    if answer is not None and calls:
        found.append(Problem(kind=ProblemKind.ANSWER_AND_CALL))
        calls = ()
    return Action(thought=thought, calls=calls, answer=answer, problems=tuple(found))


def _bad_call(detail: str) -> Problem:
    return Problem(kind=ProblemKind.BAD_CALL, detail=clean(detail)[:300])


def refuse_constant(constant: str) -> NoReturn:
    """Raise at NaN and infinities, which JSON does not know and Python reads."""
    raise ValueError(f"{constant} is no number that JSON knows")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large a number")
    return value


def clean(text: str) -> str:
    """Without lone surrogates, which no file can hold."""
    return text.encode("utf-8", "replace").decode()


def _cleaned(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {clean(k): _clean_value(v) for k, v in value.items()}


def _clean_value(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_clean_value(v) for v in value]
    return _cleaned(value) if isinstance(value, dict) else value


def _depth(value: JsonValue) -> int:
    """Levels of nesting, found without recursion."""
    depth, level = 0, [value]
    while level and depth <= _MAX_DEPTH:
        level = [
            inner
            for v in level
            if isinstance(v, dict | list)
            for inner in (v.values() if isinstance(v, dict) else v)
        ]
        depth += 1
    return depth
