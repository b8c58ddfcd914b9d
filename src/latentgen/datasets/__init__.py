"""Data sets: real files in, checked, and kept as plain uint8 arrays that every later step memory-maps.

`prepare` is the only place that knows where images come from; everything after it sees a `Dataset`.
Importing this package does not import torchvision, scikit-learn, torch or PIL.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latentgen.datasets import digits, folder, npz, tiny_imagenet, torchvision_sets
from latentgen.datasets.base import ARRAYS, DataError, Dataset, assemble, load, save
from latentgen.datasets.folder import class_folders
from latentgen.progress import log

__all__ = [
    "ARRAYS",
    "BUILTIN",
    "VERSION",
    "DataError",
    "Dataset",
    "check",
    "class_folders",
    "load",
    "prepare",
    "save",
    "version",
]

#: Raised by hand when a change alters the arrays that some built-in data set gives; see `version`.
VERSION = 1

#: Names that need no declaration in a configuration. Any other name is declared under ``datasets:`` as
#: ``{npz: path}`` or ``{folder: path, size: pixels}``, where ``size`` may be left out.
BUILTIN = ("digits", *torchvision_sets.CLASSES, "tiny-imagenet")

#: Training examples and classes of those that have a name.
TRAINING = {
    "digits": (1_347, 10),
    "mnist": (60_000, 10),
    "fashion-mnist": (60_000, 10),
    "cifar10": (50_000, 10),
    "cifar100": (50_000, 100),
    "tiny-imagenet": (100_000, 200),
}


def prepare(name: str, root: str | os.PathLike, declared: Mapping[str, Any] | None = None) -> Dataset:
    """Load ``name`` from its original files: a name of `BUILTIN`, or what ``declared`` points to.

    Files that are absent under ``root`` are downloaded there; a ``root`` that has them is only read.
    Raises `DataError` when files are absent and cannot be fetched, damaged, or of the wrong form.
    """
    if declared is not None and "folder" in declared:
        return _looked_at(name, assemble(folder.load(Path(declared["folder"]), declared.get("size"))))
    if declared is not None:
        arrays, names = npz.load(Path(declared["npz"]))
        return _looked_at(name, assemble(arrays, names=names))
    if name == "digits":
        return assemble(digits.load(), pixel_max=16)
    if name in torchvision_sets.CLASSES:
        return assemble(torchvision_sets.load(name, Path(root)))
    if name == "tiny-imagenet":
        # The published experiments leave this one in [0, 1].
        return assemble(tiny_imagenet.load(Path(root)), mean=0.0, std=1.0)
    raise DataError(f"unknown data set {name!r}; known: {', '.join(BUILTIN)}, or declare it under 'datasets'")


def check(declared: Mapping[str, Any]) -> None:
    """Raise `DataError` for what `prepare` refuses of a declared data set, as far as it shows without its images."""
    if "folder" in declared:
        folder.check(Path(declared["folder"]))
    else:
        npz.check(Path(declared["npz"]))


def version(declared: Mapping[str, Any] | None) -> int:
    """Version of the code that prepares a data set: one for each way, so that a change of one leaves others alone."""
    if declared is None:
        return VERSION
    return folder.VERSION if "folder" in declared else npz.version(Path(declared["npz"]))


def _looked_at(name: str, data: Dataset) -> Dataset:
    """The same, with a warning where the training images are hardly what was meant."""
    if all((image == data.x_train[0]).all() for image in data.x_train):
        log.warning("all training images of %s are the same", name)
    elif data.x_train.max() <= 1:
        log.warning("no pixel of %s is above 1 of 255; images in 0 … 1 must be multiplied by 255 to become uint8", name)
    return data
