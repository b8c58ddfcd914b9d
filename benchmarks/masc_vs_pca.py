"""Time MASC on MNIST pixels against scikit-learn's PCA used for the same job.

Both fit one subspace per class on 60,000 x 784 training pixels and classify 10,000 test images by the
smallest angle: MASC from its moments, PCA as published, on each class's rows stacked on their negatives, with
its default choice of solver (here the eigenvectors of the covariance; before scikit-learn 1.5 a full SVD).
Runs alternate; the predictions must be equal.

    OMP_NUM_THREADS=1 python benchmarks/masc_vs_pca.py --data-root DIR
"""

import argparse
import os
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import scipy
import sklearn
import torch
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from latentgen import datasets
from latentgen.noise import corrupt
from latentgen.probes import MASC

VARIANCE = 0.99


def pixels(images):
    """Return (n, 784) float32 pixels in [-1, 1]."""
    half = np.float32(0.5)
    return (images.reshape(len(images), -1) / np.float32(255) - half) / half


def by_masc(train, given, test):
    return MASC(variance=VARIANCE).fit(train, given).predict(test)


def by_pca(train, given, test):
    test = test.astype(np.float64)
    cosines = []
    for label in range(10):
        rows = train[given == label].astype(np.float64)
        pca = PCA().fit(np.vstack([rows, -rows]))
        kept = 1 + int((np.cumsum(pca.explained_variance_ratio_) <= VARIANCE).sum())
        projection = test @ pca.components_[:kept].T
        cosines.append(np.linalg.norm(projection, axis=1) / np.linalg.norm(test, axis=1))
    return np.arccos(np.clip(cosines, -1, 1)).argmin(axis=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", type=Path, required=True, help="folder that holds MNIST/raw/*.gz")
    parser.add_argument("--level", type=float, default=0.6, help="noise level of the published draw")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    data = datasets.prepare("mnist", arguments.data_root)
    train, test, labels, targets = pixels(data.x_train), pixels(data.x_test), data.y_train, data.y_test
    given = corrupt(labels, arguments.level, kind="ketha2026", n_classes=10, seed=42).given

    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    torch.set_num_threads(threads)
    seconds, predictions = {by_masc: [], by_pca: []}, {}
    with threadpool_limits(threads):
        for _ in range(arguments.repeats):
            for method, times in seconds.items():
                start = time.perf_counter()
                predictions[method] = method(train, given, test)
                times.append(time.perf_counter() - start)
    different = int((predictions[by_masc] != predictions[by_pca]).sum())
    if different:
        raise SystemExit(f"{different} of {len(test)} predictions differ")

    print(
        f"Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}, "
        f"scikit-learn {sklearn.__version__}, torch {torch.__version__}, threads {threads}"
    )
    print(f"level {arguments.level}, accuracy of both {np.mean(predictions[by_masc] == targets):.4f}")
    for method, name in ((by_masc, "MASC"), (by_pca, "scikit-learn PCA")):
        times = seconds[method]
        print(f"{name:17s} median {statistics.median(times):7.2f} s   of {', '.join(f'{t:.2f}' for t in times)}")
    print(f"ratio {statistics.median(seconds[by_pca]) / statistics.median(seconds[by_masc]):.1f}")


if __name__ == "__main__":
    main()
