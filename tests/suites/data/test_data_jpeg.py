"""Photographs from strangers are decoded within limits, or refused in one line."""

import io

import numpy as np
import pytest
from PIL import Image

from bench.errors import DataError
from suites.data import jpeg


def photograph(width=20, height=10, kind="JPEG", mode="RGB"):
    buffer = io.BytesIO()
    Image.new(mode, (width, height), 200).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_photograph_is_stretched_to_the_size_and_has_three_channels(mode):
    pixels = jpeg.decode(photograph(mode=mode), (6, 4), "a.jpg")
    assert (pixels.shape, pixels.dtype) == ((4, 6, 3), np.uint8)


def test_a_photograph_may_be_decoded_at_a_fraction_of_its_size():
    noise = np.random.default_rng(0).integers(256, size=(256, 256, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG")
    with Image.open(io.BytesIO(buffer.getvalue())) as picture:
        picture.draft("RGB", (32, 32))
        assert picture.size == (32, 32)
        expected = np.asarray(picture.convert("RGB").resize((32, 32)))
    reduced = jpeg.decode(buffer.getvalue(), (32, 32), "a.jpg", reduced=True)
    np.testing.assert_array_equal(reduced, expected)
    assert (jpeg.decode(buffer.getvalue(), (32, 32), "a.jpg") != reduced).any()


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", photograph(kind="PNG"), photograph(kind="GIF"), photograph(200, 200)[:300]],
    ids=["empty", "text", "PNG", "GIF", "cut short"],
)
def test_what_is_no_whole_jpeg_is_refused_in_one_line(data):
    with pytest.raises(DataError, match=r"^a\.jpg cannot be read as JPEG: [^\n]+$"):
        jpeg.decode(data, (6, 4), "a.jpg")


@pytest.mark.parametrize("claimed", [(9000, 9000), (65000, 65000)])
def test_a_photograph_that_claims_too_many_pixels_is_refused_before_memory_is_taken(claimed):
    data = bytearray(photograph(20, 10))
    start = data.index(b"\xff\xc0") + 5  # the frame's height and width
    width, height = claimed
    data[start : start + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    with pytest.raises(DataError, match="cannot be read as JPEG"):
        jpeg.decode(bytes(data), (6, 4), "bomb.jpg")
