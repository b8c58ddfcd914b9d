import logging

import numpy as np
import pytest
from datasets_on_disk import gradient, truncate, write_image
from PIL import Image

from latentgen import datasets
from latentgen.datasets import DataError, images

#: Names whose sorted order is neither that of writing nor that without regard to case.
CLASSES = ("zebra", "ant", "Bee")


def write_folder(root, test="test", size=(7, 5), grey=False):
    """Two images of each class to train, one to test, as PNG; the pixels by path in the sorted order of paths."""
    pixels = {}
    for number, name in enumerate(CLASSES):
        for part, files in (("train", ("b.png", "a.png")), (test, ("c.png",))):
            for k, file in enumerate(files):
                path = root / part / name / file
                pixels[path] = gradient(30 * number + 7 * k + 3 * (part == test), size, grey)
                write_image(path, pixels[path])
    return {path: pixels[path] for path in sorted(pixels)}


def prepare(root, **declared):
    return datasets.prepare("own", "unused", {"folder": str(root), **declared})


@pytest.mark.parametrize("test", ["test", "val"])
def test_colour_images_in_sorted_order(tmp_path, test):
    pixels = write_folder(tmp_path, test)
    data = prepare(tmp_path)
    for part, images_found, labels in (("train", data.x_train, data.y_train), (test, data.x_test, data.y_test)):
        paths = [path for path in pixels if path.parts[-3] == part]
        assert np.array_equal(images_found, np.stack([pixels[path].transpose(2, 0, 1) for path in paths]))
        assert labels.tolist() == [["Bee", "ant", "zebra"].index(path.parts[-2]) for path in paths]
    assert data.in_shape == (3, 5, 7) and data.x_train.dtype == np.uint8 and data.y_train.dtype == np.int64
    assert (data.n_classes, data.pixel_max, data.mean, data.std) == (3, 255, 0.5, 0.5)


def test_test_is_taken_before_val(tmp_path):
    pixels = write_folder(tmp_path)
    write_image(tmp_path / "val" / "other" / "c.png", gradient(0, (3, 3)))
    assert np.array_equal(prepare(tmp_path).x_test[0], pixels[tmp_path / "test" / "Bee" / "c.png"].transpose(2, 0, 1))


def test_grey_images_keep_one_channel_and_one_coloured_makes_all_rgb(tmp_path):
    pixels = write_folder(tmp_path, grey=True)
    grey = prepare(tmp_path)
    assert grey.in_shape == (1, 5, 7)
    assert np.array_equal(grey.x_train[0, 0], pixels[tmp_path / "train" / "Bee" / "a.png"])
    write_image(tmp_path / "test" / "ant" / "c.png", gradient(1, (7, 5)))
    mixed = prepare(tmp_path)
    assert mixed.in_shape == (3, 5, 7)
    assert np.array_equal(mixed.x_train, grey.x_train.repeat(3, axis=1))


def test_palette_opaque_and_black_and_white(tmp_path):
    write_folder(tmp_path)
    colours = gradient(4, (7, 5))
    a, b = tmp_path / "train" / "Bee" / "a.png", tmp_path / "train" / "Bee" / "b.png"
    palette = Image.fromarray(colours).quantize(8)
    palette.save(a)
    write_image(b, np.dstack([colours, np.full((5, 7), 255, np.uint8)]))
    data = prepare(tmp_path)
    table = np.array(palette.getpalette()).reshape(-1, 3)
    assert np.array_equal(data.x_train[0], table[np.asarray(palette)].transpose(2, 0, 1))
    assert np.array_equal(data.x_train[1], colours.transpose(2, 0, 1))
    for path in tmp_path.rglob("*.png"):
        write_image(path, np.eye(5, 7, dtype=bool))
    bits = prepare(tmp_path)
    assert bits.in_shape == (1, 5, 7)
    assert np.array_equal(bits.x_train[0, 0], 255 * np.eye(5, 7))


def test_other_files_beside_images_are_passed_over(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "train" / "ant" / "Thumbs.db").write_bytes(b"none")
    (tmp_path / "train" / "README.txt").write_text("none")
    assert len(prepare(tmp_path).x_train) == 6


def test_declared_size_resizes_all(tmp_path):
    write_folder(tmp_path, size=(12, 8))
    # Left half black and right half white: half the size keeps the halves, and the filter, twice as wide as a target
    # pixel and falling off linearly, mixes one part of eight across the edge.
    halves = np.zeros((16, 16), np.uint8)
    halves[:, 8:] = 255
    write_image(tmp_path / "train" / "Bee" / "a.png", np.dstack([halves] * 3))
    data = prepare(tmp_path, size=8)
    assert data.in_shape == (3, 8, 8)
    row = data.x_train[0, 0, 4]
    assert row[:3].tolist() == [0, 0, 0] and row[5:].tolist() == [255, 255, 255]
    assert abs(row[3] - 255 / 8) <= 1 and abs(row[4] - 255 * 7 / 8) <= 1


def test_image_of_the_declared_size_is_kept(tmp_path):
    pixels = write_folder(tmp_path, size=(6, 6))
    first = pixels[tmp_path / "train" / "Bee" / "a.png"]
    assert np.array_equal(prepare(tmp_path, size=6).x_train[0], first.transpose(2, 0, 1))


def test_two_sizes_need_a_declared_one(tmp_path):
    write_folder(tmp_path)
    write_image(tmp_path / "test" / "ant" / "c.png", gradient(0, (5, 7)))
    with pytest.raises(DataError, match=r"test/ant/c.png is 5 × 7 pixels, .*a.png is 7 × 5; declare a 'size'"):
        prepare(tmp_path)
    assert prepare(tmp_path, size=5).in_shape == (3, 5, 5)


@pytest.mark.parametrize("size", [None, 4])
def test_truncated_image_is_named(tmp_path, size):
    write_folder(tmp_path, size=(40, 40))
    truncate(tmp_path / "test" / "zebra" / "c.png")
    with pytest.raises(DataError, match=r"test/zebra/c.png cannot be read as an image"):
        prepare(tmp_path, size=size)


def test_file_that_is_no_image_is_named(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "train" / "ant" / "b.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"train/ant/b.png cannot be read as an image"):
        prepare(tmp_path)


def test_sixteen_bits_are_refused(tmp_path):
    write_folder(tmp_path, grey=True)
    write_image(tmp_path / "train" / "ant" / "b.png", np.full((5, 7), 40_000, np.uint16))
    with pytest.raises(DataError, match=r"train/ant/b.png has more than 8 bits"):
        prepare(tmp_path)


def test_folders_that_do_not_fit_are_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere has no train images.*correct 'folder'"):
        prepare(tmp_path / "nowhere")
    write_folder(tmp_path)
    write_image(tmp_path / "train" / "wasp" / "a.png", gradient(0, (7, 5)))
    with pytest.raises(DataError, match=r"test lacks the class 'wasp' that .*train has"):
        prepare(tmp_path)
    write_image(tmp_path / "test" / "wasp" / "a.png", gradient(0, (7, 5)))
    write_image(tmp_path / "test" / "yak" / "a.png", gradient(0, (7, 5)))
    with pytest.raises(DataError, match=r"train lacks the class 'yak' that .*test has"):
        prepare(tmp_path)
    (tmp_path / "train" / "yak").mkdir()
    with pytest.raises(DataError, match=r"train: .*yak"):
        prepare(tmp_path)
    (tmp_path / "test").rename(tmp_path / "other")
    with pytest.raises(DataError, match=r"has no test images; put them into .*test/<class>/"):
        prepare(tmp_path)


def test_long_reading_tells_how_far_it_is(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(images, "STRIDE", 2)
    write_folder(tmp_path)
    with caplog.at_level(logging.INFO, "latentgen"):
        prepare(tmp_path)
    assert "4 of 6 images read" in caplog.text
