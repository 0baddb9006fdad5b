"""Decoding photographs that nobody vouches for: JPEG only, of a limited size."""

import io
import struct
import warnings

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError, whole_text

MOST_PIXELS = 2**25


def decode(
    data: bytes, size: tuple[int, int], name: str, *, reduced: bool = False
) -> NDArray[np.uint8]:
    """Decode a photograph and stretch it to a size (width, height): uint8 `[H, W, 3]`.

    Args:
        data: the file's bytes.
        size: width and height.
        name: what errors call it.
        reduced: decode at a fraction of the photograph's size, where that is still larger than what
            is asked for: faster, and other pixels.

    Raises:
        DataError: if it is no JPEG, damaged, or has more than `MOST_PIXELS`.
    """
    from PIL import Image  # noqa: PLC0415

    # Whatever Pillow raises, or warns of, on a photograph that is cut short or made up.
    broken = (
        *(OSError, SyntaxError, ValueError, TypeError, IndexError, EOFError, struct.error),
        *(OverflowError, Image.DecompressionBombError, Image.DecompressionBombWarning),
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
                width, height = picture.size
                if width * height > MOST_PIXELS:
                    raise ValueError(f"{width} x {height} are more than {MOST_PIXELS:,} pixels")
                if reduced:
                    picture.draft("RGB", size)
                return np.asarray(picture.convert("RGB").resize(size))
    except broken as error:
        raise DataError(f"{name} cannot be read as JPEG: {whole_text(error)}") from error
