"""Jobs that share or wait for GPUs: two trainings with `--resources gpu=2`, with one job on a device, and with two.

With one job on a device, the second training of a machine with one GPU waits for the first, and on a machine with two
each has one of its own.
"""

import argparse
import re
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
from benchmarks.gpu.common import Sheet, parser
from benchmarks.gpu.grid import ended, started

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


def main():
    chosen = parser(__doc__).parse_args()
    sheet = Sheet(chosen.out, "jobs")
    with tempfile.TemporaryDirectory() as folder:
        for shared in (1, 2):
            trainings(sheet, Path(folder) / str(shared), shared, chosen)


def trainings(sheet: Sheet, folder: Path, shared: int, chosen: argparse.Namespace) -> None:
    config = {**PAIR, "device": chosen.device, "jobs_per_gpu": shared}
    if chosen.tiny:
        config["grid"] = [dict(PAIR["grid"][0], training={**PAIR["grid"][0]["training"], "epochs": 2})]
    began = time.monotonic()
    options = ["--resources", "gpu=2", "--cores", "2", "results/tables/history.parquet"]
    ended(started(folder, config, *options), folder)
    method = f"jobs_per_gpu: {shared}"
    sheet.add("two trainings", method, "whole call", time.monotonic() - began, "s")
    jobs = [pd.read_csv(path, sep="\t")["s"].iloc[0] for path in (folder / "results/benchmarks/train").rglob("*.tsv")]
    sheet.add("two trainings", method, "a job", jobs, "s")
    logs = [path.read_text() for path in (folder / "results/logs/train").rglob("*.log")]
    held = {found for text in logs for found in re.findall(r"holding GPU (\S+)", text)}
    sheet.add("two trainings", method, f"devices held, of {torch.cuda.device_count()}", len(held), "")
    sheet.add("two trainings", method, "jobs that waited", sum("waiting for one" in text for text in logs), "")


if __name__ == "__main__":
    main()
