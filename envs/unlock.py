"""Removes the lock that a killed Snakemake left in this folder; called by ``make unlock``.

It first looks for a Snakemake, or a job of one, that still works in this folder: among the processes of this machine
and in SLURM's queue. It leaves the lock alone when there is one, or when it cannot tell, as when the killed one ran on
another machine.
"""

import getpass
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import psutil

#: Where the workflow writes down the machine and process that it was called in.
CALLER = Path(".snakemake", "caller")
#: Where the SLURM executor keeps its logs.
SUBMITTED = Path(".snakemake", "slurm_logs")


def main() -> int:
    here = Path.cwd().resolve()
    reasons = [*processes(here), *queued(here), *elsewhere()]
    if reasons:
        print("error: not unlocked:", *reasons, sep="\n  ", file=sys.stderr)
        return 1
    print("no Snakemake works in this folder, nor a job of one")
    return subprocess.run([sys.executable, "-m", "snakemake", "--unlock"]).returncode


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
    is_snakemake = any(Path(word).name == "snakemake" for word in words[:3])
    is_job = any(".snakemake/scripts/" in word for word in words)
    if not (is_snakemake or is_job):
        return False
    return info["cwd"] is None or Path(info["cwd"]).resolve() == here


def queued(here: Path) -> list[str]:
    """What speaks against unlocking in SLURM's queue, if this folder has ever submitted jobs."""
    if not SUBMITTED.exists():
        return []
    if shutil.which("squeue") is None:
        return ["this folder has submitted SLURM jobs, and there is no squeue here: call 'make unlock' where there is"]
    call = ["squeue", "--noheader", f"--user={getpass.getuser()}", "--format=%i|%T|%Z"]
    asked = subprocess.run(call, capture_output=True, text=True)
    if asked.returncode:
        return [f"SLURM cannot be asked for jobs of this folder, try again later: {asked.stderr.strip()}"]
    rows = [line.split("|", 2) for line in asked.stdout.splitlines()]
    jobs = {job: state for job, state, folder in rows if Path(folder).resolve() == here}
    if not jobs:
        return []
    found = [f"SLURM job {job} of this folder is {state}" for job, state in jobs.items()]
    return [*found, f"wait for these jobs or call: scancel {' '.join(jobs)}"]


def elsewhere() -> list[str]:
    """What speaks against unlocking on other machines that share the folder."""
    if not CALLER.exists():
        return []
    host, process = CALLER.read_text().split()
    if host == socket.gethostname():
        return []
    return [
        f"a Snakemake was started in this folder on {host} (process {process}) and has not ended in good order",
        f"call 'make unlock' on {host}; or, once you know that it is over there, remove {CALLER} and try again here",
    ]


if __name__ == "__main__":
    sys.exit(main())
