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

from latentgen.progress import log

#: States in which a SLURM job may still write.
_ALIVE = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT"}
_POLL_SECONDS = 10.0


@contextlib.contextmanager
def locked(path: str | os.PathLike) -> Iterator[None]:
    """Hold the file lock ``path``; waits while another job holds it.

    The kernel drops the lock with the process, however it ends. Some shared file systems keep locks to one machine;
    therefore the file also names the SLURM job that holds it, and a job elsewhere asks SLURM whether that one is over.
    Raises ``OSError`` on a file system without locks.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+") as file:
        _acquire(file, path)
        _await_owner(file, path)
        _sign(file, f"{socket.gethostname()} {os.environ.get('SLURM_JOB_ID', '-')}\n")
        try:
            yield
        finally:
            _sign(file, "")


def _acquire(file: IO[str], path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.warning("another training is alive in %s; waiting for it to end", path.parent)
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        raise OSError(
            error.errno,
            f"{path} cannot be locked ({error.strerror}); keep results on a file system with file locks "
            "(Lustre: mounted with 'flock')",
        ) from error


def _await_owner(file: IO[str], path: Path) -> None:
    """Wait for the SLURM job that the file still names, unless it is this one, begun again."""
    file.seek(0)
    host, _, job = file.read().strip().partition(" ")
    if not job.isdigit() or job == os.environ.get("SLURM_JOB_ID"):
        return
    while _alive(job):
        log.warning("SLURM job %s on %s still works in %s; waiting for it to end", job, host, path.parent)
        time.sleep(_POLL_SECONDS)


def _alive(job: str) -> bool:
    """Whether SLURM says that a job may still write. One that it has forgotten, or cannot be asked about, may not."""
    try:
        asked = subprocess.run(
            ["squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}"], capture_output=True, text=True
        )
    except OSError as error:
        log.warning("whether SLURM job %s is over cannot be asked here (squeue: %s)", job, error.strerror)
        return False
    if asked.returncode and "Invalid job id" not in asked.stderr:
        log.warning("whether SLURM job %s is over cannot be asked: %s", job, asked.stderr.strip())
    return any(state in _ALIVE for state in asked.stdout.split())


def _sign(file: IO[str], owner: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(owner)
    file.flush()
