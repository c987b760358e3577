"""Bends move points and pictures alike, and keep the corners of a sheet."""

import numpy as np
import pytest
from PIL import Image

from quant.data.documents import bends
from quant.data.documents.bends import Bend

SIZE = (240, 160)
QUAD = np.array([(60.0, 30.0), (190.0, 40.0), (200.0, 130.0), (50.0, 120.0)])


def curled(waves: int = 1, upright: bool = True) -> Bend:
    return bends.curl(QUAD, np.array([2.0, -6.0]), waves=waves, taper=0.5, upright=upright)


def spot(x: float, y: float, radius: float = 6.0) -> Image.Image:
    """Draw a soft disc, whose center of mass gives its position to a hundredth of a pixel."""
    columns, rows = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
    return Image.fromarray((255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / radius**2)).astype(np.uint8))


def center(image: Image.Image) -> np.ndarray:
    mass = np.asarray(image, np.float64)
    columns, rows = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
    return np.asarray(np.array([(columns * mass).sum(), (rows * mass).sum()]) / mass.sum())


@pytest.mark.parametrize("strength", [-0.12, 0.05, 0.15])
def test_moved_is_the_inverse(strength: float) -> None:
    bend = bends.lens(SIZE, strength)
    points = np.random.default_rng(0).uniform((-300, -200), (540, 360), (200, 2))  # also far outside
    np.testing.assert_allclose(bend(bends.moved(points, bend)), points, atol=1e-4)


@pytest.mark.parametrize("strength", [-0.12, 0.15])
def test_pictures_and_points_move_alike(strength: float) -> None:
    bend = bends.lens(SIZE, strength)
    for x, y in ((120.0, 80.0), (60.0, 40.0), (190.0, 120.0)):
        found = center(bends.apply(spot(x, y), bend))
        # Inside a mesh cell a bend is bilinear: off by at most step^2 / 8 * 6 * strength / reach = 0.08 px. The second
        # derivative over the disc shifts its center of mass by less than that.
        np.testing.assert_allclose(found, bends.moved(np.array([[x, y]]), bend)[0], atol=0.2)


def test_a_lens_keeps_its_center_and_samples_only_the_picture() -> None:
    border = np.array([(0.0, 0.0), (240.0, 0.0), (240.0, 160.0), (0.0, 160.0), (120.0, 0.0), (0.0, 80.0)])
    for strength in (-0.12, 0.15):
        bend = bends.lens(SIZE, strength)
        np.testing.assert_allclose(bend(np.array([[120.0, 80.0]])), [[120.0, 80.0]])
        source = bend(border)
        assert (source >= -1e-9).all()
        assert (source <= np.array(SIZE) + 1e-9).all()
        white = bends.apply(Image.new("L", SIZE, 255), bend)
        assert white.getextrema() == (255, 255)


@pytest.mark.parametrize("waves", [1, 2])
@pytest.mark.parametrize("upright", [True, False])
def test_corners_of_a_curled_sheet_stay(waves: int, upright: bool) -> None:
    np.testing.assert_allclose(curled(waves, upright)(QUAD), QUAD, atol=1e-9)


def test_the_middle_of_a_curled_side_moves_by_the_push() -> None:
    middle = np.array([[125.0, 79.0]])
    np.testing.assert_allclose(curled()(middle) - middle, [[-2.0, 6.0]], atol=0.5)
    np.testing.assert_allclose(curled(waves=2)(middle), middle, atol=0.8)


def test_the_taper_bends_one_end_more() -> None:
    top, bottom = QUAD[:2].mean(axis=0), QUAD[2:].mean(axis=0)
    shift = np.abs(curled()(np.array([top, bottom])) - [top, bottom]).sum(axis=1)
    assert shift[0] == pytest.approx(4, abs=0.4)
    assert shift[1] == pytest.approx(12, abs=0.8)


def test_an_origin_only_shifts_the_frame() -> None:
    bend = bends.lens(SIZE, 0.15)
    whole = bends.apply(spot(100.0, 70.0), bend)
    part = bends.apply(spot(100.0, 70.0).crop((40, 20, 200, 140)), bend, (40, 20))
    # The meshes have different knots: 0.08 px, see above, times the steepest slope of the disc, 36 levels per px.
    difference = np.asarray(whole.crop((60, 40, 180, 120)), float) - np.asarray(part.crop((20, 20, 140, 100)), float)
    assert np.abs(difference).max() < 6
