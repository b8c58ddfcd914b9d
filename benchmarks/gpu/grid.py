"""The workflow on the device: the smoke grid, equal calls, jobs that share or wait for GPUs, and the estimate.

The smoke grid runs twice on the device and once on the CPU, all at once. The first two must give equal files; the third
is what their tables are compared with. Then a grid of two trainings runs with one job at a time, with two jobs that
lease one device each, and with two jobs on each device, and its jobs' seconds are compared with the estimate.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from benchmarks.gpu.common import ROOT, Sheet, parser

#: Columns that name what a row was computed from and on, the device included.
FROM = ("entry", "inputs")
#: Two cells of one run each, long enough to be in each other's way.
PAIR = {
    "threads": 1,
    "grid": [
        {
            "dataset": "digits",
            "model": "mlp",
            "noise": "uniform",
            "levels": [0.4],
            "data_seeds": [0, 1],
            "saved_epochs": [0, 1, 2, 4, 8, 16, 32],
            "training": {"optimizer": "adam", "learning_rate": 0.0005, "batch_size": 32, "epochs": 64},
            "probes": {"masc": {"kind": "masc"}, "velpic": {"kind": "velpic"}},
            "gradients": True,
        }
    ],
}


def main():
    chosen = parser(__doc__).parse_args()
    sheet = Sheet(chosen.out, "grid")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        smoke(sheet, folder, chosen)
        pairs(sheet, folder, chosen)


def started(folder: Path, config: dict, *arguments: str) -> subprocess.Popen:
    """Snakemake in a folder of its own, with its output in ``folder.log``."""
    folder.mkdir(exist_ok=True)
    (folder / "grid.yaml").write_text(yaml.safe_dump(config))
    call = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    call += ["--configfile", str(folder / "grid.yaml"), *arguments]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with open(f"{folder}.log", "a") as log:
        return subprocess.Popen(call, env={**os.environ, "PATH": path}, stdout=log, stderr=subprocess.STDOUT)


def ended(process: subprocess.Popen, folder: Path) -> None:
    """Wait for a call of Snakemake; what it said is printed where it failed."""
    if process.wait():
        print(Path(f"{folder}.log").read_text()[-6000:], flush=True)
        raise SystemExit(f"Snakemake failed in {folder.name}")


def smoke(sheet: Sheet, folder: Path, chosen: argparse.Namespace) -> None:
    config = yaml.safe_load((ROOT / "config" / "smoke.yaml").read_text())
    if chosen.tiny:
        config["grid"] = [{**config["grid"][0], "geometry": None, "maps": None, "interventions": {"transfer": {}}}]
        config["defaults"]["levels"] = [0.6]
    cores = max(1, (os.cpu_count() or 1) // 3)
    jobs = max(2, cores)
    targets = ["results/tables/history.parquet"] if chosen.tiny else []
    calls, began = {}, time.monotonic()
    for name, device in (("first", chosen.device), ("second", chosen.device), ("cpu", "cpu")):
        settings = {**config, "device": device, "jobs_per_gpu": 2 * jobs}
        options = ["--resources", f"gpu={jobs}", "--cores", str(cores), *targets]
        calls[name] = started(folder / name, settings, *options)
    for name, process in calls.items():
        ended(process, folder / name)
    sheet.add("smoke grid", "three calls at once", "whole", time.monotonic() - began, "s")
    compare_bytes(sheet, folder / "first" / "results", folder / "second" / "results")
    compare_tables(sheet, folder / "first" / "results" / "tables", folder / "cpu" / "results" / "tables")


def compare_bytes(sheet: Sheet, first: Path, second: Path) -> None:
    """Tables and weights of two equal calls, by the kind of file."""
    kinds: dict[str, list[bool]] = {}
    files = {path.relative_to(first) for kind in ("*.parquet", "*.safetensors") for path in first.rglob(kind)}
    for path in sorted(files):
        if "partial" in path.parts or path.name.startswith("estimate"):
            continue
        kind = "weights" if path.suffix == ".safetensors" else f"{path.parts[0]}: {_kind(path)}"
        one, other = (_digest(root / path) for root in (first, second))
        kinds.setdefault(kind, []).append(one == other)
    for kind, equal in kinds.items():
        sheet.add("smoke grid", "two equal calls", f"equal files of {len(equal)}, {kind}", sum(equal), "")


def _kind(path: Path) -> str:
    inside = path.parts[6:] if path.parts[0] == "runs" else path.parts[1:]
    return inside[0].removesuffix(".parquet") if inside else path.stem


def _digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def compare_tables(sheet: Sheet, device: Path, host: Path) -> None:
    """Rows of the gathered tables from both devices that all other columns name alike."""
    for path in sorted(device.glob("*.parquet")):
        one, other = (pd.read_parquet(root / path.name).drop(columns=FROM, errors="ignore") for root in (device, host))
        if "value" not in one:
            continue
        measured = [name for name in one if one[name].dtype.kind == "f" and name not in ("level", "kappa")]
        keys = [name for name in one if name not in measured]
        both = one.merge(other, on=keys, suffixes=("", "_host"), how="outer", indicator=True)
        matched = both[both["_merge"] == "both"]
        apart = (matched["value"] - matched["value_host"]).abs().dropna()
        subject = f"smoke grid, {path.stem}"
        sheet.add(subject, "device and CPU", f"rows of both, of {len(both)}", len(matched), "")
        for name, share in (("median", 0.5), ("99 %", 0.99), ("largest", 1.0)):
            value = float(np.quantile(apart, share)) if len(apart) else float("nan")
            sheet.add(subject, "device and CPU", f"difference of values, {name}", value, "")


def pairs(sheet: Sheet, folder: Path, chosen: argparse.Namespace) -> None:
    config = {**PAIR, "device": chosen.device}
    if chosen.tiny:
        entry = dict(PAIR["grid"][0], saved_epochs=[0, 1], training={**PAIR["grid"][0]["training"], "epochs": 1})
        config["grid"] = [entry]
    everything = ["results/tables/probes.parquet", "results/tables/gradients.parquet"]
    one_by_one = ["--resources", "gpu=1", "--cores", "1"]
    alone = folder / "alone"
    ended(started(alone, config, *one_by_one, *everything), alone)
    report(sheet, "one job at a time", alone)
    ended(started(alone, config, *one_by_one, "results/estimate.parquet"), alone)
    estimated(sheet, alone)
    for method, shared in (("two jobs, a device each", 1), ("two jobs on each device", 2)):
        place = folder / f"pair{shared}"
        options = ["--resources", "gpu=2", "--cores", "2", "results/tables/history.parquet"]
        ended(started(place, {**config, "jobs_per_gpu": shared}, *options), place)
        report(sheet, method, place)


def report(sheet: Sheet, method: str, folder: Path) -> None:
    """Seconds of the training jobs, the devices that they held, and how many of them waited for one."""
    jobs = pd.concat(
        pd.read_csv(path, sep="\t") for path in (folder / "results" / "benchmarks" / "train").rglob("*.tsv")
    )
    sheet.add("two trainings", method, "a job", list(jobs["s"]), "s")
    logs = [path.read_text() for path in (folder / "results" / "logs" / "train").rglob("*.log")]
    held = {found for text in logs for found in re.findall(r"holding GPU (\S+)", text)}
    sheet.add("two trainings", method, f"devices held, of {torch.cuda.device_count()}", len(held), "")
    sheet.add("two trainings", method, "jobs that waited", sum("waiting for one" in text for text in logs), "")


def estimated(sheet: Sheet, folder: Path) -> None:
    """Seconds that the estimate names for a rule against those of Snakemake's own clock."""
    told = pd.read_parquet(folder / "results" / "estimate.parquet")
    told = told[told["quantity"] == "seconds"].groupby("rule")["value"].sum()
    for rule, where in (("train", "train"), ("fit_probes", "probes"), ("gradients", "gradients")):
        files = (folder / "results" / "benchmarks" / where).rglob("*.tsv")
        took = sum(float(pd.read_csv(path, sep="\t")["s"].iloc[0]) for path in files)
        sheet.add("estimate", rule, "measured", took, "s")
        sheet.add("estimate", rule, "estimated against measured", told[rule] / took, "times")


if __name__ == "__main__":
    main()
