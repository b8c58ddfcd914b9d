"""What the grids of a configuration cost, counted rather than run: updates, operations, checkpoints, bytes.

Training operations are PyTorch's own count of a forward and backward pass of one batch. Those of second-moment probes
are the products of the moments, the decomposition of each class and the projections of the test set; where a class has
fewer examples than the layer has features, the dual ones. Epochs are the most that a configuration allows, so all
numbers are upper bounds; ``--epochs`` gives another number, say the one at which runs are known to stop.

Hours on one GPU are a projection, not a measurement: updates of small batches cost their launches (``--update-ms``),
float32 products of training run at ``--train-tflops``, and probes, whose float64 decompositions reach a small part of a
GPU's rate, at ``--probe-tflops``. Logistic regression, nearest neighbours and interventions are not counted.

    python benchmarks/published_cost.py config/ketha2026/all.yaml
"""

import argparse
from collections import defaultdict
from pathlib import Path

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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", nargs="+", type=Path)
    parser.add_argument("--epochs", type=int, help="count runs as this long, instead of the most they may last")
    parser.add_argument("--update-ms", type=float, default=1.0, help="least time of one update (default 1)")
    parser.add_argument("--train-tflops", type=float, default=20.0, help="float32 rate in training (default 20)")
    parser.add_argument("--probe-tflops", type=float, default=0.3, help="rate of probes, mostly float64 (default 0.3)")
    arguments = parser.parse_args()
    schema = ROOT / "workflow" / "schemas" / "config.schema.yaml"
    totals = defaultdict(lambda: defaultdict(float))
    for path in arguments.config:
        for cell in grid.load(yaml.safe_load(path.read_text()), schema).cells:
            n_train, n_test, classes, shape = DATA[cell.dataset]
            declared, training = cell.declared_model, cell.settings["training"]
            model = models.build(declared["factory"], shape, classes, 0, declared["options"])
            epochs = min(arguments.epochs or training["epochs"], training["epochs"])
            saved = len([epoch for epoch in cell.saved_epochs if epoch <= epochs])
            updates = epochs * -(-n_train // training["batch_size"])
            operations = updates * training_operations(model.train(), shape, classes, training["batch_size"])
            probing = saved * sum(probe_operations(width, n_train, n_test, classes) for width in widths(model, shape))
            size = 4 * sum(parameter.numel() for parameter in model.parameters())
            row = totals[cell.model, cell.dataset]
            for _ in cell.runs:
                row["runs"] += 1
                row["updates, millions"] += updates / 1e6
                row["training, PFLOP"] += operations / 1e15
                row["checkpoints"] += saved
                row["weights, GB"] += saved * size / 1e9
                row["probing, PFLOP"] += probing / 1e15
                seconds = max(updates * arguments.update_ms / 1e3, operations / (arguments.train_tflops * 1e12))
                row["training, h"] += seconds / 3600
                row["probing, h"] += probing / (arguments.probe_tflops * 1e12) / 3600
    names = list(next(iter(totals.values())))
    every = {name: sum(row[name] for row in totals.values()) for name in names}
    print(f"{'':34s}" + "".join(f"{name:>20s}" for name in names))
    for (model, dataset), row in [*totals.items(), (("all", ""), every)]:
        print(f"{f'{model} {dataset}':34s}" + "".join(f"{row[name]:20,.1f}" for name in names))


if __name__ == "__main__":
    main()
