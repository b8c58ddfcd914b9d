"""What several tests share: the digits as prepared data, and where real data lie."""

import os
from pathlib import Path

# Before NumPy is loaded: the matrices of the tests are small, and two threads of a busy machine wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

from repository import ROOT


def pytest_collection_modifyitems(items):
    """The longest tests begin, so that no worker is left alone with them."""
    items.sort(key=lambda item: item.get_closest_marker("workflow") is None)


@pytest.fixture(scope="session")
def digits():
    """The embedded digits as a `latentgen.datasets.Dataset`."""
    from latentgen import datasets

    return datasets.prepare("digits", "unused")


@pytest.fixture(scope="session")
def digits_folder(digits, tmp_path_factory):
    """The same as files."""
    from latentgen import datasets

    folder = tmp_path_factory.mktemp("digits")
    datasets.save(digits, folder)
    return folder


@pytest.fixture(scope="session")
def data_root():
    """Folder with real MNIST in torchvision's layout, or a skip where there is none."""
    root = Path(os.environ.get("LATENTGEN_DATA_ROOT", ROOT / "data"))
    if not (root / "MNIST" / "raw" / "train-images-idx3-ubyte.gz").exists():
        pytest.skip("real MNIST is absent: set LATENTGEN_DATA_ROOT to a folder that has MNIST/raw/*.gz")
    return root


@pytest.fixture
def rng():
    """A generator with a fixed seed."""
    return np.random.default_rng(0)
