"""GPUs of one machine, handed out to jobs: each is held by a lock of the kernel, which goes with its process.

Without a scheduler, or within one of its allocations, all jobs see all GPUs. A job therefore leases one: it locks a
file that is named by the device's own identity and a slot. Locks lie in a folder on the machine itself, which all its
users share, so jobs of several calls and of several users keep out of each other's way too. The files stay; only their
locks mean something. A name in the kernel is held with each, so that a file that is deleted frees nothing.
"""

import contextlib
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from latentgen import holders
from latentgen.progress import log

#: Environment variable that says how many jobs may share a device.
JOBS_PER_GPU = "LATENTGEN_JOBS_PER_GPU"
#: Where the locks lie: one place for all processes of the machine, whatever their folders for temporary files.
FOLDER = Path("/tmp/latentgen-devices")
#: Looking at what is free takes milliseconds. Seconds after which a process says that it cannot look because another
#: has locked the folder, and after which it gives up.
_PATIENCE = (5.0, 300.0)


class _Slot(NamedTuple):
    """An open file, now locked, and the name that goes with it."""

    file: int
    name: socket.socket | None

    def free(self) -> None:
        os.close(self.file)
        if self.name is not None:
            self.name.close()


#: What this process holds, by identity. The kernel closes it, and so unlocks, however the process ends.
_held: dict[str, _Slot] = {}
#: Seconds for which this process has waited for a device.
_waited = 0.0


def lease(identities: Sequence[str], slots: int = 1, folder: str | os.PathLike | None = None) -> int:
    """Hold one of the devices until this process ends, waiting for one where all are in use.

    The least used device is taken, the first among equals. A process that holds one of them already keeps that one. A
    wait is logged with those who hold the devices, when it begins and every few minutes.

    Parameters
    ----------
    identities : names of the devices, which all processes of the machine agree on
    slots : how many processes may hold a device at once
    folder : where the locks lie; by default `FOLDER`

    Returns
    -------
    index of the device in ``identities``

    Raises ``RuntimeError`` when the folder or a file in it cannot be used, or another process keeps the folder locked.
    """
    global _waited
    for index, identity in enumerate(identities):
        if identity in _held:
            return index
    folder = FOLDER if folder is None else Path(folder)
    wait = None
    while (found := _take(folder, identities, slots)) is None:
        wait = wait or holders.Wait()
        if wait.due():
            log.warning(
                "all GPUs are in use (%d, by %d each); waiting for one. Held by: %s",
                *(len(identities), slots, "; ".join(_users(folder, identities, slots))),
            )
        # A lock can be waited for, but not any of several.
        time.sleep(0.2)
    if wait is not None:
        _waited += wait.seconds
    index, slot = found
    _held[identities[index]] = slot
    log.info("holding GPU %s", identities[index])
    return index


def waited() -> float:
    """Seconds for which this process has waited for a device."""
    return _waited


def _take(folder: Path, identities: Sequence[str], slots: int) -> tuple[int, _Slot] | None:
    """Index of the least used device and a slot of it, now held; ``None`` when nothing is free."""
    with _entered(folder) as inside, contextlib.ExitStack() as looked_at:
        free: list[list[_Slot]] = []
        for identity in identities:
            free.append([])
            for slot in _free_slots(folder, inside, identity, slots):
                free[-1].append(slot)
                looked_at.callback(slot.free)
        index = max(range(len(identities)), key=lambda index: len(free[index]))
        if not free[index]:
            return None
        looked_at.pop_all()
        for slot in sum(free, []):
            if slot is not free[index][0]:
                slot.free()
    return index, free[index][0]


@contextlib.contextmanager
def _entered(folder: Path) -> Iterator[int]:
    """The open folder, locked, so that no process takes another's look at what is free for use of it."""
    wait = holders.Wait(first=_PATIENCE[0])
    while (inside := _locked_folder(folder)) is None:
        holder = holders.of_lock(folder) or "a process that cannot be told from here ('lslocks' may tell)"
        if wait.seconds > _PATIENCE[1]:
            raise RuntimeError(
                f"{folder}: locked for {wait.seconds:.0f} seconds by {holder}; GPUs are handed out by locks in it, and "
                "a job locks the folder itself for milliseconds. End that process and start again"
            )
        if wait.due():
            log.warning("%s is locked, so that no GPU can be taken; waiting. Held by: %s", folder, holder)
        time.sleep(0.02)
    try:
        yield inside
    finally:
        os.close(inside)


def _locked_folder(folder: Path) -> int | None:
    """The open folder, locked; ``None`` where another process has locked or replaced it."""
    inside = _open_folder(folder)
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(inside, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if holders.is_at(inside, folder):
            return inside
    os.close(inside)
    return None


def _open_folder(folder: Path) -> int:
    try:
        with contextlib.suppress(FileExistsError), _open_to_all():
            os.mkdir(folder, 0o1777)
        inside = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        reason = "is a symbolic link, not a folder" if folder.is_symlink() else error.strerror
        raise _unusable(folder, folder, reason) from error
    mode = os.fstat(inside).st_mode
    if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
        os.close(inside)
        raise _unusable(folder, folder, f"mode {stat.S_IMODE(mode):o} lets others remove a lock that is held")
    return inside


def _free_slots(folder: Path, inside: int, identity: str, slots: int) -> Iterator[_Slot]:
    """The slots that nobody else holds, now held."""
    for number in range(slots):
        name = f"{identity}-{number}"
        try:
            slot = _slot(name, inside, _key(folder, name))
        except OSError as error:
            raise _unusable(folder, folder / name, error.strerror) from error
        if slot is not None:
            yield slot


def _slot(name: str, inside: int, key: str) -> _Slot | None:
    """The slot, now held, of a file that is still there; ``None`` where another process holds it."""
    while True:
        file = _open(name, inside)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if holders.is_at(file, name, inside):
                # Fails where the file that the holder has locked was deleted, and this is another.
                return _Slot(file, holders.claim(key))
        except BlockingIOError:
            os.close(file)
            return None
        except OSError:
            os.close(file)
            raise
        os.close(file)


def _open(name: str, inside: int) -> int:
    # The kernel may refuse O_CREAT on a file of another user in a folder that all may write, so try without it first.
    with contextlib.suppress(FileNotFoundError):
        return holders.open_regular(name, os.O_RDONLY, folder=inside)
    with _open_to_all():
        return holders.open_regular(name, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o444, folder=inside)


@contextlib.contextmanager
def _open_to_all() -> Iterator[None]:
    """New files and folders get the mode that is asked for, whatever the user's own habit."""
    umask = os.umask(0)
    try:
        yield
    finally:
        os.umask(umask)


def _users(folder: Path, identities: Sequence[str], slots: int) -> Iterator[str]:
    """Who holds each slot, in words."""
    for identity in identities:
        for number in range(slots):
            name = f"{identity}-{number}"
            who = holders.of_claim(_key(folder, name)) or holders.of_lock(folder / name)
            yield f"{name}: {who or 'a process that cannot be told from here'}"


def _key(folder: Path, name: str) -> str:
    # Of no container: a GPU is the same one in all.
    return f"device {os.path.realpath(folder)} {name}"


def _unusable(folder: Path, path: Path, reason: str) -> RuntimeError:
    return RuntimeError(
        f"{path}: {reason}; GPUs are handed out by locks in {folder}, which every user of this machine must be "
        f"able to use. Have the owner of {path} call 'chmod 1777 {folder}; chmod 444 {folder}/*', or remove it while "
        "no job runs"
    )


def _forget() -> None:
    for slot in _held.values():
        slot.free()
    _held.clear()


# A forked child would keep its parent's lease past the parent's end.
os.register_at_fork(after_in_child=_forget)
