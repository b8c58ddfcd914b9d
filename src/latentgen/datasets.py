"""Data sets: real files in, checked, and kept as plain uint8 arrays that every later step memory-maps.

`prepare` is the only place that knows where images come from; everything after it sees a `Dataset`.
Importing this module does not import torchvision, scikit-learn or torch.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from latentgen.files import atomic

#: Raised by hand when a change alters the arrays that some data set gives.
VERSION = 1

#: Names that need no declaration in a configuration. Any other name is declared under ``datasets:`` as ``{npz: path}``.
BUILTIN = ("digits", "mnist")

ARRAYS = ("x_train", "y_train", "x_test", "y_test")

#: MNIST's files unpacked from the archives that torchvision knows the sums of, for folders that keep only these.
UNPACKED_MNIST = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


class DataError(RuntimeError):
    """Data that are absent, damaged or not of the promised form; the message names the file and the remedy."""


@dataclass(frozen=True)
class Dataset:
    """Images as uint8 (n, channels, height, width), labels as int64 (n,), and how pixels become network input.

    Network input is ``(pixel / pixel_max - mean) / std``; mean and std are 0.5 as in the published experiments.
    ``digest`` is a SHA-256 over the arrays and these three numbers.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    n_classes: int
    pixel_max: int
    digest: str
    mean: float = 0.5
    std: float = 0.5

    @property
    def in_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.x_train.shape[1:]


def prepare(name: str, root: str | os.PathLike, declared: Mapping[str, Any] | None = None) -> Dataset:
    """Load ``name`` from its original files: ``digits`` (in scikit-learn), ``mnist`` (torchvision), or a declared npz.

    Raises `DataError` when files are absent and cannot be fetched, damaged, or of the wrong form.
    """
    if declared is not None:
        arrays, pixel_max = _npz(Path(declared["npz"])), 255
    elif name == "digits":
        arrays, pixel_max = _digits(), 16
    elif name == "mnist":
        arrays, pixel_max = _mnist(Path(root)), 255
    else:
        raise DataError(f"unknown data set {name!r}; known: {', '.join(BUILTIN)}, or declare it under 'datasets'")
    y_train, y_test = arrays["y_train"], arrays["y_test"]
    return Dataset(
        **arrays,
        n_classes=int(max(y_train.max(), y_test.max())) + 1,
        pixel_max=pixel_max,
        digest=_digest(arrays, pixel_max),
    )


def save(data: Dataset, folder: str | os.PathLike) -> None:
    """Write the four arrays as .npy and the rest as meta.json into ``folder``."""
    folder = Path(folder)
    for name in ARRAYS:
        with atomic(folder / f"{name}.npy") as path, open(path, "wb") as handle:
            np.save(handle, getattr(data, name), allow_pickle=False)
    meta = {key: getattr(data, key) for key in ("n_classes", "pixel_max", "digest", "mean", "std")}
    with atomic(folder / "meta.json") as path:
        path.write_text(json.dumps(meta, indent=1) + "\n")


def load(folder: str | os.PathLike) -> Dataset:
    """Data set that `save` wrote; images are memory-mapped."""
    folder = Path(folder)
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS}
    return Dataset(**arrays, **json.loads((folder / "meta.json").read_text()))


def _digits() -> dict[str, np.ndarray]:
    """1,797 handwritten digits of 8 × 8 pixels in 0 … 16 (UCI, in scikit-learn): 1,347 to train, 450 to test."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    images = bunch.images.astype(np.uint8)[:, None]
    parts = train_test_split(
        images, bunch.target.astype(np.int64), test_size=450, random_state=0, stratify=bunch.target
    )
    x_train, x_test, y_train, y_test = (np.ascontiguousarray(part) for part in parts)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def _mnist(root: Path) -> dict[str, np.ndarray]:
    """60,000 + 10,000 digits of 28 × 28 pixels, through torchvision, which checks its md5 sums."""
    from torchvision.datasets import MNIST

    raw = root / "MNIST" / "raw"
    archives = dict(MNIST.resources)
    with contextlib.ExitStack() as stack:
        if all((raw / archive).exists() for archive in archives):
            # torchvision unpacks archives into its own root: a scratch root of links lets a read-only data_root
            # work, and has the archives checked each time instead of trusting what was unpacked once.
            _check_md5(raw, archives)
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            (scratch / "MNIST" / "raw").mkdir(parents=True)
            for archive in archives:
                (scratch / "MNIST" / "raw" / archive).symlink_to((raw / archive).resolve())
            root = scratch
        elif all((raw / name).exists() for name in UNPACKED_MNIST):
            _check_md5(raw, UNPACKED_MNIST)  # torchvision would trust them unseen
        try:
            train, test = (MNIST(str(root), train=train, download=True) for train in (True, False))
        except (RuntimeError, OSError) as error:
            raise DataError(
                f"MNIST is not under {raw} and cannot be downloaded ({error}). "
                f"Put {', '.join(archives)} there, or set data_root to a folder that has them."
            ) from error
    return {
        "x_train": train.data.numpy()[:, None],
        "y_train": train.targets.numpy().astype(np.int64),
        "x_test": test.data.numpy()[:, None],
        "y_test": test.targets.numpy().astype(np.int64),
    }


def _check_md5(folder: Path, sums: Mapping[str, str]) -> None:
    from torchvision.datasets.utils import check_integrity

    for name, md5 in sums.items():
        if not check_integrity(str(folder / name), md5):
            raise DataError(
                f"{folder / name} is damaged: its md5 is not {md5}. Delete it to have it downloaded again, "
                "or put an intact copy in its place."
            )


def _npz(path: Path) -> dict[str, np.ndarray]:
    """x_* as uint8 (n, height, width) or (n, height, width, channels); y_* as integers (n,)."""
    if not path.is_file():
        raise DataError(f"data file {path} does not exist; correct 'npz' of the data set in the configuration")
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in ARRAYS if name not in file]
            if missing:
                raise DataError(f"{path} has no {', '.join(missing)}; it needs {', '.join(ARRAYS)}")
            raw = {name: file[name] for name in ARRAYS}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as .npz: {error}") from error
    arrays = {}
    for part in ("train", "test"):
        x, y = raw[f"x_{part}"], raw[f"y_{part}"]
        if x.dtype != np.uint8 or x.ndim not in (3, 4):
            raise DataError(f"{path}: x_{part} must be uint8 (n, height, width[, channels]), got {x.dtype} {x.shape}")
        if not np.issubdtype(y.dtype, np.integer) or y.shape != x.shape[:1] or (y.size and y.min() < 0):
            raise DataError(f"{path}: y_{part} must be {len(x)} integers from 0, got {y.dtype} {y.shape}")
        x = x[..., None] if x.ndim == 3 else x
        arrays[f"x_{part}"] = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
        arrays[f"y_{part}"] = y.astype(np.int64)
    return arrays


def _digest(arrays: Mapping[str, np.ndarray], pixel_max: int) -> str:
    digest = hashlib.sha256(f"{pixel_max} {Dataset.mean} {Dataset.std}".encode())
    for name in ARRAYS:
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array)
    return digest.hexdigest()
