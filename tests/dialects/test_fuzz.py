"""100,000 turns, most of them broken in ways that models break them; parse must not care.

The oracle below reads a turn by plain string search, without regular expressions and without the
parser's code. `python tests/dialects/test_fuzz.py SEED N` runs another seed or more strings.
"""

import json
import math
import random
import sys
import time

import pytest

from saccade.dialects.base import Dialect
from saccade.dialects.deepeyes import DeepEyes
from saccade.dialects.deepeyes_v2 import DeepEyesV2
from saccade.dialects.native import Native
from saccade.dialects.plain import Plain
from saccade.dialects.tags import MAX_TURN_CHARS
from saccade.types import Action, Completion, ProblemKind, WireCall

CALL = '{"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [1, 2, 3, 4], "label": "a"}}'
VALID = [
    f"<think>Look.</think><tool_call>{CALL}</tool_call>",
    f"<think>Look.</think>\n<tool_call>\n{CALL}\n</tool_call>\n<tool_call>\n{CALL}\n</tool_call>",
    "<think>It is 7.</think><answer>7</answer>",
    "<answer>B. the blue one</answer>",
    'Thought: look\nCall: image_zoom_in_tool {"bbox_2d": [1, 2, 3, 4]}',
    "Thought: seen\nAnswer: 7",
    "It is 7.",
    "<think>Compute.</think>\n<code>\n```python\nx = 1\nprint(x)\n```\n</code>",
    f"I could write <tool_call>{CALL}</tool_call> but no.\n</think>\n\nB",
    f"<think>Both.</think><code>\n```python\n1\n```\n</code><tool_call>{CALL}</tool_call>",
]
TAGS = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<answer>", "</answer>"]
BITS = [
    *TAGS, *TAGS, "<|im_end|>", "<|image_pad|>", "NaN", "1e999", "-Infinity", "\\ud800", "\ud800",
    "\0", "{", "}", "[", "]", '"', ",", ":", "\\", "Answer:", "Call:", "Thought:", "\nAnswer: x",
    "\n", " ", "x" * 300, "[" * 200, '{"a":' * 100, "9" * 5000, "\u202e", "🙂", "<", ">", "</",
    "<code>", "</code>", "```", "```python\n", "\n```",
    '"name": 3', '"arguments": "x"', "null", "true", "<answer></answer>", "<answer>" * 3,
]  # fmt: skip


def mutated(rng: random.Random) -> str:
    """A valid turn after one to four accidents."""
    text = rng.choice(VALID)
    for _ in range(rng.randint(1, 4)):
        a, b = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
        kind = rng.randrange(7)
        if kind == 0:
            text = text[:a]
        elif kind == 1:
            text = text[:a] + rng.choice(BITS) + text[a:]
        elif kind == 2:
            text = text[:a] + text[b:]
        elif kind == 3:
            text = text[:a] + text[a:b] * 2 + text[b:]
        elif kind == 4:
            one, other = rng.choice(TAGS), rng.choice(TAGS)
            text = text.replace(one, "\1").replace(other, one).replace("\1", other)
        elif kind == 5:
            text = text[:a] + rng.choice(VALID) + text[b:]
        else:
            text = text[b:] + text[:a]
    return text


def noise(rng: random.Random) -> str:
    return "".join(rng.choice(BITS) for _ in range(rng.randint(0, 12)))


def oracle_blocks(text: str) -> list[tuple[str, str, bool]]:
    """(tag, inside, closed), read by searching for the next opening tag."""
    blocks, at = [], 0
    while True:
        starts = [(text.find(f"<{tag}>", at), tag) for tag in ("think", "tool_call", "answer")]
        starts = [(place, tag) for place, tag in starts if place >= 0]
        if not starts:
            return blocks
        place, tag = min(starts)
        inside = place + len(tag) + 2
        end = text.find(f"</{tag}>", inside)
        if end >= 0:
            blocks.append((tag, text[inside:end], True))
            at = end + len(tag) + 3
            continue
        after = [text.find(t, inside) for t in TAGS]
        stop = min([p for p in after if p >= 0], default=len(text))
        blocks.append((tag, text[inside:stop], False))
        at = stop


def oracle_thought(text: str) -> tuple[str, str] | None:
    """Before and after the last `</think>` that no `<think>` precedes and that is no data."""
    begun = text.find("<think>")
    end = begun if begun >= 0 else len(text)
    while (end := text.rfind("</think>", 0, end)) >= 0:
        start, tag = max((text.rfind(f"<{tag}>", 0, end), tag) for tag in ("tool_call", "code"))
        inside, closed, _ = text[start + len(tag) + 2 :].partition(f"</{tag}>")
        within = start >= 0 and closed and start + len(tag) + 2 + len(inside) > end
        nested = any(f"<{other}>" in inside for other in ("think", "tool_call", "code"))
        data = "```" in inside if tag == "code" else oracle_call(inside) is not None
        if not (within and data and not nested):
            return text[:end], text[end + len("</think>") :]
        end = start
    return None


def oracle_call(text: str) -> dict | None:
    def finite(value: object) -> bool:
        if isinstance(value, float):
            return math.isfinite(value)
        if isinstance(value, dict):
            return all(map(finite, value.values()))
        return all(map(finite, value)) if isinstance(value, list) else True

    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if (
        not isinstance(value, dict)
        or not isinstance(value.get("name"), str)
        or not 0 < len(value["name"]) <= 200
    ):
        return None
    if not isinstance(value.get("arguments", {}), dict) or set(value) - {"name", "arguments"}:
        return None
    return value if finite(value) else None


def check_against_oracle(text: str, action: Action) -> None:
    text = text.encode("utf-8", "replace").decode()
    split = oracle_thought(text)
    blocks = oracle_blocks(text if split is None else split[1])
    calls = [inside for tag, inside, closed in blocks if tag == "tool_call" and closed]
    call = oracle_call(calls[-1]) if calls else None
    answers = [inside.strip() for tag, inside, closed in blocks if tag == "answer" and closed]
    answers = [answer for answer in answers if answer]
    last = next((b for b in reversed(blocks) if b[0] == "answer"), None)
    if not answers and call is None and last is not None and not last[2] and last[1].strip():
        answers = [last[1].strip()]
    if split is not None and not any(tag in split[1] for tag in TAGS):
        answers = list(filter(None, [split[1].strip()]))
    assert action.answer == (answers[-1] if answers else None)
    wins = action.answer is not None
    assert len(action.calls) == (0 if wins or call is None else 1)
    if action.calls:
        assert action.calls[0].name == call["name"].encode("utf-8", "replace").decode()
    both = [p for p in action.problems if p.kind is ProblemKind.ANSWER_AND_CALL]
    assert bool(both) == (wins and call is not None)
    thoughts = [] if split is None else [split[0]]
    thoughts += [inside for tag, inside, _ in blocks if tag == "think"]
    assert action.thought == ("\n".join(thoughts) if thoughts else None)


def check_code(text: str, action: Action) -> None:
    """A cell is a verbatim part of a `<code>` block; nothing else makes one."""
    cells = [call.arguments["code"] for call in action.calls if call.name == "python"]
    clean = text.encode("utf-8", "replace").decode()
    for cell in cells:
        assert "</code>" in clean
        assert f"```python\n{cell}\n```" in clean or (not cell and "```python\n```" in clean)
    if "<code>" not in text:
        assert action == DeepEyes().parse(text) or "</code>" in text


def check_invariants(dialect: Dialect, text: str, action: Action) -> None:
    assert not (action.calls and action.answer is not None)
    clean = text.encode("utf-8", "replace").decode()
    if action.answer is not None:
        assert action.answer
        assert action.answer == action.answer.strip()
        if dialect.name != "native":
            assert action.answer in clean
    for call in action.calls:
        assert call.name
        json.dumps(call.arguments, allow_nan=False).encode()
    if "<|image_pad|>" in text:
        assert any(p.kind is ProblemKind.FORGED_TOKENS for p in action.problems)


def check_thought(dialect: Dialect, text: str, action: Action) -> None:
    """What comes before the end of a thought that nothing opens is thought, in every dialect."""
    split = oracle_thought(text.encode("utf-8", "replace").decode())
    if split is not None and dialect.name != "plain":
        assert (action.thought or "").startswith(split[0])
    elif split is not None:
        inside = split[0].strip()
        assert (action.thought or "").startswith(inside.removesuffix("\nResult:").strip())


def check_apart(dialect: Dialect, text: str, rng: random.Random) -> None:
    """A thought and calls in fields of their own: nothing raises, and no call is made of a thought.

    What a reasoning parser took for a thought as a whole is read as text: that ends with an action.
    """
    wires = [WireCall(id="", name=rng.choice(("z", "")), arguments=noise(rng)) for _ in range(2)]
    for calls in ((), tuple(wires)):
        completion = Completion(text=noise(rng), thought=text, tool_calls=calls)
        action = dialect.read(completion, dialect.prefix)
        assert not (action.calls and action.answer is not None)
        assert {call.id for call in action.calls} <= {None, *(c.id for c in completion.tool_calls)}
        json.dumps([call.arguments for call in action.calls], allow_nan=False).encode()
    quiet = dialect.read(Completion(text="B", thought=text), dialect.prefix)
    assert not text or (quiet.calls, quiet.answer) == ((), "B")


def fuzz(seed: int, n: int) -> float:
    """Check n strings, half of them mutated turns at least; returns seconds."""
    rng = random.Random(seed)
    dialects: list[Dialect] = [DeepEyes(), DeepEyesV2(), Plain(), Native()]
    started = time.monotonic()
    for index in range(n):
        text = mutated(rng) if rng.randrange(4) else noise(rng)
        dialect = dialects[index % 4]
        action = dialect.parse(text)
        check_invariants(dialect, text, action)
        if index % 16 < 4:
            check_thought(dialect, text, action)
        if index % 100 < 4:
            check_apart(dialect, text, rng)
        if dialect.name == "deepeyes":
            check_against_oracle(text, action)
        if dialect.name == "deepeyes_v2":
            check_code(text, action)
        if index % 50 == 0:
            assert Action.model_validate_json(action.model_dump_json()) == action
    return time.monotonic() - started


def test_a_hundred_thousand_broken_turns() -> None:
    fuzz(seed=0, n=100_000)


def test_the_oracle_notices_a_parser_that_prefers_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    from saccade.dialects import tags

    def calls_win(thought: str | None, calls: tuple, answer: str | None, problems: list) -> Action:
        return Action(thought=thought, calls=calls, answer=None if calls else answer)

    monkeypatch.setattr(tags, "action", calls_win)
    with pytest.raises(AssertionError):
        fuzz(seed=0, n=5_000)


@pytest.mark.parametrize(
    "bit", ["<think>", "</think>", "<tool_call>", "<answer>x</answer>", "<answer>", "[", "Answer: ",
            "\nCall: ", '{"a":', " ", f"<tool_call>{CALL}</tool_call>", "\ud800"],
)  # fmt: skip
def test_ten_megabytes_are_read_in_linear_time(bit: str) -> None:
    text = bit * (10_000_000 // len(bit))
    for dialect in (DeepEyes(), DeepEyesV2(), Plain(), Native()):
        started = time.process_time()
        action = dialect.parse(text)
        assert time.process_time() - started < 5
        assert any(p.kind is ProblemKind.TOO_LONG for p in action.problems)
        assert len(action.thought or "") <= 2 * MAX_TURN_CHARS


def test_a_deeply_nested_call_is_no_call() -> None:
    for depth in (80, 5_000, 400_000):
        nested = "[" * depth + "]" * depth
        text = f'<tool_call>{{"name": "x", "arguments": {{"a": {nested}}}}}</tool_call>'
        action = DeepEyes().parse(text)
        assert action.calls == ()
        assert [p.kind for p in action.problems] == [ProblemKind.BAD_CALL]


if __name__ == "__main__":
    seconds = fuzz(int(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.write(f"{sys.argv[2]} strings, seed {sys.argv[1]}: {seconds:.1f} s\n")
