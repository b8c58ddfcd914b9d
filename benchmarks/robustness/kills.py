"""Whole calls of the workflow, ended at random moments and called again: are the bytes those of an undisturbed call?

    python -m benchmarks.robustness.kills --kills 99 --seed 1
    python -m benchmarks.robustness.kills --at group:7.5 alone:3.2   # these two, in one folder

A small grid runs on two cores. A call is ended after some seconds, in one of four ways: Snakemake alone is killed, so
that its jobs live on (``alone``); it is killed with its jobs (``group``); it is interrupted with its jobs, as by a
terminal (``interrupt``); it is asked to end, as by a cluster (``terminate``). The next call starts at once, after
`snakemake --unlock` where there is a lock, and may be ended in turn. The last call of a folder is left alone, and
everything but logs must equal, byte for byte, what an undisturbed call leaves. Files that a writer made beside its own
and left there are counted; with ``--strict`` they are faults as well. The status is 1 where there is a fault.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from benchmarks.calls import started
from benchmarks.robustness import trees

ROOT = Path(__file__).resolve().parents[2]
GRID = {
    "device": "cpu",
    "threads": 1,
    "defaults": {
        "dataset": "digits",
        "levels": [0.6],
        "data_seeds": [0, 1],
        "model_seeds": "paired",
        "saved_epochs": [0, 4],
        "probes": {"velpic": {"kind": "velpic"}},
    },
    "grid": [
        {
            "model": "mlp_small",
            "training": {"optimizer": "adam", "learning_rate": 0.002, "batch_size": 64, "epochs": 8},
        }
    ],
}
TARGET = "results/figures/fig2.pdf"
WAYS = ("alone", "group", "interrupt", "terminate")
#: How many times a grid is ended before it is left alone.
IN_A_FOLDER = 3
#: A call that was told to end, jobs that outlive it, and an undisturbed call end within this.
SECONDS = 600

#: A way to end a call, and seconds after its start.
Kill = tuple[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=2, help="how many calls are ended in all")
    parser.add_argument("--seed", type=int, default=0, help="which ways and moments are drawn")
    parser.add_argument("--at", nargs="+", type=parsed, metavar="WAY:SECONDS", help="kills of one folder")
    parser.add_argument("--strict", action="store_true", help="files that are left behind are faults")
    chosen = parser.parse_args()
    generator = random.Random(chosen.seed)
    kills, folders, left_behind, faults = 0, 0, 0, 0
    with tempfile.TemporaryDirectory() as name:
        whole, began = Path(name, "undisturbed"), time.monotonic()
        finish(whole)
        seconds, wanted = time.monotonic() - began, trees.digests(whole)
        print(f"{len(wanted)} files, undisturbed in {seconds:.0f} s", flush=True)
        while kills < chosen.kills and not (chosen.at and folders):
            drawn = [(generator.choice(WAYS), generator.uniform(0, seconds)) for _ in range(IN_A_FOLDER)]
            folder = Path(name, str(folders))
            done, wrong = disturbed(folder, chosen.at or drawn[: chosen.kills - kills])
            found = trees.digests(folder)
            left = trees.leftovers(found, wanted)
            wrong += trees.differences(found, wanted)
            wrong += [f"{path} is left behind" for path in left] if chosen.strict else []
            kills, folders = kills + len(done), folders + 1
            left_behind, faults = left_behind + len(left), faults + bool(wrong)
            moments = " ".join(f"{way}:{moment:.2f}" for way, moment in done)
            outcome = "differs" if wrong else "equal"
            print(f"{moments or 'ended before it was killed'}: {outcome}, {len(left)} left behind", flush=True)
            if wrong:
                print(*wrong, f"repeat: python -m benchmarks.robustness.kills --at {moments}", sep="\n    ", flush=True)
    print(f"{kills} kills, {folders} grids, {faults} faults, {left_behind} files left behind; seed {chosen.seed}")
    return 1 if faults else 0


def parsed(text: str) -> Kill:
    way, _, seconds = text.partition(":")
    if way not in WAYS:
        raise argparse.ArgumentTypeError(f"{way!r} is none of {', '.join(WAYS)}")
    return way, float(seconds)


def grid_started(folder: Path) -> subprocess.Popen:
    return called(folder, "--cores", "2", "--rerun-incomplete", TARGET)


def called(folder: Path, *arguments: str) -> subprocess.Popen:
    return started(folder, GRID, *arguments, own_group=True)


def finish(folder: Path) -> None:
    """Call the grid and wait for its end; raises ``RuntimeError`` with what it said when it fails."""
    if not ended_within(SECONDS, grid_started(folder), folder):
        raise RuntimeError(f"a call that nothing ended is still at work after {SECONDS} s")


def ended_within(seconds: float, process: subprocess.Popen, folder: Path) -> bool:
    """Whether the call ends by itself within so many seconds; raises ``RuntimeError`` when it fails."""
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    if status:
        raise RuntimeError(f"a call that nothing ended failed:\n{Path(f'{folder}.log').read_text()[-6000:]}")
    return True


def disturbed(folder: Path, kills: Sequence[Kill]) -> tuple[list[Kill], list[str]]:
    """Call the grid again and again, ended as ``kills`` say, until it is done: kills that came in time, and faults."""
    done, orphans = [], []
    try:
        for way, moment in kills:
            process = grid_started(folder)
            if ended_within(moment, process, folder):
                break
            done.append((way, moment))
            orphans += end(process, way)
            unlock(folder)
        else:
            finish(folder)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return done, [str(error)]
    finally:
        _, alive = psutil.wait_procs(orphans, SECONDS)
        for orphan in alive:
            orphan.kill()
    return done, [f"a job outlived its call by {SECONDS} s" for _ in alive]


def end(process: subprocess.Popen, way: str) -> list[psutil.Process]:
    """End a call; the jobs that it had, some of which may live on."""
    jobs = psutil.Process(process.pid).children(recursive=True)
    if way == "interrupt":
        os.killpg(process.pid, signal.SIGINT)
    elif way == "terminate":
        process.terminate()
    else:
        process.kill()
    if way == "group":
        for job in jobs:
            job.kill()
    process.wait(SECONDS)
    return jobs


def unlock(folder: Path) -> None:
    if any((folder / ".snakemake" / "locks").glob("*")) and called(folder, "--unlock").wait(SECONDS):
        raise RuntimeError(f"it cannot be unlocked:\n{Path(f'{folder}.log').read_text()[-3000:]}")


if __name__ == "__main__":
    sys.exit(main())
