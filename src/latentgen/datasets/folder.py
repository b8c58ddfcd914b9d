"""Data sets of one's own, as folders of image files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from latentgen.datasets import images, listing
from latentgen.datasets.base import DataError, refuse
from latentgen.progress import log

#: Raised by hand when a change alters the arrays that some folder gives.
VERSION = 2

#: PIL's modes of black and white and of grey-scale images, the latter with or without transparency.
GREY = {"1", "L", "LA"}


def load(folder: Path, size: int | None = None) -> dict[str, np.ndarray]:
    """Images of ``folder/train/<class>/`` and ``folder/test/<class>/``, or ``val`` where there is no ``test``.

    Classes are numbered in the sorted order of their names, images sorted by name within a class. Hidden entries and
    files without the ending of an image are passed over. Images are RGB unless all are grey; see `images.read` for
    what is done to them. With ``size`` each is resized to ``size`` × ``size`` pixels; otherwise they must be of one
    size.
    Raises `DataError` when folders, classes or sizes do not fit, a link leads out of ``folder``, or a file cannot be
    read.
    """
    parts = _parts(folder)
    tree = listing.Tree(folder)
    listed = {part: listing.images_of_classes(path, tree) for part, path in parts.items()}
    _same_classes(parts, {part: names for part, (names, _) in listed.items()})
    paths = {part: [path for of_class in found for path in of_class] for part, (_, found) in listed.items()}
    mode, common = _survey([path for found in paths.values() for path in found], size)
    arrays = {}
    for part, (names, found) in listed.items():
        log.info("%s: %d images of %d classes", parts[part], len(paths[part]), len(names))
        arrays[f"x_{part}"] = images.read(paths[part], mode, common, resize=size is not None)
        arrays[f"y_{part}"] = np.repeat(np.arange(len(names), dtype=np.int64), [len(of_class) for of_class in found])
    return arrays


def check(folder: Path) -> None:
    """Raise `DataError` for what `load` refuses, as far as it shows from the folders of the classes."""
    parts, tree = _parts(folder), listing.Tree(folder)
    names = {part: tree.classes(path) for part, path in parts.items()}
    _same_classes(parts, names)
    for part, path in parts.items():
        if empty := [name for name in names[part] if not tree.has_image(path / name)]:
            raise listing.without_images(path, empty, len(names[part]))


def class_folders(folder: Path) -> list[Path]:
    """Folders of all classes. Raises `DataError` when a part of ``folder`` has none."""
    tree = listing.Tree(folder)
    return [path / name for path in _parts(folder).values() for name in tree.classes(path)]


def _parts(folder: Path) -> dict[str, Path]:
    """Where the training and the test images are."""
    parts = {"train": folder / "train", "test": folder / ("test" if (folder / "test").is_dir() else "val")}
    for part, path in parts.items():
        if not path.is_dir():
            raise DataError(
                f"{folder} has no {part} images; put them into {folder / part}/<class>/, "
                "or correct 'folder' of the data set in the configuration"
            )
    return parts


def _same_classes(parts: dict[str, Path], names: dict[str, list[str]]) -> None:
    for here, there in (("train", "test"), ("test", "train")):
        lacking = sorted(set(names[here]) - set(names[there]))
        if lacking:
            more = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
            raise DataError(
                f"{parts[there]} lacks the class {lacking[0]!r}{more} that {parts[here]} has; both need the same"
            )
    if len(names["train"]) == 1:
        raise DataError(
            f"{parts['train']} has the single class {names['train'][0]!r}; a data set needs two classes or more"
        )


def _survey(paths: Sequence[Path], size: int | None) -> tuple[str, tuple[int, int]]:
    """Mode and size (width, height) for all images, from their headers alone."""
    grey, turned, transparent, first, faults = True, 0, 0, None, []
    for path in paths:
        try:
            found = images.header(path)
        except DataError as error:
            faults.append(error)
            continue
        grey = grey and found.mode in GREY
        turned += found.turned
        transparent += found.transparent
        first = first or (found.size, path)
        if size is None and found.size != first[0]:
            sizes = [f"{width} × {height}" for width, height in (found.size, first[0])]
            faults.append(
                DataError(
                    f"{path} is {sizes[0]} pixels, {first[1]} is {sizes[1]}; "
                    "declare a 'size' for the data set to have all resized"
                )
            )
    refuse(faults)
    if turned:
        log.info("%d of %d images are turned upright, as their EXIF tag says", turned, len(paths))
    if transparent:
        log.info("%d of %d images can be transparent; %s shows through", transparent, len(paths), images.BACKGROUND)
    return "L" if grey else "RGB", first[0] if size is None else (size, size)
