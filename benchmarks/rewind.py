"""Time the map of one run, each layer, prefix and suffix at each saved epoch, by swapping against reloading files.

Reloading reads both epochs' files for every cell, mixes them and loads the result: for every name in the map, and for
every distinct set of layers, which is what swapping evaluates. Then loading alone, without evaluation.
The weights are those of untrained networks of other seeds, on the digits; with ``--model mlp``, 5 million of them. Runs
alternate; the accuracies must be equal.

    OMP_NUM_THREADS=1 python benchmarks/rewind.py
"""

import argparse
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from latentgen import datasets, models
from latentgen.activations.sources import Stream
from latentgen.compute import use_threads
from latentgen.interventions.swaps import Swaps, layer_sets, scored
from latentgen.labels import RunLabels
from latentgen.noise import corrupt
from latentgen.training.state import save_weights


def by_swapping(swaps, last, files, on):
    swaps.source.load(last)
    rows = [row for file in files for row in swaps.rows(load_file(file), on)]
    return [row["value"] for row in rows]


def by_reloading(swaps, last, files, on, distinct, evaluate=True):
    found = []
    for file in files:
        seen = {}
        for members in layer_sets(len(swaps.layers)).values():
            if not distinct or members not in seen:
                mixed, earlier = load_file(last), load_file(file)
                for place in members:
                    for name in swaps.layers[place].parameters + swaps.layers[place].buffers:
                        mixed[name] = earlier[name]
                swaps.source.model.load_state_dict(mixed)
                seen[members] = swaps.evaluate("rewound", on) if evaluate else []
            found += [row["value"] for row in seen[members]]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mlp", help="a network of the zoo that takes 8 px images")
    parser.add_argument("--epochs", type=int, default=1, help="saved epochs before the last")
    parser.add_argument("--examples", type=int, help="most examples of a split that are evaluated")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    use_threads(1)
    data = datasets.prepare("digits", "unused")
    given = corrupt(data.y_train, 0.5, kind="uniform", n_classes=10, seed=0).given
    everything = np.arange(len(given))
    labels = RunLabels(given, data.y_train, everything, everything[:0], given != data.y_train)
    source = Stream(models.build(arguments.model, data.in_shape, 10, 0), data, torch.device("cpu"))
    swaps, on = Swaps(source, ["rewound"]), scored(labels, data.y_test, arguments.examples, 0, source.device)

    seconds, found = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{seed}.safetensors" for seed in range(arguments.epochs + 1)]
        for seed, file in enumerate(files):
            save_weights(models.build(arguments.model, data.in_shape, 10, seed), file)
        task = (swaps, files[0], files[1:], on)
        ways = {
            "swapping": lambda: by_swapping(*task),
            "reloading for each distinct set": lambda: by_reloading(*task, distinct=True),
            "reloading for each name": lambda: by_reloading(*task, distinct=False),
            "loads of each distinct set alone": lambda: by_reloading(*task, distinct=True, evaluate=False),
        }
        for _ in range(arguments.repeats):
            for way, compute in ways.items():
                start = time.perf_counter()
                found[way] = compute()
                seconds.setdefault(way, []).append(time.perf_counter() - start)
        megabytes = files[0].stat().st_size / 1e6
    names = [way for way in ways if found[way]]
    if any(found[way] != found["swapping"] for way in names):
        raise SystemExit("the accuracies differ")

    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, one thread; {arguments.model} on digits, "
        f"{len(swaps.layers)} layers, files of {megabytes:.1f} MB, {arguments.epochs} epochs, "
        f"{', '.join(f'{len(rows)} {split}' for split, rows in on.examples.items())} examples"
    )
    medians = {way: statistics.median(times) for way, times in seconds.items()}
    for way, times in seconds.items():
        print(f"{way:33s} median {medians[way]:7.2f} s   of {', '.join(f'{t:.2f}' for t in times)}")
    for way in names[1:]:
        print(f"{way} / swapping {medians[way] / medians['swapping']:.2f}")


if __name__ == "__main__":
    main()
