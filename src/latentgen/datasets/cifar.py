"""The batches of CIFAR-10 and CIFAR-100, which are pickles, read without running what a pickle may ask for."""

import io
import pickle
from collections.abc import Iterable

import numpy as np

from latentgen.datasets.base import DataError

#: Keys of the labels in a batch: of CIFAR-10, and the 100 fine ones of CIFAR-100.
LABELS = ("labels", "fine_labels")


def read(batches: Iterable[tuple[object, bytes]]) -> tuple[np.ndarray, np.ndarray]:
    """Images as uint8 (n, 3, 32, 32) and labels as int64 (n,) of batches in their order.

    batches : name and content of each file

    Raises `DataError` that names a batch that holds anything but arrays, numbers and text.
    """
    pixels, labels = [], []
    for name, content in batches:
        try:
            batch = _Unpickler(io.BytesIO(content), encoding="latin1").load()
            of_batch = next(batch[key] for key in LABELS if key in batch)
            labels.append(np.array(of_batch, dtype=np.int64))
            pixels.append(batch["data"].rows(len(of_batch)))
        # A broken pickle may raise anything.
        except Exception as error:
            reason = f"{error}" or type(error).__name__
            raise DataError(f"{name} is no batch of CIFAR ({reason}); put an intact copy in its place") from error
    return np.concatenate(pixels).reshape(-1, 3, 32, 32), np.concatenate(labels)


class _Type:
    """Stands for ``numpy.dtype``, of which the name counts alone: what else a pickle says of it NumPy would trust."""

    def __init__(self, name: str, *_):
        self.name = name

    def __setstate__(self, state: tuple) -> None:
        pass


class _Array:
    """Stands for ``numpy.ndarray``: shape, type and bytes as the pickle has them."""

    def __setstate__(self, state: tuple) -> None:
        _, self.shape, self.type, self.fortran, self.content = state

    def rows(self, n: int) -> np.ndarray:
        """Images as uint8 (n, 3072)."""
        if (self.shape, self.type.name, self.fortran) != ((n, 3072), "u1", False):
            raise ValueError(f"images are {self.type.name} {self.shape} for {n} labels")
        # Python 2 wrote bytes as text.
        content = self.content.encode("latin1") if isinstance(self.content, str) else self.content
        return np.frombuffer(content, np.uint8).reshape(n, 3072)


def _array(*_) -> _Array:
    return _Array()


def _encoded(text: str, encoding: str) -> bytes:
    """Bytes as Python 3 writes them where Python 2 is to read them."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text in {encoding!r}")
    return text.encode("latin1")


class _Unpickler(pickle.Unpickler):
    """Knows the names of which pickled arrays are made, and gives stand-ins for them."""

    known = {
        ("numpy.core.multiarray", "_reconstruct"): _array,
        ("numpy._core.multiarray", "_reconstruct"): _array,
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Type,
        ("_codecs", "encode"): _encoded,
    }

    def find_class(self, module: str, name: str):
        if (module, name) not in self.known:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return self.known[module, name]
