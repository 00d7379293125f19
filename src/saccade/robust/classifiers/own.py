"""Data and nets of users: what they may be; converted once, and checked before they are used.

A function `package.module:function` that `data` names returns one of

    Dataset(name, train, test)      parts, as they are used here
    (train, test)                   the same; a part is any of the following
    (x, y)                          arrays or tensors: all images, all classes
    [(image, class), ...]           pairs, also with PIL images, as torchvision gives them
    a torch Dataset, a DataLoader   read once, in its order

A single part is split at random, always the same way: 70 % to train, 30 % to test. Images are
`(N, C, H, W)`, `(N, H, W, C)` with 1 or 3 channels, or `(N, H, W)`: floats in [0, 1], or bytes,
which are divided by 255. PIL images of bytes that are not grey (`L`, `1`) are made RGB.
Classes are whole numbers from 0.

A net takes `(N, C, H, W)` float32 in [0, 1] and returns logits `(N, classes)`, each row of its own
image. What normalises pixels is a part of it: an epsilon then means pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sized
from itertools import islice

import numpy as np
import torch
from PIL.Image import Image
from torch import nn
from torch.utils.data import DataLoader, RandomSampler
from torch.utils.data import Dataset as TorchDataset

from saccade.errors import ConfigError, FormatError
from saccade.fisher.checks import no_logits
from saccade.fisher.target import CHUNK
from saccade.robust.classifiers.splits import MOST_BYTES, Dataset, Split, split_at_random

CHANNELS = (1, 3)


def as_dataset(where: str, made: object) -> Dataset:
    """A data set of what a user's function returned.

    Args:
        where: What was named, for messages.
        made: A `Dataset`, a pair of parts, or a part.

    Raises:
        ConfigError: it is none of them.
        FormatError: images or classes of another shape, type or range.
    """
    if isinstance(made, Dataset):
        name, parts = made.name, (made.train, made.test)
    elif isinstance(made, tuple) and len(made) == 2 and not _is_array(made[0]):
        name, parts = where, made
    else:
        return split_at_random(where, as_split(where, made))
    train, test = (as_split(f"{where}, {which}", part)
                   for which, part in zip(("train", "test"), parts, strict=True))  # fmt: skip
    _check_shape(f"{where}, test", test.x, train.x)
    return Dataset(name, train, test)


def as_split(where: str, part: object) -> Split:
    """Images and classes of a part; it is read once, up to 4 GiB of float32.

    Raises:
        ConfigError: it is no part.
        FormatError: images or classes of another shape, type or range, or too many.
    """
    if isinstance(part, tuple | list) and len(part) == 2 and _is_array(part[0]):
        batches = iter([(_tensor(part[0]), _tensor(part[1]))])
    else:
        batches = _batches(where, part)
    images, classes, size = [], [], 0
    for x, y in batches:
        shown = _images(where, x)
        size += shown.nbytes
        if size > MOST_BYTES:
            raise FormatError(f"{where}: expected at most {MOST_BYTES >> 30} GiB of images as "
                              "float32, got more; give some of them")  # fmt: skip
        images.append(shown)
        classes.append(_classes(where, y, len(shown)))
        _check_shape(where, shown, images[0])
    if not images:
        raise FormatError(f"{where}: there is no image")
    return Split(torch.cat(images), torch.cat(classes))


def check_net(where: str, net: nn.Module, data: Dataset) -> None:
    """Whether a net does what attacks and detectors need, tried on three images.

    It cannot say whether the net was trained for these images; its accuracy does.

    Raises:
        ConfigError: it fails on them, or does not return logits, a row for each image.
    """
    x = data.test.x[:3]
    shape = f"{tuple(x.shape)} float32 in [0, 1]"
    try:
        with torch.no_grad():
            logits, alone = net(x), net(x[:1])
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise ConfigError(f"{where}: the net failed on images {shape}: {error}") from error
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or len(logits) != len(x):
        raise ConfigError(f"{where}: expected logits ({len(x)}, classes) of images {shape}, got "
                          f"{_described(logits)}")  # fmt: skip
    if not logits.is_floating_point() or not logits.isfinite().all():
        raise ConfigError(f"{where}: expected finite floats as logits, got {logits.dtype}")
    if logits.shape[1] < max(2, data.classes):
        raise ConfigError(f"{where}: expected a logit for each of {data.classes} classes of the "
                          f"data, got {logits.shape[1]}")  # fmt: skip
    if kind := no_logits(net, x, logits):
        raise ConfigError(f"{where}: expected logits, got {kind}; leave out the softmax or "
                          "sigmoid at its end")  # fmt: skip
    if not torch.allclose(alone[0], logits[0], rtol=1e-2, atol=1e-2):
        raise ConfigError(f"{where}: the logits of an image depend on the other images of its "
                          "batch; each row is to be of its own image")  # fmt: skip


def _images(where: str, x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) float32 in [0, 1]."""
    shape, kind = tuple(x.shape), str(x.dtype).removeprefix("torch.")
    if x.ndim not in (3, 4) or not x.numel():
        raise FormatError(
            f"{where}: expected images (N, C, H, W), (N, H, W, C) or (N, H, W), got {shape} {kind}"
        )
    if x.dtype != torch.uint8 and not x.is_floating_point():
        raise FormatError(
            f"{where}: expected images of bytes (uint8) or of floats in [0, 1], got {kind}; bytes "
            "that are held as other numbers are converted by .astype('uint8')"
        )
    if x.ndim == 3:
        x = x[:, None]
    elif x.shape[1] not in CHANNELS:
        if x.shape[3] in (2, 4):
            raise FormatError(
                f"{where}: expected 1 or 3 channels, got {shape}, which looks like (N, H, W, C) "
                "with transparency; leave out the last channel"
            )
        if x.shape[3] in CHANNELS:
            x = x.permute(0, 3, 1, 2)
    x = x.float() / 255 if x.dtype == torch.uint8 else x.float()
    low, high = float(x.min()), float(x.max())
    if not (low >= 0 and high <= 1):  # so put, it also finds pixels that are no number
        raise FormatError(
            f"{where}: expected floats in [0, 1], got pixels from {low:.4g} to {high:.4g}; divide "
            "them by 255, or move their normalisation into the net, as its first layer"
        )
    return x.contiguous()


def _classes(where: str, y: torch.Tensor, n: int) -> torch.Tensor:
    """(N,) int64."""
    kind = str(y.dtype).removeprefix("torch.")
    if y.numel() != n:
        raise FormatError(
            f"{where}: expected a class for each of {n} images, got {tuple(y.shape)} {kind}; rows "
            "of zeros and a one are made classes by .argmax(1)"
        )
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise FormatError(
            f"{where}: expected classes as whole numbers, got {kind}; convert them by "
            ".astype('int64')"
        )
    y = y.reshape(-1).long()
    if int(y.min()) < 0:
        raise FormatError(f"{where}: expected classes from 0, got {int(y.min())}")
    return y


def _check_shape(where: str, x: torch.Tensor, first: torch.Tensor) -> None:
    if x.shape[1:] != first.shape[1:]:
        raise FormatError(
            f"{where}: expected images {tuple(first.shape[1:])} like the first, got "
            f"{tuple(x.shape[1:])}; a net takes one size: resize them first"
        )


def _batches(where: str, part: object) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Images (n, ...) and classes (n,) of a part that is read piece by piece."""
    pairs = _pairs(where, part)
    if isinstance(part, DataLoader):
        yield from ((_tensor(images), _tensor(classes)) for images, classes in pairs)
        return
    while some := list(islice(pairs, CHUNK)):
        images, classes = ([_tensor(pair[side]) for pair in some] for side in (0, 1))
        for image in images:
            _check_shape(where, image[None], images[0][None])
        if other := next((label for label in classes if label.numel() != 1), None):
            raise FormatError(f"{where}: expected one class for an image, got {tuple(other.shape)}")
        yield torch.stack(images), torch.stack([label.reshape(()) for label in classes])


def _pairs(where: str, part: object) -> Iterator[tuple[object, object]]:
    """Each image and its class, or each batch of them."""
    if isinstance(part, DataLoader) and isinstance(part.sampler, RandomSampler):
        raise ConfigError(
            f"data: {where} shuffles: every run would be of other images; say shuffle=False"
        )
    for place, item in enumerate(_items(where, part)):
        if not (isinstance(item, tuple | list) and len(item) == 2):
            raise FormatError(f"{where}: expected pairs of an image and its class, but item "
                              f"{place} is {_described(item)}")  # fmt: skip
        yield item[0], item[1]


def _items(where: str, part: object) -> Iterable[object]:
    if isinstance(part, TorchDataset) and isinstance(part, Sized):
        # By its length: not every torch Dataset raises an IndexError at its end.
        return (part[place] for place in range(len(part)))
    if isinstance(part, Iterable) and not isinstance(part, str | bytes | Mapping | np.ndarray):
        return part
    raise ConfigError(
        f"data: {where} gave {_described(part)}, expected a Dataset, a pair (x, y) of arrays, a "
        "list of (image, class), a torch Dataset, a DataLoader, or a pair (train, test) of such"
    )


def _is_array(value: object) -> bool:
    """Whether it holds all images, rather than one part of the data or one pair."""
    return isinstance(value, np.ndarray | torch.Tensor) and value.ndim > 0


def _tensor(value: object) -> torch.Tensor:
    """Of a tensor, an array, a number or a PIL image."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, Image):
        value = _grey_or_coloured(value)
    try:
        return torch.from_numpy(np.array(value))
    except TypeError as error:  # objects, texts
        raise FormatError(f"data: expected numbers, got {_described(value)}") from error


def _grey_or_coloured(image: Image) -> Image:
    """In bytes of one channel or of three: a palette or inks are no colours as they stand."""
    if image.mode == "1":
        return image.convert("L")
    if image.mode in ("L", "RGB") or image.mode[0] in "IF":  # of 16 or 32 bits: judged as numbers
        return image
    return image.convert("RGB")


def _described(value: object) -> str:
    if isinstance(value, np.ndarray | torch.Tensor):
        return f"a {type(value).__name__} {tuple(value.shape)}"
    size = f" of {len(value)}" if isinstance(value, Sized) else ""
    return f"a {type(value).__name__}{size}"
