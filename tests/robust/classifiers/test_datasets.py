"""Data files: the published formats, and files that are none."""

import gzip
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from saccade.errors import ConfigError, FormatError
from saccade.robust.arrays import read_arrays
from saccade.robust.classifiers.datasets import CIFAR_ROW, load_dataset
from saccade.robust.classifiers.nets import kept_net, load_model
from saccade.robust.classifiers.splits import Dataset, Split

PACKED = zipfile.ZIP_DEFLATED
RNG = np.random.default_rng(0)


def idx(array: np.ndarray) -> bytes:
    """yann.lecun.com/exdb/mnist: 0, 0, type 8, dimensions, sizes big-endian, bytes."""
    sizes = b"".join(int(size).to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def test_mnist_is_read_from_idx_and_npz_alike(tmp_path: Path) -> None:
    images = {
        part: RNG.integers(0, 256, (n, 28, 28), np.uint8) for part, n in (("train", 6), ("t10k", 4))
    }
    labels = {part: RNG.integers(0, 10, len(x), np.uint8) for part, x in images.items()}
    for part, x in images.items():
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(x)))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels[part]))
    file = tmp_path / "mnist.npz"
    np.savez(file, x_train=images["train"], y_train=labels["train"], x_test=images["t10k"],
             y_test=labels["t10k"])  # fmt: skip
    for made in (load_dataset(str(tmp_path)), load_dataset(str(file))):
        assert made.train.x.shape == (6, 1, 28, 28)
        np.testing.assert_array_equal(made.test.x[:, 0].mul(255).round().numpy(), images["t10k"])
        np.testing.assert_array_equal(made.train.y.numpy(), labels["train"])


def test_a_file_that_unpacks_to_more_than_a_data_set_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saccade.robust.classifiers.datasets.MOST_BYTES", 1000)
    for name, held, says in (
        ("bomb", gzip.compress(bytes(10**6)), "more than 1000 bytes unpacked"),
        ("cut", gzip.compress(idx(np.zeros((1, 4, 4), np.uint8)))[:-9], "idx3"),
        ("broken", gzip.compress(b"x" * 99)[:12] + b"\xff" * 40, "idx3"),
        ("dimensions", gzip.compress(b"\0\0\x08\xff" + b"\0\0\0\1" * 200 + b"x"), "no idx file"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train-images-idx3-ubyte.gz").write_bytes(held)
        with pytest.raises(FormatError, match=says):
            load_dataset(str(tmp_path / name))


def member(shape: str, kind: str = "|u1") -> bytes:
    """A .npy (NumPy Enhancement Proposal 1) of 16 bytes whose header says this shape."""
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}".encode()
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + bytes(16)


@pytest.mark.parametrize(
    ("held", "packing", "says"),
    [(member("(4000000000, 4)"), PACKED, r"\(4000000000, 4\) of uint8 in"),
     (member("(" * 999), PACKED, "EOF"),
     (member(f"({10**40}, 0)"), PACKED, "too large"), (member("(-1, -1)"), PACKED, ""),
     (member("(4000000000,)", "|S0"), PACKED, "of "), (member("(2,)", "|O"), PACKED, "pickle"),
     (member("(16,)"), zipfile.ZIP_LZMA, "packed by"), (b"no array", PACKED, "magic")],
)  # fmt: skip
def test_an_array_holds_what_its_header_says_or_is_refused(
    tmp_path: Path, held: bytes, packing: int, says: str
) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", packing) as packed:
        packed.writestr("x.npy", held)
    with pytest.raises(FormatError, match=f"no arrays .*{says}"):
        read_arrays(tmp_path / "a.npz", "arrays", most=10**12)


def test_cifar_is_read_from_its_binary_version(tmp_path: Path) -> None:
    """cs.toronto.edu/~kriz/cifar.html: a byte of class, 1024 red, green, blue, row by row."""
    rows = RNG.integers(0, 10, (5, CIFAR_ROW), np.uint8)
    for name in ("data_batch_1", "data_batch_2", "test_batch"):
        (tmp_path / f"{name}.bin").write_bytes(rows.tobytes())
    made = load_dataset(str(tmp_path))
    assert made.train.x.shape == (10, 3, 32, 32)
    red = rows[0, 1:1025].reshape(32, 32)
    np.testing.assert_array_equal(made.test.x[0, 0].mul(255).round().numpy(), red)
    (tmp_path / "test_batch.bin").write_bytes(rows.tobytes()[:-1])
    with pytest.raises(FormatError, match=f"rows of {CIFAR_ROW}"):
        load_dataset(str(tmp_path))


def test_a_folder_of_images_is_a_class_each(tmp_path: Path) -> None:
    for kind in ("cat", "dog"):
        (tmp_path / kind).mkdir()
        for i in range(5):
            Image.new("RGB", (9, 7), (i, 0, 0)).save(tmp_path / kind / f"{i}.png")
    made = load_dataset(str(tmp_path))
    assert (made.classes, len(made.train.y), len(made.test.y)) == (2, 7, 3)
    assert made.train.x.shape[1:] == (3, 7, 9)
    Image.new("RGB", (8, 7)).save(tmp_path / "dog" / "9.png")
    with pytest.raises(FormatError, match="takes one size"):
        load_dataset(str(tmp_path))
    (tmp_path / "dog" / "9.png").write_bytes(b"no image")
    with pytest.raises(FormatError, match=r"9\.png"):
        load_dataset(str(tmp_path))


def test_what_is_no_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no file, folder or built-in"):
        load_dataset("digitz")
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps({"data": 1}))
    with pytest.raises(FormatError, match="is a pickle"):
        load_dataset(str(tmp_path))
    file = tmp_path / "x.npz"
    np.savez(file, x_train=np.array([{}], dtype=object), y_train=1, x_test=1, y_test=1)
    with pytest.raises(FormatError, match="expected arrays"):
        load_dataset(str(file))
    x, y = np.zeros((2, 4, 4)), np.zeros(2, np.int64)
    np.savez(file, x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.raises(FormatError, match="are to be bytes"):
        load_dataset(str(file))
    with pytest.raises(ConfigError, match="expected a Dataset"):
        load_dataset("string:digits")


def test_the_embedded_digits_train_a_net_that_is_kept(tmp_path: Path) -> None:
    data = load_dataset("digits")
    assert (len(data.train.y), len(data.test.y), data.classes) == (1258, 539, 10)
    steps: list[tuple[int, int]] = []
    path = tmp_path / "net.npz"
    net = kept_net(path, data, seed=3, epochs=20, on_step=lambda *step: steps.append(step))
    assert steps[-1] == (200, 200)
    right = (net(data.test.x).argmax(1) == data.test.y).float().mean()
    assert right > 0.93
    again = kept_net(path, data, seed=3)
    torch.testing.assert_close(again(data.test.x), net(data.test.x))
    fresh = kept_net(tmp_path / "two.npz", data, seed=3, epochs=20)
    torch.testing.assert_close(fresh(data.test.x), net(data.test.x))
    other = data._replace(train=data.train._replace(x=data.train.x.flip(3)))
    with pytest.raises(ConfigError, match=r"net\.npz: .* trained on other images"):
        kept_net(path, other, seed=3)
    path.write_bytes(b"torn")
    with pytest.raises(FormatError, match="no weights of this net"):
        kept_net(path, data, seed=3)


def test_data_and_models_of_ones_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom torch import nn\n"
        "from saccade.robust.classifiers.splits import Dataset, Split\n"
        "split = Split(torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 0, 1]))\n"
        "def data(): return Dataset('mine', split, split)\n"
        "def model(): return nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(64, 2))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert load_dataset("mine:data").classes == 2
    assert not load_model("mine:model").training
    assert isinstance(load_dataset("mine:data"), Dataset)
    assert isinstance(load_dataset("mine:data").test, Split)
    with pytest.raises(ConfigError, match=r"expected an nn\.Module"):
        load_model("mine:data")
