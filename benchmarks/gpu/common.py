"""What the parts of `benchmarks/gpu.sh` share: arguments, clock, synthetic data, the sheet of their rows."""

import argparse
import functools
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from latentgen import datasets, devices, models, noise, tables
from latentgen.activations.sources import Stream
from latentgen.compute import choose_device, use_threads
from latentgen.interventions.swaps import Scored, scored
from latentgen.labels import RunLabels
from latentgen.probes.evaluate import Task
from latentgen.training.loop import Training
from latentgen.training.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]
N_CLASSES = 10
#: Names of the runs that are trained.
RUN = {"dataset": "synthetic", "noise": "uniform", "level": 0.5, "data_seed": 0, "model_seed": 0, "entry": ""}

#: Networks that are measured, with the image and the numbers of examples of the data that they were published on.
NETWORKS = {
    "mlp": ((1, 28, 28), 60_000, 10_000, {}),
    "cnn": ((1, 28, 28), 60_000, 10_000, {}),
    "resnet18": ((3, 32, 32), 50_000, 10_000, {}),
    "alexnet": ((3, 32, 32), 50_000, 10_000, {}),
    "vgg16": ((3, 32, 32), 50_000, 10_000, {}),
}
#: Those of them that are looked at in every way.
MAIN = ("mlp", "cnn", "resnet18")
#: The same in seconds on a CPU.
TINY = {
    "mlp": ((1, 8, 8), 256, 100, {"widths": [16, 32]}),
    "cnn": ((1, 8, 8), 256, 100, {"channels": [4, 8], "widths": [16]}),
    "resnet18": ((3, 16, 16), 256, 100, {"width": 4}),
}

#: One row for each measured quantity: median, least and most of its repeats.
FIELDS = pa.schema(
    [
        ("part", pa.string()),
        ("subject", pa.string()),
        ("method", pa.string()),
        ("quantity", pa.string()),
        ("unit", pa.string()),
        ("value", pa.float64()),
        ("least", pa.float64()),
        ("most", pa.float64()),
        ("repeats", pa.int64()),
    ]
)


class Sheet:
    """Rows of one part, printed as they come, and written each time, so that a part that is stopped leaves them."""

    def __init__(self, out: Path, part: str):
        self.part, self.path, self.rows = part, out / f"{part}.parquet", []
        out.mkdir(parents=True, exist_ok=True)
        self._write()

    def add(self, subject: str, method: str, quantity: str, values: float | Sequence[float], unit: str) -> float:
        """Keep the median of ``values`` and return it."""
        values = [float(value) for value in ([values] if np.isscalar(values) else values)]
        median = statistics.median(values)
        row = [self.part, subject, method, quantity, unit, median, min(values), max(values), len(values)]
        self.rows.append(dict(zip(FIELDS.names, row, strict=True)))
        spread = f"   [{min(values):.4g} to {max(values):.4g}, {len(values)}]" if len(values) > 1 else ""
        print(f"{subject:34s} {method:34s} {quantity}: {median:.4g} {unit}{spread}", flush=True)
        self._write()
        return median

    def _write(self) -> None:
        tables.write(tables.from_rows(self.rows, FIELDS), self.path)


def parser(description: str) -> argparse.ArgumentParser:
    """``out``, ``--device`` and ``--tiny``, as every part takes them."""
    made = argparse.ArgumentParser(description=description.splitlines()[0])
    made.add_argument("out", type=Path, help="folder for the results")
    made.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    made.add_argument("--tiny", action="store_true", help="sizes that take seconds on a CPU")
    return made


def at_work(chosen: argparse.Namespace) -> argparse.Namespace:
    """The same arguments with ``place``, the device, which this process then shares with those that it starts."""
    use_threads(1)
    os.environ.setdefault(devices.JOBS_PER_GPU, "64")
    chosen.place = choose_device(chosen.device)
    return chosen


def wait(place: torch.device) -> None:
    """Until the device has done what it was given."""
    if place.type == "cuda":
        torch.cuda.synchronize(place)


def seconds(work: Callable[[], object], place: torch.device, repeats: int = 3, warm: int = 1) -> list[float]:
    """Seconds of each of ``repeats`` calls, after ``warm`` others."""
    times = []
    for turn in range(warm + repeats):
        wait(place)
        start = time.perf_counter()
        work()
        wait(place)
        if turn >= warm:
            times.append(time.perf_counter() - start)
    return times


def network(name: str, tiny: bool, seed: int = 0) -> torch.nn.Module:
    """Untrained network for the images of `synthetic`."""
    shape, _, _, options = (TINY if tiny else NETWORKS)[name]
    return models.build(name, shape, N_CLASSES, seed, options)


@functools.cache
def synthetic(name: str, tiny: bool, most: int | None = None) -> tuple[datasets.Dataset, RunLabels]:
    """Images of the real size around ten class means, with variances that fall as those of photographs do.

    Half of the labels are redrawn. ``most`` : training examples at most
    """
    shape, n_train, n_test, _ = (TINY if tiny else NETWORKS)[name]
    n_train = min(n_train, most or n_train)
    random = np.random.default_rng(0)
    classes = random.integers(N_CLASSES, size=n_train + n_test)
    pixels, axes = int(np.prod(shape)), 128
    basis = random.standard_normal((axes, pixels)).astype(np.float32)
    scale = (40 / np.sqrt(np.arange(1, axes + 1)) / 3).astype(np.float32)
    means = 2 * random.standard_normal((N_CLASSES, axes)).astype(np.float32) * scale
    codes = means[classes] + random.standard_normal((len(classes), axes)).astype(np.float32) * scale
    images = np.clip(codes @ basis + 128, 0, 255).astype(np.uint8).reshape(-1, *shape)
    parts = {"x_train": images[:n_train], "y_train": classes[:n_train]}
    data = datasets.assemble({**parts, "x_test": images[n_train:], "y_test": classes[n_train:]})
    given, selected = noise.corrupt(data.y_train, 0.5, "uniform", N_CLASSES, 0)
    everything = np.arange(n_train)
    return data, RunLabels(given, data.y_train, everything, everything[:0], selected)


def training(name: str, examples: int, recipe: Recipe, chosen: argparse.Namespace, folder: str) -> Training:
    """A run as the workflow trains it, before its first epoch; ``folder`` takes what it keeps."""
    data, labels = synthetic(name, chosen.tiny, examples)
    seen = (labels.given, labels.train, labels.validation)
    run = {**RUN, "model": name}
    return Training(run, data, network(name, chosen.tiny), *seen, recipe, [], Path(folder), chosen.place)


class Checkpoint(NamedTuple):
    """An untrained network and its data, as analyses of one checkpoint take them."""

    data: datasets.Dataset
    labels: RunLabels
    task: Task
    source: Stream
    #: Weights of another seed, for rewinding, and the examples that it is scored on.
    earlier: dict[str, torch.Tensor]
    scored: Scored


def checkpoint(name: str, examples: int, chosen: argparse.Namespace) -> Checkpoint:
    """``examples`` : training examples at most"""
    data, labels = synthetic(name, chosen.tiny, examples)
    source = Stream(network(name, chosen.tiny), data, chosen.place)
    other = network(name, chosen.tiny, 1).to(chosen.place).state_dict()
    earlier = {key: value.clone() for key, value in other.items()}
    on = scored(labels, data.y_test, None, 0, chosen.place)
    return Checkpoint(data, labels, Task(labels, data.y_test, N_CLASSES, 0), source, earlier, on)
