"""Time the threshold ablation as one pass against a pass for each probe.

MASC at five settings, VeLPIC and the nearest mean, on layers of the untrained published MLP on MNIST with 60 % of the
labels redrawn: all fitted and scored together, as the family ``moments`` does, and each for itself. Runs alternate; the
rows must be equal.

    OMP_NUM_THREADS=1 python benchmarks/one_pass.py --data-root DIR
"""

import argparse
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from latentgen import datasets, models
from latentgen.activations.sources import Stream
from latentgen.compute import use_threads
from latentgen.labels import RunLabels
from latentgen.noise import corrupt
from latentgen.probes import kinds
from latentgen.probes.evaluate import Task, evaluate

SWEEP = {f"masc{round(100 * fraction)}": {"kind": "masc", "variance": fraction} for fraction in (0.25, 0.5, 0.75, 0.99)}
DECLARED = SWEEP | {
    "masc1": {"kind": "masc", "n_axes": 1},
    "velpic": {"kind": "velpic"},
    "nearest_mean": {"kind": "nearest_mean"},
}
PROBES = {name: kinds.complete(probe) for name, probe in DECLARED.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", type=Path, required=True, help="folder that holds MNIST/raw/*.gz")
    parser.add_argument("--layers", nargs="+", default=["fc1", "fc2"])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    use_threads(1)
    data = datasets.prepare("mnist", arguments.data_root)
    given = corrupt(data.y_train, 0.6, kind="ketha2026", n_classes=10, seed=42).given
    everything = np.arange(len(given))
    task = Task(RunLabels(given, data.y_train, everything, everything[:0], given != data.y_train), data.y_test, 10, 42)
    source = Stream(models.build("mlp", data.in_shape, 10, 0), data, torch.device("cpu"))

    seconds, found = {"together": [], "each": [], "masc99 alone": []}, {}
    for _ in range(arguments.repeats):
        families = {"together": [PROBES], "each": [{name: PROBES[name]} for name in PROBES]}
        families["masc99 alone"] = [{"masc99": PROBES["masc99"]}]
        for way, groups in families.items():
            start = time.perf_counter()
            rows = [row for group in groups for row in evaluate(source, arguments.layers, group, task, source.device)]
            seconds[way].append(time.perf_counter() - start)
            found[way] = sorted((row["layer"], row["probe"], row["value"], row["margin"]) for row in rows)
    if found["together"] != found["each"]:
        raise SystemExit("the rows differ")
    print(f"Python {platform.python_version()}, torch {torch.__version__}, one thread, layers {arguments.layers}")
    medians = {way: statistics.median(times) for way, times in seconds.items()}
    for way, times in seconds.items():
        print(f"{way:13s} median {medians[way]:7.2f} s   of {', '.join(f'{t:.2f}' for t in times)}")
    print(f"each / together {medians['each'] / medians['together']:.1f}")
    print(f"together / masc99 alone {medians['together'] / medians['masc99 alone']:.2f}")


if __name__ == "__main__":
    main()
