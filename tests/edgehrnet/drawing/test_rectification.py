"""Test the proportions of a sheet: exact for an exact camera, finite for any four points."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehrnet.drawing.rectification import sheet_size

PICTURE = (800, 600)


def projected(ratio: float, roll: float, tilt: float, axis: float, focal: float = 0.8) -> np.ndarray:
    """Project a sheet with width / height = ``ratio`` by a pinhole camera: corners (4, 2) in px. Angles in degrees."""
    flat = np.array([(-ratio, -1.0), (ratio, -1.0), (ratio, 1.0), (-ratio, 1.0)]) / 2
    roll, tilt, axis = np.radians([roll, tilt, axis])

    def rotated(angle: float) -> np.ndarray:
        return np.array([(np.cos(angle), -np.sin(angle), 0), (np.sin(angle), np.cos(angle), 0), (0, 0, 1)])

    lean = np.array([(1, 0, 0), (0, np.cos(tilt), -np.sin(tilt)), (0, np.sin(tilt), np.cos(tilt))])
    points = np.c_[flat, np.zeros(4)] @ rotated(roll).T @ (rotated(axis) @ lean @ rotated(axis).T).T
    points = points + np.array([0.1, -0.05, 2.5])
    return np.asarray(points[:, :2] / points[:, 2:]) * focal * max(PICTURE) + (np.array(PICTURE) - 1) / 2


@pytest.mark.parametrize("ratio", [1 / np.sqrt(2), 1.586, 0.3, 1.0])
@pytest.mark.parametrize("pose", [(10, 35, 20), (-20, 50, 80), (0, 45, 45), (30, 25, -30)])
@pytest.mark.parametrize("focal", [0.7, 1.2])
def test_an_exact_camera_gives_the_exact_ratio(ratio: float, pose: tuple[float, float, float], focal: float) -> None:
    width, height = sheet_size(projected(ratio, *pose, focal=focal), PICTURE)
    assert width / height == pytest.approx(ratio, rel=1e-6)


@pytest.mark.parametrize("pose", [(0, 40, 0), (0, 40, 90), (0, 0, 0), (25, 0, 0)])
def test_parallel_sides_use_the_focal_length_of_a_phone(pose: tuple[float, float, float]) -> None:
    width, height = sheet_size(projected(0.7, *pose), PICTURE)
    assert width / height == pytest.approx(0.7, rel=1e-6)


def test_an_error_of_half_a_pixel_changes_the_ratio_by_a_few_percent() -> None:
    corners = projected(1 / np.sqrt(2), 12, 35, 25)
    noise = np.random.default_rng(0).normal(0, 0.5, (200, 4, 2))
    ratios = [width / height for width, height in (sheet_size(corners + step, PICTURE) for step in noise)]
    assert np.std(ratios) < 0.03 * 0.707
    assert np.median(ratios) == pytest.approx(0.707, rel=0.02)


def test_no_side_is_shorter_than_in_the_picture() -> None:
    corners = projected(1.4, 15, 40, 60)
    sides = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    width, height = sheet_size(corners, PICTURE)
    assert width >= max(sides[0], sides[2]) - 1e-9
    assert height >= max(sides[1], sides[3]) - 1e-9


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=4, max_size=4))
@settings(deadline=None)
def test_any_four_points_give_finite_sides(points: list[tuple[float, float]]) -> None:
    sides = sheet_size(np.array(points), PICTURE)
    assert np.isfinite(sides).all()
    assert min(sides) >= 0
