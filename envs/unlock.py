"""Removes the lock that a killed Snakemake left in this folder; called by ``make unlock``.

It first looks for a Snakemake, or a job of one, that still works in this folder, and leaves the lock alone
when there is one or when it cannot tell. What runs on other machines that share the folder it cannot see.
"""

import subprocess
import sys
from pathlib import Path

import psutil


def main() -> int:
    here = Path.cwd().resolve()
    alive = [process for process in psutil.process_iter(["cmdline", "cwd"]) if works_in(process.info, here)]
    for process in alive:
        words = " ".join(process.info["cmdline"])
        where = "" if process.info["cwd"] else " (its folder cannot be read: another user's)"
        print(f"  process {process.pid}{where}: {words[:200]}", file=sys.stderr)
    if alive:
        print(
            "error: not unlocked: the processes above are still at work; wait for them or end them first",
            file=sys.stderr,
        )
        return 1
    print("no Snakemake works in this folder on this machine (others that share the folder were not asked)")
    return subprocess.run([sys.executable, "-m", "snakemake", "--unlock"]).returncode


def works_in(info: dict, here: Path) -> bool:
    """Whether a process, as psutil describes it, is a Snakemake or a job of one, here or who knows where."""
    words = info["cmdline"] or []
    # `python …/bin/snakemake …`, `python -m snakemake …`; script jobs outlive a killed Snakemake.
    is_snakemake = any(Path(word).name == "snakemake" for word in words[:3])
    is_job = any(".snakemake/scripts/" in word for word in words)
    if not (is_snakemake or is_job):
        return False
    return info["cwd"] is None or Path(info["cwd"]).resolve() == here


if __name__ == "__main__":
    sys.exit(main())
