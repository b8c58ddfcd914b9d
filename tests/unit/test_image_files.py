"""Image files of all kinds in a folder of classes: seen as a viewer shows them, or refused by name."""

import logging
import os
import socket
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from latentgen import datasets
from latentgen.datasets import DataError

#: Deterministic pixels of a small image, all different from its turned and mirrored forms.
COLOURS = np.random.default_rng(1).integers(0, 256, (6, 4, 3), dtype=np.uint8)
GREYS = COLOURS[..., 0]


def write_folder(root, classes=("ant", "bee")):
    """One plain colour image of each class in both parts."""
    for part in ("train", "test"):
        for name in classes:
            save(root / part / name / "plain.png", COLOURS)
    return root


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(path, **options)
    return path


def prepare(root, **declared):
    return datasets.prepare("own", "unused", {"folder": str(root), **declared})


def pixels(root, name, image, **options):
    """What becomes of ``image`` as (height, width, channels), saved as ``name`` before all others of its class."""
    save(write_folder(root) / "train" / "ant" / name, image, **options)
    return prepare(root).x_train[0].transpose(1, 2, 0)


def refusal(root):
    with pytest.raises(DataError) as caught:
        prepare(root)
    return str(caught.value)


#: How an upright image is stored under each orientation of EXIF, which says where its first row and column are.
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("ending", ["png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", STORED)
def test_images_are_upright(tmp_path, orientation, ending):
    tags = Image.Exif()
    tags[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](COLOURS))
    options = {"lossless": True} if ending == "webp" else {}
    assert np.array_equal(pixels(tmp_path, f"a.{ending}", stored, exif=tags, **options), COLOURS)


def test_turned_photographs_are_of_one_size_and_counted(tmp_path, caplog):
    write_folder(tmp_path)
    tags = Image.Exif()
    tags[0x0112] = 6
    save(tmp_path / "train" / "bee" / "a.jpg", np.ascontiguousarray(np.rot90(COLOURS)), exif=tags, quality=95)
    with caplog.at_level(logging.INFO, "latentgen"):
        assert prepare(tmp_path).in_shape == (3, 6, 4)
    assert "1 of 5 images are turned upright" in caplog.text


def test_broken_tags_say_nothing(tmp_path):
    for tags in (b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x01\0\0\0\x06\0\0\0"):
        assert np.array_equal(pixels(tmp_path, "a.png", COLOURS, exif=tags), COLOURS)


def on_white(colours, alpha):
    """Colours where ``alpha`` is 255, white where it is 0, between them in proportion."""
    share = alpha[..., None] / 255
    return colours * share + 255 * (1 - share)


def test_transparency_shows_white(tmp_path, caplog):
    alpha = np.random.default_rng(2).integers(0, 256, (6, 4), dtype=np.uint8)
    alpha[0], alpha[1] = 0, 255
    with caplog.at_level(logging.INFO, "latentgen"):
        found = pixels(tmp_path, "a.png", np.dstack([COLOURS, alpha]))
    assert abs(found - on_white(COLOURS, alpha)).max() <= 1
    assert (found[0] == 255).all() and np.array_equal(found[1], COLOURS[1])
    assert "1 of 5 images can be transparent; white shows through" in caplog.text


def test_a_shape_in_the_transparency_alone_is_seen(tmp_path):
    shape = np.zeros((6, 4, 4), np.uint8)
    shape[2:4, 1:3, 3] = 255
    expected = np.full((6, 4), 255)
    expected[2:4, 1:3] = 0
    assert np.array_equal(pixels(tmp_path, "a.png", shape), np.dstack([expected] * 3))


@pytest.mark.parametrize("ending", ["png", "gif"])
def test_a_transparent_colour_of_a_palette_is_white(tmp_path, ending):
    image = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(6, 4) % 3, "P")
    image.putpalette([10, 20, 30, 200, 100, 0, 1, 2, 3])
    found = pixels(tmp_path, f"a.{ending}", image, transparency=1)
    assert np.array_equal(found.reshape(-1, 3)[:3], [[10, 20, 30], [255, 255, 255], [1, 2, 3]])


def test_a_transparent_colour_of_rgb_and_of_grey_is_white(tmp_path):
    for image, transparent in ((COLOURS, tuple(COLOURS[2, 1].tolist())), (GREYS, int(GREYS[2, 1]))):
        found = pixels(tmp_path, "a.png", image, transparency=transparent)
        assert (found[2, 1] == 255).all() and (found[2, 2] == image[2, 2]).all()


def test_grey_images_with_transparency_stay_grey(tmp_path):
    alpha = np.full((6, 4), 255, np.uint8)
    alpha[0] = 0
    for part in ("train", "test"):
        for name in ("ant", "bee"):
            save(tmp_path / part / name / "a.png", np.dstack([GREYS, alpha]))
    data = prepare(tmp_path)
    assert data.in_shape == (1, 6, 4)
    assert (data.x_train[0, 0, 0] == 255).all() and np.array_equal(data.x_train[0, 0, 1:], GREYS[1:])


#: Images without anything to turn or to see through, which come as Pillow converts them.
PLAIN = {
    "colour.png": Image.fromarray(COLOURS),
    "colour.jpg": Image.fromarray(COLOURS),
    "colour.bmp": Image.fromarray(COLOURS),
    "colour.ppm": Image.fromarray(COLOURS),
    "colour.webp": Image.fromarray(COLOURS),
    "grey.jpeg": Image.fromarray(GREYS),
    "grey.pgm": Image.fromarray(GREYS),
    "bits.png": Image.fromarray(GREYS > 99),
    "palette.png": Image.fromarray(COLOURS).quantize(8),
    "opaque.png": Image.fromarray(np.dstack([COLOURS, np.full((6, 4), 255, np.uint8)])),
    "print.tif": Image.fromarray(COLOURS).convert("CMYK"),
    "print.jpg": Image.fromarray(COLOURS).convert("CMYK"),
    "still.gif": Image.fromarray(COLOURS).quantize(8),
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_images_come_as_they_are(tmp_path, name):
    path = save(write_folder(tmp_path) / "train" / "ant" / f"a {name}", PLAIN[name])
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(prepare(tmp_path).x_train[0].transpose(1, 2, 0), expected)


def test_content_counts_and_not_the_ending(tmp_path):
    assert np.array_equal(pixels(tmp_path, "a.jpg", COLOURS, format="PNG"), COLOURS)


def test_of_a_phones_photograph_the_first_picture_counts(tmp_path):
    first = Image.fromarray(np.full((6, 4, 3), 90, np.uint8))
    found = pixels(tmp_path, "a.jpg", first, format="MPO", save_all=True, append_images=[Image.fromarray(COLOURS)])
    assert abs(found.astype(int) - 90).max() <= 2


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, bits, colour, rows):
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def deep_png(colour, channels):
    return png(4, 6, 16, colour, (b"\0" + np.full((4, channels), 40_000, ">u2").tobytes()) * 6)


def deep_tiff():
    """16-bit colour, which Pillow reads but does not write."""
    content = np.full((6, 4, 3), 40_000, "<u2").tobytes()
    tags = [(256, 4), (257, 6), (259, 1), (262, 2), (277, 3), (278, 6)]
    data = 8 + 2 + 12 * (len(tags) + 3) + 4
    entries = [(tag, 3, 1, value) for tag, value in tags]
    entries += [(258, 3, 3, data), (273, 4, 1, data + 6), (279, 4, 1, len(content))]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    start = b"II*\0" + struct.pack("<IH", 8, len(entries))
    return start + packed + struct.pack("<I", 0) + struct.pack("<HHH", 16, 16, 16) + content


def frames(format, **options):
    def write(path):
        rest = [Image.fromarray(COLOURS[::-1].copy()), Image.fromarray(COLOURS[:, ::-1].copy())]
        save(path, Image.fromarray(COLOURS), format=format, save_all=True, append_images=rest, **options)

    return write


def content(*parts):
    return lambda path: path.write_bytes(b"".join(parts))


def eps(path):
    save(path, Image.fromarray(COLOURS), format="EPS")


def cut_off(path):
    save(path, COLOURS)
    path.write_bytes(path.read_bytes()[:80])


def sock(path):
    place = os.getcwd()
    os.chdir(path.parent)  # names of sockets are short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(place)


#: A file of a class, how it is written, and words of the refusal.
REFUSED = {
    "16-bit grey": ("a.png", content(deep_png(0, 1)), "more than 8 bits"),
    "16-bit colour": ("a.png", content(deep_png(2, 3)), "more than 8 bits"),
    "16-bit grey and transparent": ("a.png", content(deep_png(4, 2)), "more than 8 bits"),
    "16-bit colour and transparent": ("a.png", content(deep_png(6, 4)), "more than 8 bits"),
    "16-bit PPM": ("a.ppm", content(b"P6 4 6 65535\n", bytes(144)), "more than 8 bits"),
    "10-bit plain PPM": ("a.ppm", content(b"P3 4 6 1023\n", b"900 " * 72), "more than 8 bits"),
    "16-bit PGM": ("a.pgm", content(b"P5 4 6 65535\n", bytes(48)), "more than 8 bits"),
    "16-bit TIFF": ("a.tif", content(deep_tiff()), "more than 8 bits"),
    "32-bit TIFF": ("a.tif", lambda path: save(path, Image.new("I", (4, 6))), "more than 8 bits"),
    "floating point": ("a.tif", lambda path: save(path, Image.new("F", (4, 6))), "more than 8 bits"),
    "animated GIF": ("a.gif", frames("GIF"), "3 frames or pages"),
    "animated PNG": ("a.png", frames("PNG"), "3 frames or pages"),
    "animated WebP": ("a.webp", frames("WEBP", lossless=True), "3 frames or pages"),
    "pages": ("a.tiff", frames("TIFF"), "3 frames or pages"),
    "EPS": ("a.jpg", eps, "it is none of JPEG, PNG"),
    "a web page": ("a.jpg", content(b"<!DOCTYPE html><title>404</title>"), "it is none of"),
    "a bomb": ("a.png", content(png(60_000, 60_000, 8, 2, b"")), "too large to be opened"),
    "no byte": ("a.jpg", content(b""), "it is empty"),
    "cut off": ("a.png", cut_off, "cannot be read as an image"),
    "no pixel": ("a.bmp", content(b"BM", bytes(60)), "cannot be read as an image"),
    "another format": ("a.HEIC", content(b"any"), "convert it to PNG or JPEG"),
    "a pipe": ("a.jpg", lambda path: os.mkfifo(path), "no regular file"),
    "a socket": ("a.jpg", sock, "no regular file"),
    "a device": ("a.jpg", lambda path: path.symlink_to("/dev/zero"), "outside of"),
    "a link to nothing": ("a.jpg", lambda path: path.symlink_to("none.jpg"), "leads nowhere"),
    "a link to itself": ("a.jpg", lambda path: path.symlink_to("a.jpg"), "leads nowhere"),
    "a link to the parent": ("up", lambda path: path.symlink_to(".."), "are the same folder"),
    "a link to its own class": ("again", lambda path: path.symlink_to("."), "are the same folder"),
    "a link to the root": ("up", lambda path: path.symlink_to("../.."), "are the same folder"),
    "a link to another class": ("bees", lambda path: path.symlink_to("../bee"), "are the same folder"),
    "a link out": ("others", lambda path: path.symlink_to("/usr"), "outside of"),
    "a link above": ("others", lambda path: path.symlink_to("../../.."), "outside of"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_plain_image_is_refused_by_name(tmp_path, case):
    name, write, words = REFUSED[case]
    path = write_folder(tmp_path / "own") / "train" / "ant" / name
    write(path)
    text = refusal(tmp_path / "own")
    assert words in text and path.name in text and "\n" not in text


def test_ghostscript_is_never_started(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {tmp_path / 'started'}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    eps(write_folder(tmp_path / "own") / "train" / "ant" / "a.jpg")
    refusal(tmp_path / "own")
    assert not (tmp_path / "started").exists()


def test_parts_and_classes_may_not_be_links_out_or_to_each_other(tmp_path):
    write_folder(tmp_path / "elsewhere")
    for link, target, words in (
        ("train", "../elsewhere/train", "outside of"),
        ("test", "train", "are the same folder"),
    ):
        root = write_folder(tmp_path / link)
        (root / link).rename(tmp_path / f"old {link}")
        (root / link).symlink_to(target)
        assert words in refusal(root)
    root = write_folder(tmp_path / "classes")
    for part in ("train", "test"):
        (root / part / "cow").symlink_to(tmp_path / "elsewhere" / "train" / "ant")
    assert "cow is a link to" in refusal(root)


def test_links_within_the_folder_and_the_folder_itself_as_a_link_are_followed(tmp_path):
    root = write_folder(tmp_path / "own")
    save(root / "pool" / "1.png", COLOURS)
    (root / "train" / "ant" / "linked.png").symlink_to("../../pool/1.png")
    (root / "train" / "bee" / "more").symlink_to("../../pool")
    (tmp_path / "name").symlink_to("own")
    assert prepare(tmp_path / "name").y_train.tolist() == [0, 0, 1, 1]


def test_hidden_entries_and_others_are_passed_over_and_counted(tmp_path, caplog):
    write_folder(tmp_path)
    for part in ("train", "test"):
        for place in (".ipynb_checkpoints", "__MACOSX", "ant/.thumbnails", "ant/@eaDir"):
            save(tmp_path / part / place / "copy.png", COLOURS)
    for name in ("._plain.png", ".DS_Store", "Thumbs.db", "labels.txt", "no_ending"):
        (tmp_path / "train" / "bee" / name).write_bytes(b"\0\5\x16\7")
    save(tmp_path / "train" / "stray.png", COLOURS)
    with caplog.at_level(logging.INFO, "latentgen"):
        data = prepare(tmp_path)
    assert (data.n_classes, len(data.x_train), len(data.x_test)) == (2, 2, 2)
    assert (
        "train: entries passed over: 1 beside the folders of classes, 6 hidden, 3 without the ending of an image"
        in caplog.text
    )
    assert datasets.class_folders(tmp_path) == [tmp_path / p / c for p in ("train", "test") for c in ("ant", "bee")]


def test_the_first_of_several_is_named_and_the_others_counted(tmp_path):
    root = write_folder(tmp_path)
    for name in ("c.png", "b.png", "a.png"):
        (root / "train" / "bee" / name).write_bytes(b"")
    assert "bee/a.png" in refusal(root) and "(and 2 more that cannot be used)" in refusal(root)
    for name in ("c.png", "b.png", "a.png"):
        cut_off(root / "train" / "bee" / name)
    assert "bee/a.png" in refusal(root) and "truncated" in refusal(root) and "(and 2 more" in refusal(root)


@pytest.mark.parametrize("place", ["train", "train/ant"])
def test_folders_that_may_not_be_listed_are_named(tmp_path, monkeypatch, place):
    root = write_folder(tmp_path)
    scandir = os.scandir

    def refusing(path):
        if str(path) == str(root / place):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    for call in (lambda: prepare(root), lambda: datasets.check({"folder": str(root)})):
        with pytest.raises(DataError, match=rf"{place} cannot be listed \(Permission denied\)"):
            call()


def test_files_that_may_not_be_read_are_named(tmp_path, monkeypatch):
    root = write_folder(tmp_path)
    opening = Image.open

    def refusing(path, **options):
        if path.parts[-3:] == ("test", "bee", "plain.png"):
            raise PermissionError(13, "Permission denied", str(path))
        return opening(path, **options)

    monkeypatch.setattr(Image, "open", refusing)
    assert "test/bee/plain.png cannot be read (Permission denied)" in refusal(root)


def test_what_folders_show_is_refused_before_any_job(tmp_path):
    assert datasets.check({"folder": str(write_folder(tmp_path / "good"))}) is None
    assert datasets.version({"folder": str(tmp_path / "good")}) == 2

    def refused(root):
        with pytest.raises(DataError) as caught:
            datasets.check({"folder": str(root)})
        return str(caught.value)

    one = write_folder(tmp_path / "one", classes=("ant",))
    assert "the single class 'ant'" in refused(one)
    empty = write_folder(tmp_path / "empty")
    (empty / "train" / "bee" / "plain.png").rename(empty / "train" / "bee" / "._plain.png")
    assert "train: 1 of 2 classes have no images, the first 'bee'" in refused(empty)
    more = write_folder(tmp_path / "more")
    save(more / "test" / "cow" / "a.png", COLOURS)
    assert "train lacks the class 'cow'" in refused(more)
    (more / "train" / "cow").symlink_to("/usr")
    assert "outside of" in refused(more)
    assert "has no folders" in refused(write_folder(tmp_path / "none", classes=("",)))


def test_more_images_than_memory_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"2 images of .* GB.*smaller 'size'"):
        prepare(write_folder(tmp_path), size=2**30)
