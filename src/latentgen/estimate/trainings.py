"""What trainings take: a short one, clocked, that leaves a cell for the pilots of the analyses."""

import time
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import mean, median
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from latentgen import datasets, digests, models, tables
from latentgen.checkpoints import run_name
from latentgen.compute import choose_device, use_threads
from latentgen.labels import RunLabels
from latentgen.training.cell import state_folder, train_cell
from latentgen.training.loop import Training
from latentgen.training.recipe import Recipe

#: Batches of the training that warms up; seconds that the epochs of a pilot should take together, and that one epoch
#: may take: of a longer one, only so many batches are trained.
WARM, SPAN, LONG = 10, 2.0, 30.0
#: Fewest and most epochs of a pilot. The first is not saved, so that one can be told from a saved one.
FEWEST, MOST = 3, 6


class Clocked(Training):
    """A training that keeps the seconds of its parts, epoch by epoch, and the bytes of its states."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.seconds: dict[str, dict[int, float]] = {"train": {}, "after": {}, "state": {}}
        self.state_bytes: dict[int, int] = {}

    @contextmanager
    def _clock(self, part: str, epoch: int):
        began = time.perf_counter()
        yield
        self.seconds[part][epoch] = time.perf_counter() - began

    def train_epoch(self, epoch: int) -> int:
        with self._clock("train", epoch):
            return super().train_epoch(epoch)

    def after_epoch(self) -> None:
        with self._clock("after", self.epoch):
            super().after_epoch()

    def keep_state(self) -> None:
        with self._clock("state", self.epoch):
            super().keep_state()
        self.state_bytes[self.epoch] = (self.folder / "state.safetensors").stat().st_size


def measure_training(
    folder: Path, run: Mapping[str, Any], plan: Mapping[str, Any], data_folder: Path, labels: pa.Table, device, threads
) -> tuple[dict[str, float], dict[str, float], list[int]]:
    """Train one run for a few epochs into the cell ``folder``; seconds and bytes by unit, and the epochs it kept.

    An epoch that would take longer than `LONG` seconds is cut to its first batches; seconds are then scaled by
    batches, and those of scoring by examples.

    Parameters
    ----------
    labels : of the run, as in labels.parquet
    plan : ``model`` and ``training`` (see `latentgen.estimate.counts.pilots`)
    """
    use_threads(threads)
    data, place = datasets.load(data_folder), choose_device(device)
    recipe = replace(Recipe.from_config(plan["training"]), stop_accuracy=None)
    model, file = plan["model"], folder / "labels-trained.parquet"

    def clocked(rows: int, epochs: int, saved: list[int], where: Path) -> tuple[Clocked, Recipe]:
        tables.write(_first_trained(labels, rows), file)
        chosen, short = RunLabels.read(file, run["data_seed"]), replace(recipe, epochs=epochs)
        network = models.initialised(model, data.in_shape, data.n_classes, run["model_seed"])
        work = state_folder(where, run, data, chosen, model, short, place, threads)
        seen = (chosen.given, chosen.train, chosen.validation)
        training = Clocked(dict(run), data, network, *seen, short, saved, work, place)
        training.fit()
        return training, short

    total = pc.sum(pc.equal(labels["split"], "train")).as_py()
    few = min(total, WARM * recipe.batch_size)
    warm = clocked(few, 2, [], folder / "warm")[0].seconds["train"][2]
    epoch = warm * total / few
    rows = total if epoch <= LONG else max(few, int(total * LONG / epoch) // recipe.batch_size * recipe.batch_size)
    epochs = min(max(FEWEST, round(SPAN / epoch)), MOST)
    saved = [0, *range(2, epochs + 1)]
    training, short = clocked(rows, epochs, saved, folder / "partial" / run_name(run))
    seconds, sizes = _units(training, rows, total, len(data.y_test) + len(labels) - total)
    training.release()
    began = time.perf_counter()
    weights = training.weights(epochs)
    digests.of_file(weights)  # as is done before a training is taken up again
    reading = time.perf_counter() - began
    # Finds the training done, so that what it takes is all that surrounds one.
    began = time.perf_counter()
    train_cell(folder, [run], data_folder, file, model, short, saved, device, threads)
    seconds["training"] = max(time.perf_counter() - began - reading * len(saved), 0.0)
    history = training.history_table()
    sizes |= {"checkpoint": weights.stat().st_size, **_of_history(folder, history, epochs)}
    return seconds, sizes, saved


def _first_trained(labels: pa.Table, n: int) -> pa.Table:
    """Rows up to the ``n``-th example that is trained on."""
    trained = pc.indices_nonzero(pc.equal(labels["split"], "train"))
    return labels if n == len(trained) else labels.slice(0, trained[n - 1].as_py() + 1)


def _units(training: Clocked, rows: int, total: int, others: int) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds and bytes of ``epoch``, ``saved``, ``state`` and ``records``, of all ``total`` examples.

    ``rows`` of them were trained on; ``others``, of the test set and held out, are scored after every epoch.
    """
    last, part = training.epoch, training.seconds
    scored = part["after"][1]
    saved = median(part["after"][epoch] for epoch in range(2, last + 1)) + mean(part["state"].values()) - scored
    left = total - rows
    seconds = {
        "epoch": median(part["train"].values()) * total / rows + scored,
        "saved": max(saved, 0.0) + left * scored / others,
    }
    kept = training.records.tensors().values()
    of_example = sum(tensor.element_size() for tensor in kept)
    growth = (training.state_bytes[last] - training.state_bytes[2]) / (last - 2)
    records = {epoch: training.records_file(epoch).stat().st_size * total / rows for epoch in (0, last)}
    sizes = {
        "state": training.state_bytes[last] - growth * last + of_example * left,
        "state:epoch": growth,
        "records": records[last],
        "records:first": records[0],
    }
    return seconds, sizes


def _of_history(folder: Path, history: pa.Table, epochs: int) -> dict[str, float]:
    """Bytes of a history, and of one more epoch in it."""
    path, found = folder / "partial" / "history-of-some.parquet", []
    for most in (1, epochs):
        tables.write(history.filter(pc.field("epoch") <= most), path)
        found.append(path.stat().st_size)
    growth = max(found[1] - found[0], 0) / (epochs - 1)
    return {"history": found[0] - growth, "history:epoch": growth}
