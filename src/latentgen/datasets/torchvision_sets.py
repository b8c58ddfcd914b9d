"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100, read by torchvision's own code from its own layout."""

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from latentgen.datasets import originals

#: torchvision's class behind each name.
CLASSES = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}

#: MNIST's files unpacked from the archives that torchvision knows the sums of, for folders that keep only these.
#: No such sums are published for Fashion-MNIST, so there only the archives are trusted.
UNPACKED_MNIST = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


class Files(NamedTuple):
    """Files that together hold a data set: their folder under data_root, and the md5 of each."""

    folder: str
    sums: dict[str, str]


def load(name: str, root: Path) -> dict[str, np.ndarray]:
    """Arrays of ``name`` in torchvision's order; labels of CIFAR-100 are the 100 fine ones.

    Raises `DataError` that names a damaged file, or the files that are absent and cannot be downloaded.
    """
    import torchvision

    dataset = getattr(torchvision.datasets, CLASSES[name])
    archives, *unpacked = _forms(dataset)
    present = [files for files in (*unpacked, archives) if all((root / files.folder / f).exists() for f in files.sums)]
    if not present:
        originals.fetch(
            dataset.__name__,
            root,
            root / archives.folder,
            archives.sums,
            lambda folder: dataset(folder, download=True),
        )
    files = present[0] if present else archives
    originals.check(root / files.folder, files.sums)
    # torchvision unpacks archives into its own root and trusts some files unseen: a scratch root with links to what
    # was checked lets a read-only data_root work and hides everything else. There "download" only unpacks.
    # torchvision unpickles the batches of CIFAR, after it has compared their md5 with its own list once more.
    with tempfile.TemporaryDirectory() as scratch:
        links = Path(scratch) / files.folder
        links.mkdir(parents=True, exist_ok=True)
        for file in files.sums:
            (links / file).symlink_to((root / files.folder / file).resolve())
        train, test = (dataset(scratch, train=train, download=True) for train in (True, False))
    return {
        "x_train": _channels_first(train.data),
        "y_train": np.asarray(train.targets, dtype=np.int64),
        "x_test": _channels_first(test.data),
        "y_test": np.asarray(test.targets, dtype=np.int64),
    }


def _forms(dataset: type) -> list[Files]:
    """The archives of a torchvision class, and its unpacked files where their sums are known."""
    from torchvision.datasets import CIFAR10, MNIST

    if issubclass(dataset, CIFAR10):
        batches = dict([*dataset.train_list, *dataset.test_list, (dataset.meta["filename"], dataset.meta["md5"])])
        return [Files(".", {dataset.filename: dataset.tgz_md5}), Files(dataset.base_folder, batches)]
    folder = f"{dataset.__name__}/raw"
    archives = Files(folder, dict(dataset.resources))
    return [archives, Files(folder, UNPACKED_MNIST)] if dataset is MNIST else [archives]


def _channels_first(images) -> np.ndarray:
    """(n, height, width[, channels]) as (n, channels, height, width)."""
    pixels = np.asarray(images)
    return pixels[:, None] if pixels.ndim == 3 else np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
