"""From labels as a user has them to classes 0 … C − 1."""

from typing import NamedTuple

import numpy as np

from latentgen.datasets.base import DataError
from latentgen.spelling import shortened

#: Largest values of integer types, which stand for «no label» in many files.
NO_LABEL = {2**bits - 1 for bits in (8, 16, 31, 32, 63)}

#: How many labels a message or a log line lists.
LISTED = 20


class Numbered(NamedTuple):
    """Labels as classes.

    train, test : (n,) int64 in [0, C)
    names : the label behind each class (integers, truth values or text), or None where the labels are the classes
    counts : (C,) training images of each class
    """

    train: np.ndarray
    test: np.ndarray
    names: list | None
    counts: np.ndarray

    def described(self) -> str:
        """``"0 is 'ant' (12 images), 1 is 'bee' (9 images)"``."""
        names = self.names if self.names is not None else range(len(self.counts))
        pairs = zip(names, self.counts.tolist(), strict=True)
        return shortened([f"{index} is {name!r} ({count} images)" for index, (name, count) in enumerate(pairs)], LISTED)


def number(train: np.ndarray, test: np.ndarray, where: object) -> Numbered:
    """Number the labels that occur in ``train`` from 0, in sorted order.

    train, test : (n,) or (n, 1) of integers, truth values, text, or floating-point numbers that are whole
    where : the file, for messages

    Raises `DataError` for labels of another form, a single class, a class that ``test`` alone has, and one value that
    looks as if it marked images without a label.
    """
    wrapped = train.dtype.itemsize == 1 and train.dtype.kind in "iu"
    train, test = (_one_kind(labels, f"{where}: y_{part}") for part, labels in (("train", train), ("test", test)))
    if train.dtype.kind != test.dtype.kind:
        raise DataError(f"{where}: y_train holds {_kind(train)}, y_test {_kind(test)}; save both alike")
    values, codes, counts = np.unique(train, return_inverse=True, return_counts=True)
    there, there_counts = np.unique(test, return_counts=True)
    new = ~np.isin(there, values)
    if new.any():
        pairs = zip(there[new].tolist(), there_counts[new].tolist(), strict=True)
        raise DataError(
            f"{where}: y_train has no image of the labels that y_test has: "
            f"{shortened([f'{label!r} ({count} images)' for label, count in pairs], LISTED)}; "
            "add training images of them, or leave them out of the test set"
        )
    if len(values) < 2:
        raise DataError(
            f"{where}: all {len(train)} labels of y_train are {values[0].item()!r}; "
            "a data set needs two classes or more"
        )
    if wrapped and len(values) == 256:
        raise DataError(
            f"{where}: y_train has all 256 values of a label of 8 bits, as more classes have when they are cast to it; "
            "save labels as int64, from before the cast"
        )
    if values.dtype.kind == "i" and (index := _lone(values)) is not None:
        others = shortened([str(value) for value in np.delete(values, index)], LISTED)
        raise DataError(
            f"{where}: the label {values[index]} ({counts[index]} images in y_train) lies far from the others "
            f"({others}), as labels do that mark images to "
            "ignore; leave these images out, or number the label with the others where it is a class"
        )
    as_they_are = values.dtype.kind == "i" and np.array_equal(values, np.arange(len(values)))
    names = None if as_they_are else values.tolist()
    return Numbered(codes.astype(np.int64), np.searchsorted(values, test).astype(np.int64), names, counts)


def _one_kind(labels: np.ndarray, where: str) -> np.ndarray:
    """Labels (n,) as int64, bool or str."""
    labels = labels.reshape(len(labels))
    kind = labels.dtype.kind
    if kind == "S":
        try:
            labels = np.char.decode(labels, "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{where} has text that is not UTF-8 ({error}); save labels as integers or str") from error
        kind = "U"
    if kind == "b" or (kind == "U" and (labels != "").all()):
        return labels
    if kind == "U":
        raise DataError(f"{where} has {(labels == '').sum()} empty labels; name them, or leave these images out")
    if kind == "f":
        odd = ~(np.isfinite(labels) & (labels == np.floor(labels)) & (np.abs(labels) < 2**53))
        if odd.any():
            raise DataError(
                f"{where} has {odd.sum()} numbers that are not whole, the first {labels[odd][0].item()!r}; "
                "labels name classes: save integers or text"
            )
    elif labels.max() > np.iinfo(np.int64).max:
        raise DataError(f"{where} has labels of 2**63 and more; number the classes from 0")
    return labels.astype(np.int64)


def _kind(labels: np.ndarray) -> str:
    return {"b": "truth values", "i": "integers", "U": "text"}[labels.dtype.kind]


def _lone(values: np.ndarray) -> int | None:
    """Index of the one of at least three sorted integers that stands apart as a mark of «no label» does, or None.

    That is one negative value below others that are not, the largest value of an integer type with a gap before it,
    or a value behind consecutive ones at a distance that is large beside their number.
    """
    if len(values) < 3:
        return None
    if values[0] < 0 <= values[1]:
        return 0
    gap = int(values[-1]) - int(values[-2])
    consecutive = values[-2] - values[0] == len(values) - 2
    if (int(values[-1]) in NO_LABEL and gap > 1) or (consecutive and gap > max(10, 2 * len(values))):
        return len(values) - 1
    return None
