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

__all__ = ["ARRAYS", "BUILTIN", "VERSION", "DataError", "Dataset", "load", "prepare", "save"]

#: Raised by hand when a change alters the arrays that some data set gives.
VERSION = 1

#: Names that need no declaration in a configuration. Any other name is declared under ``datasets:`` as
#: ``{npz: path}`` or ``{folder: path, size: pixels}``, where ``size`` may be left out.
BUILTIN = ("digits", *torchvision_sets.CLASSES, "tiny-imagenet")


def prepare(name: str, root: str | os.PathLike, declared: Mapping[str, Any] | None = None) -> Dataset:
    """Load ``name`` from its original files: a name of `BUILTIN`, or what ``declared`` points to.

    Files that are absent under ``root`` are downloaded there; a ``root`` that has them is only read.
    Raises `DataError` when files are absent and cannot be fetched, damaged, or of the wrong form.
    """
    if declared is not None and "folder" in declared:
        return assemble(folder.load(Path(declared["folder"]), declared.get("size")))
    if declared is not None:
        return assemble(npz.load(Path(declared["npz"])))
    if name == "digits":
        return assemble(digits.load(), pixel_max=16)
    if name in torchvision_sets.CLASSES:
        return assemble(torchvision_sets.load(name, Path(root)))
    if name == "tiny-imagenet":
        # The published experiments leave this one in [0, 1].
        return assemble(tiny_imagenet.load(Path(root)), mean=0.0, std=1.0)
    raise DataError(f"unknown data set {name!r}; known: {', '.join(BUILTIN)}, or declare it under 'datasets'")
