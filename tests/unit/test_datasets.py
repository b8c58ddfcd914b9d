import hashlib
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from latentgen import datasets
from latentgen.datasets import DataError
from latentgen.datasets.base import assemble


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


def test_digest_is_the_one_that_trained_states_know(digits):
    """Trained states are kept by this digest, so its formula may not change."""
    assert digits.digest == "38729f065811608d2d0353844721a941d8379030a5c09dd5162a3612df974a6d"
    formula = b"16 0.5 0.5"
    for name in ("x_train", "y_train", "x_test", "y_test"):
        array = getattr(digits, name)
        formula += f"{name} {array.dtype} {array.shape}".encode() + array.tobytes()
    assert digits.digest == hashlib.sha256(formula).hexdigest()


def test_normalisation_belongs_to_the_digest_and_is_kept(digits, tmp_path):
    arrays = {name: getattr(digits, name) for name in datasets.ARRAYS}
    data = assemble(arrays, pixel_max=16, mean=0.0, std=1.0)
    assert data.digest not in (digits.digest, assemble(arrays, pixel_max=16, mean=0.0).digest)
    datasets.save(data, tmp_path)
    again = datasets.load(tmp_path)
    assert (again.mean, again.std, again.digest) == (0.0, 1.0, data.digest)


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
        ({"y_train": np.zeros(19, int)}, "20 labels"),
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


def test_unknown_name_lists_the_known():
    with pytest.raises(DataError, match="digits, mnist, fashion-mnist, cifar10, cifar100, tiny-imagenet, or declare"):
        datasets.prepare("mnits", "unused")


def test_importing_is_cheap():
    heavy = "{'torch', 'torchvision', 'sklearn', 'PIL', 'pandas'}"
    code = f"import sys, latentgen.datasets; print(sorted({heavy} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == "[]"
