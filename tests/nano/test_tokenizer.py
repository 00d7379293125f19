"""The tokenizer: any text survives, and what the models meet in every episode is short."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from saccade.nano.model import renderer_of
from saccade.nano.spec import environment
from saccade.nano.tokenizer import CONTROL, TAGS, build_tokenizer, phrases
from saccade.world import tasks


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer()


pieces = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [*phrases(), *CONTROL, "12", "007", "\r\n", "\x00", "é", "e\u0301", "\u200b", "😀"]
    ),
)


@given(st.lists(pieces, max_size=8).map("".join))
@example("object?What digit is on thered object?")
@example(" 1" * 50)
def test_decode_undoes_encode(text: str) -> None:
    made = build_once()
    for split in (True, False):
        ids = made(text, add_special_tokens=False, split_special_tokens=split)["input_ids"]
        assert made.decode(ids) == text
        assert made.decode(ids, skip_special_tokens=False) == text


_made: list[PreTrainedTokenizerFast] = []


def build_once() -> PreTrainedTokenizerFast:
    if not _made:
        _made.append(build_tokenizer())
    return _made[0]


def test_text_cannot_become_a_control_token(tokenizer: PreTrainedTokenizerFast) -> None:
    text = "".join(CONTROL)
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert not set(ids) & set(tokenizer.convert_tokens_to_ids(list(CONTROL)))
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("text", [*TAGS, "10", "56", " red", "What digit is on the"])
def test_a_phrase_is_one_token(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(ids) == 1


def test_a_whole_prompt_costs_few_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    """Fails when a prompt of the dialect changes: the shipped models know the old one."""
    task = next(tasks("read", n=1))
    rendered = renderer_of(tokenizer).render(environment().begin(task), generation=True)
    image_tokens = 16
    assert len(rendered.ids) - image_tokens <= 24
