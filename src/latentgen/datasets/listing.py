"""Which image files a folder of classes holds, and what of it is passed over or refused."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from latentgen.datasets.base import DataError, refuse
from latentgen.progress import log

#: Endings of the files that are read.
ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif")

#: Endings of other images: to pass over them would make a data set smaller without a word.
UNREAD = (
    *(".avif", ".heic", ".heif", ".jfif", ".jpe", ".jp2", ".j2k", ".jxl", ".pbm", ".pnm", ".svg", ".eps"),
    *(".tga", ".ico", ".psd", ".xcf", ".dng", ".nef", ".cr2", ".arw", ".exr", ".dcm"),
)

#: Folders that systems and archivers leave among one's own.
SYSTEM = {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"}


class Tree:
    """Folders of a data set, each of which is entered once; ``passed`` counts what is passed over, by kind.

    Parameters
    ----------
    root : folder that links may not lead out of, or None where they may
    """

    def __init__(self, root: Path | None):
        self.root = root.resolve() if root else None
        self.passed: Counter[str] = Counter()
        self.faults: list[DataError] = []
        self._entered: dict[tuple[int, int], Path] = {}
        if root:
            self._enter(root)

    def classes(self, part: Path) -> list[str]:
        """Sorted names of the folders in ``part``. Raises `DataError` when there are none or it cannot be listed."""
        if part.is_symlink():
            self._follow(part)
        self._enter(part)
        found = []
        for entry in self._entries(part):
            if self._is_folder(entry):
                found.append(entry.name)
            else:
                self.passed["beside the folders of classes"] += 1
        self._refuse()
        if not found:
            raise DataError(f"{part} has no folders; put the images of each class into {part}/<class>/")
        return sorted(found)

    def images(self, folder: Path) -> list[Path]:
        """Image files below ``folder``, sorted by the folder they are in, then by name."""
        return [Path(place, name) for place, name in sorted(self._images(folder))]

    def has_image(self, folder: Path) -> bool:
        """Whether there is one; what is wrong with entries that come before it raises `DataError`."""
        found = next(self._images(folder), None) is not None
        self._refuse()
        return found

    def report(self, part: Path) -> None:
        """Raise `DataError` for the first fault, or log how many entries were passed over."""
        self._refuse()
        if self.passed:
            counts = ", ".join(f"{count} {kind}" for kind, count in sorted(self.passed.items()))
            log.info("%s: entries passed over: %s", part, counts)
        self.passed.clear()

    def _refuse(self) -> None:
        refuse(sorted(self.faults, key=str))

    def _images(self, folder: Path) -> Iterator[tuple[str, str]]:
        """(folder, name) of each image file, in no order."""
        try:
            self._enter(folder)
            for entry in self._entries(folder):
                ending = os.path.splitext(entry.name)[1].lower()
                if self._is_folder(entry):
                    yield from self._images(Path(entry.path))
                elif ending in UNREAD:
                    self.faults.append(
                        DataError(f"{entry.path} is an image that is not read; convert it to PNG or JPEG, or remove it")
                    )
                elif ending not in ENDINGS:
                    self.passed["without the ending of an image"] += 1
                elif self._is_file(entry):
                    yield str(folder), entry.name
        except DataError as error:
            self.faults.append(error)

    def _entries(self, folder: Path) -> Iterator[os.DirEntry]:
        """Entries of a folder in no order, less those that are hidden or a system's own."""
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or entry.name in SYSTEM:
                        self.passed["hidden"] += 1
                    else:
                        yield entry
        except OSError as error:
            raise _unlisted(folder, error) from error

    def _is_folder(self, entry: os.DirEntry) -> bool:
        """Whether it is a folder, or a link to one that may be followed."""
        try:
            folder = entry.is_dir()
        except OSError:  # a link in a circle
            return False
        if folder and entry.is_symlink():
            return self._followed(entry)
        return folder

    def _is_file(self, entry: os.DirEntry) -> bool:
        if entry.is_symlink() and not self._followed(entry):
            return False
        if not entry.is_file():
            self.faults.append(DataError(f"{entry.path} is no regular file; remove it"))
            return False
        return True

    def _followed(self, entry: os.DirEntry) -> bool:
        try:
            self._follow(Path(entry.path))
        except DataError as error:
            self.faults.append(error)
            return False
        return True

    def _follow(self, link: Path) -> None:
        try:
            target = link.resolve(strict=True)
        except (OSError, RuntimeError) as error:  # RuntimeError: a circle, up to Python 3.12
            raise DataError(f"{link} is a link that leads nowhere; remove it, or put its file in its place") from error
        if self.root and not target.is_relative_to(self.root):
            raise DataError(
                f"{link} is a link to {target}, outside of {self.root}; put a copy in its place (cp -rL copies what "
                "links lead to)"
            )

    def _enter(self, folder: Path) -> None:
        try:
            status = os.stat(folder)
        except OSError as error:
            raise _unlisted(folder, error) from error
        before = self._entered.setdefault((status.st_dev, status.st_ino), folder)
        if before != folder:
            raise DataError(
                f"{folder} and {before} are the same folder, so that its images would count twice; remove the link"
            )


def _unlisted(folder: Path, error: OSError) -> DataError:
    return DataError(f"{folder} cannot be listed ({error.strerror}); give yourself the right to read it")


def images_of_classes(part: Path, tree: Tree) -> tuple[list[str], list[list[Path]]]:
    """Names of the classes in ``part`` and the image files of each, in the order of torchvision's ``ImageFolder``.

    Raises `DataError` when a class has no image, or `Tree` finds something wrong.
    """
    names = tree.classes(part)
    paths = [tree.images(part / name) for name in names]
    tree.report(part)
    if empty := [name for name, found in zip(names, paths, strict=True) if not found]:
        raise without_images(part, empty, len(names))
    return names, paths


def without_images(part: Path, empty: list[str], n_classes: int) -> DataError:
    """What is wrong with ``part`` when the classes ``empty`` of it have no images."""
    return DataError(
        f"{part}: {len(empty)} of {n_classes} classes have no images, the first {empty[0]!r}; put images "
        f"({', '.join(ENDINGS)}) into {part / empty[0]}, or remove the class from both parts"
    )
