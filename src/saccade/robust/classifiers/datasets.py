"""Labelled images for `saccade attack` and `saccade detect`.

A name or a path says what is meant: `digits` (8 x 8, part of scikit-learn, nothing to download);
a `.npz` file with `x_train`, `y_train`, `x_test`, `y_test` (MNIST as Keras ships it, CIFAR-10 in
the same form); a folder with the original files of MNIST (`train-images-idx3-ubyte`, `.gz` or not)
or of the binary version of CIFAR-10 (`data_batch_1.bin`, ...); a folder with one folder of images
a class; or `package.module:function`, which returns arrays, a torch data set or a `Dataset`
(`saccade.robust.classifiers.own` says what exactly). Files are read with bounds; nothing in them is
executed (the Python version of CIFAR-10 is a pickle and is refused).
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from saccade.config import resolve
from saccade.errors import ConfigError, FormatError, ImageError, MissingExtra
from saccade.files import open_file, read_whole
from saccade.images.image import Image
from saccade.robust.arrays import Array, read_arrays
from saccade.robust.classifiers.own import as_dataset
from saccade.robust.classifiers.splits import MOST_BYTES, Dataset, Split, split_at_random

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
CIFAR_ROW = 1 + 3 * 32 * 32


def load_dataset(source: str) -> Dataset:
    """The data behind a name, a path, or `package.module:function`.

    Raises:
        ConfigError: there is no such data.
        MissingExtra: the digits, and scikit-learn is not installed.
        FormatError: a file that does not hold what its format says, or a user's images or classes
            of another shape, type or range.
    """
    path = Path(source).expanduser()
    if source == "digits":
        return _digits()
    if path.is_file():
        if path.suffix != ".npz":
            raise ConfigError(f"{path}: a data file is to be an .npz")
        return _npz(path)
    if path.is_dir():
        if list(path.glob("train-images*idx3*")):
            return _mnist(path)
        if list(path.glob("data_batch_*.bin")):
            return _cifar(path)
        if list(path.glob("data_batch_*")):
            raise FormatError(f"{path}: the Python version of CIFAR-10 is a pickle, which is not "
                              "read; take the binary version (data_batch_1.bin, ...)")  # fmt: skip
        return _folder(path)
    if ":" not in source:
        raise ConfigError(f"data: there is no file, folder or built-in data {source!r} (digits is)")
    made = resolve(source, {}, "data")
    return as_dataset(source, made() if callable(made) else made)


def _digits() -> Dataset:
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise MissingExtra("scikit-learn", "robust") from error
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images / 16, dtype=torch.float32).view(-1, 1, 8, 8)
    return split_at_random("digits", Split(x, torch.tensor(labels, dtype=torch.int64)))


def _npz(path: Path) -> Dataset:
    names = ("x_train", "y_train", "x_test", "y_test")
    what = f"data set; expected arrays {', '.join(names)}"
    held = read_arrays(path, what, most=MOST_BYTES)
    if missing := [name for name in names if name not in held]:
        raise FormatError(f"{path}: no {what} ({missing[0]} is missing)")
    arrays = [held[name] for name in names]
    splits = [_pixels(path, *pair) for pair in (arrays[:2], arrays[2:])]
    return Dataset(path.stem, *splits)


def _mnist(folder: Path) -> Dataset:
    """Source: Y. LeCun, "The MNIST database", file formats for vectors and matrices (idx)."""
    parts = []
    for part in ("train", "t10k"):
        arrays = []
        for kind in ("images-idx3", "labels-idx1"):
            found = sorted(folder.glob(f"{part}-{kind}*"))
            if not found:
                raise FormatError(f"{folder}: no {part}-{kind}-ubyte")
            arrays.append(_idx(found[0]))
        parts.append(_pixels(folder, *arrays))
    return Dataset("mnist", *parts)


def _idx(path: Path) -> NDArray[np.uint8]:
    data = _bytes(path)
    if len(data) < 4 or data[:3] != b"\0\0\x08" or data[3] > 3 or len(data) < 4 + 4 * data[3]:
        raise FormatError(f"{path}: no idx file of bytes")
    shape = np.frombuffer(data, ">u4", data[3], 4).tolist()
    start = 4 + 4 * data[3]
    if math.prod(shape) != len(data) - start:
        raise FormatError(f"{path}: {shape} values expected, {len(data) - start} bytes found")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _bytes(path: Path) -> bytes:
    """The content of a file, unpacked."""
    try:
        if path.suffix != ".gz":
            return read_whole(path, most=MOST_BYTES)
        with open_file(path) as file, gzip.GzipFile(fileobj=file) as packed:
            data = packed.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise FormatError(f"{path}: {error}") from error
    if len(data) > MOST_BYTES:
        raise FormatError(f"{path}: more than {MOST_BYTES} bytes unpacked")
    return data


def _cifar(folder: Path) -> Dataset:
    """Source: A. Krizhevsky, "The CIFAR-10 dataset", binary version."""

    def rows(paths: list[Path]) -> Split:
        parts = []
        for path in paths:
            data = _bytes(path)
            if not data or len(data) % CIFAR_ROW:
                raise FormatError(f"{path}: {len(data)} bytes, expected rows of {CIFAR_ROW}")
            parts.append(np.frombuffer(data, np.uint8).reshape(-1, CIFAR_ROW))
        joined = np.concatenate(parts)
        return _pixels(
            folder, joined[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), joined[:, 0]
        )

    test = folder / "test_batch.bin"
    if not test.is_file():
        raise FormatError(f"{folder}: no test_batch.bin")
    return Dataset("cifar10", rows(sorted(folder.glob("data_batch_*.bin"))), rows([test]))


def _folder(folder: Path) -> Dataset:
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    if len(classes) < 2:
        raise FormatError(f"{folder}: expected a folder of images for each of two classes or more")
    images, labels, first = [], [], None
    for label, kind in enumerate(classes):
        for path in sorted(p for p in kind.iterdir() if p.suffix.lower() in SUFFIXES):
            try:
                pixels = np.asarray(Image.open(path).native().pixels(), np.uint8)
            except ImageError as error:
                raise FormatError(f"{path}: {error}") from error
            first = first or (path, pixels.shape)
            if pixels.shape != first[1]:
                raise FormatError(
                    f"{path}: {pixels.shape[1]} x {pixels.shape[0]} pixels, but {first[0]} has "
                    f"{first[1][1]} x {first[1][0]}; a net takes one size: resize them first"
                )
            images.append(pixels)
            labels.append(label)
    if not images:
        raise FormatError(f"{folder}: no image ({', '.join(SUFFIXES)}) in its folders")
    return split_at_random(folder.name, _pixels(folder, np.stack(images), np.array(labels)))


def _pixels(path: Path, x: Array, y: Array) -> Split:
    """Bytes (N, H, W) or (N, H, W, 3), and classes (N,) or (N, 1)."""
    if x.dtype != np.uint8 or x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[3] not in (1, 3)):
        raise FormatError(
            f"{path}: images are to be bytes (N, H, W) or (N, H, W, 3), got {x.dtype} {x.shape}"
        )
    if y.dtype.kind not in "iu" or y.size != len(x) or not len(x):
        raise FormatError(f"{path}: {y.dtype} {y.shape} classes for {len(x)} images")
    wide = x[..., None] if x.ndim == 3 else x
    shown = torch.from_numpy(wide.transpose(0, 3, 1, 2).copy()).float() / 255
    if int(y.min()) < 0:
        raise FormatError(f"{path}: classes are to be 0 or more, got {int(y.min())}")
    return Split(shown, torch.from_numpy(y.reshape(-1).astype(np.int64)))
