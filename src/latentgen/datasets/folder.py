"""Data sets of one's own, as folders of image files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from latentgen.datasets import images
from latentgen.datasets.base import DataError
from latentgen.progress import log

#: PIL's modes of black and white and of grey-scale images, the latter with or without transparency.
GREY = {"1", "L", "LA"}


def load(folder: Path, size: int | None = None) -> dict[str, np.ndarray]:
    """Images of ``folder/train/<class>/`` and ``folder/test/<class>/``, or ``val`` where there is no ``test``.

    Classes are numbered in the sorted order of their names, images sorted by name within a class. They are RGB
    unless all are grey. With ``size`` each is resized to ``size`` × ``size`` pixels as `images.read` does; otherwise
    they must be of one size.
    Raises `DataError` when folders, classes or sizes do not fit, or a file cannot be read.
    """
    parts = {"train": folder / "train", "test": folder / ("test" if (folder / "test").is_dir() else "val")}
    for part, path in parts.items():
        if not path.is_dir():
            raise DataError(
                f"{folder} has no {part} images; put them into {folder / part}/<class>/, "
                "or correct 'folder' of the data set in the configuration"
            )
    listed = {part: listing(path) for part, path in parts.items()}
    for here, there in (("train", "test"), ("test", "train")):
        lacking = sorted(set(listed[here][0]) - set(listed[there][0]))
        if lacking:
            raise DataError(f"{parts[there]} lacks the class {lacking[0]!r} that {parts[here]} has; both need the same")
    mode, common = _survey([path for _, paths, _ in listed.values() for path in paths], size)
    arrays = {}
    for part, (classes, paths, labels) in listed.items():
        log.info("%s: %d images of %d classes", parts[part], len(paths), len(classes))
        arrays[f"x_{part}"] = images.read(paths, mode, common, resize=size is not None)
        arrays[f"y_{part}"] = labels
    return arrays


def listing(folder: Path) -> tuple[list[str], list[Path], np.ndarray]:
    """Class names, image files and their labels (n,) in the order of `torchvision.datasets.ImageFolder`.

    Files whose ending is not that of an image are passed over. Raises `DataError` when a class has no image.
    """
    from torchvision.datasets import ImageFolder

    try:
        found = ImageFolder(folder)
    except FileNotFoundError as error:
        raise DataError(f"{folder}: {error}") from error
    return found.classes, [Path(path) for path, _ in found.samples], np.array(found.targets, dtype=np.int64)


def _survey(paths: Sequence[Path], size: int | None) -> tuple[str, tuple[int, int]]:
    """Mode and size (width, height) for all images, from their headers alone."""
    grey, first = True, None
    for path in paths:
        with images.opened(path) as image:
            mode, own = image.mode, image.size
        if mode.startswith(("I", "F")):
            raise DataError(f"{path} has more than 8 bits for each pixel (mode {mode}); save it with 8 bits")
        grey = grey and mode in GREY
        first = first or (own, path)
        if size is None and own != first[0]:
            raise DataError(
                f"{path} is {own[0]} × {own[1]} pixels, {first[1]} is {first[0][0]} × {first[0][1]}; "
                "declare a 'size' for the data set to have all resized"
            )
    return "L" if grey else "RGB", first[0] if size is None else (size, size)
