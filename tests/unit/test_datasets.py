import gzip
import shutil

import numpy as np
import pytest
from sklearn.datasets import load_digits

from latentgen import datasets
from latentgen.datasets import DataError


def test_digits_are_scikit_learns(digits):
    assert digits.x_train.shape == (1347, 1, 8, 8) and digits.x_test.shape == (450, 1, 8, 8)
    assert digits.x_train.dtype == np.uint8 and digits.y_train.dtype == np.int64
    assert digits.n_classes == 10 and digits.pixel_max == 16 == digits.x_train.max()
    original = load_digits()
    known = {
        (image.astype(np.uint8).tobytes(), label) for image, label in zip(original.images, original.target, strict=True)
    }
    for x, y in ((digits.x_train, digits.y_train), (digits.x_test, digits.y_test)):
        assert all((image.tobytes(), label) in known for image, label in zip(x, y, strict=True))
    # Every class keeps its share.
    assert abs(np.bincount(digits.y_test) / 450 - np.bincount(original.target) / 1797).max() < 0.005


def test_saving_and_loading_keeps_everything(digits, digits_folder):
    again = datasets.load(digits_folder)
    for name in datasets.ARRAYS:
        assert np.array_equal(getattr(again, name), getattr(digits, name))
    assert (again.n_classes, again.pixel_max, again.digest) == (10, 16, digits.digest)
    assert again.in_shape == (1, 8, 8)


def small_npz(path, **change):
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (20, 5, 4, 3), dtype=np.uint8),
        "y_train": rng.integers(0, 3, 20),
        "x_test": rng.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8),
        "y_test": np.array([0, 1, 2, 0, 1, 2]),
    } | change
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return arrays


def test_npz_becomes_channels_first(tmp_path):
    arrays = small_npz(tmp_path / "own.npz")
    data = datasets.prepare("own", "unused", {"npz": str(tmp_path / "own.npz")})
    assert data.in_shape == (3, 5, 4) and data.n_classes == 3 and data.pixel_max == 255
    assert data.x_train[7, 2, 4, 1] == arrays["x_train"][7, 4, 1, 2]


def test_grey_npz_gets_a_channel(tmp_path):
    grey = np.zeros((20, 5, 4), np.uint8)
    small_npz(tmp_path / "own.npz", x_train=grey, x_test=grey[:6])
    assert datasets.prepare("own", "unused", {"npz": tmp_path / "own.npz"}).in_shape == (1, 5, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_test": None}, "has no y_test"),
        ({"x_train": np.zeros((20, 5, 4))}, "must be uint8"),
        ({"y_train": np.zeros(20)}, "integers"),
        ({"y_train": np.zeros(19, int)}, "20 integers"),
        ({"y_train": np.full(20, -1)}, "integers from 0"),
    ],
)
def test_npz_of_wrong_form_is_named(tmp_path, change, message):
    small_npz(tmp_path / "own.npz", **change)
    with pytest.raises(DataError, match=message):
        datasets.prepare("own", "unused", {"npz": tmp_path / "own.npz"})


def test_damaged_or_absent_npz_is_named(tmp_path):
    (tmp_path / "own.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(DataError, match="own.npz cannot be read"):
        datasets.prepare("own", "unused", {"npz": tmp_path / "own.npz"})
    with pytest.raises(DataError, match="does not exist"):
        datasets.prepare("own", "unused", {"npz": tmp_path / "none.npz"})


def test_mnist_from_torchvisions_layout(data_root):
    data = datasets.prepare("mnist", data_root)
    assert data.x_train.shape == (60_000, 1, 28, 28) and data.x_test.shape == (10_000, 1, 28, 28)
    # The first labels, known to everyone who ever printed them, and the class counts of the training set.
    assert data.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(data.y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    with gzip.open(data_root / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    assert np.array_equal(data.x_test, pixels)


def test_damaged_mnist_is_named(data_root, tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    shutil.copytree(data_root / "MNIST" / "raw", raw)
    victim = raw / "train-labels-idx1-ubyte.gz"
    victim.chmod(0o644)
    victim.write_bytes(victim.read_bytes()[:-100])
    with pytest.raises(DataError, match="train-labels-idx1-ubyte.gz is damaged"):
        datasets.prepare("mnist", tmp_path)


def test_unpacked_mnist_is_checked_too(data_root, tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for archive in (data_root / "MNIST" / "raw").glob("*.gz"):
        (raw / archive.stem).write_bytes(gzip.decompress(archive.read_bytes()))
    assert datasets.prepare("mnist", tmp_path).digest == datasets.prepare("mnist", data_root).digest
    victim = raw / "t10k-images-idx3-ubyte"
    pixels = bytearray(victim.read_bytes())
    pixels[-1] ^= 1
    victim.write_bytes(pixels)
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte is damaged"):
        datasets.prepare("mnist", tmp_path)


def test_absent_mnist_offline_says_which_files_go_where(tmp_path, monkeypatch):
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(DataError, match="train-images-idx3-ubyte.gz.*data_root") as error:
        datasets.prepare("mnist", tmp_path)
    assert str(tmp_path / "MNIST" / "raw") in str(error.value)


def test_unknown_name_lists_the_known():
    with pytest.raises(DataError, match="digits, mnist"):
        datasets.prepare("mnits", "unused")
