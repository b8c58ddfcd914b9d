"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100: small files in their exact layout, and real MNIST where it is."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
import torchvision
from datasets_on_disk import md5, network, no_network, tree, truncate, unpack, write_torchvision_set

from latentgen import datasets
from latentgen.datasets import DataError, torchvision_sets

NAMES = list(torchvision_sets.CLASSES)
#: Sets of which torchvision, or this project, knows the sums of unpacked files.
UNPACKED = ["mnist", "cifar10", "cifar100"]
IDX = [
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
]
#: Where the archives of each set belong, and what they are called.
ARCHIVES = {
    "mnist": ("MNIST/raw", IDX),
    "fashion-mnist": ("FashionMNIST/raw", IDX),
    "cifar10": (".", ["cifar-10-python.tar.gz"]),
    "cifar100": (".", ["cifar-100-python.tar.gz"]),
}


def assert_holds(data, arrays):
    for name in datasets.ARRAYS:
        found = getattr(data, name)
        assert found.dtype == (np.uint8 if name.startswith("x") else np.int64)
        assert np.array_equal(found, arrays[name])
    assert (data.pixel_max, data.mean, data.std) == (255, 0.5, 0.5)


@pytest.mark.parametrize("name", NAMES)
def test_archives_are_read_and_the_folder_is_left_alone(name, tmp_path, monkeypatch):
    arrays = write_torchvision_set(name, tmp_path, monkeypatch)
    no_network(monkeypatch)
    before = tree(tmp_path)
    for folder in (tmp_path, *(path for path in tmp_path.rglob("*") if path.is_dir())):
        folder.chmod(0o555)
    assert_holds(datasets.prepare(name, tmp_path), arrays)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", UNPACKED)
def test_unpacked_files_are_read_and_the_folder_is_left_alone(name, tmp_path, monkeypatch):
    arrays = write_torchvision_set(name, tmp_path, monkeypatch)
    unpack(name, tmp_path)
    no_network(monkeypatch)
    before = tree(tmp_path)
    assert_holds(datasets.prepare(name, tmp_path), arrays)
    assert tree(tmp_path) == before


def test_cifar100_has_its_hundred_fine_labels(tmp_path, monkeypatch):
    write_torchvision_set("cifar100", tmp_path, monkeypatch)
    data = datasets.prepare("cifar100", tmp_path)
    # The 20 labels of a batch differ, as fine ones; coarse ones, five to a class, are all below 20.
    assert len(set(data.y_train.tolist())) == 20 and data.y_train.max() >= 20


@pytest.mark.parametrize(("name", "index"), [(name, k) for name in NAMES for k in range(len(ARCHIVES[name][1]))])
def test_truncated_archive_is_named(name, index, tmp_path, monkeypatch):
    write_torchvision_set(name, tmp_path, monkeypatch)
    folder, files = ARCHIVES[name]
    truncate(tmp_path / folder / files[index])
    with pytest.raises(DataError, match="is damaged.*Delete it") as error:
        datasets.prepare(name, tmp_path)
    assert str(tmp_path / folder / files[index]) in str(error.value)


@pytest.mark.parametrize("name", UNPACKED)
def test_each_damaged_unpacked_file_is_named(name, tmp_path, monkeypatch):
    write_torchvision_set(name, tmp_path, monkeypatch)
    files = unpack(name, tmp_path)
    assert len(files) == {"mnist": 4, "cifar10": 7, "cifar100": 3}[name]
    for file in files:
        intact = file.read_bytes()
        file.write_bytes(intact[:-1] + bytes([intact[-1] ^ 1]))
        with pytest.raises(DataError, match="is damaged") as error:
            datasets.prepare(name, tmp_path)
        assert str(file) in str(error.value)
        file.write_bytes(intact)


@pytest.mark.parametrize("name", NAMES)
def test_absent_files_are_downloaded_once(name, tmp_path, monkeypatch):
    arrays = write_torchvision_set(name, tmp_path / "mirror", monkeypatch)
    taken = network(monkeypatch, tmp_path / "mirror")
    folder, files = ARCHIVES[name]
    root = tmp_path / "new" / "data"
    assert_holds(datasets.prepare(name, root), arrays)
    assert sorted(taken) == sorted(files)
    for file in files:
        assert md5(root / folder / file) == md5(tmp_path / "mirror" / folder / file)
    assert not list(root.glob(".download*"))
    no_network(monkeypatch)
    assert_holds(datasets.prepare(name, root), arrays)


@pytest.mark.parametrize("name", NAMES)
def test_absent_and_offline_says_which_files_go_where(name, tmp_path, monkeypatch):
    no_network(monkeypatch)
    with pytest.raises(DataError, match="cannot be downloaded.*Name or service not known.*data_root") as error:
        datasets.prepare(name, tmp_path / "data")
    folder, files = ARCHIVES[name]
    assert f"under {tmp_path / 'data' / folder} and" in str(error.value)
    assert f"Put {', '.join(files)} there" in str(error.value)
    assert not list((tmp_path / "data").iterdir())


def test_download_that_breaks_off_leaves_nothing(tmp_path, monkeypatch):
    def download_url(url, root, filename=None, md5=None):
        (Path(root) / filename).write_bytes(b"the first bytes")
        raise ConnectionResetError("reset by peer")

    monkeypatch.setattr(torchvision.datasets.utils, "download_url", download_url)
    with pytest.raises(DataError, match="reset by peer"):
        datasets.prepare("cifar10", tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_incomplete_set_is_completed(tmp_path, monkeypatch):
    arrays = write_torchvision_set("fashion-mnist", tmp_path / "mirror", monkeypatch)
    raw = tmp_path / "data" / "FashionMNIST" / "raw"
    shutil.copytree(tmp_path / "mirror" / "FashionMNIST" / "raw", raw)
    (raw / IDX[2]).unlink()
    truncate(raw / IDX[0])
    (raw / "notes.txt").write_text("mine")
    network(monkeypatch, tmp_path / "mirror")
    assert_holds(datasets.prepare("fashion-mnist", tmp_path / "data"), arrays)
    assert (raw / "notes.txt").read_text() == "mine"


def test_unpacked_fashion_mnist_alone_is_not_trusted(tmp_path, monkeypatch):
    write_torchvision_set("fashion-mnist", tmp_path, monkeypatch)
    for archive in (tmp_path / "FashionMNIST" / "raw").glob("*.gz"):
        archive.with_suffix("").write_bytes(gzip.decompress(archive.read_bytes()))
        archive.unlink()
    no_network(monkeypatch)
    with pytest.raises(DataError, match=f"Put {IDX[0]}"):
        datasets.prepare("fashion-mnist", tmp_path)


def test_mnist_from_torchvisions_layout(data_root):
    data = datasets.prepare("mnist", data_root)
    assert data.digest == "85eee5453e907de5019e6cf2f4ae987d808109f269e274cc453f5e9f121f90e6"
    assert data.x_train.shape == (60_000, 1, 28, 28) and data.x_test.shape == (10_000, 1, 28, 28)
    # The first labels, known to everyone who ever printed them, and the class counts of the training set.
    assert data.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(data.y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    with gzip.open(data_root / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    assert np.array_equal(data.x_test, pixels)


def test_real_mnists_unpacked_sums_are_right(data_root, tmp_path, monkeypatch):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for archive in (data_root / "MNIST" / "raw").glob("*.gz"):
        (raw / archive.stem).write_bytes(gzip.decompress(archive.read_bytes()))
    no_network(monkeypatch)
    assert datasets.prepare("mnist", tmp_path).digest == datasets.prepare("mnist", data_root).digest
