"""Who holds a lock, for those who wait for it; and names in the kernel, which stand for a lock where its file goes."""

import contextlib
import errno
import hashlib
import os
import pwd
import socket
import stat
import struct
import sys
import time

#: Seconds after which a wait is spoken of again.
AGAIN_SECONDS = 300.0


class Wait:
    """A wait that is spoken of after ``first`` seconds, and again every `AGAIN_SECONDS`."""

    def __init__(self, first: float = 0.0):
        self._began = time.monotonic()
        self._next = first

    @property
    def seconds(self) -> float:
        """Length so far."""
        return time.monotonic() - self._began

    def due(self) -> bool:
        """Whether it is time to say something; true once for each time."""
        if self.seconds < self._next:
            return False
        self._next = self.seconds + AGAIN_SECONDS
        return True


def open_regular(path: str | os.PathLike, flags: int, mode: int = 0o666, folder: int | None = None) -> int:
    """Open a regular file, from the open ``folder``; anything else raises ``OSError``, which says what there is.

    Nothing in the place of a lock may keep a process waiting, as opening a named pipe does, or lead elsewhere.
    """
    try:
        file = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, mode, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(error.errno, "is a symbolic link, not a file") from error
        if error.errno == errno.ENXIO:
            raise OSError(error.errno, "is not a regular file") from error
        raise
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "is not a regular file")
    return file


def is_at(handle: int, path: str | os.PathLike, folder: int | None = None) -> bool:
    """Whether the open file ``handle`` still lies at ``path``, from the open ``folder``: not deleted, not replaced."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path, dir_fd=folder, follow_symlinks=False))
    except FileNotFoundError:
        return False


def claim(key: str) -> socket.socket | None:
    """Hold ``key`` among the processes of this machine until the socket is closed, as it is when this process ends.

    A file may be deleted while its lock is held, and a lock on a new file in its place says nothing. An abstract
    address has no file: nobody but its holder can make it free. It is known within a network namespace, which a
    container may have of its own. None on a system without such addresses. Raises ``BlockingIOError`` where another
    process holds it.
    """
    if sys.platform != "linux":
        return None
    name = None
    try:
        name = socket.socket(socket.AF_UNIX)
        name.bind(_address(key))
        # Those who wait ask who listens; nobody is answered.
        name.listen(socket.SOMAXCONN)
    except OSError as error:
        if name is not None:
            name.close()
        if error.errno == errno.EADDRINUSE:
            raise BlockingIOError(error.errno, f"{key} is held") from None
        return None
    return name


def key_of(path: str | os.PathLike) -> str:
    """A key for `claim` that means this path, as this container has it: equal paths of two are not one file."""
    with contextlib.suppress(OSError):
        return f"{os.readlink('/proc/self/ns/mnt')} {os.path.realpath(path)}"
    return os.path.realpath(path)


def of_claim(key: str) -> str:
    """Who holds ``key``, in words; empty where nobody does or that cannot be told."""
    with contextlib.suppress(OSError, AttributeError), socket.socket(socket.AF_UNIX) as asking:
        asking.setblocking(False)
        asking.connect(_address(key))
        size = struct.calcsize("3i")
        process, user, _ = struct.unpack("3i", asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        return _words(process, user)
    return ""


def of_lock(file: str | os.PathLike | int) -> str:
    """Who holds the file's lock, in words; empty where nobody does or that cannot be told."""
    with contextlib.suppress(OSError):
        status = os.stat(file)
        place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        with open("/proc/locks") as lines:
            # number: kind mode access process place from to; those that wait have an arrow before the kind.
            held = [words for words in map(str.split, lines) if words[1] == "FLOCK" and words[5] == place]
        processes = sorted({int(words[4]) for words in held})
        return ", ".join(_words(process, os.stat(f"/proc/{process}").st_uid) for process in processes)
    return ""


def _words(process: int, user: int) -> str:
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:
        name = str(user)
    # A process of another container has no number here.
    which = f"process {process}" if process else "a process"
    return f"{which} of user {name} on {socket.gethostname()}"


def _address(key: str) -> str:
    return f"\0latentgen-{hashlib.sha256(key.encode()).hexdigest()[:40]}"
