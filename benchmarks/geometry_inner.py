"""Time the inner problem of the manifold analysis against a quadratic program and SciPy's solver for each direction.

Gaussian points in as many dimensions, of root mean square distance R from their center, and Gaussian directions: the
same problems for all three, in turn, on one thread, by the process's own time, which a busy machine disturbs least.
The quadratic programs are timed with cvxopt's default tolerances; the projections are compared at tight ones and must
agree. Then the solver by itself, over numbers of points and of directions.

    OMP_NUM_THREADS=1 python benchmarks/geometry_inner.py
"""

import argparse
import platform
import statistics
import time

import cvxopt
import numba
import numpy as np
import scipy
from scipy.optimize import nnls as scipy_nnls

from latentgen.compute import use_threads
from latentgen.geometry import nnls

DEFAULT = {"show_progress": False}
TIGHT = DEFAULT | {"abstol": 1e-12, "reltol": 1e-12, "feastol": 1e-12}


def problem(n_points, radius, n_directions):
    rng = np.random.default_rng(0)
    points = rng.standard_normal((n_points, n_points))
    points -= points.mean(axis=0)
    points *= radius * np.sqrt(n_points) / np.linalg.norm(points)
    return np.vstack([points.T, np.ones(n_points)]), rng.standard_normal((n_points + 1, n_directions))


def ours(matrix, targets):
    return matrix @ nnls.solve(matrix, targets).T


def scipy_loop(matrix, targets):
    return np.column_stack([matrix @ scipy_nnls(matrix, target)[0] for target in targets.T])


def quadratic_programs(matrix, targets, options=DEFAULT):
    identity, conditions = cvxopt.matrix(np.eye(len(matrix))), cvxopt.matrix(np.ascontiguousarray(matrix.T))
    bounds = cvxopt.matrix(np.zeros(matrix.shape[1]))
    nearest = [
        np.ravel(cvxopt.solvers.qp(identity, cvxopt.matrix(-target), conditions, bounds, options=options)["x"])
        for target in targets.T
    ]
    return targets - np.transpose(nearest)


WAYS = {"ours": ours, "scipy": scipy_loop, "cvxopt": quadratic_programs}


def seconds(way, matrix, targets):
    """Processor time of one call, the mean of as many as take a tenth of a second."""
    n_calls, start = 0, time.process_time()
    while (taken := time.process_time() - start) < 0.1:
        way(matrix, targets)
        n_calls += 1
    return taken / n_calls


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directions", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    use_threads(1)
    versions = f"numba {numba.__version__}, scipy {scipy.__version__}, cvxopt {cvxopt.__version__}"
    print(f"Python {platform.python_version()}, {versions}, one thread; median of {arguments.repeats}")
    start = time.perf_counter()
    nnls.solve(np.eye(2), np.ones((2, 1)))
    print(f"first call {time.perf_counter() - start:.1f} s (compiled, or read from Numba's cache)\n")

    print(f"50 points, {arguments.directions} directions: microseconds a direction")
    for radius in (0.5, 1.0, 1.5, 3.0, 7.0):
        matrix, targets = problem(50, radius, arguments.directions)
        found = {name: way(matrix, targets) for name, way in WAYS.items()}
        found["cvxopt"] = quadratic_programs(matrix, targets, TIGHT)
        scale = np.linalg.norm(targets, axis=0)
        error = {name: (np.linalg.norm(found[name] - found["ours"], axis=0) / scale).max() for name in WAYS}
        if max(error.values()) > 1e-8:
            raise SystemExit(f"the projections differ at R = {radius}: {error}")
        times = {name: [] for name in WAYS}
        for _ in range(arguments.repeats):
            for name, way in WAYS.items():
                times[name].append(seconds(way, matrix, targets))
        each = {name: statistics.median(taken) / arguments.directions * 1e6 for name, taken in times.items()}
        ratios = [cvx / own for cvx, own in zip(times["cvxopt"], times["ours"], strict=True)]
        print(
            f"R {radius:3.1f}  ours {each['ours']:6.1f}  scipy {each['scipy']:7.1f}  cvxopt {each['cvxopt']:7.1f}"
            f"   cvxopt / ours {statistics.median(ratios):5.0f} (least {min(ratios):.0f})"
            f"  scipy / ours {each['scipy'] / each['ours']:4.0f}"
            f"   differences {error['scipy']:.0e} {error['cvxopt']:.0e}"
        )

    print("\nours, R 1.0: milliseconds for all directions")
    for n_points in (20, 50, 100, 200):
        row = []
        for n_directions in (100, 200, 300, 1000):
            matrix, targets = problem(n_points, 1.0, n_directions)
            taken = [seconds(ours, matrix, targets) for _ in range(arguments.repeats)]
            row.append(f"{n_directions} directions {statistics.median(taken) * 1e3:7.2f}")
        print(f"{n_points:3d} points  {'   '.join(row)}")


if __name__ == "__main__":
    main()
