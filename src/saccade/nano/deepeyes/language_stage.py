"""The language stage: the language model learns to say what the vision tower sees.

The tower is frozen, so its features are computed once for a whole pool and a step costs a third.

What decides whether this stage works is the binding of the asked colour to a place: the skill that
comes last, and all at once. So colour words are supervised: from the hidden state of each one after
the first and second layer, a linear head that is thrown away must predict where the object of this
colour is. With this the binding takes off in half the steps (docs/nano.md has the ablation).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F
from transformers import Qwen2_5_VLForConditionalGeneration

from saccade.nano.deepeyes.corpus import COLOUR_NAMES, Example
from saccade.nano.deepeyes.vision_stage import VisionStage
from saccade.nano.stage import Skills
from saccade.nano.tower import Tower, encode
from saccade.render.qwen_vl import QwenVLRenderer, Rendered, positions
from saccade.world.scene import VIEW as VIEW_SIDE

BATCH = 32
"""Number of examples in a batch."""

WORD_LAYERS = (1, 2)
"""Layers after which the hidden state of a colour word must predict the place of its object."""

CHUNK = 500
"""Number of images that the frozen tower encodes at a time."""

COLOUR_WORDS = tuple(f" {name}" for name in COLOUR_NAMES)


class PlacedObjects(Protocol):
    """The truth that colour words are supervised with."""

    @property
    def scene(self) -> NDArray[np.int32]: ...
    @property
    def colour(self) -> NDArray[np.int64]: ...
    @property
    def box(self) -> NDArray[np.float32]: ...


class ObjectPool(Protocol):
    """The images that a corpus shows, and where its objects are."""

    @property
    def views(self) -> NDArray[np.uint8]: ...
    @property
    def crops(self) -> NDArray[np.uint8]: ...
    @property
    def objects(self) -> PlacedObjects: ...


class ExampleSource(Protocol):
    """Where examples are drawn."""

    @property
    def pool(self) -> ObjectPool: ...
    def draw(self, rng: np.random.Generator) -> Example: ...


class Batch(NamedTuple):
    """Rendered examples padded to one length."""

    input_ids: torch.Tensor
    """(B, T) int64."""
    attention_mask: torch.Tensor
    """(B, T) int64, 0 on padding."""
    position_ids: torch.Tensor
    """(3, B, T) int64: M-RoPE."""
    learned: torch.Tensor
    """(B, T) bool: the ids that a model writes itself."""
    image_slots: torch.Tensor
    """(S,) indices into B * T of the image tokens, in order."""


class LanguageStage:
    """Trains a model on a corpus; the vision tower as well if it is not frozen."""

    def __init__(
        self,
        model: Qwen2_5_VLForConditionalGeneration,
        renderer: QwenVLRenderer,
        corpus: ExampleSource,
        *,
        measure: Callable[[], Skills],
        word_supervision: bool = True,
        colour_words: Sequence[str] = COLOUR_WORDS,
        frozen: bool = True,
        vision_stage: VisionStage | None = None,
    ) -> None:
        """Put the stage together.

        Args:
            model: The model that is trained.
            renderer: The renderer of that model.
            corpus: Where the examples are drawn.
            measure: Measures the skills of the model on the development split.
            word_supervision: Whether colour words are supervised.
            colour_words: The token that each colour is, in the order of `COLOURS`.
            frozen: Whether the vision tower stays as it is.
            vision_stage: Its losses on the shown images are added to each step; only for a tower
                that is not frozen.
        """
        self._model, self._renderer, self._corpus = model, renderer, corpus
        self._measure, self._vision_stage = measure, vision_stage
        width = model.config.text_config.hidden_size
        self._heads = nn.ModuleList(
            nn.Linear(width, 4 * (VIEW_SIDE + 1)) for _ in (WORD_LAYERS if word_supervision else ())
        )
        pool = corpus.pool
        self._words = _ColourWords(pool, renderer, colour_words)
        self._features: _Features | None = None
        if frozen:
            visual = model.model.visual
            self._features = _Features(
                _encode_all(visual, pool.views), _encode_all(visual, pool.crops)
            )

    @property
    def modules(self) -> nn.ModuleDict:
        model = self._model.model
        trained = nn.ModuleDict({"language": model.language_model, "word_heads": self._heads})
        if self._features is None:
            trained["visual"] = model.visual
            if self._vision_stage is not None:
                trained["vision_heads"] = self._vision_stage.modules["vision_heads"]
        return trained

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """Loss of fresh examples, in two halves by length: a long one does not pad all others."""
        examples = [self._corpus.draw(rng) for _ in range(BATCH)]
        rendered = [self._renderer.render(x.trajectory, generation=False) for x in examples]
        order = sorted(range(BATCH), key=lambda i: len(rendered[i].ids))
        written = sum(sum(item.sampled) for item in rendered)
        total = torch.zeros(())
        for half in (order[: BATCH // 2], order[BATCH // 2 :]):
            chosen = [examples[i] for i in half]
            batch = pack(self._renderer, [rendered[i] for i in half])
            features, vision_loss = self._encode(chosen)
            share = float(batch.learned.sum()) / written
            text_loss, word_loss = self._losses(batch, features, chosen)
            loss = share * text_loss + (word_loss + vision_loss) / 2
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def measure(self) -> Skills:
        """Measure the skills, the model in evaluation mode."""
        self._model.eval()
        return self._measure()

    def _encode(self, examples: Sequence[Example]) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of all image tokens in order, (S, width), and the loss of the vision stage."""
        scenes = np.array([x.scene for x in examples if x.scene is not None], np.int64)
        crops = np.array([x.crop for x in examples if x.crop is not None], np.int64)
        vision_loss = torch.zeros(())
        if self._features is not None:
            views, parts = self._features.views[scenes], self._features.crops[crops]
        else:
            pool, visual = self._corpus.pool, self._model.model.visual
            views = encode(visual, torch.from_numpy(pool.views[scenes]))
            parts = encode(visual, torch.from_numpy(pool.crops[crops]))
            if self._vision_stage is not None and len(scenes):
                vision_loss = vision_loss + self._vision_stage.view_loss(scenes, views)
            if self._vision_stage is not None and len(crops):
                vision_loss = vision_loss + self._vision_stage.crop_loss(crops, parts)
        each_view, each_crop = iter(views), iter(parts)
        rows = []
        for example in examples:
            rows += [] if example.scene is None else [next(each_view)]
            rows += [] if example.crop is None else [next(each_crop)]
        return torch.cat(rows), vision_loss

    def _losses(
        self, batch: Batch, features: torch.Tensor, examples: Sequence[Example]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss of the text and loss of the colour words; means over tokens."""
        embedded = self._model.get_input_embeddings()(batch.input_ids)
        b, t, width = embedded.shape
        flat = embedded.view(b * t, width).index_copy(0, batch.image_slots, features)
        output = self._model.model.language_model(
            inputs_embeds=flat.view(b, t, width),
            position_ids=batch.position_ids,
            attention_mask=batch.attention_mask,
            use_cache=False,
            output_hidden_states=True,
        )
        row, at = torch.nonzero(batch.learned, as_tuple=True)
        logits = self._model.lm_head(output.last_hidden_state[row, at - 1])
        text_loss = F.cross_entropy(logits, batch.input_ids[row, at])
        row, at, sides = self._words.find(batch.input_ids, [x.scene for x in examples])
        if not len(row) or not len(self._heads):
            return text_loss, torch.zeros(())
        predicted = [
            head(output.hidden_states[layer][row, at]).view(-1, VIEW_SIDE + 1)
            for layer, head in zip(WORD_LAYERS, self._heads, strict=True)
        ]
        word_losses = [F.cross_entropy(logits, sides.flatten()) for logits in predicted]
        return text_loss, torch.stack(word_losses).mean()


def pack(renderer: QwenVLRenderer, rendered: Sequence[Rendered]) -> Batch:
    """Pad rendered examples on the right and stack them."""
    shape = len(rendered), max(len(item.ids) for item in rendered)
    input_ids = np.full(shape, renderer.pad, np.int64)
    attention_mask, learned = np.zeros(shape, np.int64), np.zeros(shape, np.bool_)
    position_ids = np.zeros((3, *shape), np.int64)
    for row, item in enumerate(rendered):
        length = len(item.ids)
        input_ids[row, :length], attention_mask[row, :length] = item.ids, 1
        learned[row, :length] = item.sampled
        grids = renderer.grids(item.images)
        position_ids[:, row, :length] = positions(
            item.ids, grids, renderer.image_token, renderer.rule.merge
        )
    image_slots = np.flatnonzero(input_ids == renderer.image_token)
    arrays = (input_ids, attention_mask, position_ids, learned, image_slots)
    return Batch(*map(torch.from_numpy, arrays))


class _Features(NamedTuple):
    """Features that a frozen tower gives for a whole pool."""

    views: torch.Tensor
    """(N, 16, width)."""
    crops: torch.Tensor
    """(M, 4, width)."""


class _ColourWords:
    """Finds colour words, and the objects that they name."""

    def __init__(
        self, pool: ObjectPool, renderer: QwenVLRenderer, colour_words: Sequence[str]
    ) -> None:
        words = [renderer.encode(word)[0] for word in colour_words]
        self._colour_of = {word: colour for colour, word in enumerate(words)}
        self._words = torch.tensor(words)
        objects = pool.objects
        self._index: dict[tuple[int | None, int], int] = {
            (int(scene), int(colour)): index
            for index, (scene, colour) in enumerate(zip(objects.scene, objects.colour, strict=True))
        }
        self._sides = torch.from_numpy(objects.box).round().long()

    def find(
        self, input_ids: torch.Tensor, scenes: Sequence[int | None]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Row and position of each colour word, (W,) each, and the (W, 4) box that it names.

        Words that name no object of their scene are left out: a document speaks of others.
        """
        row, at = torch.nonzero(torch.isin(input_ids, self._words), as_tuple=True)
        names = zip(row.tolist(), input_ids[row, at].tolist(), strict=True)
        found = [self._index.get((scenes[r], self._colour_of[word]), -1) for r, word in names]
        named = torch.tensor([index >= 0 for index in found], dtype=torch.bool)
        return row[named], at[named], self._sides[[index for index in found if index >= 0]]


@torch.no_grad()
def _encode_all(visual: Tower, pixels: np.ndarray) -> torch.Tensor:
    pieces = torch.split(torch.from_numpy(pixels), CHUNK)
    return torch.cat([encode(visual, piece) for piece in pieces])
