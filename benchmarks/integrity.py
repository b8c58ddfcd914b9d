"""Time what it costs to verify that files hold what was written into them.

Prepared data of the size of a published set are loaded with and without verification, a network's weights are loaded
with and without their digest, and a table is read with and without the checksums of its pages. Runs alternate; the
files are in the page cache, where a disk's own time does not hide the difference.

    OMP_NUM_THREADS=1 python benchmarks/integrity.py
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from latentgen import datasets, digests, models, tables
from latentgen.checkpoints import Checkpoint
from latentgen.datasets import base
from latentgen.training.state import load_weights, save_weights

#: Images of the sets: training, test, shape.
SETS = {"mnist": (60_000, 10_000, (1, 28, 28)), "cifar10": (50_000, 10_000, (3, 32, 32))}
ROWS = 1_000_000


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for dataset, sizes in SETS.items():
            path = folder / dataset
            datasets.save(drawn(*sizes, rng), path)
            compare(
                f"data {dataset}",
                size(path),
                lambda p=path: datasets.load(p, False),
                lambda p=path: datasets.load(p),
                arguments,
            )
        for model, shape in (("mlp", (1, 28, 28)), ("resnet18", (3, 32, 32))):
            weights(model, shape, folder, arguments)
        path = folder / "table.parquet"
        tables.write(pa.table({"epoch": np.arange(ROWS), "value": rng.random(ROWS)}), path)
        compare("table", path.stat().st_size, lambda: pq.ParquetFile(path).read(), lambda: tables.load(path), arguments)


def drawn(train: int, test: int, shape: tuple[int, ...], rng: np.random.Generator) -> datasets.Dataset:
    arrays = {}
    for part, n in (("train", train), ("test", test)):
        arrays[f"x_{part}"] = rng.integers(0, 256, (n, *shape), dtype=np.uint8)
        arrays[f"y_{part}"] = rng.integers(0, 10, n)
    return base.assemble(arrays)


def weights(model: str, shape: tuple[int, ...], folder: Path, arguments) -> None:
    network, path = models.build(model, shape, 10, 0), folder / f"{model}.safetensors"
    checkpoint = Checkpoint({}, 0, path, save_weights(network, path))
    compare(
        f"weights {model}",
        path.stat().st_size,
        lambda: load_weights(network, path),
        lambda: load_weights(network, checkpoint.read()),
        arguments,
    )
    assert digests.of_file(path) == checkpoint.sha256


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def compare(what: str, n_bytes: int, without: Callable, verified: Callable, arguments) -> None:
    seconds: dict[Callable, list[float]] = {without: [], verified: []}
    for _ in range(arguments.repeats):
        for call, taken in seconds.items():
            began = time.perf_counter()
            call()
            taken.append(time.perf_counter() - began)
    plain, more = (statistics.median(taken) for taken in seconds.values())
    print(f"{what:18} {n_bytes / 1e6:7.1f} MB   {plain:7.4f} s unverified   {more:7.4f} s verified")


if __name__ == "__main__":
    main()
