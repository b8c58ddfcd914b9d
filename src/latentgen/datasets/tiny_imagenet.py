"""Tiny ImageNet from its official folder; its validation images, whose labels are known, are the test set."""

import tempfile
from pathlib import Path

import numpy as np

from latentgen.datasets import images, listing, originals
from latentgen.datasets.base import DataError

FOLDER = "tiny-imagenet-200"
ARCHIVE = f"{FOLDER}.zip"
URL = f"https://cs231n.stanford.edu/{ARCHIVE}"
#: Not published beside the archive; many public loaders of it agree on this sum.
MD5 = "90528d7ca1a48142e341f4ef8d21d0de"

REMEDY = f"complete the folder {FOLDER}, or delete it to have it unpacked or downloaded again"


def load(root: Path) -> dict[str, np.ndarray]:
    """Arrays from the folder or else the archive under ``root``, downloaded if neither is there.

    Raises `DataError` that names what is absent, damaged or incomplete.
    """
    from torchvision.datasets.utils import extract_archive

    folder, archive = root / FOLDER, root / ARCHIVE
    if not folder.exists() and archive.exists():
        originals.check(root, {ARCHIVE: MD5})
        with tempfile.TemporaryDirectory() as scratch:
            extract_archive(str(archive), scratch)
            return read(Path(scratch) / FOLDER)
    if not folder.exists():
        originals.fetch("Tiny ImageNet", root, root, [f"{FOLDER}/ or {ARCHIVE}"], _download)
    return read(folder)


def _download(staging: Path) -> None:
    from torchvision.datasets.utils import extract_archive

    originals.download([URL], staging, ARCHIVE, MD5)
    extract_archive(str(staging / ARCHIVE), str(staging))


def read(folder: Path, n_classes: int = 200, per_class: int = 500, n_test: int = 10_000) -> dict[str, np.ndarray]:
    """RGB images of 64 × 64 pixels and labels; grey-scale files become RGB with three equal channels.

    Classes are numbered in the sorted order of their WordNet ids and training images sorted by name within a class,
    as `torchvision.datasets.ImageFolder` does; test images come in the order of ``val_annotations.txt``. The defaults
    are the counts of the official folder. Raises `DataError` that names what does not agree with them.
    """
    classes = sorted(row[0] for row in _rows(folder / "wnids.txt", n_classes))
    train = folder / "train"
    # A folder of the user's own may be put together from links; the counts tell whether they are right.
    found, paths = listing.images_of_classes(train, listing.Tree(None))
    if found != classes:
        odd = sorted(set(found) ^ set(classes))[0]
        raise DataError(f"{train} and {folder / 'wnids.txt'} differ in the class {odd}; {REMEDY}")
    for name, of_class in zip(classes, paths, strict=True):
        if len(of_class) != per_class:
            raise DataError(f"{train / name} has {len(of_class)} images, not {per_class}; {REMEDY}")

    annotations = folder / "val" / "val_annotations.txt"
    rows = _rows(annotations, n_test)
    for row in rows:
        if len(row) < 2 or row[1] not in classes:
            raise DataError(f"{annotations} gives {row[0]} no class of wnids.txt; {REMEDY}")
    return {
        "x_train": images.read([path for of_class in paths for path in of_class], "RGB", (64, 64)),
        "y_train": np.repeat(np.arange(n_classes), per_class),
        "x_test": images.read([folder / "val" / "images" / row[0] for row in rows], "RGB", (64, 64)),
        "y_test": np.array([classes.index(row[1]) for row in rows], dtype=np.int64),
    }


def _rows(path: Path, count: int) -> list[list[str]]:
    """Tab-separated rows of a text file, which must be ``count`` with different first fields."""
    try:
        rows = [line.split("\t") for line in path.read_text().splitlines()]
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); {REMEDY}") from error
    if not len(rows) == len({row[0] for row in rows}) == count:
        raise DataError(f"{path} has {len(rows)} lines, not {count} different ones; {REMEDY}")
    return rows
