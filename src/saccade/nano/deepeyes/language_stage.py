"""The second stage: the language model learns to say what the vision tower sees.

The tower is frozen, so its features are computed once for a whole pool and a step costs a third.

What decides whether this stage works is the binding of the asked colour to a place: the skill that
comes last, and all at once. The state of each colour word after the first and second layer must
tell, through a linear head that is thrown away, where the object of this colour is. With this help
the binding takes off in half the steps (docs/nano.md has the ablation).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import Qwen2_5_VLForConditionalGeneration

from saccade.nano.deepeyes.corpus import COLOUR_NAMES, Lesson, Teacher
from saccade.nano.deepeyes.pool import Pool
from saccade.nano.deepeyes.vision_stage import Sight
from saccade.nano.stage import Measured
from saccade.nano.tower import Tower, encode
from saccade.render.qwen_vl import QwenVLRenderer, Rendered, positions
from saccade.world.scene import VIEW as VIEW_SIDE

BATCH = 32
WORD_LAYERS = (1, 2)
"""After these layers the state of a colour word is asked for the place of its object."""

CHUNK = 500


class Batch(NamedTuple):
    """Rendered lessons padded to one length."""

    ids: torch.Tensor
    """(B, T) int64."""
    mask: torch.Tensor
    """(B, T) int64, 0 on padding."""
    places: torch.Tensor
    """(3, B, T) int64: M-RoPE."""
    learned: torch.Tensor
    """(B, T) bool: the ids that a model writes itself."""
    slots: torch.Tensor
    """(S,) indices into B * T of the image tokens, in order."""


class Speech:
    """Trains a model on lessons; the vision tower as well if it is not frozen."""

    def __init__(
        self,
        model: Qwen2_5_VLForConditionalGeneration,
        renderer: QwenVLRenderer,
        teacher: Teacher,
        *,
        examine: Callable[[], Measured],
        words: bool = True,
        frozen: bool = True,
        sight: Sight | None = None,
    ) -> None:
        """Put the stage together.

        Args:
            model: What is trained.
            renderer: Of that model.
            teacher: Gives the lessons.
            examine: Measures the model on the development split.
            words: Whether colour words are supervised.
            frozen: Whether the vision tower stays as it is.
            sight: Its losses on the shown images are added to each step; not frozen only.
        """
        self._model, self._renderer, self._teacher = model, renderer, teacher
        self._examine, self._sight = examine, sight
        width = model.config.text_config.hidden_size
        self._heads = nn.ModuleList(
            nn.Linear(width, 4 * (VIEW_SIDE + 1)) for _ in (WORD_LAYERS if words else ())
        )
        self._objects = _Objects(teacher.pool, renderer)
        pool = teacher.pool
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
            if self._sight is not None:
                trained["sight_heads"] = self._sight.modules["sight_heads"]
        return trained

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """Of fresh lessons, in two halves by length: one long lesson does not pad all others."""
        lessons = [self._teacher.draw(rng) for _ in range(BATCH)]
        rendered = [self._renderer.render(x.trajectory, generation=False) for x in lessons]
        order = sorted(range(BATCH), key=lambda i: len(rendered[i].ids))
        written = sum(sum(item.sampled) for item in rendered)
        total = torch.zeros(())
        for half in (order[: BATCH // 2], order[BATCH // 2 :]):
            chosen = [lessons[i] for i in half]
            batch = pack(self._renderer, [rendered[i] for i in half])
            features, seeing = self._look(chosen)
            share = float(batch.learned.sum()) / written
            text, words = self._losses(batch, features, chosen)
            loss = share * text + (words + seeing) / 2
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def measure(self) -> Measured:
        """What `examine` says, the model in evaluation mode."""
        self._model.eval()
        return self._examine()

    def _look(self, lessons: Sequence[Lesson]) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of all image tokens in order, (S, width), and the loss of seeing."""
        scenes = np.array([x.scene for x in lessons if x.scene is not None], np.int64)
        crops = np.array([x.crop for x in lessons if x.crop is not None], np.int64)
        seeing = torch.zeros(())
        if self._features is not None:
            views, parts = self._features.views[scenes], self._features.crops[crops]
        else:
            pool, visual = self._teacher.pool, self._model.model.visual
            views = encode(visual, torch.from_numpy(pool.views[scenes]))
            parts = encode(visual, torch.from_numpy(pool.crops[crops]))
            if self._sight is not None and len(scenes):
                seeing = seeing + self._sight.loss_of(scenes, views)
            if self._sight is not None and len(crops):
                seeing = seeing + self._sight.crop_loss_of(crops, parts)
        each_view, each_crop = iter(views), iter(parts)
        rows = []
        for lesson in lessons:
            rows += [] if lesson.scene is None else [next(each_view)]
            rows += [] if lesson.crop is None else [next(each_crop)]
        return torch.cat(rows), seeing

    def _losses(
        self, batch: Batch, features: torch.Tensor, lessons: Sequence[Lesson]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the text, and of the colour words; means over tokens."""
        embedded = self._model.get_input_embeddings()(batch.ids)
        b, t, width = embedded.shape
        embedded = (
            embedded.view(b * t, width).index_copy(0, batch.slots, features).view(b, t, width)
        )
        states = self._model.model.language_model(
            inputs_embeds=embedded,
            position_ids=batch.places,
            attention_mask=batch.mask,
            use_cache=False,
            output_hidden_states=True,
        )
        row, at = torch.nonzero(batch.learned, as_tuple=True)
        logits = self._model.lm_head(states.last_hidden_state[row, at - 1])
        text = F.cross_entropy(logits, batch.ids[row, at])
        row, at, sides = self._objects.named(batch.ids, [x.scene for x in lessons])
        if not len(row):
            return text, torch.zeros(())
        said = [
            head(states.hidden_states[layer][row, at]).view(-1, VIEW_SIDE + 1)
            for layer, head in zip(WORD_LAYERS, self._heads, strict=False)
        ]
        words = [F.cross_entropy(logits, sides.flatten()) for logits in said]
        return text, torch.stack(words).mean() if words else torch.zeros(())


def pack(renderer: QwenVLRenderer, rendered: Sequence[Rendered]) -> Batch:
    """Right-padded."""
    shape = len(rendered), max(len(item.ids) for item in rendered)
    ids = np.full(shape, renderer.pad, np.int64)
    mask, learned = np.zeros(shape, np.int64), np.zeros(shape, np.bool_)
    places = np.zeros((3, *shape), np.int64)
    for row, item in enumerate(rendered):
        length = len(item.ids)
        ids[row, :length], mask[row, :length], learned[row, :length] = item.ids, 1, item.sampled
        grids = renderer.grids(item.images)
        places[:, row, :length] = positions(
            item.ids, grids, renderer.image_token, renderer.rule.merge
        )
    slots = np.flatnonzero(ids == renderer.image_token)
    return Batch(*map(torch.from_numpy, (ids, mask, places, learned, slots)))


class _Features(NamedTuple):
    """Of a frozen tower, for a whole pool."""

    views: torch.Tensor
    """(N, 16, width)."""
    crops: torch.Tensor
    """(M, 4, width)."""


class _Objects:
    """Finds the objects that colour words name."""

    def __init__(self, pool: Pool, renderer: QwenVLRenderer) -> None:
        words = [renderer.encode(f" {name}")[0] for name in COLOUR_NAMES]
        self._colour_of = {word: colour for colour, word in enumerate(words)}
        self._words = torch.tensor(words)
        objects = pool.objects
        self._index = {
            (int(scene), int(colour)): index
            for index, (scene, colour) in enumerate(zip(objects.scene, objects.colour, strict=True))
        }
        self._sides = torch.from_numpy(objects.box).round().long()

    def named(
        self, ids: torch.Tensor, scenes: Sequence[int | None]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Row and place of each colour word, and the (W, 4) box that it names."""
        row, at = torch.nonzero(torch.isin(ids, self._words), as_tuple=True)
        names = zip(row.tolist(), ids[row, at].tolist(), strict=True)
        found = [self._index[scenes[r] or 0, self._colour_of[word]] for r, word in names]
        return row, at, self._sides[found]


@torch.no_grad()
def _encode_all(visual: Tower, pixels: np.ndarray) -> torch.Tensor:
    pieces = torch.split(torch.from_numpy(pixels), CHUNK)
    return torch.cat([encode(visual, piece) for piece in pieces])
