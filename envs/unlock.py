"""Removes what a killed Snakemake left in this folder, its lock and half-written files; called by ``make unlock``.

It first looks for a Snakemake, or a job of one, that still works in this folder: among the processes of this machine,
in SLURM's queue, and in what calls on other machines left here. It leaves the lock alone when there is one, or when it
cannot tell.
"""

import itertools
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

from latentgen import leftovers

#: Where each call of the workflow writes down its machine, its process and when that began.
CALLERS = Path(".snakemake", "callers")
#: Where the SLURM executor keeps its logs.
SUBMITTED = Path(".snakemake", "slurm_logs")
LOCKS = Path(".snakemake", "locks")
#: A call locks the folder before it writes down where it runs; by then it has.
SIGNED_AFTER_SECONDS = 300
#: Number of the user who stands for those that a machine does not know.
NOBODY = 65534

#: A file of `CALLERS`, and in it the machine, the process, and when that began.
Signature = tuple[Path, str, int, float]


def main() -> int:
    here = Path.cwd()
    signed = signatures()
    owners = owners_of_calls()
    reasons = [*processes(here, owners), *hidden(owners), *callers(signed), *unsigned(signed), *queued(here)]
    if reasons:
        print("error: not unlocked:", *reasons, sep="\n  ", file=sys.stderr)
        return 1
    print("no Snakemake works in this folder, nor a job of one")
    status = subprocess.run([sys.executable, "-m", "snakemake", "--unlock"]).returncode
    if status == 0:
        shutil.rmtree(CALLERS, ignore_errors=True)
        for path in leftovers.sweep_below("results"):
            print(f"removed {path}, which was left half written")
    return status


def owners_of_calls() -> set[int] | None:
    """Numbers of the users whose calls have locked this folder or signed in it; None where that cannot be read."""
    try:
        return {path.lstat().st_uid for folder in (LOCKS, CALLERS) if folder.exists() for path in folder.iterdir()}
    except FileNotFoundError:
        return owners_of_calls()  # a call has just ended
    except PermissionError:
        return None


def processes(here: Path, owners: set[int] | None) -> list[str]:
    """What speaks against unlocking among the processes of this machine."""
    asked = ["cmdline", "cwd", "uids", "username"]
    alive = [process for process in psutil.process_iter(asked) if works_in(process.info, here, owners)]
    found = []
    for process in alive:
        words = " ".join(process.info["cmdline"])
        where = "" if process.info["cwd"] else f" of {process.info['username']}, whose folder cannot be read,"
        found.append(f"process {process.pid}{where} is still at work: {words[:200]}")
    return [*found, "wait for these processes or end them first"] if found else []


def works_in(info: dict, here: Path, owners: set[int] | None) -> bool:
    """Whether a process, as psutil describes it, is a Snakemake or a job of one, and works here or may do so.

    The folder of another user's process cannot be read. What works here names it, or has been started by a call that
    has locked this folder or signed in it, for which ``owners`` stand.
    """
    words = info["cmdline"] or []
    # `python …/bin/snakemake …`, `python -m snakemake …`; script jobs outlive a killed Snakemake.
    is_snakemake = any(Path(word).name == "snakemake" for word in words)
    is_job = any(".snakemake/scripts/" in word for word in words)
    if not (is_snakemake or is_job):
        return False
    if info["cwd"] is not None:
        return same(info["cwd"], here)
    if owners is None or info["uids"] is None or names(words, here):
        return True
    # A server of files may give those of root to nobody.
    return not owners.isdisjoint(info["uids"]) or (info["uids"].real == 0 and NOBODY in owners - {os.getuid()})


def names(words: list[str], here: Path) -> bool:
    """Whether a command line names this folder as the one to work in: by the script of a job, or as the directory."""
    scripts = [word.partition(".snakemake/scripts/") for word in words]
    folders = [before for before, found, _ in scripts if found and before]
    folders += [after for word, after in itertools.pairwise(words) if word in ("-d", "--directory")]
    folders += [word.partition("=")[2] for word in words if word.startswith("--directory=")]
    return any(os.path.isabs(folder) and same(folder, here) for folder in folders)


def hidden(owners: set[int] | None) -> list[str]:
    """What speaks against unlocking where this machine shows nobody the processes of others."""
    others = (owners or set()) - {os.getuid()}
    if os.getuid() == 0 or not others or not hides(Path("/proc/self/mounts")):
        return []
    users = ", ".join(map(str, sorted(others)))
    return [
        f"calls in this folder are of other users (numbers {users}), and this machine hides what they run: ask them"
    ]


def hides(mounts: Path) -> bool:
    """Whether processes are mounted so that each user sees but his own."""
    if not mounts.exists():
        return False
    rows = [line.split() for line in mounts.read_text().splitlines()]
    options = [option for row in rows if row[1:3] == ["/proc", "proc"] for option in row[3].split(",")]
    return any(option.startswith("hidepid=") and option not in ("hidepid=0", "hidepid=off") for option in options)


def callers(signed: list[Signature]) -> list[str]:
    """What speaks against unlocking among the calls that have not ended in good order."""
    found = []
    for path, host, process, began in signed:
        if host != socket.gethostname():
            found += [
                f"a Snakemake was started in this folder on {host} (process {process}) and did not end in good order:",
                f"call 'make unlock' on {host}; or, once you know that it is over there, remove {path} and try again",
            ]
        elif leftovers.lives(process, began):
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
