"""Batches of CIFAR are read, and what else a pickle may ask for is not."""

import os
import pickle

import numpy as np
import pytest
from datasets_on_disk import md5, network, no_network, unpack, write_torchvision_set

from latentgen import datasets
from latentgen.datasets import DataError, cifar, originals, tiny_imagenet, torchvision_sets

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 3072), dtype=np.uint8)


def pickled_as_by_python_2():
    """The batch as the published files have it: protocol 2, pixels as a string of bytes, NumPy's old module."""
    rows = PIXELS.tobytes()
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02M\x00\x0c\x86"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array += dtype + b"\x89T" + len(rows).to_bytes(4, "little") + rows + b"tb"
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels](K\x03K\x07eu."


@pytest.mark.parametrize(
    "content",
    [
        pickled_as_by_python_2(),
        *(pickle.dumps({"data": PIXELS, "labels": [3, 7]}, protocol) for protocol in (2, 4)),
        pickle.dumps({"data": PIXELS, "fine_labels": [3, 7], "coarse_labels": [0, 1]}, 2),
    ],
)
def test_batches_are_read(content):
    images, labels = cifar.read([("a", content), ("b", content)])
    assert images.dtype == np.uint8 and np.array_equal(images, np.concatenate([PIXELS, PIXELS]).reshape(4, 3, 32, 32))
    assert labels.dtype == np.int64 and labels.tolist() == [3, 7, 3, 7]


class Asks:
    """Pickled as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


#: What a pickle asks for, beside a good batch.
FOREIGN = {
    "os.system": pickle.dumps([Asks(os.system, "touch started"), {"data": PIXELS, "labels": [3, 7]}]),
    "eval": pickle.dumps([Asks(eval, "open('started', 'w')")]),
    "a file of NumPy's": pickle.dumps([Asks(np.fromfile, "/dev/zero")]),
    "NumPy's loader": pickle.dumps([Asks(np.load, "started", None, True)]),
    "NumPy by way of an attribute": b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.dump\x93.",
    "another codec": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.",
    "an extension": b"\x80\x02\x82\x01.",
    "something outside": b"\x80\x02U\x01aQ.",
    "no pickle": b"no pickle",
    "nothing": b"",
    "a batch without labels": pickle.dumps({"data": PIXELS}),
    "other images": pickle.dumps({"data": PIXELS[:, :5], "labels": [3, 7]}),
    "numbers of another type": pickle.dumps({"data": PIXELS.astype(np.int8), "labels": [3, 7]}, 2),
    "another order": pickle.dumps({"data": np.asfortranarray(PIXELS), "labels": [3, 7]}, 2),
    "no array": pickle.dumps({"data": [[1, 2]], "labels": [3]}, 2),
    "fewer images": pickle.dumps({"data": PIXELS[:1], "labels": [3, 7]}),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_what_is_no_batch_is_refused_and_runs_nothing(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="data_batch_9 is no batch of CIFAR"):
        cifar.read([("data_batch_9", FOREIGN[case])])
    assert not list(tmp_path.iterdir())


def test_torchvision_unpickles_nothing(tmp_path, monkeypatch):
    arrays = write_torchvision_set("cifar10", tmp_path, monkeypatch)
    monkeypatch.setattr(pickle, "load", None)
    monkeypatch.setattr(pickle, "loads", None)
    no_network(monkeypatch)
    assert np.array_equal(datasets.prepare("cifar10", tmp_path).x_train, arrays["x_train"])
    unpack("cifar10", tmp_path)
    assert np.array_equal(datasets.prepare("cifar10", tmp_path).x_test, arrays["x_test"])


# Sums


def test_files_that_share_an_md5_are_told_apart(tmp_path, monkeypatch):
    write_torchvision_set("cifar10", tmp_path, monkeypatch)
    no_network(monkeypatch)
    monkeypatch.setitem(originals.SHA256, md5(tmp_path / "cifar-10-python.tar.gz"), "0" * 64)
    with pytest.raises(DataError, match=f"cifar-10-python.tar.gz is damaged: its SHA-256 is not {'0' * 64}"):
        datasets.prepare("cifar10", tmp_path)


def test_a_download_with_another_sha_256_is_not_kept(tmp_path, monkeypatch):
    write_torchvision_set("mnist", tmp_path / "mirror", monkeypatch)
    network(monkeypatch, tmp_path / "mirror")
    monkeypatch.setitem(originals.SHA256, md5(tmp_path / "mirror/MNIST/raw/t10k-labels-idx1-ubyte.gz"), "0" * 64)
    with pytest.raises(DataError, match="cannot be downloaded .*t10k-labels-idx1-ubyte.gz: SHA-256 is not"):
        datasets.prepare("mnist", tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_a_sha_256_is_known_of_everything_that_is_downloaded():
    import torchvision

    sums = {tiny_imagenet.MD5, *torchvision_sets.UNPACKED_MNIST.values()}
    for name in torchvision_sets.CLASSES.values():
        dataset = getattr(torchvision.datasets, name)
        if hasattr(dataset, "resources"):
            sums |= {sum_ for _, sum_ in dataset.resources}
        else:
            sums.add(dataset.tgz_md5)
    assert sums <= set(originals.SHA256)
    assert {sum_ for _, sum_ in torchvision.datasets.CIFAR10.train_list} <= set(originals.SHA256)
    assert all(len(md5) == 32 and len(sha) == 64 for md5, sha in originals.SHA256.items())
    assert tiny_imagenet.URL.startswith("https://")
