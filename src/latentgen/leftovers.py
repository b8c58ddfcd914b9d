"""Temporary files and folders that say who made them, so that what a killed process left can be told and removed.

A temporary name carries the machine, the process and when that began. What is being written is locked besides: the
kernel drops the lock with the process, and containers that share a machine's name but not its processes share its
kernel.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from latentgen.progress import log

#: When a process began is told by a clock that is set now and then, by less than this.
CLOCK_SECONDS = 5
#: What another machine has made is abandoned when it has not been written to for this long.
ELSEWHERE_SECONDS = 7 * 24 * 3600.0

#: Names of temporary files and folders before names said who made them.
_UNMARKED = re.compile(
    r"^\.(.+-(?=[a-z]*[0-9_])[a-z0-9_]{8}\.(parquet|npy|safetensors|json|pdf|png|svg|csv|txt)"
    r"|(checkpoints|pilot)-[a-z0-9_]{8})$"
)
_MARKED = re.compile(r"^\..*-(?P<host>[0-9a-f]{8})-(?P<process>\d+)-(?P<began>\d+)-[a-z0-9_]{8}(\.[^.]*)?$")


def prefix(name: str) -> str:
    """First part of a temporary file's name, hidden; `tempfile` adds the rest."""
    me = psutil.Process()
    # A name may be as long as a file's name can be.
    return f".{name[:40]}-{_host()}-{me.pid}-{int(me.create_time())}-"


@contextlib.contextmanager
def held(handle: int) -> Iterator[None]:
    """Lock an open temporary file or folder, where the file system has locks, and close it at the end."""
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def sweep(folder: str | os.PathLike) -> list[Path]:
    """Remove the temporary files and folders in ``folder`` whose makers are dead; returns them.

    What another machine has made counts as abandoned after a week without a change.
    """
    try:
        with os.scandir(folder) as entries:
            hidden = [Path(entry.path) for entry in entries if entry.name.startswith(".")]
    except PermissionError:
        return []
    return [path for path in hidden if _abandoned(path, ELSEWHERE_SECONDS) and _removed(path)]


def sweep_below(folder: str | os.PathLike) -> list[Path]:
    """`sweep` of ``folder`` and all folders below it, where it is known that no machine works there."""
    found = []
    for parent, folders, files in os.walk(folder):
        paths = [Path(parent, name) for name in [*folders, *files]]
        chosen = [path for path in paths if _abandoned(path, 0.0) or _of_before(path)]
        found += [path for path in chosen if _removed(path)]
        folders[:] = [name for name in folders if Path(parent, name) not in chosen]
    return found


def lives(number: int, began: float) -> bool:
    """Whether the process that began then is alive: not ended, nor ended and left unburied by its parent.

    One that the machine hides, as another user's, may be.
    """
    try:
        process = psutil.Process(number)
        return abs(process.create_time() - began) < CLOCK_SECONDS and process.status() != psutil.STATUS_ZOMBIE
    except psutil.AccessDenied:
        return True
    except psutil.NoSuchProcess:
        try:
            os.kill(number, 0)
        except PermissionError:
            return True
        except (ProcessLookupError, OverflowError):
            return False
        # It began between the two questions, or is a thread of another.
        return False


def _abandoned(path: Path, elsewhere_seconds: float) -> bool:
    made = _MARKED.match(path.name)
    if made is None:
        return False
    try:
        if made["host"] == _host() and lives(int(made["process"]), int(made["began"])):
            return False
        if made["host"] != _host() and time.time() - path.lstat().st_mtime < elsewhere_seconds:
            return False
        return not _locked(path)
    except FileNotFoundError:
        return False


def _of_before(path: Path) -> bool:
    return _UNMARKED.match(path.name) is not None and _MARKED.match(path.name) is None


def _locked(path: Path) -> bool:
    """Whether a process holds the lock; what cannot be opened may well be held."""
    flags = os.O_RDONLY if stat.S_ISDIR(path.lstat().st_mode) else os.O_RDWR
    try:
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no locks here; then the name must do
        return False
    finally:
        os.close(handle)
    return False


def _removed(path: Path) -> bool:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
    if os.path.lexists(path):
        return False
    log.info("removed %s, which a process that is over had left", path)
    return True


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
