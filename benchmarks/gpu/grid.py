"""The workflow on the device: the smoke grid, and whether equal calls give equal files.

The smoke grid runs twice on the device and once on the CPU, all at once. The first two must give equal files; the third
is what their tables are compared with.
"""

import argparse
import hashlib
import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from benchmarks.calls import started
from benchmarks.gpu.common import ROOT, Sheet, parser

#: Columns that name what a row was computed from and on, the device included.
FROM = ["entry", "inputs"]

#: Columns that hold what was measured. All others name the row.
MEASURED = ("value", "rank", "margin", "error", "spread", "unstructured")


def main():
    chosen = parser(__doc__).parse_args()
    sheet = Sheet(chosen.out, "grid")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        smoke(sheet, folder, chosen)


def ended(process: subprocess.Popen, folder: Path) -> None:
    """Wait for a call of Snakemake; what it said is printed where it failed."""
    if process.wait():
        print(Path(f"{folder}.log").read_text()[-6000:], flush=True)
        raise SystemExit(f"Snakemake failed in {folder.name}")


def smoke(sheet: Sheet, folder: Path, chosen: argparse.Namespace) -> None:
    config = yaml.safe_load((ROOT / "config" / "smoke.yaml").read_text())
    targets = []
    if chosen.tiny:
        less = {"levels": [0.6], "geometry": None, "embeddings": None, "interventions": {}}
        config["grid"] = [{**entry, **less} for entry in config["grid"] if entry["model"] == "cnn_small"]
        targets = ["results/tables/history.parquet"]
    cores = max(1, (os.cpu_count() or 1) // 3)
    jobs = max(2, cores)
    config["jobs_per_gpu"] = 2 * jobs
    options = ["--resources", f"gpu={jobs}", "--cores", str(cores)]
    calls, began = {}, time.monotonic()
    for name, device in (("first", chosen.device), ("second", chosen.device), ("cpu", "cpu")):
        calls[name] = started(folder / name, {**config, "device": device}, *options, *targets)
    for name, process in calls.items():
        ended(process, folder / name)
    subject = "one entry of the smoke grid" if chosen.tiny else "smoke grid"
    sheet.add(subject, "three calls at once", "whole", time.monotonic() - began, "s")
    compare_bytes(sheet, folder / "first" / "results", folder / "second" / "results")
    compare_tables(sheet, folder / "first" / "results" / "tables", folder / "cpu" / "results" / "tables")


def compare_bytes(sheet: Sheet, first: Path, second: Path) -> None:
    """Tables and weights of two equal calls, by the kind of file."""
    kinds: dict[str, list[bool]] = {}
    files = {path.relative_to(first) for kind in ("*.parquet", "*.safetensors") for path in first.rglob(kind)}
    for path in sorted(files):
        if "partial" in path.parts or path.name.startswith("estimate"):
            continue
        kind = "weights" if path.suffix == ".safetensors" else _kind(path)
        one, other = (_digest(root / path) for root in (first, second))
        kinds.setdefault(kind, []).append(one == other)
    for kind, equal in kinds.items():
        sheet.add("equal calls", kind, "equal files", sum(equal), f"of {len(equal)}")


def _kind(path: Path) -> str:
    """What a file below the results is: that of a cell is named by its analysis, a figure's table by being one."""
    if path.parts[0] == "figures":
        return "tables of figures"
    if path.parts[0] != "runs":
        return f"gathered {path.stem}"
    return f"{path.parts[5].removesuffix('.parquet')} of cells"


def _digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def compare_tables(sheet: Sheet, device: Path, host: Path) -> None:
    """Rows of the gathered tables from both devices that all other columns name alike."""
    for path in sorted(device.glob("*.parquet")):
        one, other = (pd.read_parquet(root / path.name).drop(columns=FROM, errors="ignore") for root in (device, host))
        if "value" not in one:
            continue
        keys = [name for name in one if name not in MEASURED]
        both = one.merge(other, on=keys, suffixes=("", "_host"), how="outer", indicator=True)
        matched = both[both["_merge"] == "both"]
        apart = (matched["value"] - matched["value_host"]).abs().dropna()
        sheet.add("device and CPU", path.stem, "rows of both", len(matched), f"of {len(both)}")
        for name, share in (("median", 0.5), ("99 % quantile", 0.99), ("largest", 1.0)):
            value = float(np.quantile(apart, share)) if len(apart) else float("nan")
            sheet.add("device and CPU", path.stem, f"{name} difference of values", value, "")


if __name__ == "__main__":
    main()
