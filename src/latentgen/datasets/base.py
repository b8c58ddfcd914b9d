"""What a data set is, and how it is kept on disk."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from latentgen import digests
from latentgen.files import atomic

#: Name of the file that holds what is no array.
META = "meta.json"
ARRAYS = ("x_train", "y_train", "x_test", "y_test")


class DataError(RuntimeError):
    """Data that are absent, damaged or not of the promised form; the message names the file and the remedy."""


def refuse(faults: Sequence[DataError]) -> None:
    """Raise the first of ``faults``, with how many more there are."""
    if faults:
        more = f" (and {len(faults) - 1} more that cannot be used)" if len(faults) > 1 else ""
        raise DataError(f"{faults[0]}{more}") from faults[0]


@dataclass(frozen=True)
class Dataset:
    """Images as uint8 (n, channels, height, width), labels as int64 (n,), and how pixels become network input.

    Network input is ``(pixel / pixel_max - mean) / std``; mean and std are 0.5 as in the published experiments,
    which leave only Tiny ImageNet in [0, 1] (mean 0, std 1).
    ``digest`` is a SHA-256 over the arrays and these three numbers.
    ``names`` are the labels behind the classes 0 … C − 1 where a file has others, or None.
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
    names: list | None = None

    @property
    def in_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.x_train.shape[1:]


def assemble(
    arrays: Mapping[str, np.ndarray],
    pixel_max: int = 255,
    mean: float = Dataset.mean,
    std: float = Dataset.std,
    names: list | None = None,
) -> Dataset:
    """`Dataset` of the four ``arrays`` named in `ARRAYS`; classes are numbered from 0 to the largest label."""
    return Dataset(
        **arrays,
        n_classes=int(max(arrays["y_train"].max(), arrays["y_test"].max())) + 1,
        pixel_max=pixel_max,
        digest=_digest(arrays, pixel_max, mean, std),
        mean=mean,
        std=std,
        names=names,
    )


def save(data: Dataset, folder: str | os.PathLike) -> None:
    """Write the four arrays as .npy and the rest as meta.json, with digests of all, into ``folder``."""
    folder, files = Path(folder), {}
    for name in ARRAYS:
        with atomic(folder / f"{name}.npy") as path:
            with open(path, "wb") as handle:
                np.save(handle, getattr(data, name), allow_pickle=False)
            files[name] = digests.of_file(path)
    meta = {key: getattr(data, key) for key in ("n_classes", "pixel_max", "digest", "mean", "std")} | {"sha256": files}
    if data.names is not None:
        meta["names"] = data.names
    with atomic(folder / META) as path:
        path.write_text(json.dumps(meta | {"meta_sha256": _of_meta(meta)}, indent=1) + "\n")


def load(folder: str | os.PathLike, verify: bool = True) -> Dataset:
    """Data set that `save` wrote; images are memory-mapped.

    ``verify`` reads all arrays once, to compare them with the digest; who wants shapes and classes alone goes without.
    Raises `latentgen.digests.Damaged` when files are not what `save` wrote.
    """
    folder = Path(folder)
    meta = _meta(folder)
    files, arrays = meta.pop("sha256", {}), {}
    for name in ARRAYS:
        path = folder / f"{name}.npy"
        try:
            arrays[name] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, FileNotFoundError) as error:
            raise digests.Damaged(f"{path} is missing or no whole .npy file. {_remedy(folder)}") from error
    data = Dataset(**arrays, **meta)
    if verify:
        _verify(data, folder, files)
    return data


def _meta(folder: Path) -> dict[str, Any]:
    path = folder / META
    try:
        meta = json.loads(path.read_text())
        kept = meta.pop("meta_sha256", None)
        found = _of_meta(meta)
        if kept is None and "sha256" in meta:
            raise ValueError("its own digest is missing")
    except (ValueError, AttributeError) as error:
        raise digests.Damaged(f"{path} is damaged: {error}. {_remedy(folder)}") from error
    if kept is not None:
        digests.expect(f"what {path} says", found, kept, "its last line", _remedy(folder))
    return meta


def _of_meta(meta: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def _verify(data: Dataset, folder: Path, files: Mapping[str, str]) -> None:
    """Compare the arrays with the digest, which is of all; ``files``, where they are known, tell which one differs."""
    found = _digest({name: getattr(data, name) for name in ARRAYS}, data.pixel_max, data.mean, data.std)
    if found == data.digest:
        return
    meta, remedy = folder / META, _remedy(folder)
    for name, sha256 in files.items():
        path = folder / f"{name}.npy"
        digests.expect(path, digests.of_file(path), sha256, str(meta), remedy)
    digests.expect(
        f"one of {', '.join(f'{name}.npy' for name in ARRAYS)} in {folder}", found, data.digest, str(meta), remedy
    )


def _remedy(folder: Path) -> str:
    return f"Call 'rm -r {folder}', then Snakemake again, which prepares the data anew and keeps results of equal data"


def _digest(arrays: Mapping[str, np.ndarray], pixel_max: int, mean: float, std: float) -> str:
    digest = hashlib.sha256(f"{pixel_max} {mean} {std}".encode())
    for name in ARRAYS:
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array)
    return digest.hexdigest()
