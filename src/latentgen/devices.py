"""GPUs of one machine, handed out to jobs: each is held by a lock of the kernel, which goes with its process.

Without a scheduler, or within one of its allocations, all jobs see all GPUs. A job therefore leases one: it locks a
file that is named by the device's own identity and a slot. Locks lie in a folder on the machine itself, which all its
users share, so jobs of several calls and of several users keep out of each other's way too. The files stay; only their
locks mean something.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from latentgen.progress import log

#: Environment variable that says how many jobs may share a device.
JOBS_PER_GPU = "LATENTGEN_JOBS_PER_GPU"
#: Where the locks lie: one place for all processes of the machine, whatever their folders for temporary files.
FOLDER = Path("/tmp/latentgen-devices")

#: What this process holds: an open file for each identity. The kernel closes them, and so unlocks, however it ends.
_held: dict[str, int] = {}
#: Seconds for which this process has waited for a device.
_waited = 0.0


def lease(identities: Sequence[str], slots: int = 1, folder: str | os.PathLike | None = None) -> int:
    """Hold one of the devices until this process ends, waiting for one where all are in use.

    The least used device is taken, the first among equals. A process that holds one of them already keeps that one.

    Parameters
    ----------
    identities : names of the devices, which all processes of the machine agree on
    slots : how many processes may hold a device at once
    folder : where the locks lie; by default `FOLDER`

    Returns
    -------
    index of the device in ``identities``

    Raises ``RuntimeError`` when the folder or a file in it cannot be opened.
    """
    global _waited
    for index, identity in enumerate(identities):
        if identity in _held:
            return index
    folder = FOLDER if folder is None else Path(folder)
    began = None
    while (found := _take(folder, identities, slots)) is None:
        if began is None:
            log.warning("all GPUs are in use (%d, by %d each); waiting for one", len(identities), slots)
            began = time.monotonic()
        # A lock can be waited for, but not any of several.
        time.sleep(0.2)
    if began is not None:
        _waited += time.monotonic() - began
    index, handle = found
    _held[identities[index]] = handle
    log.info("holding GPU %s", identities[index])
    return index


def waited() -> float:
    """Seconds for which this process has waited for a device."""
    return _waited


def _take(folder: Path, identities: Sequence[str], slots: int) -> tuple[int, int] | None:
    """Index of the least used device and the open file that holds a slot of it; ``None`` when nothing is free."""
    with _entered(folder) as inside:
        free = [list(_free_slots(folder, inside, identity, slots)) for identity in identities]
        index = max(range(len(identities)), key=lambda index: len(free[index]))
        handles = sum(free, [])
        chosen = free[index][0] if free[index] else None
        for handle in handles:
            if handle != chosen:
                os.close(handle)
    return None if chosen is None else (index, chosen)


@contextlib.contextmanager
def _entered(folder: Path) -> Iterator[int]:
    """The open folder, locked, so that no process takes another's look at what is free for use of it."""
    try:
        with contextlib.suppress(FileExistsError), _open_to_all():
            os.mkdir(folder, 0o1777)
        inside = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise _unusable(folder, folder, error) from error
    try:
        fcntl.flock(inside, fcntl.LOCK_EX)
        yield inside
    finally:
        os.close(inside)


def _free_slots(folder: Path, inside: int, identity: str, slots: int) -> Iterator[int]:
    """Open files of the slots that nobody else holds, now locked."""
    for slot in range(slots):
        name = f"{identity}-{slot}"
        try:
            handle = _open(name, inside)
        except OSError as error:
            raise _unusable(folder, folder / name, error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
        except OSError as error:
            raise _unusable(folder, folder / name, error) from error
        else:
            yield handle


def _open(name: str, inside: int) -> int:
    # The kernel may refuse O_CREAT on a file of another user in a folder that all may write, so try without it first.
    flags = os.O_RDONLY | os.O_NOFOLLOW
    try:
        return os.open(name, flags, dir_fd=inside)
    except FileNotFoundError:
        with _open_to_all():
            return os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o444, dir_fd=inside)


@contextlib.contextmanager
def _open_to_all() -> Iterator[None]:
    """New files and folders get the mode that is asked for, whatever the user's own habit."""
    umask = os.umask(0)
    try:
        yield
    finally:
        os.umask(umask)


def _unusable(folder: Path, path: Path, error: OSError) -> RuntimeError:
    return RuntimeError(
        f"{path}: {error.strerror}; GPUs are handed out by locks in {folder}, which every user of this machine must be "
        "able to use. Have its owner call "
        f"'chmod 1777 {folder}; chmod 444 {folder}/*', or remove it while no job runs"
    )


def _forget() -> None:
    for handle in _held.values():
        os.close(handle)
    _held.clear()


# A forked child would keep its parent's lease past the parent's end.
os.register_at_fork(after_in_child=_forget)
