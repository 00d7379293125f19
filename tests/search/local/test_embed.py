"""Sentence embeddings, with a tiny random BERT in place of a trained model."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saccade.errors import ConfigError, PluginError
from saccade.search.local.embed import (
    SentenceModel,
    SentenceModelOptions,
    embedded,
    embedder_of,
)

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "keeper", "of", "lamp", "lit", "oil"]
TEXTS = ["the lamp", "keeper of the lamp lit oil the oil of the lamp", "oil"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files as sentence-transformers writes them.

    Source: the files of all-MiniLM-L6-v2 (modules.json, sentence_bert_config.json, 1_Pooling).
    """
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("sentences")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=32,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    BertTokenizerFast(vocab=vocabulary).save_pretrained(folder)
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 8}')
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


def alone(folder: Path, text: str) -> Any:
    """The mean over the tokens of one text without any padding, of length 1."""
    import torch
    from transformers import AutoModel

    known = [WORDS.index(word) for word in text.split()][:6]
    with torch.no_grad():
        states = AutoModel.from_pretrained(folder)(torch.tensor([[2, *known, 3]])).last_hidden_state
    mean = states[0].mean(0).numpy()
    return mean / np.linalg.norm(mean)


def test_a_text_has_the_mean_of_its_tokens_whatever_stands_beside_it(folder: Path) -> None:
    vectors = SentenceModel(SentenceModelOptions(path=folder, batch=2))(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (3, 16)
    for text, vector in zip(TEXTS, vectors, strict=True):
        # float32, and the sum over a padded row is taken in another order
        np.testing.assert_allclose(vector, alone(folder, text), atol=1e-5)


def test_the_hash_of_a_model_depends_on_what_its_vectors_depend_on(
    folder: Path, tmp_path: Path
) -> None:
    model = SentenceModel(SentenceModelOptions(path=folder))
    same = SentenceModel(SentenceModelOptions(path=folder, batch=1))
    assert model.digest == same.digest
    for file in folder.rglob("*.json"):
        made = tmp_path / file.relative_to(folder)
        made.parent.mkdir(exist_ok=True)
        made.write_bytes(file.read_bytes())
    assert SentenceModel(SentenceModelOptions(path=tmp_path)).digest != model.digest


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", None, "cannot be read"),
        ("config.json", "{}", "max_position_embeddings"),
        ("1_Pooling/config.json", None, "cannot be read"),
        ("1_Pooling/config.json", '{"pooling_mode_cls_token": true}', "averages its tokens"),
        ("1_Pooling/config.json", "[]", "expected an object"),
        ("1_Pooling/config.json", "{", "expected JSON"),
    ],
)
def test_another_model_is_refused(
    tmp_path: Path, file: str, content: str | None, message: str
) -> None:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 32}')
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_text(content)
    with pytest.raises(ValueError, match=message):
        SentenceModel(SentenceModelOptions(path=tmp_path))


def test_a_model_without_weights_is_refused_at_the_first_call(tmp_path: Path, folder: Path) -> None:
    for file in folder.rglob("*.json"):
        made = tmp_path / file.relative_to(folder)
        made.parent.mkdir(exist_ok=True)
        made.write_bytes(file.read_bytes())
    model = SentenceModel(SentenceModelOptions(path=tmp_path))
    with pytest.raises(ConfigError, match="cannot be loaded"):
        model(["the lamp"])


class Letters:
    """How often each letter is in a text."""

    def __call__(self, texts: Sequence[str]) -> Any:
        return np.array([[text.count(letter) for letter in "abc"] for text in texts])


class Wrong:
    """What a user's embedder may return by mistake."""

    def __init__(self, made: Any) -> None:
        self.made = made

    def __call__(self, texts: Sequence[str]) -> Any:
        if isinstance(self.made, Exception):
            raise self.made
        return self.made


def test_an_embedder_of_a_user_is_named_and_its_vectors_get_length_one() -> None:
    embedder = embedder_of(f"{__name__}:Letters", "embedder")
    vectors = embedded(embedder, ["aab", "cc"], "embedder")
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, [[2 / 5**0.5, 1 / 5**0.5, 0], [0, 0, 1]], rtol=1e-6)


@pytest.mark.parametrize(
    "made",
    [
        np.ones((1, 3)), np.ones(2), np.zeros((2, 3)), np.full((2, 3), np.nan), np.ones((2, 0)),
        RuntimeError("no memory"),
    ],
    ids=["a row too few", "one axis", "zero", "no number", "no column", "fails"],
)  # fmt: skip
def test_an_embedder_that_returns_something_else_is_named(made: Any) -> None:
    with pytest.raises(PluginError, match="embedder"):
        embedded(Wrong(made), ["a", "b"], "embedder")
