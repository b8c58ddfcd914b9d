import functools
import shutil
import zipfile
from urllib.error import URLError

import numpy as np
import pytest
import torchvision
from datasets_on_disk import (
    GREY_TEST,
    TINY,
    WNIDS,
    gradient,
    md5,
    network,
    no_network,
    tree,
    truncate,
    write_image,
    write_tiny_imagenet,
)

from latentgen import datasets
from latentgen.datasets import DataError, tiny_imagenet


@pytest.fixture
def folder(tmp_path):
    write_tiny_imagenet(tmp_path)
    return tmp_path / "tiny-imagenet-200"


@pytest.fixture
def small(monkeypatch):
    """Let the small folder's counts be the official ones."""
    monkeypatch.setattr(tiny_imagenet, "read", functools.partial(tiny_imagenet.read, **TINY))


def zipped(folder, monkeypatch):
    """Replace ``folder`` by an archive of it whose md5 is the official one."""
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, path.relative_to(folder.parent))
    shutil.rmtree(folder)
    monkeypatch.setattr(tiny_imagenet, "MD5", md5(archive))
    return archive


def assert_near(found, arrays):
    """Equal up to JPEG: its steps at quality 95 are a few grey levels."""
    for name in datasets.ARRAYS:
        assert found[name].dtype == (np.uint8 if name.startswith("x") else np.int64)
        assert found[name].shape == arrays[name].shape
        assert abs(found[name].astype(int) - arrays[name].astype(int)).max() <= (8 if name.startswith("x") else 0)


def test_images_and_labels_are_those_that_were_written(tmp_path):
    arrays = write_tiny_imagenet(tmp_path)
    found = tiny_imagenet.read(tmp_path / "tiny-imagenet-200", **TINY)
    assert_near(found, arrays)
    # Images differ by more than the tolerance, so a wrong order would show.
    assert abs(arrays["x_train"][1].astype(int) - arrays["x_train"][2]).max() > 8
    assert (found["x_test"][GREY_TEST][0] == found["x_test"][GREY_TEST][1]).all()
    assert found["y_test"].tolist() == [sorted(WNIDS).index(WNIDS[k]) for k in (0, 2, 1, 0, 2)]


def test_training_images_come_as_from_image_folder(folder):
    reference = torchvision.datasets.ImageFolder(folder / "train")
    found = tiny_imagenet.read(folder, **TINY)
    assert found["y_train"].tolist() == reference.targets
    for image, (decoded, _) in zip(found["x_train"], reference, strict=True):
        assert np.array_equal(image, np.asarray(decoded).transpose(2, 0, 1))


def test_it_stays_between_0_and_1_and_only_reads(folder, small, monkeypatch):
    no_network(monkeypatch)
    before = tree(folder.parent)
    data = datasets.prepare("tiny-imagenet", folder.parent)
    assert (data.pixel_max, data.mean, data.std) == (255, 0.0, 1.0)
    assert (data.in_shape, data.n_classes) == ((3, 64, 64), 3)
    assert tree(folder.parent) == before


def test_official_counts_are_demanded(folder):
    with pytest.raises(DataError, match=r"wnids.txt has 3 lines, not 200"):
        datasets.prepare("tiny-imagenet", folder.parent)


def drop_line(path):
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def repeat_first_line(path):
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], *lines[:-1]]))


WRONG = {
    "a training image is missing": (
        lambda f: (f / "train" / WNIDS[1] / "images" / f"{WNIDS[1]}_7.JPEG").unlink(),
        f"train/{WNIDS[1]} has 11 images, not 12",
    ),
    "a class is missing": (lambda f: shutil.rmtree(f / "train" / WNIDS[0]), f"differ in the class {WNIDS[0]}"),
    "all classes are missing": (lambda f: shutil.rmtree(f / "train"), "train"),
    "wnids.txt is missing": (lambda f: (f / "wnids.txt").unlink(), "wnids.txt cannot be read"),
    "a wnid is missing": (lambda f: drop_line(f / "wnids.txt"), "wnids.txt has 2 lines, not 3"),
    "a wnid is there twice": (lambda f: repeat_first_line(f / "wnids.txt"), "wnids.txt has 3 lines, not 3 different"),
    "an annotation is missing": (
        lambda f: drop_line(f / "val" / "val_annotations.txt"),
        "val_annotations.txt has 4 lines, not 5",
    ),
    "an annotation is there twice": (
        lambda f: repeat_first_line(f / "val" / "val_annotations.txt"),
        "val_annotations.txt has 5 lines, not 5 different",
    ),
    "an annotation is cut off": (
        lambda f: (f / "val" / "val_annotations.txt").write_text(
            (f / "val" / "val_annotations.txt").read_text().partition("val_4.JPEG")[0] + "val_4.JPEG\tn0"
        ),
        "val_annotations.txt gives val_4.JPEG no class",
    ),
    "a test image is missing": (lambda f: (f / "val" / "images" / "val_3.JPEG").unlink(), "val_3.JPEG cannot be read"),
    "a test image is cut off": (lambda f: truncate(f / "val" / "images" / "val_3.JPEG"), "val_3.JPEG cannot be read"),
    "a training image is cut off": (
        lambda f: truncate(f / "train" / WNIDS[2] / "images" / f"{WNIDS[2]}_10.JPEG"),
        f"{WNIDS[2]}_10.JPEG cannot be read as an image .*truncated",
    ),
    "a training image is of another size": (
        lambda f: write_image(f / "train" / WNIDS[2] / "images" / f"{WNIDS[2]}_0.JPEG", gradient(0, (64, 63))),
        f"{WNIDS[2]}_0.JPEG is 64 × 63 pixels; 64 × 64 are needed",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_named(folder, wrong):
    spoil, message = WRONG[wrong]
    spoil(folder)
    with pytest.raises(DataError, match=message):
        tiny_imagenet.read(folder, **TINY)


def test_archive_is_read_and_the_folder_is_left_alone(tmp_path, small, monkeypatch):
    arrays = write_tiny_imagenet(tmp_path)
    zipped(tmp_path / "tiny-imagenet-200", monkeypatch)
    no_network(monkeypatch)
    before = tree(tmp_path)
    data = datasets.prepare("tiny-imagenet", tmp_path)
    assert_near({name: getattr(data, name) for name in datasets.ARRAYS}, arrays)
    assert tree(tmp_path) == before


def test_truncated_archive_is_named(folder, monkeypatch):
    archive = zipped(folder, monkeypatch)
    truncate(archive)
    with pytest.raises(DataError, match="tiny-imagenet-200.zip is damaged"):
        datasets.prepare("tiny-imagenet", folder.parent)


def test_absent_folder_is_downloaded_once(tmp_path, small, monkeypatch):
    arrays = write_tiny_imagenet(tmp_path)
    zipped(tmp_path / "tiny-imagenet-200", monkeypatch)
    taken = network(monkeypatch, tmp_path)
    root = tmp_path / "data"
    for _ in range(2):
        data = datasets.prepare("tiny-imagenet", root)
        assert_near({name: getattr(data, name) for name in datasets.ARRAYS}, arrays)
        assert taken == ["tiny-imagenet-200.zip"]
    assert (root / "tiny-imagenet-200" / "wnids.txt").is_file()
    assert not list(root.glob(".download*"))


def test_absent_and_offline_says_what_goes_where(tmp_path, monkeypatch):
    def download_url(url, root, filename=None, md5=None):
        assert url == "https://cs231n.stanford.edu/tiny-imagenet-200.zip"
        raise URLError("Name or service not known")

    monkeypatch.setattr(torchvision.datasets.utils, "download_url", download_url)
    with pytest.raises(DataError, match="Name or service not known") as error:
        datasets.prepare("tiny-imagenet", tmp_path)
    assert f"not under {tmp_path} and" in str(error.value)
    assert "Put tiny-imagenet-200/ or tiny-imagenet-200.zip there" in str(error.value)
