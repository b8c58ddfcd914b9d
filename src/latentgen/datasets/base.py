"""What a data set is, and how it is kept on disk."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latentgen.files import atomic

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


class DataError(RuntimeError):
    """Data that are absent, damaged or not of the promised form; the message names the file and the remedy."""


@dataclass(frozen=True)
class Dataset:
    """Images as uint8 (n, channels, height, width), labels as int64 (n,), and how pixels become network input.

    Network input is ``(pixel / pixel_max - mean) / std``; mean and std are 0.5 as in the published experiments,
    which leave only Tiny ImageNet in [0, 1] (mean 0, std 1).
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


def assemble(
    arrays: Mapping[str, np.ndarray],
    pixel_max: int = 255,
    mean: float = Dataset.mean,
    std: float = Dataset.std,
) -> Dataset:
    """`Dataset` of the four ``arrays`` named in `ARRAYS`; classes are numbered from 0 to the largest label."""
    return Dataset(
        **arrays,
        n_classes=int(max(arrays["y_train"].max(), arrays["y_test"].max())) + 1,
        pixel_max=pixel_max,
        digest=_digest(arrays, pixel_max, mean, std),
        mean=mean,
        std=std,
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


def _digest(arrays: Mapping[str, np.ndarray], pixel_max: int, mean: float, std: float) -> str:
    digest = hashlib.sha256(f"{pixel_max} {mean} {std}".encode())
    for name in ARRAYS:
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array)
    return digest.hexdigest()
