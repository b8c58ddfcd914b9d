"""A pilot: one short training of a network on its data, and each analysis on one or a few of its checkpoints.

What is measured are the functions that the grid's own jobs call, on the same data and device.
"""

import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

#: Noise and seeds of the run that stands for all: at this level there are examples in every view.
RUN = {"noise": "uniform", "level": 0.5, "data_seed": 0, "model_seed": 0, "entry": "pilot"}
#: Seconds that SLURM and the Snakemake of a job take before it starts, where they cannot be measured.
SLURM_SECONDS = 6.0


def measure(
    dataset: str,
    model: str,
    plan: Mapping[str, Any],
    data_folder: str | os.PathLike,
    folder: str | os.PathLike,
    device: str,
    threads: int,
) -> dict[str, Any]:
    """Seconds and bytes of every unit that `latentgen.estimate.work` counts for cells of this pilot.

    To be called in a fresh process, whose age is taken for the time that a job needs to start.

    Parameters
    ----------
    plan : see `latentgen.estimate.counts.pilots`
    folder : an existing one, in which a temporary folder is made and removed: on the results' own disk, so that writing
        takes as long
    """
    seconds = _starts(device)
    from latentgen import datasets, labels, tables
    from latentgen.compute import choose_device
    from latentgen.estimate.analyses import Analyses
    from latentgen.estimate.trainings import measure_training
    from latentgen.files import temporary_folder
    from latentgen.models import verdicts

    shapes = datasets.load(data_folder, verify=False)
    verdicts.expect_accepted(verdicts.beside(data_folder), model, plan["model"], shapes)
    run = {"dataset": dataset, "model": model, **RUN}
    with temporary_folder(folder, "pilot") as place:
        began = time.perf_counter()
        data = datasets.load(data_folder)
        drawn = labels.draw(data.y_train, data.n_classes, [run], plan["validation"])
        tables.write(drawn, place / "labels.parquet")
        seconds["labels"] = time.perf_counter() - began
        sizes = {"labels": (place / "labels.parquet").stat().st_size}
        sizes["data"] = sum(path.stat().st_size for path in Path(data_folder).iterdir())
        found, files, kept = measure_training(place, run, plan, Path(data_folder), drawn, device, threads)
        seconds, sizes = seconds | found, sizes | files
        analyses = Analyses(place, run, plan, data_folder, device, threads, kept)
        for task, (rule, settings) in plan["tasks"].items():
            found, files = analyses.measure(task, rule, settings)
            seconds, sizes = seconds | found, sizes | files
    return {"device": choose_device(device).type, "where": _where(device), "seconds": seconds, "bytes": sizes}


def _where(device: str) -> str:
    import torch

    from latentgen.compute import choose_device

    place = choose_device(device)
    return torch.cuda.get_device_name(place) if place.type == "cuda" else f"a processor ({platform.machine()})"


def _starts(device: str) -> dict[str, float]:
    """Seconds from the start of this process to the end of the imports of a job, by what it needs."""
    before = SLURM_SECONDS if "SLURM_JOB_ID" in os.environ else 0.0
    own = psutil.Process().create_time()

    from latentgen import devices, labels  # noqa: F401

    def since() -> float:
        return before + time.time() - own - devices.waited()

    starts = {"start:light": since()}
    import torch

    import latentgen.training.cell  # noqa: F401
    from latentgen.compute import choose_device

    place = choose_device(device)
    torch.ones(8, 8, device=place).mm(torch.ones(8, 8, device=place)).sum().item()
    starts["start:training"] = since()
    import latentgen.probes.evaluate  # noqa: F401

    return starts | {"start:analysis": since()}
