"""MASC and VeLPIC on MNIST pixels: deterministic, so the published accuracies must come out to the image.

Ketha and Ramaswamy, arXiv 2603.19865: subspaces of the given labels of the 60,000 training images, scored on
the 10,000 test images.
"""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from latentgen.noise import corrupt
from latentgen.probes import MASC, ClassMoments, VeLPIC

pytestmark = [pytest.mark.published, pytest.mark.slow]

FILES = {
    name: f"MNIST/raw/{name}.gz"
    for name in (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    )
}


@pytest.fixture(scope="module")
def mnist():
    root = Path(os.environ.get("LATENTGEN_DATA_ROOT", "data"))
    if missing := [file for file in FILES.values() if not (root / file).is_file()]:
        pytest.skip(f"LATENTGEN_DATA_ROOT={root} has no {', '.join(missing)}")
    return {name: _read(root / file) for name, file in FILES.items()}


def _read(path):
    with gzip.open(path) as file:
        content = file.read()
    # idx: two zero bytes, type, number of dimensions, big-endian sizes, then the values.
    shape = np.frombuffer(content, ">i4", count=content[3], offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape)


def _pixels(images):
    scaled = torch.from_numpy(images.reshape(len(images), -1).copy()).float() / 255
    return (scaled - 0.5) / 0.5


@pytest.mark.parametrize("level, masc, velpic", [(0.0, 8234, 8163), (0.6, 8027, 7936)])
def test_published_accuracies(mnist, level, masc, velpic):
    train, test = _pixels(mnist["train-images-idx3-ubyte"]), _pixels(mnist["t10k-images-idx3-ubyte"])
    labels, targets = mnist["train-labels-idx1-ubyte"], mnist["t10k-labels-idx1-ubyte"]
    given = corrupt(labels, level, kind="ketha2026", n_classes=10, seed=42).given
    moments = ClassMoments(784, range(10))
    for start in range(0, len(train), 1000):
        moments.update(train[start : start + 1000], given[start : start + 1000])
    for probe, correct in ((MASC(variance=0.99), masc), (VeLPIC(), velpic)):
        predicted = probe.fit_moments(moments).predict(test)
        assert int((predicted.numpy() == targets).sum()) == correct
