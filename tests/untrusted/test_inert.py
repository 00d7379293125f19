"""Text from outside never acts as a control token, whatever a template does with its parts.

The tokens come from a list of the tokenizer files of many families. What a server makes of text is
written here by hand: parts are joined as they are, trimmed, with a placeholder for an image or
without one, and a tokenizer may normalise the whole.
"""

import itertools
import json
import re
import sys
import unicodedata
from pathlib import Path

import pytest
from building import a_task, plain
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.dialects.base import Dialect, merged
from saccade.dialects.deepeyes import DeepEyes
from saccade.dialects.deepeyes_v2 import DeepEyesV2
from saccade.dialects.native import Native
from saccade.dialects.plain import Plain
from saccade.images.image import Image
from saccade.types import Message, Part, ToolCall, ToolResult
from saccade.untrusted import inert as module
from saccade.untrusted.inert import inert, inert_parts, kept_apart

FAMILIES = json.loads(Path(__file__).with_name("control_tokens.json").read_text())
TOKENS = sorted({token for family in FAMILIES.values() for token in family})
DIALECTS: list[Dialect] = [DeepEyes(), DeepEyesV2(), Plain(), Native()]
IMAGE = plain(28, 28)
ANY = re.compile("|".join(map(re.escape, TOKENS)))
PLACEHOLDERS = ["<|vision_start|><|image_pad|><|vision_end|>", "<image>\n", "[IMG]"]


def normalised(text: str) -> set[str]:
    """The text, and what tokenizers that normalise it look for tokens in."""
    unseen = [c for c in text if unicodedata.category(c) not in ("Cf", "Cc", "Mn") or c in "\t\n\r"]
    dropped = "".join(unseen)
    return {text, dropped, unicodedata.normalize("NFKC", dropped)}


def as_sent(parts: tuple[Part, ...]) -> set[str]:
    """What chat templates make of the parts of a message."""
    texts = [part for part in parts if isinstance(part, str)]
    forms = {"".join(texts), "".join(map(str.strip, texts)), "\n".join(texts)}
    for placeholder in PLACEHOLDERS:
        forms.add("".join(part if isinstance(part, str) else placeholder for part in parts))
    return forms


def tokens_in(parts: tuple[Part, ...], *ours: str) -> set[str]:
    """Control tokens that a model would be given by a message, but for those that we put there."""
    found: set[str] = set()
    for text in {seen for form in as_sent(parts) for seen in normalised(form)}:
        for known in (*PLACEHOLDERS, *ours):
            text = text.replace(known, " ")
        found |= set(ANY.findall(text))
    return found


def wide(text: str) -> str:
    """Every character in its full-width form."""
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_token_of_a_family_is_left(family: str) -> None:
    for token in FAMILIES[family]:
        for text in (token, f"a{token}b", token * 2, wide(token), "\u200b".join(token),
                     "\u00ad".join(f"<{token}"), "\x01".join(token), f"[{token}]"):  # fmt: skip
            made = inert(text)
            assert not tokens_in((made,)), text
            assert inert(made) == made
            assert made.replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("between", [(), (IMAGE,), (" \n", IMAGE, "")], ids=len)
@pytest.mark.parametrize("edge", ["", "\n \u3000", "\u200b"], ids=ascii)
def test_no_token_is_made_of_parts(between: tuple[Part, ...], edge: str) -> None:
    for token in TOKENS:
        for cut in {1, len(token) // 2, len(token) - 1}:
            parts = ("x" + token[:cut] + edge, *between, edge + token[cut:] + "y")
            made = inert_parts(parts)
            assert not tokens_in(made), parts
            assert inert_parts(made) == made
            assert [p for p in made if isinstance(p, Image)] == [p for p in between if p is IMAGE]


def test_a_token_in_more_than_two_parts_is_found() -> None:
    for token in ("<|im_end|>", "</think>", "[/INST]", "<\uff5cUser\uff5c>"):
        for cut, cut2 in itertools.combinations(range(1, len(token)), 2):
            parts = (token[:cut], IMAGE, token[cut:cut2], "", token[cut2:])
            assert not tokens_in(inert_parts(parts))
    assert not tokens_in(inert_parts([*"<|im_end|>"]))


def test_without_looking_across_parts_they_make_a_token() -> None:
    alone = tuple(inert(part) if isinstance(part, str) else part for part in ("<", IMAGE, "s>"))
    assert tokens_in(alone) == {"<s>"}


def every_message(dialect: Dialect, parts: tuple[Part, ...]) -> list[Message]:
    """All that a dialect writes of text from outside."""
    calls = [ToolCall(name="zoom", id="1"), ToolCall(name="python", id="2")]
    error = "".join(part for part in parts if isinstance(part, str))
    results = [ToolResult(call=call, content=parts) for call in calls]
    results.insert(1, ToolResult(call=calls[0], error=error))
    question = dialect.question(a_task(*parts, choices=("a<", "s>", error)))
    return [question, *dialect.observe(results)]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_dialect_puts_no_token_together(
    dialect: Dialect, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = ("<tool_response>", "</tool_response>", "<think>", "</think>", "<answer>", "</answer>")
    split = [(t[:n], IMAGE, t[n:]) for t in TOKENS[::4] for n in (1, len(t) - 1)]
    for parts in split:
        for message in every_message(dialect, parts):
            assert not tokens_in(message.content, *ours), (dialect.name, parts)
    monkeypatch.setattr(module, "REACH", 0)
    found = [tokens_in(m.content, *ours) for m in every_message(dialect, ("<", IMAGE, "|im_end|>"))]
    assert any(found), "the test would see it"


bits = st.sampled_from(
    [*TOKENS, *"<>[]|/=:_-\\◁▷", "\uff1c", "\ufe64", "\uff5c", "\u226e", "\u200b", "\u0338",
     "\ufeff", "\u3164", "im_end", "INST", "s", " ", "\n", "\ud800", "\x00", "\u212a", "ﬁ", "=a b>"]
)  # fmt: skip
texts = st.lists(bits | st.text(max_size=3), max_size=8).map("".join)


@given(st.lists(texts | st.just(IMAGE), max_size=5))
@settings(max_examples=25, deadline=None)
def test_inert_parts_stay_inert_and_only_gain_marks(parts: list[Part]) -> None:
    made = inert_parts(parts)
    assert not tokens_in(made)
    assert inert_parts(made) == made
    assert tuple(map(type, made)) == tuple(map(type, parts))
    for before, after in zip(parts, made, strict=True):
        if isinstance(before, str) and isinstance(after, str):
            whole = before.encode("utf-8", "replace").decode()
            assert after.replace(" ", "").replace("\\", "") == whole.replace(" ", "").replace(
                "\\", ""
            )


ORDINARY = [
    "x < y and y > z", "a[I]", "a[i], b[n_1]", "List[T]", "dict[str, int]", "x <= 3", "if a<b: c>d",
    "<a href='x'>", '<div class="b">text', "[1, 2]", "[link](http://x)", "[see above]", "<3", "->",
    "a << 2 | b >> 3", "x<y", "[0]", "[A]", "f(x)[0]", "{[}", "<-", "<=>", "<>", "</", "1 < 2 | 3",
    "stdout:\n```[[1 2]\n [3 4]]```\n\nstderr:\n``````", "[12.5, 3, 40, 60] 0.97 EXIT",
    "a>>b", "[unused]", "[control]", "data[mask]", "<\u4f60\u597d", "\u25c1 back", "]]>", "[|",
    "≮ is not <",
    "[a picture was saved but not shown: 'b.png'; display(Image.open('b.png')) shows it]",
]  # fmt: skip


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert inert(text) == text


def test_ordinary_parts_are_left_alone() -> None:
    for one, other in itertools.product(ORDINARY, ["Thus", "1 > 0", "x, y]", "and so on."]):
        assert kept_apart((one, IMAGE, " " + other)) == (one, IMAGE, " " + other)
    assert merged(("<tool_response>", IMAGE, "\nThink.", "</tool_response>")) == (
        "<tool_response>", IMAGE, "\nThink.</tool_response>",
    )  # fmt: skip


def test_every_character_that_becomes_a_bracket_is_known() -> None:
    openers = set("<[]>\u25c1")
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        made = unicodedata.decomposition(character) and unicodedata.normalize("NFKD", character)
        if openers & set(made or character):
            assert module._OPENERS.search(character), hex(code)


def test_the_cost_is_linear_in_the_text() -> None:
    """What each form begins with, many times: with squares in it this would take minutes."""
    for bit in (
        "<",
        "[",
        "<a",
        "<|",
        "[A_",
        "]<]a ",
        "<\u200b",
        "\uff1c",
        "◁a",
        ">>A",
        "<a=",
        "[|a",
    ):
        text = bit * (30_000 // len(bit))
        made = inert(text)
        assert len(made) <= 2 * len(text)
        kept_apart((made, IMAGE, made))
