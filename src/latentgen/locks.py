"""Locks that keep a job from working beside an earlier one that is still alive, on this machine or another."""

import contextlib
import fcntl
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from latentgen import holders
from latentgen.progress import log

#: States in which a SLURM job may still write.
_ALIVE = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT"}
_POLL_SECONDS = 10.0
#: Seconds between two looks at a lock that another process of this machine holds.
_LOOK_SECONDS = 0.5


@contextlib.contextmanager
def locked(path: str | os.PathLike) -> Iterator[None]:
    """Hold the file lock ``path``; waits while another job holds it, and logs which.

    The kernel drops the lock with the process, however it ends. Some shared file systems keep locks to one machine;
    therefore the file also names the SLURM job that holds it, and a job elsewhere asks SLURM whether that one is over.
    On one machine a file that is deleted while it is held frees nothing.
    Raises ``OSError`` on a file system without locks or where ``path`` is no regular file, ``RuntimeError`` where SLURM
    would have to be asked and cannot.
    """
    path = Path(path)
    me = f"{socket.gethostname()} {os.environ.get('SLURM_JOB_ID', '-')} {os.getpid()}"
    with contextlib.ExitStack() as held:
        file = _acquire(path, held)
        # Where locks do not reach, two may wait for the same job: only one finds its own name.
        while _owner(file) != me:
            _await(_owner(file), path)
            _sign(file, me)
        try:
            yield
        finally:
            _sign(file, "")


def _acquire(path: Path, held: contextlib.ExitStack) -> IO[str]:
    """The open file, locked; it and what goes with it are closed by ``held``."""
    wait, key = holders.Wait(), holders.key_of(path)
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _open(path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if holders.is_at(file.fileno(), path):
                if (name := holders.claim(key)) is not None:
                    held.enter_context(name)
                return held.enter_context(file)
            file.close()
        except BlockingIOError:
            if wait.due():
                who = holders.of_claim(key) or holders.of_lock(path) or _signed(_owner(file))
                log.warning("another training is alive in %s; waiting for it to end. Held by: %s", path.parent, who)
            file.close()
            time.sleep(_LOOK_SECONDS)
        except OSError as error:
            file.close()
            raise OSError(
                error.errno,
                f"{path} cannot be locked ({error.strerror}); keep results on a file system with file locks "
                "(Lustre: mounted with 'flock')",
            ) from error


def _open(path: Path) -> IO[str]:
    try:
        return os.fdopen(holders.open_regular(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), "a+")
    except OSError as error:
        message = f"{path}: {error.strerror}; a training locks this file: remove what lies there while none runs"
        raise OSError(error.errno, message) from error


def _signed(owner: str) -> str:
    """What a lock's file says of its holder, in words."""
    host, job, process, *_ = [*owner.split(), "", "", ""]
    if not process:
        return "a process that cannot be told from here"
    return f"process {process} on {host}" + (f", SLURM job {job}" if job.isdigit() else "")


def _owner(file: IO[str]) -> str:
    file.seek(0)
    return file.read().strip()


def _await(owner: str, path: Path) -> None:
    """Wait for the SLURM job of ``owner``, unless it is this one, begun again."""
    host, job, *_ = [*owner.split(), "", ""]
    if not job.isdigit() or job == os.environ.get("SLURM_JOB_ID"):
        return
    while not _over(job, path):
        log.warning(
            "SLURM job %s on %s may still work in %s; waiting for it to end. If it surely has, empty %s",
            *(job, host, path.parent, path),
        )
        time.sleep(_POLL_SECONDS)
        if not path.read_text():
            return


def _over(job: str, path: Path) -> bool:
    """Whether SLURM says that a job writes no more; one that it has forgotten does not."""
    call = ["squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}"]
    try:
        asked = subprocess.run(call, capture_output=True, text=True)
    except OSError as error:
        raise RuntimeError(
            f"{path} names SLURM job {job}, and there is no squeue here to ask whether it is over ({error.strerror}); "
            f"once you know that it is, empty that file"
        ) from error
    if asked.returncode:
        if "Invalid job id" not in asked.stderr:
            log.warning("SLURM does not say whether job %s is over: %s", job, asked.stderr.strip())
            return False
        return True
    return not any(state in _ALIVE for state in asked.stdout.split())


def _sign(file: IO[str], owner: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(f"{owner}\n" if owner else "")
    file.flush()
    # Other machines see what is in the file, not what waits to be written to it.
    os.fsync(file.fileno())
