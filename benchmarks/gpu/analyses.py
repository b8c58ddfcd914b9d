"""Seconds of each analysis of one checkpoint of the published networks, on synthetic images of the published sizes."""

import argparse

import torch
from benchmarks.gpu.common import MAIN, Sheet, at_work, checkpoint, parser, seconds

from latentgen.geometry.declaration import GEOMETRY
from latentgen.geometry.evaluate import Analysis
from latentgen.gradients import evaluate as gradients
from latentgen.interventions import evaluate as transfer
from latentgen.interventions.swaps import Swaps
from latentgen.probes import kinds
from latentgen.probes.evaluate import evaluate

#: Training examples at most: as many as published, but for ResNet-18, whose analyses would take minutes.
EXAMPLES = {"mlp": 60_000, "cnn": 60_000, "resnet18": 10_000}
LOGISTIC = {"logistic": kinds.complete({"kind": "logistic"})}
NEIGHBOURS = {"knn": kinds.complete({"kind": "knn"})}


def main():
    chosen = at_work(parser(__doc__).parse_args())
    sheet = Sheet(chosen.out, "analyses")
    for name in MAIN:
        measure(sheet, name, chosen)


def measure(sheet: Sheet, name: str, chosen: argparse.Namespace) -> None:
    place = chosen.place
    data, labels, task, source, earlier, on = checkpoint(name, EXAMPLES[name], chosen)
    swaps = Swaps(source, ["rewound"])
    layers = source.layers if name != "resnet18" else source.layers[-2:]  # others have up to 16,384 features
    moments = {kind: kinds.complete({"kind": kind}) for kind in ("masc", "velpic")}
    subject = f"{name}, {len(labels.given):,} examples"

    def read() -> None:
        for _ in source.chunks("train", source.layers):
            pass

    work = {
        "activations of all layers": read,
        f"MASC and VeLPIC, {len(layers)} layers": lambda: evaluate(source, layers, moments, task, place),
        f"nearest neighbours, {layers[-1]}": lambda: evaluate(source, layers[-1:], NEIGHBOURS, task, place),
        "gradients": lambda: gradients.evaluate(source, labels),
        f"rewinding of one epoch, {len(swaps.layers)} layers": lambda: swaps.rows(earlier, on),
        f"transfer, {len(layers)} layers": lambda: transfer.evaluate(source, layers, task),
        f"logistic regression, {layers[-1]}": lambda: evaluate(source, layers[-1:], LOGISTIC, task, place),
    }
    for analysis, compute in work.items():
        warm = 0 if "logistic" in analysis else 1  # thousands of updates need no warming
        if place.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        sheet.add(subject, analysis, "a checkpoint", seconds(compute, place, 1, warm=warm), "s")
        if place.type == "cuda":
            sheet.add(subject, analysis, "most memory", torch.cuda.max_memory_allocated() / 2**30, "GiB")
    if name == "cnn":
        wanted = {"points": 5, "directions": 10, "restarts": 1} if chosen.tiny else {}
        analysis = Analysis(source, {0: labels}, data, GEOMETRY.complete(wanted), 1)
        sheet.add(subject, "geometry", "a checkpoint", seconds(lambda: analysis.mean_field(0), place, 1, warm=0), "s")


if __name__ == "__main__":
    main()
