"""Jobs that share or wait for GPUs, and the estimate of what they take.

Two trainings run with `--resources gpu=2`, with one job on a device and with two. With one, the second training of a
machine with one GPU waits for the first, and on a machine with two each has one of its own. The estimate of the call in
which no job waits is then compared with the seconds that its jobs took.
"""

import argparse
import re
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
import yaml
from benchmarks.calls import started
from benchmarks.gpu.common import Sheet, parser
from benchmarks.gpu.grid import ended

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
            "saved_epochs": [0],
            "training": {"optimizer": "adam", "learning_rate": 0.0005, "batch_size": 32, "epochs": 20},
            "probes": {"velpic": {"kind": "velpic"}},
        }
    ],
}


OPTIONS = ["--resources", "gpu=2", "--cores", "2"]


def main():
    chosen = parser(__doc__).parse_args()
    sheet = Sheet(chosen.out, "jobs")
    with tempfile.TemporaryDirectory() as folder:
        for shared in (2,) if chosen.tiny else (1, 2):
            took = trainings(sheet, Path(folder) / str(shared), shared, chosen)
        estimated(sheet, Path(folder) / str(shared), took)


def trainings(sheet: Sheet, folder: Path, shared: int, chosen: argparse.Namespace) -> float:
    """Seconds of the training jobs together, by Snakemake's clock."""
    config = {**PAIR, "device": chosen.device, "jobs_per_gpu": shared}
    if chosen.tiny:
        config["grid"] = [dict(PAIR["grid"][0], training={**PAIR["grid"][0]["training"], "epochs": 2})]
    began = time.monotonic()
    ended(started(folder, config, *OPTIONS, "results/tables/history.parquet"), folder)
    method = f"jobs_per_gpu: {shared}"
    sheet.add("two trainings", method, "whole call", time.monotonic() - began, "s")
    jobs = [pd.read_csv(path, sep="\t")["s"].iloc[0] for path in (folder / "results/benchmarks/train").rglob("*.tsv")]
    sheet.add("two trainings", method, "a job", jobs, "s")
    logs = [path.read_text() for path in (folder / "results/logs/train").rglob("*.log")]
    held = {found for text in logs for found in re.findall(r"holding GPU (\S+)", text)}
    sheet.add("two trainings", method, "devices held", len(held), f"of {torch.cuda.device_count()}")
    sheet.add("two trainings", method, "jobs that waited", sum("waiting for one" in text for text in logs), "")
    return sum(jobs)


def estimated(sheet: Sheet, folder: Path, took: float) -> None:
    """With the configuration that the folder's trainings had."""
    config = yaml.safe_load((folder / "grid.yaml").read_text())
    ended(started(folder, config, *OPTIONS, "results/estimate.parquet"), folder)
    rows = pd.read_parquet(folder / "results" / "estimate.parquet")
    seconds = rows[(rows["quantity"] == "seconds") & (rows["rule"] == "train")]["value"].sum()
    sheet.add("two trainings", "estimate", "both jobs", seconds, "s")
    sheet.add("two trainings", "estimate", "estimated / measured", seconds / took, "")


if __name__ == "__main__":
    main()
