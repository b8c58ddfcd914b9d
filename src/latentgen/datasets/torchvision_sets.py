"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100 from torchvision's own layout, checked against known sums."""

import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from latentgen.datasets import cifar, originals

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
            lambda staging: _download(dataset, staging / archives.folder, archives),
        )
    files = present[0] if present else archives
    originals.check(root / files.folder, files.sums)
    read = _read_cifar if hasattr(dataset, "train_list") else _read_idx
    return read(dataset, root, files)


def _forms(dataset: type) -> list[Files]:
    """The archives of a torchvision class, and its unpacked files where their sums are known."""
    if hasattr(dataset, "train_list"):
        batches = dict([*dataset.train_list, *dataset.test_list, (dataset.meta["filename"], dataset.meta["md5"])])
        return [Files(".", {dataset.filename: dataset.tgz_md5}), Files(dataset.base_folder, batches)]
    folder = f"{dataset.__name__}/raw"
    archives = Files(folder, dict(dataset.resources))
    return [archives, Files(folder, UNPACKED_MNIST)] if dataset.__name__ == "MNIST" else [archives]


def _download(dataset: type, folder: Path, archives: Files) -> None:
    for file, md5 in archives.sums.items():
        urls = [f"{mirror}{file}" for mirror in dataset.mirrors] if hasattr(dataset, "mirrors") else [dataset.url]
        originals.download(urls, folder, file, md5)


def _read_idx(dataset: type, root: Path, files: Files) -> dict[str, np.ndarray]:
    """Arrays of a set in MNIST's format, read by torchvision.

    It unpacks archives into its own root and trusts some files unseen: a scratch root with links to what was checked
    lets a read-only data_root work and hides everything else. There "download" only unpacks.
    """
    with tempfile.TemporaryDirectory() as scratch:
        links = Path(scratch) / files.folder
        links.mkdir(parents=True, exist_ok=True)
        for file in files.sums:
            (links / file).symlink_to((root / files.folder / file).resolve())
        parts = {part: dataset(scratch, train=part == "train", download=True) for part in ("train", "test")}
    arrays = {f"x_{part}": np.asarray(data.data)[:, None] for part, data in parts.items()}
    return arrays | {f"y_{part}": np.asarray(data.targets, dtype=np.int64) for part, data in parts.items()}


def _read_cifar(dataset: type, root: Path, files: Files) -> dict[str, np.ndarray]:
    """Arrays of a set in CIFAR's format, from its archive or from the batches that were in it."""
    folder = root / files.folder
    if dataset.filename in files.sums:
        with tarfile.open(folder / dataset.filename) as tar:
            # In the order of the archive, which would be unpacked once more for each step back.
            found = {Path(member.name).name: tar.extractfile(member).read() for member in tar if member.isfile()}
    else:
        found = {name: (folder / name).read_bytes() for name in files.sums}
    arrays = {}
    for part, listed in (("train", dataset.train_list), ("test", dataset.test_list)):
        arrays[f"x_{part}"], arrays[f"y_{part}"] = cifar.read((folder / name, found[name]) for name, _ in listed)
    return arrays
