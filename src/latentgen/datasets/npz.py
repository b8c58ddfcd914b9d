"""Data sets of one's own, as arrays in one .npz file."""

import zipfile
from pathlib import Path

import numpy as np

from latentgen.datasets.base import ARRAYS, DataError


def load(path: Path) -> dict[str, np.ndarray]:
    """x_* as uint8 (n, height, width) or (n, height, width, channels); y_* as integers (n,).

    Raises `DataError` when the file is absent, cannot be read, or holds something else.
    """
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
