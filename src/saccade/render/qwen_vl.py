"""The renderer of the Qwen-VL families (Qwen2-VL, Qwen2.5-VL, Qwen3-VL) and of models like them.

A trajectory becomes ChatML. The ids that the model sampled are kept verbatim; the scaffold around
them is added here, and text in a message can never become a control token.

Laws: the rendering of the first k turns is a prefix of that of the first k+1; `sampled` marks
exactly the sampled ids; there are as many image tokens as image features, else `RenderError`.
"""

from __future__ import annotations

import json
from bisect import bisect
from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import nan
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from transformers import AutoConfig, AutoTokenizer
from transformers.image_processing_base import ImageProcessingMixin

from saccade.cache import ByteCache
from saccade.errors import ConfigError, RenderError
from saccade.images.geometry import CoordSpace
from saccade.images.image import Image
from saccade.render.patches import Grid, PatchRule, Pixels, as_tensor, grid_of, join, patchify
from saccade.types import Message, Part, ToolSpec, Trajectory, Turn
from saccade.untrusted.checkpoints import refuse_code
from saccade.untrusted.inert import kept_apart

COORDS = {
    "qwen2_vl": CoordSpace.RELATIVE_1000,
    "qwen2_5_vl": CoordSpace.ABSOLUTE,
    "qwen3_vl": CoordSpace.RELATIVE_1000,
}
"""The frame in which each family was trained to write boxes."""

TOOLS = (
    "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>{tools}\n"
    "</tools>\n\nFor each function call, return a json object with function name and arguments "
    "within <tool_call></tool_call> XML tags:\n<tool_call>\n"
    '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
)
"""Source: the chat template of Qwen2.5 and Qwen3-VL; a test compares with it."""

CHAT_TEMPLATE = "chat_template.jinja"
"""The name of a chat template in the folder of a checkpoint."""

CACHE_BYTES = 512 * 2**20
"""Bytes of patches that are kept, since each turn shows all images again."""

_CONTROL = (
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)


class Tokenizer(Protocol):
    """The methods of a Hugging Face fast tokenizer that are used here."""

    def __call__(
        self, text: str, *, add_special_tokens: bool, split_special_tokens: bool
    ) -> dict[str, list[int]]: ...

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool) -> str: ...

    def convert_tokens_to_ids(self, token: str) -> int | None: ...

    def save_pretrained(self, folder: str) -> object: ...


class Rendered(NamedTuple):
    """A trajectory in tokens; all lists have one entry per token."""

    ids: list[int]
    sampled: list[bool]
    """Whether the policy wrote the id. The text of a policy without tokens is tokenised and counts
    as well, with the end of its turn: a model would have to learn to write it."""
    log_probs: list[float]
    """Log-probabilities of the sampled ids, as the policy reported them; else NaN."""
    images: tuple[Image, ...]
    """The images, in the order of their tokens."""
    prompt_len: int
    """Number of ids before the first one that an assistant turn wrote."""


class QwenVLRenderer:
    """Renders trajectories for one checkpoint; immutable."""

    def __init__(
        self, tokenizer: Tokenizer, rule: PatchRule, coords: CoordSpace = CoordSpace.ABSOLUTE
    ) -> None:
        """Make a renderer; `load_renderer` reads all of it from a checkpoint.

        Raises:
            ConfigError: the tokenizer lacks a control token of ChatML.
        """
        self.tokenizer = tokenizer
        self.rule = rule
        self.coords = coords
        ids = {name: _control_id(tokenizer, name) for name in _CONTROL}
        self.start_of_turn, self.end_of_turn = ids["<|im_start|>"], ids["<|im_end|>"]
        self.around_image = ids["<|vision_start|>"], ids["<|vision_end|>"]
        self.image_token = ids["<|image_pad|>"]
        self.pad = ids["<|endoftext|>"]
        self.suppressed = tuple(sorted(set(ids.values()) - {self.end_of_turn, self.pad}))
        """Control ids that a sampler must never produce: those of the scaffold and of images."""
        self._patches: ByteCache[Image, Pixels] = ByteCache(CACHE_BYTES, _bytes_of)
        self._text_of = lru_cache(maxsize=None)(
            lambda token: tokenizer.decode([token], skip_special_tokens=False)
        )
        self._encode = lru_cache(maxsize=4096)(self._encode_uncached)

    def render(self, trajectory: Trajectory, *, generation: bool) -> Rendered:
        """The ids of a trajectory.

        Args:
            trajectory: The trajectory, finished or under way.
            generation: Whether to end with the opening of the next assistant turn and its prefix.

        Raises:
            RenderError: an image has a wrong size, or the sampled ids hold image tokens.
        """
        page = _Page(self)
        tools = trajectory.environment.tools if trajectory.environment.native_tools else ()
        page.messages(_with_tools(trajectory.prompt, tools))
        prompt_len = None
        for turn in trajectory.turns:
            page.open_assistant(turn.prefix)
            page.flush()
            prompt_len = len(page.ids) if prompt_len is None else prompt_len
            page.assistant(turn)
            page.messages(turn.observation)
        if generation:
            page.open_assistant(trajectory.prefix)
        page.flush()
        tokens = sum(grid_of(image, self.rule).tokens(self.rule.merge) for image in page.images)
        if page.ids.count(self.image_token) != tokens:
            raise RenderError(f"{trajectory.id}: sampled ids hold image tokens without an image")
        if prompt_len is None:
            prompt_len = len(page.ids)
        return Rendered(page.ids, page.sampled, page.log_probs, tuple(page.images), prompt_len)

    def pixels(self, images: Sequence[Image]) -> Pixels:
        """Patches and grids of images as they are shown.

        An image is cut into patches once, however many turns show it.
        """
        return join([self._pixels_of(image) for image in images], self.rule)

    def grids(self, images: Iterable[Image]) -> list[Grid]:
        """The grid of each image."""
        return [grid_of(image, self.rule) for image in images]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of sampled ids, without the end of the turn."""
        kept = ids[:-1] if ids and ids[-1] in (self.end_of_turn, self.pad) else ids
        return self.tokenizer.decode(list(kept), skip_special_tokens=False)

    def text_of(self, token: int) -> str:
        """The text of a single id; a part of a character becomes a replacement character."""
        return self._text_of(token)

    def count_through(self, ids: Sequence[int], text: str) -> int | None:
        """The least number of first ids whose text holds `text`; None if not all of them do."""
        if text not in self.decode(ids):
            return None
        return bisect(range(1, len(ids) + 1), False, key=lambda n: text in self.decode(ids[:n])) + 1

    def encode(self, text: str) -> list[int]:
        """The ids of a text without control tokens; what looks like one stays text."""
        return list(self._encode(text))

    def _pixels_of(self, image: Image) -> Pixels:
        held = self._patches.get(image)
        if held is None:
            held = patchify([as_tensor(image)], self.rule)
            self._patches.put(image, held)
        return held

    def _encode_uncached(self, text: str) -> tuple[int, ...]:
        if not text:
            return ()
        encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return tuple(encoded["input_ids"])


class _Page:
    """The ids of a trajectory while they are being written."""

    def __init__(self, renderer: QwenVLRenderer) -> None:
        self._renderer = renderer
        self.ids: list[int] = []
        self.sampled: list[bool] = []
        self.log_probs: list[float] = []
        self.images: list[Image] = []
        self._pending = ""

    def flush(self) -> None:
        """Tokenise the text since the last control token in one piece, as a template does."""
        text, self._pending = self._pending, ""
        self._ids(self._renderer.encode(text))

    def messages(self, messages: Sequence[Message]) -> None:
        for position, message in enumerate(messages):
            follows_tool = position > 0 and messages[position - 1].role == "tool"
            parts = kept_apart(message.content)
            if message.role != "tool":
                self._open(message.role, "\n")
                self._parts(parts)
                self._close()
                continue
            text = "".join(part for part in parts if isinstance(part, str))
            # Results in a row share one user turn, as in the template of Qwen.
            if follows_tool:
                self._text("\n<tool_response>\n", text, "\n</tool_response>")
            else:
                self._open("user", "\n<tool_response>\n", text, "\n</tool_response>")
            if position + 1 == len(messages) or messages[position + 1].role != "tool":
                self._close()

    def open_assistant(self, prefix: str) -> None:
        self._open("assistant", "\n", prefix)

    def assistant(self, turn: Turn) -> None:
        completion = turn.completion
        end = self._renderer.end_of_turn
        if completion.token_ids is None:
            ids = self._renderer.encode(completion.text)
            if completion.finish == "stop":
                ids.append(end)
            log_probs = [nan] * len(ids)
        else:
            ids = list(completion.token_ids)
            log_probs = list(completion.log_probs or [nan] * len(ids))
        self.flush()
        self.ids.extend(ids)
        self.sampled.extend([True] * len(ids))
        self.log_probs.extend(log_probs)
        if not ids or ids[-1] != end:
            self._control(end)
        self._text("\n")

    def _open(self, role: str, *texts: str) -> None:
        self._control(self._renderer.start_of_turn)
        self._text(role, *texts)

    def _close(self) -> None:
        self._control(self._renderer.end_of_turn)
        self._text("\n")

    def _parts(self, parts: Sequence[Part]) -> None:
        for part in parts:
            if isinstance(part, str):
                self._text(part)
            else:
                self._image(part)

    def _image(self, image: Image) -> None:
        renderer = self._renderer
        count = grid_of(image, renderer.rule).tokens(renderer.rule.merge)
        self._control(*renderer.around_image[:1])
        self._ids([renderer.image_token] * count)
        self._control(*renderer.around_image[1:])
        self.images.append(image)

    def _text(self, *texts: str) -> None:
        self._pending += "".join(texts)

    def _control(self, *ids: int) -> None:
        self.flush()
        self._ids(ids)

    def _ids(self, ids: Sequence[int]) -> None:
        self.ids.extend(ids)
        self.sampled.extend([False] * len(ids))
        self.log_probs.extend([nan] * len(ids))


def positions(ids: Sequence[int], grids: Sequence[Grid], image_token: int, merge: int) -> Positions:
    """M-RoPE position ids of a sequence with images.

    Text counts up on all three axes. The tokens of an image share one temporal position, count
    rows and columns from there, and the text behind it goes on after the longer side.

    Source: `get_rope_index` of Qwen2.5-VL and Qwen3-VL in transformers, for still images.

    Returns:
        (3, T) int64: temporal, height, width.
    """
    out = np.empty((3, len(ids)), np.int64)
    at, position = 0, 0
    marks = np.flatnonzero(np.asarray(ids) == image_token)
    image = 0
    while at < len(ids):
        if image < len(grids) and marks.size and ids[at] == image_token:
            grid = grids[image]
            rows, columns = grid.h // merge, grid.w // merge
            end = at + rows * columns
            out[0, at:end] = position
            out[1, at:end] = position + np.repeat(np.arange(rows), columns)
            out[2, at:end] = position + np.tile(np.arange(columns), rows)
            position += max(rows, columns)
            image += 1
            marks = marks[rows * columns :]
        else:
            end = int(marks[0]) if marks.size and image < len(grids) else len(ids)
            out[:, at:end] = position + np.arange(end - at)
            position += end - at
        at = end
    return out


Positions = NDArray[np.int64]


def load_renderer(path: str | Path) -> QwenVLRenderer:
    """The renderer of a checkpoint: a folder, or a model id of the hub.

    Raises:
        ConfigError: there is no such checkpoint, it brings code, or its family is not known here.
    """
    if str(path).startswith((".", "/", "~")) and not Path(path).is_dir():
        raise ConfigError(f"{path}: no such folder; name a checkpoint, or a model id of the hub")
    refuse_code(path)
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: no checkpoint ({str(error).splitlines()[0]})") from error
    if config.model_type not in COORDS:
        known = ", ".join(COORDS)
        raise ConfigError(
            f"{path}: models of type {config.model_type!r} are not known; {known} are"
        )
    images, _ = ImageProcessingMixin.get_image_processor_dict(path)
    vision = config.vision_config
    rule = PatchRule(
        patch=vision.patch_size,
        merge=vision.spatial_merge_size,
        temporal=vision.temporal_patch_size,
        mean=tuple(images["image_mean"]),
        std=tuple(images["image_std"]),
    )
    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    return QwenVLRenderer(tokenizer, rule, COORDS[config.model_type])


def chat_template() -> str:
    """What a renderer writes, as the Jinja template that servers read beside a checkpoint."""
    return Path(__file__).with_name(CHAT_TEMPLATE).read_text(encoding="utf-8")


def _with_tools(prompt: Sequence[Message], tools: Sequence[ToolSpec]) -> Sequence[Message]:
    """The prompt with the tool section of the family's own chat template."""
    if not tools:
        return prompt
    schemas = "".join("\n" + json.dumps(tool.function(), ensure_ascii=False) for tool in tools)
    section = TOOLS.replace("{tools}", schemas)
    system = prompt[0].text if prompt and prompt[0].role == "system" else ""
    rest = prompt[1:] if system else prompt
    text = system + section if system else section.removeprefix("\n\n")
    return (Message(role="system", content=(text,)), *rest)


def _bytes_of(pixels: Pixels) -> int:
    return pixels.pixel_values.nbytes


def _control_id(tokenizer: Tokenizer, name: str) -> int:
    found = tokenizer.convert_tokens_to_ids(name)
    if found is None:
        raise ConfigError(f"the tokenizer has no token {name}: it is none of a Qwen-VL model")
    return found
