"""Augmentation: keypoints move with the pixels, and visibility, area and light change as described."""

import numpy as np
import pytest

from quant.data import augmentation
from quant.data.augmentation import augment, inside, reduced
from quant.data.examples import Example

SIZE = (120, 180)  # height, width
POINTS = np.array([[60.3, 40.8], [120.0, 45.5], [90.25, 85.0]])
SEEDS = range(20)
ALL = np.ones(3, bool)


def blob(x: float, y: float) -> np.ndarray:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    gray = 250 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 3.0**2))
    return np.repeat(np.rint(gray).astype(np.uint8)[..., None], 3, axis=2)


def centroid(image: np.ndarray) -> tuple[float, float]:
    weight = image[..., 0].astype(np.float64)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return float((columns * weight).sum() / weight.sum()), float((rows * weight).sum() / weight.sum())


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture
def constant_light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation, "LIGHT", 0.0)
    monkeypatch.setattr(augmentation, "NOISE", 0.0)


@pytest.mark.usefixtures("constant_light")
def test_keypoints_move_with_the_pixels() -> None:
    # A missing half pixel would be up to 0.15 px here, and a rotation in the wrong direction dozens.
    moved = []
    for seed in SEEDS:
        for index, (x, y) in enumerate(POINTS):
            found = augment(Example(blob(x, y), POINTS, ALL), rng(seed))
            assert np.abs(found.points[index] - centroid(found.image)).max() < 0.05
            moved.append(np.abs(found.points[index] - (x, y)).max())
    assert max(moved) > 10


def test_a_large_picture_is_reduced_with_its_keypoints() -> None:
    x, y = POINTS[0]
    example = Example(blob(x, y), POINTS, ALL, area=900.0)
    found = reduced(example, 60)
    assert found.image.shape == (40, 60, 3)
    weight = found.image[..., 0].astype(np.float64)
    rows, columns = np.mgrid[:40, :60]
    middle = (columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()
    assert found.points[0] == pytest.approx(middle, abs=0.02)
    assert found.area == 100
    assert reduced(example, 100) is example


def test_the_same_generator_gives_the_same_picture() -> None:
    given = Example(noise(), POINTS, ALL, area=100.0)
    first, again, other = (augment(given, rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.points, again.points)
    assert not np.array_equal(first.points, other.points)
    assert not np.array_equal(first.image, other.image)


def test_the_given_example_is_not_changed() -> None:
    image, points = noise(), POINTS.copy()
    given = Example(image, points, ALL)
    found = augment(given, rng(1))
    assert np.array_equal(image, noise())
    assert np.array_equal(points, POINTS)
    assert found.image.shape == image.shape
    assert found.image.dtype == np.uint8


def test_a_keypoint_that_leaves_the_picture_is_not_visible() -> None:
    points = np.array([[1.0, 1.0], [178.0, 118.0], [90.0, 60.0]])
    left = []
    for seed in SEEDS:
        found = augment(Example(noise(), points, ALL), rng(seed))
        x, y = found.points.T
        expected = (x >= -0.5) & (x < SIZE[1] - 0.5) & (y >= -0.5) & (y < SIZE[0] - 0.5)
        assert found.visible.tolist() == expected.tolist()
        assert np.isfinite(found.points).all()
        left.append((~found.visible).tolist())
    often = np.mean(left, axis=0)
    assert 0.1 < often[0] < 0.9
    assert 0.1 < often[1] < 0.9
    assert often[2] == 0


def test_an_unlabeled_keypoint_never_becomes_visible() -> None:
    seen = np.array([True, False, True])
    assert not any(augment(Example(noise(), POINTS, seen), rng(seed)).visible[1] for seed in SEEDS)


def test_the_area_is_scaled_and_nothing_is_mirrored() -> None:
    scales = []
    for seed in SEEDS:
        found = augment(Example(noise(), POINTS, ALL, area=100.0), rng(seed))
        before, after = (np.diff(points, axis=0) for points in (POINTS, found.points))
        assert found.area == pytest.approx(100 * (after**2).sum() / (before**2).sum())
        assert np.linalg.det(after) * np.linalg.det(before) > 0
        scales.append(found.area / 100)
    assert min(scales) < 0.9
    assert max(scales) > 1.1


@pytest.mark.usefixtures("constant_light")
def test_areas_from_outside_are_black() -> None:
    white = np.full((*SIZE, 3), 255, np.uint8)
    shares = [float((augment(Example(white, POINTS, ALL), rng(seed)).image == 0).mean()) for seed in SEEDS]
    assert max(shares) > 0.1
    assert min(shares) < 0.1


def test_light_and_noise_differ_from_picture_to_picture() -> None:
    gray = Example(np.full((*SIZE, 3), 128, np.uint8), POINTS, ALL)
    middles = [augment(gray, rng(seed)).image[50:70, 80:100] for seed in SEEDS]
    assert np.ptp([m.mean() for m in middles]) > 20
    assert max(m.std() for m in middles) > 3


def test_inside_includes_the_border_pixels() -> None:
    points = np.array([[-0.5, 0], [-0.51, 0], [9.49, 4.49], [9.5, 0], [0, 4.5], [0, -0.6]])
    assert inside(points, 10, 5).tolist() == [True, False, True, False, False, False]
