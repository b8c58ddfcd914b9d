"""Data sets in .npz files: labels become classes, and files that cannot be right are refused before any job."""

import json
import logging
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from latentgen import datasets, grid
from latentgen.datasets import DataError, npz

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 5, 4), dtype=np.uint8)
LABELS = np.arange(12) % 3


def write(path, labels=LABELS, test_labels=None, save=np.savez, **change):
    """Twelve images in both parts; the last of ``change`` may be arrays or, to leave one out, None."""
    labels = np.asarray(labels)
    arrays = {"x_train": IMAGES, "y_train": labels, "x_test": IMAGES, "y_test": labels, **change}
    if test_labels is not None:
        arrays["y_test"] = np.asarray(test_labels)
    save(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def prepare(path):
    return datasets.prepare("own", "unused", {"npz": str(path)})


def refusal(path, job=False):
    """What a plan says of the file or, with ``job``, what only reading its images shows."""
    if job:
        datasets.check({"npz": str(path)})
    with pytest.raises(DataError) as caught:
        (prepare if job else npz.check)(path)
    assert "allow_pickle" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def test_a_file_whose_labels_are_its_classes_stays_as_it_is(tmp_path):
    data = prepare(write(tmp_path / "own.npz"))
    assert data.y_train.tolist() == LABELS.tolist() and data.names is None
    datasets.save(data, tmp_path / "kept")
    assert "names" not in json.loads((tmp_path / "kept" / "meta.json").read_text())
    assert datasets.version({"npz": str(tmp_path / "own.npz")}) == 1


#: Labels of twelve images, and what the classes 0, 1, 2 are. The classes of all are LABELS.
NUMBERED = {
    "from 1": (LABELS + 1, [1, 2, 3]),
    "with gaps": (np.array([0, 2, 5])[LABELS], [0, 2, 5]),
    "two negative": (LABELS - 2, [-2, -1, 0]),
    "one value far, but the others not consecutive": (np.array([1, 4, 99])[LABELS], [1, 4, 99]),
    "a byte": (np.array([7, 250, 252], np.uint8)[LABELS], [7, 250, 252]),
    "whole numbers": ((LABELS + 1.0).astype(np.float32), [1, 2, 3]),
    "text": (np.array(["ant", "bee", "wasp"])[LABELS], ["ant", "bee", "wasp"]),
    "text in another order": (np.array(["a", "B", "ä"])[np.array([1, 0, 2])[LABELS]], ["B", "a", "ä"]),
    "encoded text": (np.char.encode(np.array(["ant", "bee", "ä"])[LABELS], "utf-8"), ["ant", "bee", "ä"]),
    "a column": ((LABELS + 1)[:, None], [1, 2, 3]),
    "big-endian": ((LABELS + 1).astype(">i4"), [1, 2, 3]),
    "unsigned": ((LABELS + 1).astype(np.uint64), [1, 2, 3]),
}


@pytest.mark.parametrize("case", NUMBERED)
def test_labels_that_occur_are_numbered_and_named(case, tmp_path, caplog):
    labels, names = NUMBERED[case]
    with caplog.at_level(logging.INFO, "latentgen"):
        data = prepare(write(tmp_path / "own.npz", labels))
    assert data.names == names and data.n_classes == 3
    assert data.y_train.tolist() == data.y_test.tolist() == LABELS.tolist() and data.y_train.dtype == np.int64
    assert f"2 is {names[2]!r} (4 images)" in caplog.text
    datasets.save(data, tmp_path / "kept")
    assert datasets.load(tmp_path / "kept").names == names
    # Equal images with equal classes are the same to a network.
    assert data.digest == prepare(write(tmp_path / "plain.npz")).digest
    assert datasets.version({"npz": str(tmp_path / "own.npz")}) == npz.VERSION > 1


def test_truth_values_are_two_classes(tmp_path):
    data = prepare(write(tmp_path / "own.npz", LABELS > 0))
    assert data.names == [False, True] and data.y_train.tolist() == (LABELS > 0).astype(int).tolist()


def test_minus_one_and_one_are_two_classes(tmp_path):
    assert prepare(write(tmp_path / "own.npz", np.where(LABELS > 0, 1, -1))).names == [-1, 1]


def test_float_and_column_labels_from_0_are_the_classes_themselves(tmp_path):
    for labels in (LABELS.astype(float), LABELS[:, None], LABELS.astype(">u2")):
        data = prepare(write(tmp_path / "own.npz", labels))
        assert data.names is None and data.y_train.tolist() == LABELS.tolist()


def test_a_class_may_be_missing_among_test_images(tmp_path):
    data = prepare(write(tmp_path / "own.npz", LABELS * 2, np.where(LABELS, 4, 0)))
    assert data.n_classes == 3 and data.y_test.tolist() == [0, 2, 2] * 4


@pytest.mark.parametrize(
    ("labels", "test_labels", "words"),
    [
        (LABELS, LABELS + 1, ["y_train has no image", "3 (4 images)"]),
        (LABELS, np.where(LABELS == 2, 255, LABELS), ["y_train has no image", "255 (4 images)"]),
        (np.zeros(12, int), None, ["all 12 labels of y_train are 0", "two classes"]),
        (np.array([0, 1, 255])[LABELS], None, ["label 255 (4 images in y_train)", "ignore", "leave these images out"]),
        (np.array([1, 3, 255])[LABELS], None, ["label 255"]),
        (np.array([0, 1, 65535])[LABELS], None, ["label 65535"]),
        (np.array([0, 1, 99])[LABELS], None, ["label 99"]),
        (np.array([-1, 0, 1])[LABELS], None, ["label -1 (4 images in y_train)"]),
        (np.array([-100, 1, 4])[LABELS], None, ["label -100"]),
        (LABELS + 0.5, None, ["12 numbers that are not whole", "0.5"]),
        (np.where(LABELS, LABELS, np.nan), None, ["4 numbers that are not whole", "nan"]),
        (np.where(LABELS, LABELS, np.inf), None, ["not whole", "inf"]),
        (np.array(["a", "", "b"])[LABELS], None, ["4 empty labels"]),
        (np.array([b"a", b"\xff", b"b"])[LABELS], None, ["not UTF-8"]),
        (LABELS, np.array(["a", "b", "c"])[LABELS], ["y_train holds integers, y_test text"]),
        (LABELS.astype(np.uint64) + 2**63, None, ["2**63"]),
        (np.eye(3)[LABELS], None, ["got float64 (12, 3)", "argmax(axis=1)"]),
        (np.zeros((1, 12), int), None, ["12 labels, got int64 (1, 12)"]),
        (LABELS[:-1], LABELS, ["y_train must be 12 labels, got int64 (11,)"]),
        (np.int64(3), None, ["12 labels, got int64 ()"]),
        (LABELS.astype(complex), None, ["y_train is complex128"]),
        (LABELS.astype("datetime64[s]"), None, ["y_train is datetime64[s]"]),
        (LABELS.astype(object), None, ["y_train holds Python objects"]),
    ],
)
def test_labels_that_name_no_classes_are_refused(tmp_path, labels, test_labels, words):
    text = refusal(write(tmp_path / "own.npz", labels, test_labels))
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_labels_that_fill_a_byte_may_have_been_cast_to_it(tmp_path, dtype):
    labels = np.arange(300)
    images = {f"x_{part}": np.zeros((300, 2, 2), np.uint8) for part in ("train", "test")}
    assert "all 256 values" in refusal(write(tmp_path / "own.npz", labels.astype(dtype), **images))
    assert prepare(write(tmp_path / "own.npz", labels, **images)).n_classes == 300


#: Images of both parts, and words of the refusal.
FORMS = {
    "channels first": (np.zeros((12, 1, 28, 20), np.uint8), ["channels came before", "x.transpose(0, 2, 3, 1)"]),
    "three of them": (np.zeros((12, 3, 8, 8), np.uint8), ["(12, 3, 8, 8)", "x.transpose(0, 2, 3, 1)"]),
    "three in a small square": (np.zeros((12, 3, 4, 4), np.uint8), ["x.transpose(0, 2, 3, 1)"]),
    "thirteen": (np.zeros((12, 13, 64, 48), np.uint8), ["x.transpose(0, 2, 3, 1)"]),
    "as many as there are features": (np.zeros((12, 64, 8, 8), np.uint8), ["x.transpose(0, 2, 3, 1)"]),
    "a table": (np.zeros((12, 20), np.uint8), ["table of 20 features", "reshape"]),
    "images last": (np.zeros((5, 4, 12), np.uint8), ["images must come first", "moveaxis"]),
    "five axes": (np.zeros((12, 5, 4, 3, 1), np.uint8), ["(12, 5, 4, 3, 1)"]),
    "none": (np.zeros((0, 5, 4), np.uint8), ["no images"]),
    "no pixels": (np.zeros((12, 0, 4), np.uint8), ["without pixels"]),
    "in 0 … 1": (IMAGES / 255, ["got float64", "x * 255", "not a number"]),
    "16 bits": (IMAGES.astype(np.uint16), ["got uint16", "// 257"]),
    "truth values": (IMAGES > 99, ["got bool", "* 255"]),
    "integers": (IMAGES.astype(int), ["got int64", "astype(numpy.uint8)"]),
    "text": (IMAGES.astype("U3"), ["got <U3"]),
    "a list of images": (np.array([*IMAGES[:-1], IMAGES[0, :3]], dtype=object), ["Python objects", "numpy.stack"]),
    "records": (np.zeros((12, 5, 4), [("r", "u1"), ("g", "u1")]), ["save numbers"]),
}


@pytest.mark.parametrize("case", FORMS)
def test_images_of_another_form_are_refused(case, tmp_path):
    images, words = FORMS[case]
    text = refusal(write(tmp_path / "own.npz", x_train=images, x_test=images))
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize("shape", [(12, 8, 8, 3), (12, 1, 100, 3), (12, 64, 1, 1), (12, 9, 9, 13), (12, 3, 3, 3)])
def test_images_of_unusual_but_possible_form_are_read(tmp_path, shape):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    data = prepare(write(tmp_path / "own.npz", x_train=images, x_test=images))
    assert np.array_equal(data.x_train, np.moveaxis(images, 3, 1))


@pytest.mark.parametrize("test", [np.zeros((12, 6, 4), np.uint8), np.zeros((12, 5, 4, 3), np.uint8)])
def test_both_parts_have_images_of_one_size(tmp_path, test):
    text = refusal(write(tmp_path / "own.npz", x_test=test))
    assert "x_train are (5, 4)" in text and str(test.shape[1:]) in text
    assert prepare(write(tmp_path / "own.npz", x_test=IMAGES[..., None])).in_shape == (1, 5, 4)


def test_fortran_order_and_big_endian_arrays_are_read(tmp_path):
    data = prepare(write(tmp_path / "own.npz", LABELS.astype(">i8"), x_train=np.asfortranarray(IMAGES)))
    assert np.array_equal(data.x_train[:, 0], IMAGES) and data.x_train.flags.c_contiguous


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_compression_that_python_knows_is_read(tmp_path, compression):
    path = recompressed(write(tmp_path / "own.npz"), compression)
    assert np.array_equal(prepare(path).x_train[:, 0], IMAGES)


def recompressed(path, compression=zipfile.ZIP_DEFLATED, change=None):
    """The same entries in another compression; ``change`` takes name and content to another content."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, change(name, content) if change else content)
    return path


def header_of(shape, dtype="|u1"):
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def central(path, name, offset, value):
    """Overwrite bytes of the entry ``name`` in the directory of the archive."""
    content = bytearray(path.read_bytes())
    start = content.rindex(b"PK\x01\x02", 0, content.rindex(name.encode()))
    content[start + offset : start + offset + len(value)] = value
    path.write_bytes(content)
    return path


def flipped(path, name):
    """One bit of an entry's content is another."""
    content = bytearray(path.read_bytes())
    content[content.index(name.encode()) + 200] ^= 1
    path.write_bytes(content)
    return path


def with_claim(path, shape, said_by_the_archive=None):
    """The header of x_train claims ``shape``."""

    def change(name, content):
        return header_of(shape) + IMAGES.tobytes() if name == "x_train.npy" else content

    recompressed(path, change=change)
    if said_by_the_archive:
        central(path, "x_train.npy", 24, struct.pack("<I", said_by_the_archive))
    return path


def appended(path, name):
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(f"{name}.npy", archive.read(f"{name}.npy"))
    return path


def replaced(path, content):
    path.write_bytes(content(path))
    return path


def one_array(path):
    np.save(path.with_suffix(".npy"), IMAGES)
    return path.with_suffix(".npy").read_bytes()


#: How a sound file is broken, and words of the refusal.
BROKEN = {
    "one array": (lambda p: replaced(p, one_array), ["single array"]),
    "a pickle": (lambda p: replaced(p, lambda _: pickle.dumps({"x_train": [1]})), ["pickle", "numpy.savez"]),
    "nothing": (lambda p: replaced(p, lambda _: b""), ["it is empty"]),
    "text": (lambda p: replaced(p, lambda _: b"x,y\n1,2\n"), ["of another kind"]),
    "cut off": (lambda p: replaced(p, lambda p: p.read_bytes()[:-30]), ["cut off"]),
    "an array is missing": (lambda p: write(p, y_test=None), ["has no y_test", "it has x_train"]),
    "misspelt": (lambda p: write(p, x_test=None, X_test=IMAGES), ["has no x_test", "x_test (did you mean 'X_test'?)"]),
    "no array": (lambda p: recompressed(p, change=lambda *_: b"none"), ["x_train is damaged"]),
    "a part is there twice": (lambda p: appended(p, "y_train"), ["y_train 2 times"]),
    "claims 931 GB": (lambda p: with_claim(p, (1_187_500_000, 28, 28)), ["931,000,000,128 bytes", "cannot hold"]),
    "and so does the archive": (lambda p: with_claim(p, (2_000_000, 32, 32), 2_048_000_128), ["2,048,000,128 bytes"]),
    "claims too little": (lambda p: with_claim(p, (11, 5, 4)), ["cannot hold"]),
    "an odd header": (
        lambda p: recompressed(p, change=lambda n, c: header_of("('a',)") + c if n == "x_test.npy" else c),
        ["x_test is damaged"],
    ),
    "a long header": (
        lambda p: write(p, x_train=np.zeros(12, [(f"field {k}", "u1") for k in range(999)])),
        ["x_train is damaged"],
    ),
    "encrypted": (lambda p: central(p, "x_train.npy", 8, b"\x01"), ["x_train is encrypted"]),
    "compressed by Windows": (lambda p: central(p, "y_train.npy", 10, b"\x09"), ["way that Python cannot read"]),
    "a bit of the labels": (lambda p: flipped(p, "y_train.npy"), ["y_train is damaged"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_refused_in_one_clear_line(case, tmp_path):
    spoil, words = BROKEN[case]
    text = refusal(spoil(write(tmp_path / "own.npz")))
    assert [word for word in words if word not in text] == [] and "\n" not in text


def test_a_broken_image_is_found_when_it_is_read(tmp_path):
    path = write(
        tmp_path / "own.npz", x_train=np.zeros((12, 50, 40), np.uint8), x_test=np.zeros((12, 50, 40), np.uint8)
    )
    assert "x_train is damaged" in refusal(flipped(path, "x_train.npy"), job=True)


def test_what_is_no_file_is_named_at_once(tmp_path):
    (tmp_path / "folder.npz").mkdir()
    assert "is a folder" in refusal(tmp_path / "folder.npz")
    os.mkfifo(tmp_path / "pipe.npz")
    assert "no regular file" in refusal(tmp_path / "pipe.npz")
    assert "does not exist" in refusal(tmp_path / "none.npz")


def test_a_plan_refuses_with_key_file_and_remedy(tmp_path):
    entry = {"dataset": "own", "model": "mlp_small", "levels": [0], "saved_epochs": [0]}
    entry["probes"] = {"masc": {"kind": "masc"}}
    entry["training"] = {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 4, "epochs": 1}
    config = {"datasets": {"own": {"npz": str(tmp_path / "own.npz")}}, "grid": [entry]}
    write(tmp_path / "own.npz")
    assert grid.load(config).datasets == ["own"]
    write(tmp_path / "own.npz", np.where(LABELS == 2, 255, LABELS))
    with pytest.raises(grid.ConfigError, match=r"datasets\.own\.npz: .*: the label 255 .*leave these images out"):
        grid.load(config)


@pytest.mark.parametrize(("scale", "word"), [(0, "all training images of own are the same"), (1, "multiplied by 255")])
def test_images_that_show_nothing_are_warned_of(tmp_path, caplog, scale, word):
    images = (IMAGES > 99).astype(np.uint8) * scale
    prepare(write(tmp_path / "own.npz", x_train=images))
    assert word in caplog.text
    caplog.clear()
    prepare(write(tmp_path / "own.npz"))
    assert not caplog.text
