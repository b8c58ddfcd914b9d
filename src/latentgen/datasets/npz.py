"""Data sets of one's own, as arrays in one .npz file."""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib import format as npy

from latentgen.datasets import classes
from latentgen.datasets.base import ARRAYS, DataError
from latentgen.progress import log
from latentgen.spelling import shortened

#: Raised by hand when a change alters the arrays of files whose labels are numbered anew; see `version`.
VERSION = 2

#: What a file of another kind starts with.
OTHERS = {
    b"PK": "cut off or damaged",
    b"\x93NUMPY": "a single array (.npy)",
    b"\x89HDF": "an HDF5 file",
    b"MATLAB": "a MATLAB file",
    b"\x1f\x8b": "a gzip file",
    b"\x80": "a pickle",
}
NEEDED = f"an .npz file, numpy.savez(path, {', '.join(f'{name}=…' for name in ARRAYS)}), is needed"

#: What to do about images of another type, by the kind of the type.
TO_BYTES = {
    "f": "from values in 0 … 255, x.round().astype(numpy.uint8); in 0 … 1, (x * 255).round().astype(numpy.uint8); "
    "in -1 … 1, ((x + 1) * 127.5).round().astype(numpy.uint8); none may be infinite or not a number",
    "b": "x.astype(numpy.uint8) * 255",
    "u": "from 16 bits, (x // 257).astype(numpy.uint8); where all values are in 0 … 255, x.astype(numpy.uint8)",
    "i": "where all values are in 0 … 255, x.astype(numpy.uint8)",
    "O": "numpy.stack(list(x)).astype(numpy.uint8), for which all images must be of one size",
}


class Header(NamedTuple):
    """What an array of the file is said to be."""

    shape: tuple[int, ...]
    dtype: np.dtype


def load(path: Path) -> tuple[dict[str, np.ndarray], list | None]:
    """The four arrays, and the labels behind the classes where they are others than 0 … C − 1.

    Images are uint8 (n, height, width) or (n, height, width, channels). Labels are (n,) or (n, 1): integers, truth
    values, text, or whole numbers; `latentgen.datasets.classes` says how they become classes.
    Raises `DataError` when the file is absent, cannot be read, or holds something else.
    """
    with _opened(path) as archive:
        _headers(archive, path)
        numbered = _labels(archive, path)
        arrays = {}
        for part, labels in (("train", numbered.train), ("test", numbered.test)):
            x = _array(archive, f"x_{part}", path)
            x = x[..., None] if x.ndim == 3 else x
            arrays[f"x_{part}"] = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
            arrays[f"y_{part}"] = labels
    if numbered.names is not None:
        log.info("%s: labels become classes: %s", path, numbered.described())
    return arrays, numbered.names


def check(path: Path) -> classes.Numbered:
    """Labels as classes. Raises `DataError` for all that `load` refuses, as far as it shows without reading images."""
    with _opened(path) as archive:
        _headers(archive, path)
        return _labels(archive, path)


def version(path: Path) -> int:
    """1 where the labels of the file are its classes, which every version reads alike, else `VERSION`."""
    return 1 if check(path).names is None else VERSION


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive, whose entries have sound names."""
    if path.is_dir():
        raise DataError(f"{str(path)!r} is a folder; name the .npz file, or declare it as 'folder' if it holds images")
    if not path.is_file():
        what = "is no regular file" if path.exists() else "does not exist"
        raise DataError(f"data file {str(path)!r} {what}; correct 'npz' of the data set in the configuration")
    try:
        with open(path, "rb") as file:
            start = file.read(8)
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        kind = next((kind for magic, kind in OTHERS.items() if start.startswith(magic)), "of another kind")
        raise DataError(f"{path} cannot be read as .npz: it is {kind if start else 'empty'}; {NEEDED}") from error
    except (OSError, NotImplementedError, ValueError) as error:
        raise DataError(f"{path} cannot be read as .npz: {error}") from error
    with archive:
        yield archive


def _headers(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse what the names, types and shapes of the arrays show to be wrong."""
    found = [name.removesuffix(".npy") for name in archive.namelist()]
    if missing := [name for name in ARRAYS if name not in found]:
        others = [name for name in found if name not in ARRAYS][:100]  # a ZIP archive of images has many
        near = {name: get_close_matches(name, others, n=1) for name in missing}
        lacks = ", ".join(f"{name} (did you mean {near[name][0]!r}?)" if near[name] else name for name in missing)
        raise DataError(f"{path} has no {lacks}; it has {shortened(found, classes.LISTED) or 'nothing'}; {NEEDED}")
    for name in ARRAYS:
        if found.count(name) > 1:
            raise DataError(f"{path} has {name} {found.count(name)} times; {NEEDED}")
    headers = {name: _header(archive, name, path) for name in ARRAYS}
    for part in ("train", "test"):
        _form(headers[f"x_{part}"], headers[f"y_{part}"], part, path)
    train, test = headers["x_train"].shape[1:], headers["x_test"].shape[1:]
    if (*train, 1)[:3] != (*test, 1)[:3]:
        raise DataError(
            f"{path}: images of x_train are {train}, of x_test {test}; both must be of one size and number of channels"
        )


def _header(archive: zipfile.ZipFile, name: str, path: Path) -> Header:
    """Shape and type of an array whose entry holds as many bytes as that says."""
    entry = _entry(archive, name)
    if entry.flag_bits & 1:
        raise DataError(f"{path}: {name} is encrypted; {NEEDED}")
    with _reading(path, name), archive.open(entry) as file:
        major, _ = npy.read_magic(file)
        if major not in (1, 2):
            raise ValueError("a header of another version")
        shape, _, dtype = (npy.read_array_header_1_0 if major == 1 else npy.read_array_header_2_0)(file)
        claimed = file.tell() + math.prod(shape) * dtype.itemsize
    if dtype.hasobject:
        remedy = TO_BYTES["O"] if name.startswith("x") else "numpy.array(list(y))"
        raise DataError(f"{path}: {name} holds Python objects, which are never unpickled; save {remedy}")
    if claimed != entry.file_size or claimed > _most(entry) or entry.compress_size > path.stat().st_size:
        raise DataError(
            f"{path}: {name} says that it is {dtype} {shape}, {claimed:,} bytes, which the file cannot hold; "
            "it is damaged or cut off, save it again"
        )
    return Header(shape, dtype)


def _most(entry: zipfile.ZipInfo) -> float:
    """Bytes that an entry can hold at most, by how it is compressed: deflate makes up to 1,032 of one."""
    factors = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: 1032}
    return entry.compress_size * factors.get(entry.compress_type, math.inf)


def _form(x: Header, y: Header, part: str, path: Path) -> None:
    said = f"{path}: x_{part} must be uint8 (n, height, width[, channels]), got {x.dtype} {x.shape}"
    if len(x.shape) == 2:
        raise DataError(f"{said}: a table of {x.shape[1]} features; reshape its rows to images, (n, height, width)")
    if len(x.shape) not in (3, 4):
        raise DataError(f"{said}; bring it to that shape")
    if not min(x.shape):
        raise DataError(f"{said}: it has no images, or images without pixels; both parts need some")
    if x.dtype != np.uint8:
        remedy = TO_BYTES.get(x.dtype.kind)
        raise DataError(said + (f"; save {remedy}" if remedy else "; save numbers"))
    if len(y.shape) == 2 and y.shape[1] > 1 and y.shape[0] == x.shape[0]:
        raise DataError(
            f"{path}: y_{part} must be {x.shape[0]} labels, got {y.dtype} {y.shape}; from one-hot rows or "
            "probabilities of the classes, save y.argmax(axis=1)"
        )
    if y.shape not in ((x.shape[0],), (x.shape[0], 1)):
        last = len(y.shape) == 1 and y.shape[0] == x.shape[-1]
        hint = "; images must come first, save numpy.moveaxis(x, -1, 0)" if last else "; save one label for each image"
        raise DataError(f"{path}: y_{part} must be {x.shape[0]} labels, got {y.dtype} {y.shape}{hint}")
    if y.dtype.kind not in "biufUS":
        raise DataError(f"{path}: y_{part} is {y.dtype}; labels must be integers, text or truth values")
    if len(x.shape) == 4 and _channels_first(*x.shape[1:]):
        raise DataError(
            f"{path}: x_{part} is {x.shape}, which has {x.shape[3]} channels of {x.shape[1]} × {x.shape[2]} pixels and "
            "looks as if channels came before height and width; save x.transpose(0, 2, 3, 1). Where it is right as it "
            "is, save height and width exchanged, x.transpose(0, 2, 1, 3)"
        )


def _channels_first(first: int, second: int, third: int) -> bool:
    """Whether the axes of an image are rather (channels, height, width) than (height, width, channels).

    With more than four channels, where they are as many as one side has pixels and the other is of another length, or
    where the first axis is the shortest; with fewer, where one or three rows would make a small square a strip.
    """
    square = first != second == third > 1
    return (third > 4 and (square or first < min(second, third))) or (square and first in (1, 3))


def _labels(archive: zipfile.ZipFile, path: Path) -> classes.Numbered:
    return classes.number(_array(archive, "y_train", path), _array(archive, "y_test", path), path)


def _array(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    with _reading(path, name), archive.open(_entry(archive, name)) as file:
        return npy.read_array(file, allow_pickle=False)


def _entry(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    return next(entry for entry in archive.infolist() if entry.filename.removesuffix(".npy") == name)


@contextmanager
def _reading(path: Path, name: str) -> Iterator[None]:
    """Name file and array in whatever goes wrong: an archive from elsewhere may be broken in any way.

    What NumPy itself says is left out, because it advises to unpickle.
    """
    try:
        yield
    except MemoryError as error:
        raise DataError(f"{path}: {name} does not fit into memory ({error}); save fewer or smaller images") from error
    except NotImplementedError as error:
        raise DataError(f"{path}: {name} is compressed in a way that Python cannot read; {NEEDED}") from error
    except Exception as error:
        reason = f"{name} is damaged ({type(error).__name__})"
        raise DataError(f"{path} cannot be read as .npz: {reason}; {NEEDED}") from error
