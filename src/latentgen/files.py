"""Files that are whole or absent: write beside, fsync, rename."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from latentgen import leftovers


@contextlib.contextmanager
def atomic(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it replaces ``path``, on an error it goes.

    The temporary name keeps the suffix of ``path``, because some writers choose a format by it. A writer must write
    into the file that is there, not put another in its place. What killed processes left in the folder is removed.
    Raises ``OSError`` when the folder cannot be made or written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    leftovers.sweep(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=leftovers.prefix(path.stem), suffix=path.suffix)
    temporary = Path(name)
    with leftovers.held(handle):
        try:
            yield temporary
            share(temporary)
            _sync(temporary)
            os.replace(temporary, path)
            _sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def temporary_folder(parent: str | os.PathLike, name: str) -> Iterator[Path]:
    """Yield a new hidden folder in ``parent``, which is removed at the end unless it has been renamed.

    What killed processes left in ``parent`` is removed. Raises ``OSError`` when ``parent`` cannot be written.
    """
    leftovers.sweep(parent)
    made = Path(tempfile.mkdtemp(dir=parent, prefix=leftovers.prefix(name)))
    with leftovers.held(os.open(made, os.O_RDONLY)):
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)


def share(path: str | os.PathLike) -> None:
    """Give a file or folder of `tempfile`, which makes them private, the rights that the user's umask leaves."""
    path = Path(path)
    umask = os.umask(0)
    os.umask(umask)
    path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
