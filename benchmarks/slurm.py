"""What SLURM costs a grid of short trainings: jobs one by one, in groups, in arrays.

    python benchmarks/slurm.py [--cells 12] [--ways single groups cells 'cells by 4' arrays] [--interval 10]

It submits to the SLURM that `sbatch` finds, from a folder below the current one, which compute nodes must see; with
`tests/workflow/single_node_slurm.sh` that is one machine. The grid has so many cells of one run of one epoch on the
digits and one probe, so nearly all of its time is overhead. For each way, one call: SLURM jobs; seconds from the first
submission of a kind of job to its last, over all kinds; seconds of a SLURM job from start to end, mean and together,
and how many of them the scripts ran that keep a benchmark (training, probes); wall seconds of the call. The profile is
the one of this repository, with the way's `--groups`, or `--slurm-array-jobs`, in place of its own.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parent.parent

TARGETS = ["results/tables/probes.parquet", "results/tables/history.parquet"]
#: Options of each way: groups replace those of the profile.
WAYS = {
    "single": ["--groups", "draw_figure=figures"],
    "groups": ["--groups", "draw_labels=cell", "train=cell"],
    "cells": ["--groups", "draw_labels=cell", "train=cell", "fit_probes=cell"],
    "cells by 4": [
        *("--groups", "draw_labels=cell", "train=cell", "fit_probes=cell"),
        *("--group-components", "cell=4"),
    ],
    "arrays": ["--groups", "draw_figure=figures", "--slurm-array-jobs", "draw_labels,train,fit_probes"],
}


def grid(cells: int) -> dict:
    training = {"optimizer": "adam", "learning_rate": 0.01, "batch_size": 64, "epochs": 1}
    entry = {"dataset": "digits", "model": "tiny", "levels": [0.6], "data_seeds": list(range(cells))}
    probes = {"masc": {"kind": "masc", "variance": 0.99}}
    return {
        "device": "cpu",
        "models": {"tiny": {"factory": "mlp", "options": {"widths": [16]}}},
        "grid": [entry | {"training": training, "saved_epochs": [0, 1], "probes": probes}],
    }


def seconds(job: dict, name: str) -> float:
    return datetime.fromisoformat(job[name]).timestamp()


def measure(way: str, cells: int, interval: int) -> dict:
    """One call of Snakemake, in a folder that is removed."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-overhead-", dir=Path.cwd()))
    try:
        shutil.copytree(ROOT / "slurm", folder / "slurm")
        (folder / "grid.yaml").write_text(yaml.safe_dump(grid(cells)))
        call = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "8"]
        call += ["--profile", "slurm", "--slurm-init-seconds-before-status-checks", str(interval)]
        call += ["--configfile", "grid.yaml", *WAYS[way], "--", *TARGETS]
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        began = time.monotonic()
        done = subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True)
        wall = time.monotonic() - began
        if done.returncode:
            raise RuntimeError(done.stderr[-4000:])
        blocks = subprocess.run(["scontrol", "show", "job"], capture_output=True, text=True, check=True).stdout
        jobs = [dict(re.findall(r"(\w+)=(\S*)", block)) for block in blocks.split("\n\n")]
        jobs = [job for job in jobs if job.get("WorkDir") == str(folder)]
        scripts = [pd.read_csv(path, sep="\t")["s"].sum() for path in folder.glob("results/benchmarks/**/*.tsv")]
        kinds: dict[str, list[float]] = {}
        for job in jobs:
            kinds.setdefault(job["Comment"].split("_wildcards")[0], []).append(seconds(job, "SubmitTime"))
        lasted = [seconds(job, "EndTime") - seconds(job, "StartTime") for job in jobs]
        return {
            "way": way,
            "jobs": len(jobs),
            "submission_s": sum(max(times) - min(times) for times in kinds.values()),
            "job_s": sum(lasted) / len(lasted),
            "all_jobs_s": sum(lasted),
            "scripts_s": sum(scripts),
            "wall_s": wall,
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=12)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--interval", type=int, default=10, help="seconds before Snakemake first asks SLURM")
    arguments = parser.parse_args()
    rows = [measure(way, arguments.cells, arguments.interval) for way in arguments.ways]
    print(pd.DataFrame(rows).round(1).to_string(index=False))


if __name__ == "__main__":
    main()
