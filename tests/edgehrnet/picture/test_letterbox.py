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
    # Two additions and two multiplications of numbers below 1e4: float64 leaves 1e-9 with room to spare.
    np.testing.assert_allclose(box.inverse(box.forward(point)), point, atol=1e-9)


@given(width=SIDES, height=SIDES, size=INPUTS)
def test_scale_is_each_axis_own_after_rounding(width, height, size):
    box = Letterbox.fit(width, height, size)
    assert box.scale == (box.content_width / width, box.content_height / height)
    # The picture's outer edges, half a pixel beyond its outer centers, land on the content's outer edges.
    first, last = box.forward([[-0.5, -0.5], [width - 0.5, height - 0.5]])
    np.testing.assert_allclose(first, [box.left - 0.5, box.top - 0.5], atol=1e-9)
    expected = [box.left + box.content_width - 0.5, box.top + box.content_height - 0.5]
    np.testing.assert_allclose(last, expected, atol=1e-9)


@given(width=SIDES, height=SIDES, size=INPUTS)
def test_content_fills_one_side_and_is_centerd(width, height, size):
    box = Letterbox.fit(width, height, size)
    assert box.content_width == size[1] or box.content_height == size[0]
    right, below = size[1] - box.left - box.content_width, size[0] - box.top - box.content_height
    assert 0 <= right - box.left <= 1
    assert 0 <= below - box.top <= 1


def blob(width, height, center, sigma):
    """A Gaussian, rounded to gray levels at random in each channel, so that their mean stays the Gaussian."""
    x = np.exp(-0.5 * ((np.arange(width) - center[0]) / sigma) ** 2)
    y = np.exp(-0.5 * ((np.arange(height) - center[1]) / sigma) ** 2)
    dither = np.random.default_rng(0).random((height, width, 3))
    return np.floor(254 * np.outer(y, x)[:, :, None] + dither).astype(np.uint8)


def shift_of_a_blob(width, height, size, where):
    """How far a blob's centroid is from where the formula puts it, in input pixels."""
    # Two input pixels wide: wider, and the gray levels' rounding far from the center would outweigh what is tested.
    box = Letterbox.fit(width, height, size)
    sigma = 2 / min(1.0, *box.scale)
    margin = np.minimum(4.5 * sigma, (np.array([width, height]) - 1) / 2)
    center = margin + np.array(where) * (np.array([width, height]) - 1 - 2 * margin)
    pixels, box = letterbox(blob(width, height, center, sigma), size)
    weight = pixels[..., :3].sum(axis=2, dtype=float)
    y, x = np.mgrid[: size[0], : size[1]]
    centroid = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
    return np.abs(centroid - box.forward(center)).max()


# A round trip cannot see a half-pixel error that both directions share; a rendered blob can.
@settings(max_examples=200)
@given(
    width=st.integers(100, 1400),
    height=st.integers(100, 1400),
    size=st.sampled_from([(256, 512), (128, 256), (256, 256), (96, 64)]),
    where=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_centroid_of_a_blob_lands_on_the_mapped_point(width, height, size, where):
    assume(min(width, height) * min(Letterbox.fit(width, height, size).scale) > 24)  # room for the blob
    assert shift_of_a_blob(width, height, size, where) <= 0.02


@pytest.mark.parametrize(
    ("width", "height", "where"),
    [(1025, 307, (0.37, 0.93)), (1021, 228, (0.3, 0.93)), (759, 516, (0.99, 0.46)), (513, 257, (0.2, 0.7))],
)
def test_centroid_at_nearly_whole_scales(width, height, where):
    # One phase throughout the blob, so that what one row rounds away no other makes good.
    assert shift_of_a_blob(width, height, (256, 512), where) <= 0.02


@pytest.mark.parametrize("factor", [2, 3, 4, 7])
def test_detail_that_the_input_cannot_carry_is_averaged_not_aliased(factor):
    # Stripes one pixel wide: their mean is 127.5, and anything else in the input would be a false pattern.
    stripes = np.zeros((64 * factor, 64 * factor, 3), np.uint8)
    stripes[:, ::2] = 255
    pixels, _ = letterbox(stripes, (64, 64))
    # A box of odd width holds one stripe more of one kind: (factor + 1) / 2 of factor are white.
    worst = 127.5 if factor % 2 == 0 else 127.5 * (1 + 1 / factor)
    assert np.abs(pixels[..., 0].astype(float) - 127.5).max() <= worst - 127.5 + 1


def test_a_picture_of_the_input_size_is_only_smoothed():
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[32, 48] = 192
    pixels, _ = letterbox(picture, (64, 96))
    spline = np.array([1, 6, 1]) / 8  # the quadratic B-spline at phase zero
    np.testing.assert_allclose(pixels[31:34, 47:50, 0], 192 * np.outer(spline, spline), atol=1)
    assert (pixels[..., 3] == 255).all()


def test_mask_marks_the_picture_and_padding_is_black():
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


@pytest.mark.parametrize("size", [(250, 512), (256, 500), (0, 32), (-32, 32), (16, 16)])
def test_other_sizes_raise_with_the_nearest(size):
    with pytest.raises(InputError, match="multiples of 32; the nearest"):
        letterbox(np.zeros((32, 32, 3), np.uint8), size)
    with pytest.raises(InputError, match="224x512 and 256x512"):
        letterbox(np.zeros((32, 32, 3), np.uint8), (250, 512))


@given(st.integers(1, 64), st.floats(-8, 8), st.floats(-1e4, 1e4))
def test_cells_and_pixels_are_inverse(stride, offset, x):
    grid = CellGrid(stride, offset)
    assert grid.to_pixels(grid.to_cells(x)) == pytest.approx(x, abs=1e-9)


def test_cell_mask_keeps_every_cell_that_touches_the_picture():
    box = Letterbox.fit(100, 50, (64, 64))  # content 64 x 32, rows 16 to 47
    mask = box.cell_mask(CellGrid(4, 1.5))
    assert mask.shape == (16, 16)
    assert mask[4:12].all()
    assert not mask[:4].any()
    assert not mask[12:].any()
