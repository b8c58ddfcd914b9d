"""Image files as arrays, each file named when it cannot be read."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from latentgen.datasets.base import DataError
from latentgen.progress import Rate, log

CHANNELS = {"L": 1, "RGB": 3}

#: Images between two lines of the log.
STRIDE = 10_000


@contextlib.contextmanager
def opened(path: Path) -> Iterator:
    """`PIL.Image.Image` of ``path``, which decodes when it is used. Raises `DataError` when it cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            yield image
    # Besides OSError, decoders raise these for files that are cut off or out of shape.
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as an image ({error}); put an intact copy in its place") from error


def read(paths: Sequence[Path], mode: str, size: tuple[int, int], resize: bool = False) -> np.ndarray:
    """Images as uint8 (n, channels, height, width); ``mode`` is PIL's ``"L"`` or ``"RGB"``, without transparency.

    ``size`` is (width, height). With ``resize`` each image is brought to it by PIL's bilinear filter, which averages
    over all pixels it covers when it shrinks; the aspect ratio is not kept.
    Raises `DataError` that names a file that cannot be read or, without ``resize``, is of another size.
    """
    from PIL import Image

    width, height = size
    images = np.empty((len(paths), CHANNELS[mode], height, width), np.uint8)
    rate = Rate(len(paths))
    for index, path in enumerate(paths):
        with opened(path) as image:
            image = image.convert(mode)
            if resize:
                image = image.resize(size, Image.Resampling.BILINEAR)
        if image.size != size:
            raise DataError(f"{path} is {image.width} × {image.height} pixels; {width} × {height} are needed")
        images[index] = np.asarray(image).reshape(height, width, CHANNELS[mode]).transpose(2, 0, 1)
        if (index + 1) % STRIDE == 0:
            log.info("%d of %d images read, %s", index + 1, len(paths), rate.left(index + 1))
    return images
