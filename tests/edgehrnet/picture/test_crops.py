"""Compare the crop conventions with numbers from the published implementations."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehrnet.errors import InputError
from edgehrnet.picture.cells import CellGrid
from edgehrnet.picture.crops import CONVENTIONS, Crop, clip_box, crop, whole_picture_box
from edgehrnet.spec import ModelSpec

PICTURE = (640, 480)
SIZE = (256, 192)
BOX = (245.0, 140.0, 150.0, 200.0)  # center (320, 240)


def published_crop(convention, rotation=0.0):
    return Crop.fit(BOX, PICTURE, SIZE, convention, margin=1, rotation=rotation)


def noise(seed=0, size=PICTURE):
    return np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("convention", "rotation", "matrix"),
    [
        ("hrnet", 0, [[1.28, 0, -313.6], [0, 1.28, -179.2]]),
        ("hrnet", 30, [[1.10851253, 0.64, -412.32401], [-0.64, 1.10851253, 66.7569986]]),
        ("udp", 0, [[1.27333331, 0, -311.966675], [0, 1.27499998, -178.5]]),
    ],
)
def test_the_matrix_equals_the_published_one(convention, rotation, matrix):
    # The published code computes in float32: seven digits.
    np.testing.assert_allclose(published_crop(convention, rotation).matrix, matrix, rtol=1e-7, atol=1e-12)


def test_the_rotated_udp_matrix_equals_the_published_formula():
    # UDP affine: [cos sx, -sin sx, sx (-cx cos + cy sin + w / 2)], [sin sy, cos sy, sy (-cx sin - cy cos + h / 2)].
    cos, sin = np.cos(np.radians(30)), np.sin(np.radians(30))
    sx, sy = 191 / 150, 255 / 200
    expected = [
        [cos * sx, -sin * sx, sx * (-320 * cos + 240 * sin + 75)],
        [sin * sy, cos * sy, sy * (-320 * sin - 240 * cos + 100)],
    ]
    np.testing.assert_allclose(published_crop("udp", 30).matrix, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("box", "size"),
    [((0, 0, 150, 200), (187.5, 250)), ((0, 0, 150, 100), (187.5, 250)), ((0, 0, 60, 200), (187.5, 250))],
)
def test_a_box_grows_to_the_aspect_ratio_and_by_the_margin(box, size):
    where = Crop.fit(box, PICTURE, SIZE, "hrnet")
    assert where.size == pytest.approx(size)
    assert where.center == (box[2] / 2, box[3] / 2)
    assert Crop.fit(box, PICTURE, SIZE, "hrnet", scale=0.8).size == pytest.approx([side * 0.8 for side in size])


@pytest.mark.parametrize("convention", CONVENTIONS)
@given(
    box=st.tuples(st.floats(-500, 900), st.floats(-500, 900), st.floats(1, 2000), st.floats(1, 2000)),
    rotation=st.floats(-180, 180),
    xy=st.tuples(st.floats(-1000, 2000), st.floats(-1000, 2000)),
)
def test_inverse_undoes_forward(convention, box, rotation, xy):
    where = Crop.fit(box, PICTURE, SIZE, convention, rotation=rotation)
    # Coordinates reach 1e3 x 200 input pixels: the error of float64 is far below 1e-8 of a picture pixel.
    np.testing.assert_allclose(where.inverse(where.forward([[xy]])), [[xy]], atol=1e-8)


@pytest.mark.parametrize("size", [(256, 192), (384, 288), (256, 256)])
def test_cells_map_back_as_published(size):
    cells = np.array([[0.0, 0.0], [10.25, 30.75], [47.0, 63.0]])
    for convention in CONVENTIONS:
        last = {"hrnet": 0, "udp": 1}[convention]
        spec = ModelSpec("test", ("a",), input_size=size, crop=convention, cell_offset=0.0)
        where = Crop.fit((100, 50, 90, 300), PICTURE, size, convention)
        maps = np.array([size[1] // 4, size[0] // 4])
        expected = cells / (maps - last) * where.size + where.center - np.array(where.size) / 2
        np.testing.assert_allclose(where.inverse(spec.grid.to_pixels(cells)), expected, atol=1e-9)


def bilinear(image, where):
    """Sample every input pixel by the definition, in float64."""
    padded = np.zeros((where.height + 2, where.width + 2, 3))
    padded[1:-1, 1:-1] = image
    values = np.zeros((where.input_height, where.input_width, 3))
    for v, u in np.ndindex(values.shape[:2]):
        x, y = where.inverse((u, v)) + 1
        if not (0 <= x < where.width + 1 and 0 <= y < where.height + 1):
            continue
        column, row = int(x), int(y)
        fx, fy = x - column, y - row
        above = padded[row, column] * (1 - fx) + padded[row, column + 1] * fx
        below = padded[row + 1, column] * (1 - fx) + padded[row + 1, column + 1] * fx
        values[v, u] = above * (1 - fy) + below * fy
    return values


@pytest.mark.parametrize("rotation", [0, 25])
@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("box", [(-20, -10, 60, 80), (5, 4, 10, 11), (30, 20, 45, 60)])
def test_pixels_are_bilinear_with_black_around(convention, rotation, box):
    size = (96, 64)
    where = Crop.fit(box, size, (64, 64), convention, rotation=rotation)
    image = noise(size=size)
    expected = bilinear(image, where)
    pixels = crop(image, where)
    # Half a gray level from rounding, and a little more from float32.
    assert np.abs(pixels[..., :3] - expected).max() <= 0.501


@pytest.mark.parametrize("rotation", [0, -40])
@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("scale", [0.2, 1, 3])
def test_pixels_equal_those_of_opencv(convention, rotation, scale):
    cv2 = pytest.importorskip("cv2")
    where = Crop.fit(BOX, PICTURE, SIZE, convention, rotation=rotation, scale=scale)
    image = noise()
    expected = cv2.warpAffine(image, where.matrix, SIZE[::-1], flags=cv2.INTER_LINEAR).astype(int)
    difference = crop(image, where)[..., :3] - expected
    # OpenCV before 5 samples at multiples of 1/32 px: between 0 and 255 the error is up to 255 / 64 per axis.
    assert np.abs(difference).max() <= 8
    assert abs(difference.mean()) <= 0.1


@pytest.mark.parametrize("rotation", [0, 25])
def test_the_mask_marks_the_picture(rotation):
    where = Crop.fit((-20, -10, 60, 80), (96, 64), (64, 64), "hrnet", rotation=rotation)
    pixels = crop(np.full((64, 96, 3), 90, np.uint8), where)
    for v, u in np.ndindex(64, 64):
        x, y = where.inverse((u, v))
        inside = -0.5 <= x <= 95.5 and -0.5 <= y <= 63.5
        assert pixels[v, u, 3] == (255 if inside else 0)
    assert 0 < (pixels[..., 3] == 255).mean() < 1
    assert (
        pixels[pixels[..., 3] == 255][:, :3] >= 90 / 4 - 1
    ).all()  # at a corner half of the weight is black in both axes


def test_a_box_outside_the_picture_is_black():
    pixels = crop(noise(), Crop.fit((2000, 10, 50, 100), PICTURE, SIZE, "udp"))
    assert not pixels.any()


def test_a_strided_view_gives_the_same_bytes():
    image, where = noise()[::-1, ::-1], Crop.fit(BOX, PICTURE, SIZE, "hrnet")
    np.testing.assert_array_equal(crop(image, where), crop(image.copy(), where))


def test_cell_mask_keeps_cells_within_half_a_cell_of_the_picture():
    # One input pixel per picture pixel. Cell u is at input pixel 4 u and picture pixel 4 u - 32.
    where = Crop.fit((0, 0, 64, 64), (64, 64), (128, 128), "hrnet", margin=2)
    mask = where.cell_mask(CellGrid(4, 0.0))
    rows = np.flatnonzero(mask.any(axis=1))
    assert mask.shape == (32, 32)
    # -2.5 <= 4 u - 32 <= 65.5
    assert rows.tolist() == np.flatnonzero(mask.any(axis=0)).tolist() == list(range(8, 25))
    assert mask[8:25, 8:25].all()
    turned = Crop.fit((0, 0, 64, 64), (64, 64), (128, 128), "hrnet", margin=2, rotation=45).cell_mask(CellGrid(4, 0.0))
    assert turned[16, 5]  # a corner of the rotated square
    assert not turned[8, 8]


def test_scale_is_input_pixels_per_picture_pixel():
    for convention in CONVENTIONS:
        where = published_crop(convention)
        np.testing.assert_allclose(where.scale, where.forward((1, 1)) - where.forward((0, 0)))


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ((10, 20, 100, 200), (10, 20, 99, 199)),
        ((-10, -5, 50, 600), (0, 0, 49, 479)),
        ((600, 470, 100, 100), (600, 470, 39, 9)),
    ],
)
def test_labeled_boxes_are_clipped_as_published(box, clipped):
    assert clip_box(box, *PICTURE) == clipped


def test_the_box_of_a_whole_picture():
    assert whole_picture_box(*PICTURE) == (0, 0, 640, 480)


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 0, 10),
        (0, 0, 10, -1),
        (0, np.nan, 10, 10),
        (0, 0, np.inf, 10),
        (0, 0, 10),
        (639, 0, 0, 8),
        (0, -1e50, 8, 8),
        (0, 0, 1e8, 8),
        (0, 0, 8, 1e-310),
    ],
)
def test_boxes_without_an_area_or_beyond_the_limits_raise(box):
    with pytest.raises(InputError, match=re.escape(str(tuple(map(float, box))))):
        Crop.fit(box, PICTURE, SIZE, "hrnet")


def test_a_number_too_large_for_a_float_raises():
    with pytest.raises(InputError, match="inf"):
        Crop.fit((10**400, 0, 8, 8), PICTURE, SIZE, "hrnet")


def test_a_clipped_box_outside_the_picture_raises():
    with pytest.raises(InputError, match=r"\(700\.0, 0\.0, -61\.0, 8\.0\)"):
        Crop.fit(clip_box((700, 0, 9, 9), *PICTURE), PICTURE, SIZE, "hrnet")


def test_wrong_convention_margin_and_size_raise():
    with pytest.raises(InputError, match="'udpp'"):
        Crop.fit(BOX, PICTURE, SIZE, "udpp")  # type: ignore[arg-type] # there is no "udpp"
    with pytest.raises(InputError, match="margin=0"):
        Crop.fit(BOX, PICTURE, SIZE, "udp", margin=0)
    with pytest.raises(InputError, match="250x192"):
        Crop.fit(BOX, PICTURE, (250, 192), "udp")


def test_a_crop_of_a_picture_of_another_size_raises():
    with pytest.raises(InputError, match="480x640"):
        crop(noise(size=(480, 640)), published_crop("udp"))
