"""Data and nets of users: every form that is taken, and what is said of one that is not."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset

from saccade.errors import ConfigError, FormatError
from saccade.robust.classifiers.own import as_dataset, check_net
from saccade.robust.classifiers.splits import Dataset, Split

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (10, 5, 4, 3), np.uint8)
X = torch.from_numpy(BYTES).permute(0, 3, 1, 2).float() / 255
Y = torch.arange(10) % 3
PAIRS = [(Image.fromarray(image), int(y)) for image, y in zip(BYTES, Y, strict=True)]
TRAIN, TEST = (X[:7], Y[:7]), (X[7:], Y[7:])


class Stream(IterableDataset):
    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return zip(X, Y, strict=True)


def rows(x: torch.Tensor, y: torch.Tensor) -> set[tuple[float, ...]]:
    """Each image with its class, in any order."""
    return {(*image.tolist(), float(label)) for image, label in zip(x.flatten(1), y, strict=True)}


@pytest.mark.parametrize(
    "whole",
    [
        (X, Y), [X, Y], (X.numpy(), Y.numpy()), (BYTES, Y.numpy()[:, None]), (X.double(), Y.int()),
        PAIRS, tuple(PAIRS), list(zip(X, Y, strict=True)), TensorDataset(X, Y),
        Subset(TensorDataset(X, Y), range(10)), Stream(), DataLoader(TensorDataset(X, Y), 4),
    ],
    ids=["tensors", "list", "arrays", "bytes", "types", "pil", "tuple", "pairs", "torch", "subset",
         "stream", "loader"],
)  # fmt: skip
def test_every_form_of_a_part_is_the_same_data(whole: object) -> None:
    data = as_dataset("mine:data", whole)
    assert (len(data.train.y), len(data.test.y), data.classes) == (7, 3, 3)
    x, y = torch.cat([data.train.x, data.test.x]), torch.cat([data.train.y, data.test.y])
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
    assert rows(x, y) == rows(X, Y)
    again = as_dataset("mine:data", whole)
    assert torch.equal(again.test.x, data.test.x)


@pytest.mark.parametrize(
    "parts",
    [
        (TRAIN, TEST), (PAIRS[:7], PAIRS[7:]), (TensorDataset(*TRAIN), TensorDataset(*TEST)),
        (DataLoader(TensorDataset(*TRAIN), 4), (BYTES[7:], Y[7:])),
        Dataset("mine", Split(*TRAIN), Split(BYTES[7:], Y[7:])),
    ],
)  # fmt: skip
def test_parts_that_are_given_are_kept(parts: object) -> None:
    data = as_dataset("mine:data", parts)
    for found, (x, y) in ((data.train, TRAIN), (data.test, TEST)):
        torch.testing.assert_close(found.x, x)
        assert torch.equal(found.y, y)


def test_grey_images_have_one_channel() -> None:
    assert as_dataset("m", (BYTES[..., 0], Y)).train.x.shape == (7, 1, 5, 4)
    assert as_dataset("m", (BYTES[..., :1], Y)).train.x.shape == (7, 1, 5, 4)
    grey = [(image.convert("L"), label) for image, label in PAIRS]
    assert as_dataset("m", grey).train.x.shape == (7, 1, 5, 4)


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "CMYK", "1"])
def test_a_pil_image_of_any_mode_is_what_it_looks_like(mode: str) -> None:
    shown = [(image.convert(mode), label) for image, label in PAIRS]
    wanted = [(image.convert("L" if mode == "1" else "RGB"), label) for image, label in shown]
    found, expected = (as_dataset("m", pairs).train.x for pairs in (shown, wanted))
    assert found.shape == (7, 1 if mode == "1" else 3, 5, 4)
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("made", "error", "message"),
    [
        ((X * 255, Y), FormatError, r"floats in \[0, 1\], got pixels from .*divide them by 255"),
        ((X - 0.5, Y), FormatError, "normalisation into the net"),
        ((X * torch.nan, Y), FormatError, "from nan to nan"),
        ((BYTES.astype(int), Y), FormatError, r"got int64; .*astype\('uint8'\)"),
        ((X.flatten(1), Y), FormatError, r"expected images \(N, C, H, W\).*got \(10, 60\) float32"),
        ((X, Y[:9]), FormatError, r"a class for each of 10 images, got \(9,\)"),
        ((X, np.eye(10)), FormatError, r"argmax\(1\)"),
        ((X, Y.float()), FormatError, r"whole numbers, got float32; .*astype\('int64'\)"),
        ((X, Y - 1), FormatError, "classes from 0, got -1"),
        ((RNG.random((10, 5, 6, 4)), Y), FormatError, r"1 or 3 channels, got \(10, 5, 6, 4\)"),
        ([(Image.new("I;16", (4, 5)), 0)], FormatError, "got uint16"),
        ((X[:0], Y[:0]), FormatError, r"got \(0, 3, 5, 4\)"),
        ([], FormatError, "there is no image"),
        ([*PAIRS, (Image.new("RGB", (9, 9)), 0)], FormatError, r"\(5, 4, 3\) like the first, got"),
        ((TRAIN, (X[:, :, :4], Y)), FormatError, r"mine, test: .*\(3, 5, 4\) like the first"),
        ([*PAIRS, X[0]], FormatError, r"item 10 is a Tensor \(3, 5, 4\)"),
        ([("a.png", 0)], FormatError, "expected numbers, got a str"),
        ({"x": X, "y": Y}, ConfigError, "mine gave a dict of 2, expected a Dataset, a pair"),
        (X, ConfigError, "item 0 is a Tensor"),
        (None, ConfigError, "mine gave a NoneType"),
        (DataLoader(TensorDataset(X, Y), shuffle=True), ConfigError, "say shuffle=False"),
    ],
)
def test_what_is_no_data_is_said_with_the_way_out(
    made: object, error: type[Exception], message: str
) -> None:
    with pytest.raises((error, FormatError), match=message):
        as_dataset("mine", made)


def net(head: Callable[[torch.Tensor], object] = lambda x: x, classes: int = 3) -> nn.Module:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(60, classes)

        def forward(self, x: torch.Tensor) -> object:
            return head(self.layer(x.flatten(1)))

    return Net().eval()


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Linear(7, 3), r"failed on images \(3, 3, 5, 4\) float32 in \[0, 1\]: mat1"),
        (net(lambda x: x.softmax(1)), "got probabilities.*leave out"),
        (net(lambda x: x[:, 0]), r"expected logits \(3, classes\).*got a Tensor \(3,\)"),
        (net(lambda x: (x, x)), "got a tuple of 2"),
        (net(lambda x: x * torch.inf), "finite floats"),
        (net(classes=2), "a logit for each of 3 classes of the data, got 2"),
        (net(lambda x: x - 9 * x.mean(0)), "depend on the other images"),
    ],
)
def test_a_net_that_cannot_be_measured_is_said_so(module: nn.Module, message: str) -> None:
    data = Dataset("mine", Split(*TRAIN), Split(*TEST))
    with pytest.raises(ConfigError, match=f"model mine:net: .*{message}"):
        check_net("model mine:net", module, data)
    for fine in (net(), net(classes=5), net(lambda x: x.log_softmax(1)), net(lambda x: x.half())):
        check_net("model mine:net", fine, data)
