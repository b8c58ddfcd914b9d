"""A function in a child process whose file-system calls stop, one by one, until this process lets them go on.

The kernel itself reports the calls (seccomp, `SECCOMP_RET_USER_NOTIF`), so those of native code (Arrow, safetensors,
PyTorch, NumPy) are seen like Python's, whatever thread makes them. Needs Linux 5.5 or newer on x86-64, and no rights.
"""

import contextlib
import ctypes
import errno
import fcntl
import gc
import os
import platform
import select
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

#: System calls that change files: number, and which arguments name these, as (folder's descriptor, path), as a path
#: alone, or as a descriptor.
CALLS: dict[int, tuple[str, list]] = {
    1: ("write", [0]),
    2: ("open", [(None, 0)]),
    18: ("pwrite64", [0]),
    20: ("writev", [0]),
    40: ("sendfile", [0]),
    74: ("fsync", [0]),
    75: ("fdatasync", [0]),
    76: ("truncate", [(None, 0)]),
    77: ("ftruncate", [0]),
    82: ("rename", [(None, 0), (None, 1)]),
    83: ("mkdir", [(None, 0)]),
    84: ("rmdir", [(None, 0)]),
    85: ("creat", [(None, 0)]),
    86: ("link", [(None, 0), (None, 1)]),
    87: ("unlink", [(None, 0)]),
    88: ("symlink", [(None, 1)]),
    90: ("chmod", [(None, 0)]),
    91: ("fchmod", [0]),
    257: ("openat", [(0, 1)]),
    258: ("mkdirat", [(0, 1)]),
    263: ("unlinkat", [(0, 1)]),
    264: ("renameat", [(0, 1), (2, 3)]),
    265: ("linkat", [(0, 1), (2, 3)]),
    266: ("symlinkat", [(1, 2)]),
    268: ("fchmodat", [(0, 1)]),
    285: ("fallocate", [0]),
    296: ("pwritev", [0]),
    316: ("renameat2", [(0, 1), (2, 3)]),
    326: ("copy_file_range", [2]),
    328: ("pwritev2", [0]),
    437: ("openat2", [(0, 1)]),
}
#: Argument that holds the flags of calls that may only read; openat2 has them in a structure.
FLAGS = {"open": 1, "openat": 2}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
#: Calls that a full disk does not refuse: they need no room.
NEEDS_NO_ROOM = {"rmdir", "unlink", "unlinkat", "chmod", "fchmod", "fchmodat"}

SECONDS = 300

_AT_FDCWD = -100
_X86_64 = 0xC000003E
_LIBC = ctypes.CDLL(None, use_errno=True)
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=QqiI")
_RECEIVE = 3 << 30 | _NOTIFICATION.size << 16 | ord("!") << 8
_SEND = 3 << 30 | _RESPONSE.size << 16 | ord("!") << 8 | 1
_CONTINUE = 1


@dataclass(frozen=True)
class Call:
    """A call that changes something below the folder, before it is done; ``paths`` are relative to the folder."""

    name: str
    paths: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} {' -> '.join(self.paths)}"


@dataclass
class Ended:
    """How the child ended: its exit status, negative for a signal; what it said; the calls that it made or tried."""

    status: int
    said: str
    calls: list[Call] = field(default_factory=list)


#: What becomes of the call of this number, counted from 1: None to go on, an error number, or `signal.SIGKILL`.
Fate = Callable[[int, Call], int | signal.Signals | None]


def missing() -> str | None:
    """Why calls cannot be supervised here, or None."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return "calls are supervised by Linux on x86-64 alone"
    actions = Path("/proc/sys/kernel/seccomp/actions_avail")
    if not actions.exists() or "user_notif" not in actions.read_text():
        return "the kernel has no user notification of seccomp"
    return None


def supervised(work: Callable[[], object], folder: Path, said: Path, fate: Fate = lambda number, call: None) -> Ended:
    """Run ``work()`` in a forked child; ``fate`` decides on each of its calls that change something below ``folder``.

    Output goes to the file ``said``. The status is 0 when ``work`` returns, 1 when it raises. Raises ``TimeoutError``
    when it takes longer than `SECONDS`, ``OSError`` where `missing` names a reason.
    """
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        _in_child(work, said, theirs)
    theirs.close()
    ended = Ended(0, "")
    watcher = os.pidfd_open(child)
    listeners: list[int] = []
    try:
        _, listeners, _, _ = socket.recv_fds(ours, 1, 1)
        if not listeners:
            raise OSError(f"calls cannot be supervised: {said.read_text()}")
        _serve(listeners[0], watcher, child, Path(os.path.realpath(folder)), fate, ended)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        for handle in (*listeners, watcher):
            os.close(handle)
        ours.close()
    ended.status = os.waitstatus_to_exitcode(status)
    ended.said = said.read_text(errors="replace")
    return ended


def _in_child(work: Callable[[], object], said: Path, theirs: socket.socket) -> None:
    """Never returns. What an interpreter does at its end, finalizers among it, is done while still supervised."""
    status = 1
    try:
        os.setpgid(0, 0)
        output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout = sys.stderr = os.fdopen(output, "w", buffering=1)
        listener = _install()
        socket.send_fds(theirs, [b"."], [listener])
        os.close(listener)
        theirs.close()
        work()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    gc.collect()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def _install() -> int:
    """Have the kernel stop this process at each of `CALLS`; returns the descriptor that hears of it."""

    def instruction(code: int, yes: int, no: int, value: int) -> bytes:
        return struct.pack("=HBBI", code, yes, no, value)

    load, equal, answer = 0x20, 0x15, 0x06
    allow, notify = 0x7FFF0000, 0x7FC00000
    numbers = sorted(CALLS)
    lines = [instruction(load, 0, 0, 4), instruction(equal, 0, len(numbers) + 1, _X86_64), instruction(load, 0, 0, 0)]
    lines += [instruction(equal, len(numbers) - index, 0, number) for index, number in enumerate(numbers)]
    lines += [instruction(answer, 0, 0, allow), instruction(answer, 0, 0, notify)]
    filters = ctypes.create_string_buffer(b"".join(lines))
    program = struct.pack("@HP", len(lines), ctypes.addressof(filters))
    no_new_privileges, seccomp, set_filter, new_listener = 38, 317, 1, 8
    _LIBC.prctl(no_new_privileges, 1, 0, 0, 0)
    listener = _LIBC.syscall(seccomp, set_filter, new_listener, ctypes.create_string_buffer(program))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return listener


def _serve(listener: int, watcher: int, child: int, folder: Path, fate: Fate, ended: Ended) -> None:
    """Answer calls until the child is over."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    poll.register(watcher, select.POLLIN)
    deadline = time.monotonic() + SECONDS
    while True:
        ready = dict(poll.poll(1000 * max(0, deadline - time.monotonic())))
        if not ready:
            raise TimeoutError(
                f"still at work after {SECONDS} s; last: {ended.calls[-1] if ended.calls else 'nothing'}"
            )
        if ready.get(listener, 0) & select.POLLIN:
            buffer = bytearray(_NOTIFICATION.size)
            try:
                fcntl.ioctl(listener, _RECEIVE, buffer)
            except FileNotFoundError:
                continue
            key, thread, _, number, _, _, *arguments = _NOTIFICATION.unpack(buffer)
            value, error, flags = 0, 0, _CONTINUE
            if call := _call(thread, number, arguments, folder):
                ended.calls.append(call)
                decided = fate(len(ended.calls), call)
                if decided is signal.SIGKILL:
                    return
                if decided:
                    value, error, flags = 0, -decided, 0
            with contextlib.suppress(FileNotFoundError):
                fcntl.ioctl(listener, _SEND, bytearray(_RESPONSE.pack(key, value, error, flags)))
        elif watcher in ready:
            return


def _call(thread: int, number: int, arguments: list[int], folder: Path) -> Call | None:
    """The call, if it may change something below ``folder``."""
    name, places = CALLS[number]
    if name in FLAGS and not arguments[FLAGS[name]] & WRITING:
        return None
    if name == "openat2" and not int.from_bytes(_memory(thread, arguments[2], 8), sys.byteorder) & WRITING:
        return None
    paths = [_path(thread, place, arguments) for place in places]
    inside = [os.path.relpath(path, folder) for path in paths if path.is_relative_to(folder)]
    return Call(name, tuple(inside)) if inside else None


def _path(thread: int, place: int | tuple[int | None, int], arguments: list[int]) -> Path:
    process = Path("/proc", str(thread))
    if isinstance(place, int):
        return Path(os.readlink(process / "fd" / str(arguments[place])))
    beside, named = place
    relative = _text(thread, arguments[named])
    descriptor = _AT_FDCWD if beside is None else ctypes.c_int(arguments[beside]).value
    start = process / "cwd" if descriptor == _AT_FDCWD else process / "fd" / str(descriptor)
    path = Path(os.path.normpath(Path(os.readlink(start), relative)))
    # A link that is itself made, renamed or removed is not followed; those on the way to it are.
    return Path(os.path.realpath(path.parent), path.name)


def _memory(thread: int, address: int, size: int) -> bytes:
    with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        return memory.read(size)


def _text(thread: int, address: int) -> str:
    """The text that ends with a zero at ``address``, read page by page, since the next page may not be there."""
    found = b""
    while b"\0" not in found:
        found += _memory(thread, address + len(found), 4096 - (address + len(found)) % 4096)
    return os.fsdecode(found[: found.index(b"\0")])


def needs_room(call: Call) -> bool:
    """Whether a full disk may refuse the call."""
    return call.name not in NEEDS_NO_ROOM


def killed_at(at: int) -> Fate:
    """The process ends abruptly instead of its call number ``at``."""
    return lambda number, call: signal.SIGKILL if number == at else None


def full_from(at: int) -> Fate:
    """From call number ``at`` on there is no room left; what needs none goes on."""
    return lambda number, call: errno.ENOSPC if number >= at and needs_room(call) else None


def failed_at(at: int) -> Fate:
    """Call number ``at`` alone fails, for want of room or, where it needs none, by a fault of the device."""
    return lambda number, call: (errno.ENOSPC if needs_room(call) else errno.EIO) if number == at else None
