"""Training of all runs of a cell, from labels to the files that later steps read."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from latentgen import datasets, models, tables, training
from latentgen.checkpoints import run_name
from latentgen.compute import choose_device, use_threads
from latentgen.datasets import Dataset
from latentgen.files import atomic, share, temporary_folder
from latentgen.labels import RunLabels
from latentgen.locks import locked
from latentgen.models import verdicts
from latentgen.progress import log
from latentgen.training.loop import Training
from latentgen.training.recipe import Recipe


def train_cell(
    folder: str | os.PathLike,
    runs: Sequence[Mapping[str, Any]],
    data_folder: str | os.PathLike,
    labels: str | os.PathLike,
    model: Mapping[str, Any],
    recipe: Recipe,
    saved_epochs: Sequence[int],
    device: str,
    threads: int,
) -> None:
    """Train ``runs`` and write ``history.parquet``, ``records.parquet``, ``checkpoints/`` and its index.

    Work happens in ``folder/partial``, one folder a run and recipe, which survives a failed or killed job and lets
    the next one continue; it is kept at the end, so that more epochs can be added. A lock that the kernel holds
    keeps a job whose predecessor is still alive from training beside it: it waits, and finds the work done.

    Parameters
    ----------
    runs : columns of each run; model : as declared; labels : the cell's labels.parquet

    Raises
    ------
    latentgen.models.refusal.Refused
        The network breaks the contract.
    """
    use_threads(threads)
    folder = Path(folder)
    data = datasets.load(data_folder)
    verdicts.expect_accepted(verdicts.beside(data_folder), runs[0]["model"], model, data)
    with locked(folder / "partial" / "lock"):
        common = (data, labels, model, recipe, saved_epochs, device, threads)
        trained = [_train_run(folder / "partial", run, *common) for run in runs]
        _publish(folder, trained)


def _train_run(partial, run, data: Dataset, labels, model, recipe, saved_epochs, device, threads) -> Training:
    place = choose_device(device)
    chosen = RunLabels.read(labels, run["data_seed"])
    network = models.initialised(model, data.in_shape, data.n_classes, run["model_seed"])
    # Which submodules are layers may change: the training is then there already.
    network_of = models.unnamed(model)
    work = state_folder(partial / run_name(run), run, data, chosen, network_of, recipe, place, threads)
    seen = (chosen.given, chosen.train, chosen.validation)
    trained = Training(dict(run), data, network, *seen, recipe, saved_epochs, work, place)
    trained.fit()
    trained.release()
    return trained


def state_folder(
    parent: Path, run: Mapping[str, Any], data: Dataset, labels: RunLabels, model, recipe: Recipe, place, threads, *rest
) -> Path:
    """Folder below ``parent`` for the state of a training, named by all that its result depends on.

    The number of epochs may grow, so it is left out. ``rest`` is JSON: what else sets this training apart. Whatever
    another recipe or version left in ``parent`` is removed.
    """
    unlimited = {name: getattr(recipe, name) for name in recipe.__dataclass_fields__ if name != "epochs"}
    parts = [
        [run["model_seed"], data.digest, labels.digest, model, unlimited, place.type, threads],
        [training.VERSION, models.VERSION, torch.__version__],
        *rest,
    ]
    chosen = parent / hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    for stale in set(parent.glob("*")) - {chosen}:
        log.info("removing %s, which another recipe or version left", stale)
        shutil.rmtree(stale)
    return chosen


def _publish(folder: Path, trained: Sequence[Training]) -> None:
    """Write the declared files. Weights are linked, not copied, where the file system can."""
    tables.write(pa.concat_tables([run.history_table() for run in trained]), folder / "history.parquet")
    with (
        atomic(folder / "records.parquet") as path,
        pq.ParquetWriter(path, tables.RECORDS, **tables.WRITING) as writer,
    ):
        for run in trained:
            for epoch in run.kept_epochs():
                writer.write_table(run.records_table(epoch))
    index = {}
    with temporary_folder(folder, "checkpoints") as fresh:
        for run in trained:
            name = run_name(run.run)
            digests = {}
            (fresh / name).mkdir()
            for epoch in run.kept_epochs():
                source = run.weights(epoch)
                _link(source, fresh / name / source.name)
                # Of what was written, not of what is there: a file that a disk has changed since shall not pass.
                digests[str(epoch)] = run.digests[source.name]
            index[name] = {"last_epoch": run.epoch, "sha256": digests}
        share(fresh)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        fresh.rename(folder / "checkpoints")
    with atomic(folder / "checkpoints.json") as path:
        path.write_text(json.dumps(index, indent=1) + "\n")


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
