"""Time the removal of shared center axes on three kinds of centers.

They are unstructured, or have five strong common axes, or are class means in a ReLU network with random weights.

    OMP_NUM_THREADS=1 python benchmarks/geometry_centers.py --classes 100 --features 5000
"""

import argparse
import platform
import time

import numba
import numpy as np

from latentgen.compute import use_threads
from latentgen.geometry.centers import center_axes


def unstructured(random, n_classes, n_features):
    return random.standard_normal((n_classes, n_features))


def common(random, n_classes, n_features):
    shared = random.standard_normal((n_classes, 5)) @ random.standard_normal((5, n_features))
    return 3 * shared + 0.3 * unstructured(random, n_classes, n_features)


def network(random, n_classes, n_features, n_inputs=200, n_points=50):
    means = random.standard_normal((n_classes, 1, n_inputs))
    values = np.maximum(means + 2 * random.standard_normal((n_classes, n_points, n_inputs)), 0)
    for width in (1000, 1000, n_features):
        weights = random.standard_normal((values.shape[-1], width)) * np.sqrt(2 / values.shape[-1])
        values = np.maximum(values @ weights, 0)
    return values.mean(axis=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--features", type=int, default=5000)
    parser.add_argument("--restarts", type=int, default=10)
    arguments = parser.parse_args()
    use_threads(1)
    print(f"Python {platform.python_version()}, numpy {np.__version__}, numba {numba.__version__}, one thread")
    center_axes(np.random.default_rng(0).standard_normal((6, 9)), n_restarts=1)  # compiles
    for kind in (unstructured, common, network):
        values = kind(np.random.default_rng(0), arguments.classes, arguments.features)
        start, busy = time.perf_counter(), time.process_time()
        found = center_axes(values - values.mean(axis=0), arguments.restarts)
        seconds, busy = time.perf_counter() - start, time.process_time() - busy
        print(
            f"{kind.__name__:13s} {seconds:7.2f} s ({busy:.2f} s of CPU), K {found.axes.shape[1]} of {len(found.path)} "
            f"tried, mean |cos| {found.correlation:.4f} before, {found.mean_cosine:.4f} after, "
            f"objectives {found.objectives.min():.4f} to {found.objectives.max():.4f}, kept {found.objective:.4f}"
        )


if __name__ == "__main__":
    main()
