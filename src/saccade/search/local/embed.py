"""Sentence embeddings of passages and queries.

`SentenceModel` runs a model of sentence-transformers from its folder, with transformers alone. What
embeds in another way is named "package.module:Name":

    class Name:
        def __call__(self, texts):           # a list of str
            return vectors                   # (len(texts), D) float32
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from pydantic import Field

from saccade.config import Part, build
from saccade.errors import ConfigError, FormatError, PluginError, require
from saccade.files import open_file, read_whole
from saccade.plugins import guarded
from saccade.types import Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EMBEDDERS = {"sentence_model": "saccade.search.local.embed:SentenceModel"}
"""Names for run files; your own goes there as "package.module:Class"."""
MAX_CONFIG_BYTES = 2**20
_NOT_MEAN = ("cls_token", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")


class TextEmbedder(Protocol):
    """What turns texts into vectors; those of texts that mean the same have a high cosine."""

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(N, D) float32 for N texts."""
        ...


class SentenceModelOptions(Record):
    """A model of sentence-transformers."""

    path: Path
    """The folder of the model, with `modules.json` and `model.safetensors`."""
    batch: int = Field(default=32, ge=1)
    """Number of texts that are embedded at a time."""


class SentenceModel:
    """An encoder whose last hidden states are averaged over the tokens of a text.

    Source: Reimers and Gurevych (2019), Sentence-BERT, section 3, pooling MEAN. It is loaded at the
    first call; what a text has beyond the longest input of the model is left out. Not for several
    threads at the same time.
    """

    Options = SentenceModelOptions

    def __init__(self, options: SentenceModelOptions) -> None:
        """Read what the model is.

        Raises:
            ConfigError: the folder holds no such model, or one that pools in another way.
        """
        self._options = options
        self._most = _longest_input(options.path)
        self._loaded: _Loaded | None = None

    @property
    def digest(self) -> str:
        """The hash of the files that vectors depend on."""
        names = ("config.json", "sentence_bert_config.json", "tokenizer.json", "model.safetensors")
        hashed = hashlib.sha256()
        for name in names:
            try:
                with open_file(self._options.path / name) as file:
                    content = hashlib.sha256()
                    while part := file.read(1 << 20):
                        content.update(part)
                    hashed.update(content.digest())
            except OSError:
                hashed.update(b"missing")
        return hashed.hexdigest()

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(N, D) float32 of length 1.

        Raises:
            ConfigError: the model cannot be loaded.
            MissingExtra: torch or transformers is not installed.
        """
        import numpy as np

        model = self._load()
        # Texts of a similar length go together: the shorter ones are filled up to the longest.
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        found = np.empty((len(texts), model.width), dtype=np.float32)
        for start in range(0, len(order), self._options.batch):
            places = order[start : start + self._options.batch]
            found[places] = model.embed([texts[place] for place in places], self._most)
        return found

    def _load(self) -> _Loaded:
        if self._loaded is None:
            require("torch", "transformers", extra="local")
            from transformers import AutoModel, AutoTokenizer

            path = str(self._options.path)
            only_here: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
            try:
                tokenizer = AutoTokenizer.from_pretrained(path, **only_here)
                model = AutoModel.from_pretrained(
                    path, use_safetensors=True, dtype="float32", **only_here
                )
            except (OSError, ValueError, KeyError) as error:
                raise ConfigError(f"{path}: the model cannot be loaded ({error})") from error
            self._loaded = _Loaded(tokenizer, model.eval(), int(model.config.hidden_size))
        return self._loaded


class _Loaded(NamedTuple):
    """A model in memory."""

    tokenizer: Any
    model: Any
    width: int
    """D of its vectors."""

    def embed(self, texts: list[str], most: int) -> NDArray[np.float32]:
        import torch

        inputs = self.tokenizer(
            texts, padding=True, truncation=True, max_length=most, return_tensors="pt"
        )
        with torch.inference_mode():
            states_NTD = self.model(**inputs).last_hidden_state
            mask_NT1 = inputs["attention_mask"].unsqueeze(-1)
            mean_ND = (states_NTD * mask_NT1).sum(1) / mask_NT1.sum(1)
            unit_ND = torch.nn.functional.normalize(mean_ND, dim=1)
        return cast("NDArray[np.float32]", unit_ND.numpy())


def embedder_of(part: Part | str, where: str) -> TextEmbedder:
    """What a part of a run file names.

    Raises:
        ConfigError: there is no such one, or an option is wrong.
    """
    return cast(TextEmbedder, build(part, EMBEDDERS, where))


def embedded(embedder: TextEmbedder, texts: Sequence[str], where: str) -> NDArray[np.float32]:
    """The vectors of some texts, of length 1, also by an embedder of a user.

    Args:
        embedder: What makes them.
        texts: At least one.
        where: The part that names the embedder, in messages.

    Returns:
        (N, D) float32.

    Raises:
        PluginError: it fails, or returns something else than a finite vector for each text.
    """
    import numpy as np

    with guarded(where):
        made = np.asarray(embedder(texts), dtype=np.float32)
    lengths = np.linalg.norm(made, axis=-1, keepdims=True)
    fits = made.ndim == 2 and len(made) == len(texts) and made.shape[1] > 0
    if not fits or not np.isfinite(lengths).all() or not lengths.all():
        raise PluginError(
            f"{where}: expected ({len(texts)}, D) finite numbers, in no row all zero, got "
            f"{made.shape}"
        )
    return cast("NDArray[np.float32]", made / lengths)


def _longest_input(folder: Path) -> int:
    """Tokens of a text that the model reads; also checks that the model is one that we can run."""
    config = _read(folder / "config.json")
    if "max_position_embeddings" not in config:
        raise ConfigError(f"{folder}/config.json: expected max_position_embeddings")
    most = int(config["max_position_embeddings"])
    if (folder / "sentence_bert_config.json").is_file():
        most = min(
            most, int(_read(folder / "sentence_bert_config.json").get("max_seq_length", most))
        )
    pooling = _read(folder / "1_Pooling" / "config.json")
    other = [name for name in _NOT_MEAN if pooling.get(f"pooling_mode_{name}")]
    if other or not pooling.get("pooling_mode_mean_tokens"):
        raise ConfigError(
            f"{folder}/1_Pooling/config.json: expected a model that averages its tokens "
            f"(pooling_mode_mean_tokens), got {', '.join(other) or 'none'}; name an embedder of "
            'your own, "package.module:Name"'
        )
    return most


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_whole(file, most=MAX_CONFIG_BYTES))
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be read ({error.strerror}); expected the folder of a model of "
            "sentence-transformers"
        ) from error
    except ValueError as error:
        raise FormatError(f"{file}: expected JSON ({error}); copy the model again") from error
    if not isinstance(found, dict):
        raise FormatError(f"{file}: expected an object; copy the model again")
    return found
