"""Time the whole mean-field analysis: how long one takes, where the time goes, and how it grows.

P class manifolds of M points in N features, whose centres share a few axes as those of deep networks do. One analysis
at the size of the published work, its parts, and sweeps over P, M and the number of directions.

    OMP_NUM_THREADS=1 python benchmarks/geometry.py
"""

import argparse
import platform
import statistics
import time

import numpy as np

from latentgen.geometry.anchors import anchor_geometry
from latentgen.geometry.centers import center_axes
from latentgen.geometry.manifolds import manifold_geometry


def clouds(p, m, n, shared=5, seed=0):
    """Gaussian clouds around centres with ``shared`` axes of large variance."""
    random = np.random.default_rng(seed)
    common = 3 * random.standard_normal((p, shared)) @ random.standard_normal((shared, n))
    return [center + random.standard_normal(n) + 2 * random.standard_normal((m, n)) for center in common]


def seconds(function, repeats):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return statistics.median(times), result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="threads over manifolds")
    arguments = parser.parse_args()
    manifold_geometry(clouds(4, 10, 20), n_t=10)  # compiled or loaded before anything is timed
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}")

    manifolds = clouds(100, 50, 5000)
    for jobs in sorted({1, arguments.jobs}):
        whole, result = seconds(lambda jobs=jobs: manifold_geometry(manifolds, n_t=200, n_jobs=jobs), arguments.repeats)
        print(f"whole analysis, P 100, M 50, N 5000, n_t 200, {jobs} threads: {whole:.2f} s")
    print(
        f"  capacity {result.capacity:.4f} ± {result.capacity_error:.4f} (spread {result.capacity_spread:.4f}), "
        f"radius {result.radius:.3f}, dimension {result.dimension:.2f}, K {result.n_center_axes}"
    )
    centers = np.stack([part.mean(0) for part in manifolds])
    centers -= centers.mean(0)
    axes, _ = seconds(lambda: center_axes(centers), arguments.repeats)
    random = np.random.default_rng(0)
    points, directions = random.standard_normal((50, 50)), random.standard_normal((51, 200))
    anchors, _ = seconds(lambda: [anchor_geometry(points, directions) for _ in range(100)], arguments.repeats)
    print(f"  of which centre axes (10 restarts) {axes:.2f} s; 100 manifolds' anchors {anchors:.2f} s on one thread")

    print("growth, one thread: seconds")
    for name, sizes in {
        "P (M 50, N 5000, n_t 200)": [(p, 50, 200) for p in (10, 20, 50, 100)],
        "M (P 20, N 5000, n_t 200)": [(20, m, 200) for m in (10, 25, 50, 100, 200)],
        "n_t (P 20, M 50, N 5000)": [(20, 50, n_t) for n_t in (50, 100, 200, 400, 800)],
    }.items():
        found = []
        for p, m, n_t in sizes:
            made = clouds(p, m, 5000)
            taken, _ = seconds(lambda made=made, n_t=n_t: manifold_geometry(made, n_t=n_t), arguments.repeats)
            found.append(f"{dict(zip('PMn', (p, m, n_t), strict=True))[name[0]]}: {taken:.2f}")
        print(f"  {name}: {', '.join(found)}")


if __name__ == "__main__":
    main()
