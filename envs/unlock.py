"""Removes the lock that a killed Snakemake left in this folder; called by ``make unlock``.

It first looks for a Snakemake, or a job of one, that still works in this folder: among the processes of this machine,
in SLURM's queue, and in what calls on other machines left here. It leaves the lock alone when there is one, or when it
cannot tell.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

#: Where each call of the workflow writes down its machine, its process and when that began.
CALLERS = Path(".snakemake", "callers")
#: Where the SLURM executor keeps its logs.
SUBMITTED = Path(".snakemake", "slurm_logs")
LOCKS = Path(".snakemake", "locks")
#: A call locks the folder before it writes down where it runs; by then it has.
SIGNED_AFTER_SECONDS = 300
#: When a process began is told by a clock that is set now and then, by less than this.
CLOCK_SECONDS = 5

#: A file of `CALLERS`, and in it the machine, the process, and when that began.
Signature = tuple[Path, str, int, float]


def main() -> int:
    here = Path.cwd()
    signed = signatures()
    reasons = [*processes(here), *callers(signed), *unsigned(signed), *queued(here)]
    if reasons:
        print("error: not unlocked:", *reasons, sep="\n  ", file=sys.stderr)
        return 1
    print("no Snakemake works in this folder, nor a job of one")
    status = subprocess.run([sys.executable, "-m", "snakemake", "--unlock"]).returncode
    if status == 0:
        shutil.rmtree(CALLERS, ignore_errors=True)
    return status


def processes(here: Path) -> list[str]:
    """What speaks against unlocking among the processes of this machine."""
    alive = [process for process in psutil.process_iter(["cmdline", "cwd"]) if works_in(process.info, here)]
    found = []
    for process in alive:
        words = " ".join(process.info["cmdline"])
        where = "" if process.info["cwd"] else " (its folder cannot be read: another user's)"
        found.append(f"process {process.pid}{where} is still at work: {words[:200]}")
    return [*found, "wait for these processes or end them first"] if found else []


def works_in(info: dict, here: Path) -> bool:
    """Whether a process, as psutil describes it, is a Snakemake or a job of one, here or who knows where."""
    words = info["cmdline"] or []
    # `python …/bin/snakemake …`, `python -m snakemake …`; script jobs outlive a killed Snakemake.
    is_snakemake = any(Path(word).name == "snakemake" for word in words)
    is_job = any(".snakemake/scripts/" in word for word in words)
    return (is_snakemake or is_job) and (info["cwd"] is None or same(info["cwd"], here))


def callers(signed: list[Signature]) -> list[str]:
    """What speaks against unlocking among the calls that have not ended in good order."""
    found = []
    for path, host, process, began in signed:
        if host != socket.gethostname():
            found += [
                f"a Snakemake was started in this folder on {host} (process {process}) and did not end in good order:",
                f"call 'make unlock' on {host}; or, once you know that it is over there, remove {path} and try again",
            ]
        elif lives(process, began):
            found.append(f"process {process}, which called Snakemake in this folder, is still at work")
    return found


def signatures() -> list[Signature]:
    """What calls have written down; a full disk may have left files that say nothing."""
    found = []
    for path in sorted(CALLERS.glob("*")):
        try:
            host, process, began = path.read_text().split()
            found.append((path, host, int(process), float(began)))
        except (OSError, ValueError):
            print(f"{path} does not say who called, so it is passed over", file=sys.stderr)
    return found


def lives(number: int, began: float) -> bool:
    """Whether the process that began then is alive: not ended, nor ended and left unburied by its parent."""
    try:
        process = psutil.Process(number)
        return abs(process.create_time() - began) < CLOCK_SECONDS and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def unsigned(signed: list[Signature]) -> list[str]:
    """What speaks against unlocking when nobody has written down where the call that set the lock runs."""
    ages = [time.time() - path.stat().st_mtime for path in LOCKS.glob("*")]
    if signed or not ages or min(ages) > SIGNED_AFTER_SECONDS:
        return []
    left = SIGNED_AFTER_SECONDS - min(ages)
    return [f"the lock is young and may be of a call that begins on another machine: try again in {left:.0f} seconds"]


def queued(here: Path) -> list[str]:
    """What speaks against unlocking in SLURM's queue."""
    submitted = SUBMITTED.exists()
    if shutil.which("squeue") is None:
        there = (
            "this folder has submitted SLURM jobs, and there is no squeue here: call 'make unlock' where there is one"
        )
        return [there] if submitted else []
    asked = subprocess.run(["squeue", "--noheader", "--format=%i|%T|%Z"], capture_output=True, text=True)
    if asked.returncode:
        # SLURM's programs may be installed where there is no SLURM.
        silent = f"SLURM cannot be asked for jobs of this folder, try again later: {asked.stderr.strip()}"
        return [silent] if submitted else []
    rows = [line.split("|", 2) for line in asked.stdout.splitlines()]
    jobs = {job: state for job, state, folder in rows if same(folder, here)}
    if not jobs:
        return []
    found = [f"SLURM job {job} of this folder is {state}" for job, state in jobs.items()]
    return [*found, f"wait for these jobs or call: scancel {' '.join(jobs)}"]


def same(folder: str, here: Path) -> bool:
    try:
        return os.path.samefile(folder, here)
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
