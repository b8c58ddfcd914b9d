"""Original files under data_root: checked against known sums, and fetched whole or not at all."""

import os
from collections.abc import Callable, Iterable, Mapping
from http.client import HTTPException
from pathlib import Path

from latentgen.datasets.base import DataError
from latentgen.files import temporary_folder
from latentgen.progress import log


def check(folder: Path, sums: Mapping[str, str]) -> None:
    """Compare the md5 of files in ``folder`` with ``sums``. Raises `DataError` that names the first damaged one."""
    from torchvision.datasets.utils import check_integrity

    for name, md5 in sums.items():
        if not check_integrity(str(folder / name), md5):
            raise DataError(
                f"{folder / name} is damaged: its md5 is not {md5}. Delete it to have it downloaded again, "
                "or put an intact copy in its place."
            )


def fetch(name: str, root: Path, folder: Path, files: Iterable[str], download: Callable[[str], object]) -> None:
    """Call ``download`` with a new folder beside the data, and move what it leaves there into ``root``.

    A download that breaks off therefore leaves nothing under ``root`` that could pass for a file of the data set.
    Raises `DataError` that names ``files`` and the ``folder`` where they belong.
    """
    log.info("downloading %s to %s", name, root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with temporary_folder(root, "download") as staging:
            download(str(staging))
            for entry in staging.iterdir():
                _move(entry, root / entry.name)
    # torchvision raises a bare RuntimeError where a sum is wrong or no mirror answers.
    except (RuntimeError, OSError, HTTPException) as error:
        reason = " ".join(str(error).split())  # torchvision lists the mirrors line by line
        raise DataError(
            f"{name} is not under {folder} and cannot be downloaded ({reason}). "
            f"Put {', '.join(files)} there, or set data_root to a folder that has the data."
        ) from error


def _move(source: Path, target: Path) -> None:
    """Rename, merging folders that exist on both sides."""
    if source.is_dir() and target.is_dir():
        for entry in source.iterdir():
            _move(entry, target / entry.name)
    else:
        os.replace(source, target)
