import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgehrnet.errors import InputError
from edgehrnet.picture.cells import CellGrid
from edgehrnet.picture.letterbox import Letterbox, letterbox

SIDES = st.integers(8, 5000)
INPUTS = st.tuples(st.integers(1, 20), st.integers(1, 20)).map(lambda n: (32 * n[0], 32 * n[1]))


@given(width=SIDES, height=SIDES, size=INPUTS, x=st.floats(-1, 2), y=st.floats(-1, 2))
def test_inverse_undoes_forward(width, height, size, x, y):
    box = Letterbox.fit(width, height, size)
    point = np.array([x * width, y * height])
    # Two additions and two multiplications of numbers below 1e4: the error of float64 is far below 1e-9.
    np.testing.assert_allclose(box.inverse(box.forward(point)), point, atol=1e-9)


@given(width=SIDES, height=SIDES, size=INPUTS)
def test_each_axis_is_scaled_by_its_rounded_side(width, height, size):
    box = Letterbox.fit(width, height, size)
    assert box.scale == (box.content_width / width, box.content_height / height)
    # The picture's outer edges, half a pixel beyond its outer centers, land on the content's outer edges.
    first, last = box.forward([[-0.5, -0.5], [width - 0.5, height - 0.5]])
    np.testing.assert_allclose(first, [box.left - 0.5, box.top - 0.5], atol=1e-9)
    expected = [box.left + box.content_width - 0.5, box.top + box.content_height - 0.5]
    np.testing.assert_allclose(last, expected, atol=1e-9)


@given(width=SIDES, height=SIDES, size=INPUTS)
def test_content_fills_one_side_and_is_centered(width, height, size):
    box = Letterbox.fit(width, height, size)
    assert box.content_width == size[1] or box.content_height == size[0]
    right, below = size[1] - box.left - box.content_width, size[0] - box.top - box.content_height
    assert 0 <= right - box.left <= 1
    assert 0 <= below - box.top <= 1


DITHER = np.random.default_rng(0).random((1400, 1400, 3), np.float32)


def blob(width, height, center, sigma):
    """Return a Gaussian rounded to gray levels at random in each channel, so that the mean is still the Gaussian."""
    x = np.exp(-0.5 * ((np.arange(width) - center[0]) / sigma) ** 2)
    y = np.exp(-0.5 * ((np.arange(height) - center[1]) / sigma) ** 2)
    return (254 * np.outer(y, x)[:, :, None] + DITHER[:height, :width]).astype(np.uint8)


def shift_of_a_blob(width, height, size, where):
    """Return the distance of a blob's centroid from the mapped center, in input pixels."""
    # A sigma of two input pixels. In wider blobs, rounding far from the center would dominate.
    box = Letterbox.fit(width, height, size)
    sigma = 2 / min(1.0, *box.scale)
    margin = np.minimum(4.5 * sigma, (np.array([width, height]) - 1) / 2)
    center = margin + np.array(where) * (np.array([width, height]) - 1 - 2 * margin)
    pixels, box = letterbox(blob(width, height, center, sigma), size)
    weight = pixels[..., :3].sum(axis=2, dtype=float)
    y, x = np.mgrid[: size[0], : size[1]]
    centroid = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
    return np.abs(centroid - box.forward(center)).max()


# A round trip does not detect a half-pixel error that both directions share. A rendered blob does.
@settings(max_examples=100)
@given(
    width=st.integers(100, 1400),
    height=st.integers(100, 1400),
    size=st.sampled_from([(256, 512), (128, 256), (256, 256), (96, 64)]),
    where=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_the_centroid_of_a_blob_is_at_the_mapped_point(width, height, size, where):
    assume(min(width, height) * min(Letterbox.fit(width, height, size).scale) > 24)  # room for the blob
    assert shift_of_a_blob(width, height, size, where) <= 0.02


@pytest.mark.parametrize(
    ("width", "height", "where"),
    [(1025, 307, (0.37, 0.93)), (1021, 228, (0.3, 0.93)), (759, 516, (0.99, 0.46)), (513, 257, (0.2, 0.7))],
)
def test_the_centroid_is_exact_at_nearly_whole_scales(width, height, where):
    # All rows of the blob have nearly the same phase, so that their rounding errors add up.
    assert shift_of_a_blob(width, height, (256, 512), where) <= 0.02


@pytest.mark.parametrize("factor", [2, 3, 4, 7])
def test_detail_too_fine_for_the_input_is_averaged(factor):
    # Stripes one pixel wide have a mean of 127.5. Any other value in the input would be an aliasing pattern.
    stripes = np.zeros((64 * factor, 64 * factor, 3), np.uint8)
    stripes[:, ::2] = 255
    pixels, _ = letterbox(stripes, (64, 64))
    # A box of odd width has one more white or black stripe: at most (factor + 1) / 2 of factor are white.
    worst = 127.5 if factor % 2 == 0 else 127.5 * (1 + 1 / factor)
    assert np.abs(pixels[..., 0].astype(float) - 127.5).max() <= worst - 127.5 + 1


def test_a_picture_of_the_input_size_is_smoothed_by_the_spline():
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[32, 48] = 192
    pixels, _ = letterbox(picture, (64, 96))
    spline = np.array([1, 6, 1]) / 8  # the quadratic B-spline at phase zero
    np.testing.assert_allclose(pixels[31:34, 47:50, 0], 192 * np.outer(spline, spline), atol=1)
    assert (pixels[..., 3] == 255).all()


def test_the_mask_marks_the_picture_and_padding_is_black():
    pixels, box = letterbox(np.full((100, 50, 3), 77, np.uint8), (64, 64))
    inside = pixels[box.inside]
    assert inside.shape[:2] == (64, 32)
    assert (inside == [77, 77, 77, 255]).all()
    outside = pixels.copy()
    outside[box.inside] = 0
    assert not outside.any()


def test_a_strided_view_gives_the_same_bytes():
    picture = np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    flipped = picture[::-1, ::-1]
    np.testing.assert_array_equal(letterbox(flipped, (64, 64))[0], letterbox(flipped.copy(), (64, 64))[0])


@pytest.mark.parametrize("shape", [(8, 3000), (3000, 8), (9, 9), (1000, 1001)])
def test_extreme_shapes(shape):
    pixels, box = letterbox(np.full((*shape, 3), 200, np.uint8), (64, 96))
    assert pixels.shape == (64, 96, 4)
    assert (pixels[box.inside] == [200, 200, 200, 255]).all()


@pytest.mark.parametrize(
    ("size", "nearest"),
    [
        ((250, 512), ["224x512", "256x512"]),
        ((256, 500), ["256x480", "256x512"]),
        ((0, 32), ["32x32"]),
        ((-32, 32), ["32x32"]),
        ((16, 16), ["32x32"]),
    ],
)
def test_other_sizes_raise_and_the_nearest_ones_are_named(size, nearest):
    with pytest.raises(InputError) as caught:
        letterbox(np.zeros((32, 32, 3), np.uint8), size)
    assert re.findall(r"-?\d+x\d+", str(caught.value)) == [f"{size[0]}x{size[1]}", *nearest]


@pytest.mark.parametrize("size", [64, (64,), (64, 64, 3), (64.0, 64.0), "64x64", None])
def test_sizes_other_than_two_integers_raise(size):
    with pytest.raises(InputError, match=re.escape(repr(size))):
        letterbox(np.zeros((32, 32, 3), np.uint8), size)


@given(st.integers(1, 64), st.floats(-8, 8), st.floats(-1e4, 1e4))
def test_to_cells_undoes_to_pixels(stride, offset, x):
    grid = CellGrid(stride, offset)
    assert grid.to_pixels(grid.to_cells(x)) == pytest.approx(x, abs=1e-9)


def test_cell_mask_keeps_every_cell_that_touches_the_picture():
    box = Letterbox.fit(100, 50, (64, 64))  # content 64 x 32, rows 16 to 47
    mask = box.cell_mask(CellGrid(4, 1.5))
    assert mask.shape == (16, 16)
    assert mask[4:12].all()
    assert not mask[:4].any()
    assert not mask[12:].any()
