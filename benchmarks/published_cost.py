"""What the grids of a configuration cost, counted rather than run: updates, operations, checkpoints, bytes.

Training operations are PyTorch's own count of a forward and backward pass of one batch. Those of second-moment probes
are the products of the moments, the decomposition of each class and the projections of the test set; where a class has
fewer examples than the layer has features, the dual ones. Epochs are the most that a configuration allows, so all
numbers are upper bounds; ``--epochs`` gives another number, say the one at which runs are known to stop.

Hours on one GPU are a projection: updates of small batches cost their launches (``--update-ms``), float32 products of
training run at ``--train-tflops``, and probes, whose float64 decompositions reach a small part of a GPU's rate, at
``--probe-tflops``. ``--measured OUT`` takes all three from what `benchmarks/gpu.sh OUT` measured instead. Logistic
regression, nearest neighbours and interventions are not counted.

    python benchmarks/published_cost.py config/ketha2026/all.yaml
"""

import argparse
import functools
import json
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from latentgen import grid, models

ROOT = Path(__file__).parents[1]

#: Training examples, test examples, classes, image.
DATA = {
    "mnist": (60_000, 10_000, 10, (1, 28, 28)),
    "fashion-mnist": (60_000, 10_000, 10, (1, 28, 28)),
    "cifar10": (50_000, 10_000, 10, (3, 32, 32)),
    "cifar100": (50_000, 10_000, 100, (3, 32, 32)),
    "tiny-imagenet": (100_000, 10_000, 200, (3, 64, 64)),
}


def training_operations(model, shape, classes, batch):
    """Floating-point operations of one update."""
    with FlopCounterMode(display=False) as counter:
        logits = model(torch.zeros(batch, *shape))
        functional.cross_entropy(logits, torch.zeros(batch, dtype=torch.long)).backward()
    return counter.get_total_flops()


def widths(model, shape):
    """Features of every probed layer, the image first."""
    modules, found = dict(model.named_modules()), [torch.Size(shape).numel()]
    hooks = [
        modules[name].register_forward_hook(lambda _m, _i, output: found.append(output[0].numel()))
        for name in model.probed.values()
    ]
    with torch.no_grad():
        model.eval()(torch.zeros(1, *shape))
    for hook in hooks:
        hook.remove()
    return found


def probe_operations(width, n_train, n_test, classes):
    """Floating-point operations of moments, decompositions and projections of one layer at one checkpoint."""
    each = n_train / classes
    small = min(each, width)
    moments = n_train * width * (width if each > width else each)
    decompositions = classes * (4 / 3 * small**3 + 2 * small**2 * small / 4)
    # About a quarter of the axes keep 99 % of the variance of a memorised layer.
    projections = 2 * n_test * width * classes * small / 4
    return moments + decompositions + projections


@functools.cache
def counted(factory: str, options: str, shape: tuple[int, int, int], classes: int, batch: int) -> tuple:
    """Operations of an update, features of every layer, bytes of the weights."""
    model = models.build(factory, shape, classes, 0, json.loads(options))
    layers = widths(model, shape)
    size = 4 * sum(parameter.numel() for parameter in model.parameters())
    return training_operations(model.train(), shape, classes, batch), layers, size


class Assumed:
    """Seconds by rates that are the same for all networks and layers."""

    def __init__(self, update_ms: float, train_tflops: float, probe_tflops: float):
        self.update, self.train, self.probe = update_ms / 1e3, train_tflops * 1e12, probe_tflops * 1e12

    def of_update(self, factory: str, batch: int, operations: float) -> float:
        return max(self.update, operations / self.train)

    def of_probes(self, width: int, n_train: int, n_test: int, classes: int) -> float:
        return probe_operations(width, n_train, n_test, classes) / self.probe


class Measured:
    """Seconds from the rows that `benchmarks/gpu.sh` wrote, scaled by operations where sizes differ.

    Parameters
    ----------
    folder : with probes.parquet and training.parquet, perhaps with compiled.parquet and streams.parquet
    best : take the fastest method of training a network, not the one that the workflow has
    """

    def __init__(self, folder: Path, best: bool = False):
        files = [folder / f"{part}.parquet" for part in ("training", "compiled", "streams")]
        training = pd.concat(pd.read_parquet(path) for path in files if path.exists())
        training = training[training["quantity"] == "updates a second"]
        chosen = training if best else training[training["method"] == "as it is"]
        self.updates = {}
        for subject, rate in chosen.groupby("subject")["value"].max().items():
            name, batch = re.fullmatch(r"(\w+), batch (\d+)", subject).groups()
            shape = (1, 28, 28) if name in ("mlp", "cnn") else (3, 32, 32)
            self.updates[name, int(batch)] = (1 / rate, counted(name, "{}", shape, 10, int(batch))[0])
        probes = pd.read_parquet(folder / "probes.parquet")
        probes = probes[probes["quantity"] == "MASC and VeLPIC, fit and score"].set_index("subject")["value"]
        self.layers = [(*map(int, subject.replace(",", "").split(" x ")), taken) for subject, taken in probes.items()]

    def of_update(self, factory: str, batch: int, operations: float) -> float:
        """That of the same network, with more where this one takes more operations; NaN where it was not measured."""
        same = [pair for (name, _), pair in self.updates.items() if name == factory]
        if not same:
            return np.nan
        taken, measured = self.updates.get((factory, batch)) or min(same, key=lambda pair: abs(pair[1] - operations))
        return taken * max(1.0, operations / measured)

    def of_probes(self, width: int, n_train: int, n_test: int, classes: int) -> float:
        """That of the layer with the nearest number of operations; small layers cost launches, so never less."""
        wanted = probe_operations(width, n_train, n_test, classes)
        known = [(probe_operations(d, n, n // 6, 10), taken) for n, d, taken in self.layers]
        operations, taken = min(known, key=lambda pair: abs(np.log(pair[0] / wanted)))
        return taken * max(1.0, wanted / operations)


def totals(paths, rates, most_epochs: int | None = None) -> dict[tuple[str, str], dict[str, float]]:
    """What the grids take, by network and data set."""
    found = defaultdict(lambda: defaultdict(float))
    for path in paths:
        for cell in grid.load(yaml.safe_load(path.read_text())).cells:
            n_train, n_test, classes, shape = DATA[cell.dataset]
            declared, training = cell.declared_model, cell.settings["training"]
            operations, layers, size = counted(
                declared["factory"], json.dumps(declared["options"]), shape, classes, training["batch_size"]
            )
            epochs = min(most_epochs or training["epochs"], training["epochs"])
            saved = len([epoch for epoch in cell.saved_epochs if epoch <= epochs])
            updates = epochs * -(-n_train // training["batch_size"])
            seconds = updates * rates.of_update(declared["factory"], training["batch_size"], operations)
            sizes = [(width, n_train, n_test, classes) for width in layers]
            row, runs = found[cell.model, cell.dataset], len(cell.runs)
            row["runs"] += runs
            row["updates, millions"] += runs * updates / 1e6
            row["training, PFLOP"] += runs * updates * operations / 1e15
            row["checkpoints"] += runs * saved
            row["weights, GB"] += runs * saved * size / 1e9
            row["probing, PFLOP"] += runs * saved * sum(probe_operations(*of_layer) for of_layer in sizes) / 1e15
            row["training, h"] += runs * seconds / 3600
            row["probing, h"] += runs * saved * sum(rates.of_probes(*of_layer) for of_layer in sizes) / 3600
    names = list(next(iter(found.values())))
    return {**found, ("all", ""): {name: sum(row[name] for row in found.values()) for name in names}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", nargs="+", type=Path)
    parser.add_argument("--epochs", type=int, help="count runs as this long, instead of the most they may last")
    parser.add_argument("--update-ms", type=float, default=1.0, help="least time of one update (default 1)")
    parser.add_argument("--train-tflops", type=float, default=20.0, help="float32 rate in training (default 20)")
    parser.add_argument("--probe-tflops", type=float, default=0.3, help="rate of probes, mostly float64 (default 0.3)")
    parser.add_argument("--measured", type=Path, help="folder of benchmarks/gpu.sh: take rates from there")
    chosen = parser.parse_args()
    assumed = Assumed(chosen.update_ms, chosen.train_tflops, chosen.probe_tflops)
    found = totals(chosen.config, Measured(chosen.measured) if chosen.measured else assumed, chosen.epochs)
    print(f"{'':34s}" + "".join(f"{name:>20s}" for name in found["all", ""]))
    for (model, dataset), row in found.items():
        print(f"{f'{model} {dataset}':34s}" + "".join(f"{value:20,.1f}" for value in row.values()))


if __name__ == "__main__":
    main()
