"""Image files as arrays, each file named when it cannot be read."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from latentgen.datasets.base import DataError, refuse
from latentgen.progress import Rate, log

CHANNELS = {"L": 1, "RGB": 3}

#: Of all that Pillow knows: other formats start programs (Ghostscript for EPS) or are no photographs.
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")

#: What shows through where an image is transparent.
BACKGROUND = "white"

#: Tags of EXIF and TIFF.
ORIENTATION, BITS_PER_SAMPLE = 0x0112, 0x0102

#: Names of PIL's operations that bring an image upright, by the value of its tag.
UPRIGHT = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}

#: Images between two lines of the log.
STRIDE = 10_000


class Header(NamedTuple):
    """PIL's mode of an image, its (width, height) as it is looked at, and what is done to bring it there."""

    mode: str
    size: tuple[int, int]
    turned: bool
    transparent: bool


def header(path: Path) -> Header:
    """`Header` of an image file, whose pixels are not decoded.

    Raises `DataError` that names a file that cannot be read, has more than 8 bits a value or several frames.
    """
    with _opened(path) as image:
        frames = getattr(image, "n_frames", 1)
        deep = _deep(image)
        orientation = _orientation(image)
        transparent = image.has_transparency_data
        mode, format, (width, height) = image.mode, image.format, image.size
    # MPO is what phones write: a JPEG with a preview, or a map of depth or brightness, behind it.
    if frames > 1 and format != "MPO":
        raise DataError(f"{path} has {frames} frames or pages; save the one that counts as an image of its own")
    if deep:
        raise DataError(f"{path} has more than 8 bits for each pixel and channel (mode {mode}); save it with 8 bits")
    # Pillow turns TIFF by itself, and gives its size as it is then.
    size = (height, width) if orientation >= 5 and format != "TIFF" else (width, height)
    return Header(mode, size, orientation > 1, transparent)


def read(paths: Sequence[Path], mode: str, size: tuple[int, int], resize: bool = False) -> np.ndarray:
    """Images as uint8 (n, channels, height, width); ``mode`` is PIL's ``"L"`` or ``"RGB"``.

    They are upright, as their EXIF tag says, and `BACKGROUND` shows through where they are transparent.
    ``size`` is (width, height). With ``resize`` each image is brought to it by PIL's bilinear filter, which averages
    over all pixels it covers when it shrinks; the aspect ratio is not kept.
    Raises `DataError` that names a file that cannot be read or, without ``resize``, is of another size, and says how
    many more there are.
    """
    width, height = size
    shape = (len(paths), CHANNELS[mode], height, width)
    try:
        images = np.empty(shape, np.uint8)
    except (MemoryError, ValueError) as error:
        raise DataError(
            f"{len(paths)} images of {width} × {height} pixels take {np.prod(shape, dtype=float) / 1e9:,.1f} GB, more "
            "than there is; declare a smaller 'size' for the data set"
        ) from error
    faults = []
    rate = Rate(len(paths))
    for index, path in enumerate(paths):
        try:
            images[index] = _pixels(path, mode, size, resize)
        except DataError as error:
            faults.append(error)
        if (index + 1) % STRIDE == 0:
            log.info("%d of %d images read, %s", index + 1, len(paths), rate.left(index + 1))
    refuse(faults)
    return images


def _pixels(path: Path, mode: str, size: tuple[int, int], resize: bool) -> np.ndarray:
    """One image as (channels, height, width)."""
    from PIL import Image

    with _opened(path) as image:
        image.load()
        if (orientation := _orientation(image)) > 1:
            image = image.transpose(Image.Transpose[UPRIGHT[orientation]])
        if image.has_transparency_data:
            image = Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image.convert("RGBA"))
        image = image.convert(mode)
        if resize:
            image = image.resize(size, Image.Resampling.BILINEAR)
    width, height = size
    if image.size != size:
        raise DataError(f"{path} is {image.width} × {image.height} pixels; {width} × {height} are needed")
    return np.asarray(image).reshape(height, width, CHANNELS[mode]).transpose(2, 0, 1)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator:
    """`PIL.Image.Image` of ``path``, which decodes when it is used. Raises `DataError` for whatever goes wrong."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=FORMATS) as image:
            yield image
    except Image.DecompressionBombError as error:
        raise DataError(f"{path} is too large to be opened ({error}); save it with fewer pixels") from error
    except PermissionError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); give yourself the right to read it") from error
    # Decoders of files from elsewhere raise anything: struct.error, KeyError, zlib.error …
    except Exception as error:
        unknown = isinstance(error, UnidentifiedImageError)
        what = "it is empty" if not path.exists() or not path.stat().st_size else f"it is none of {', '.join(FORMATS)}"
        reason = what if unknown else error
        raise DataError(f"{path} cannot be read as an image ({reason}); put an intact copy in its place") from error


def _orientation(image) -> int:
    """Value of the tag, 1 to 8; 1 where there is none, or none that can be read."""
    from PIL import Image

    try:
        # The method of PNG's own class would decode the whole image in search of a late chunk.
        value = Image.Image.getexif(image).get(ORIENTATION, 1)
    except Exception:  # Tags from elsewhere may be broken in any way; the pixels are sound all the same.
        return 1
    return int(value) if value in tuple(UPRIGHT) else 1


def _deep(image) -> bool:
    """Whether values have more than 8 bits, which Pillow cuts off where it has no mode for them."""
    if image.mode.startswith(("I", "F")):
        return True
    if image.format == "TIFF":
        bits = image.tag_v2.get(BITS_PER_SAMPLE, 1)
        return max(bits if isinstance(bits, tuple) else (bits,)) > 8
    decoded_from = image.tile[0][3] if image.tile else None
    if image.format == "PPM":  # (mode, largest value)
        return isinstance(decoded_from, tuple) and decoded_from[1] > 255
    return image.format == "PNG" and str(decoded_from).endswith(";16B")
