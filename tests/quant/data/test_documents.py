"""Scenes: same seed, same bytes; order of corners; how often each condition occurs."""

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from quant.data import camera, pages, surfaces
from quant.data.documents import EMPTY_RATE, OUTSIDE_RATE, Scene, document_scene
from quant.data.poses import area

SEEDS = 300
SMALL = (192, 144)


def centroid(quad: NDArray[np.float64]) -> NDArray[np.float64]:
    after = np.roll(quad, -1, axis=0)
    cross = quad[:, 0] * after[:, 1] - after[:, 0] * quad[:, 1]
    return np.asarray(((quad + after) * cross[:, None]).sum(axis=0) / (6 * area(quad)))


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [document_scene(seed, size=SMALL) for seed in range(SEEDS)]


@pytest.mark.parametrize("seed", [0, 3, 41])
def test_same_seed_gives_same_bytes(seed: int) -> None:
    first, second = document_scene(seed), document_scene(seed)
    assert first.image.tobytes() == second.image.tobytes()
    assert first.corners.tobytes() == second.corners.tobytes()
    assert first.visible.tolist() == second.visible.tolist()
    assert first.conditions == second.conditions


def test_order_of_calls_and_size_leave_a_scene_alone() -> None:
    expected = document_scene(11).image.tobytes()
    document_scene(12, size=SMALL)
    assert document_scene(11).image.tobytes() == expected
    assert document_scene(12).image.tobytes() != expected


@pytest.mark.parametrize("size", [(320, 240), (333, 517), (65, 64), (1300, 700)])
def test_asked_size_is_kept(size: tuple[int, int]) -> None:
    scene = document_scene(5, size=size)
    assert scene.image.shape == (size[1], size[0], 3)
    assert scene.image.dtype == np.uint8


def test_drawn_sizes_cover_both_orientations() -> None:
    shapes = [document_scene(seed).image.shape for seed in range(24)]
    assert all(320 <= max(h, w) <= 720 for h, w, _ in shapes)
    assert any(h > w for h, w, _ in shapes)
    assert any(w > h for h, w, _ in shapes)


def test_corners_are_finite_clockwise_and_canonical(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert np.isfinite(scene.corners).all()
        if "empty" not in scene.conditions:
            assert area(scene.corners) > 0
            assert np.argmin((scene.corners / SMALL).sum(axis=1)) == 0


def test_visible_is_the_half_pixel_rule(scenes: list[Scene]) -> None:
    for scene in scenes:
        inside = ((scene.corners >= -0.5) & (scene.corners < np.array(SMALL) - 0.5)).all(axis=1)
        empty = "empty" in scene.conditions
        assert scene.visible.tolist() == (inside & (not empty)).tolist()
        assert scene.visible.all() == (not empty and "outside" not in scene.conditions)


def test_corners_are_where_the_sheet_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """End to end: on a black ground without effects, the sheet's centroid is that of the corners."""
    monkeypatch.setattr(surfaces, "colour_curve", lambda rng, kind: np.zeros((256, 3)))
    monkeypatch.setattr(pages, "page", lambda index: pages.plain_page((300, 400)))
    monkeypatch.setattr(camera, "develop", lambda rng, picture: (np.array(picture), frozenset()))
    checked = 0
    for seed in range(60):
        scene = document_scene(seed, size=SMALL)
        if scene.conditions & {"clutter", "occluded", "distractor", "low-contrast", "outside", "empty"}:
            continue
        share = scene.image.astype(float).sum(axis=2)
        y, x = np.mgrid[0 : SMALL[1], 0 : SMALL[0]]
        found = np.array([(x * share).sum(), (y * share).sum()]) / share.sum()
        # 0.05 px leaves room for the ramp at the corners of very small sheets; a wrong frame is 0.5 px off.
        np.testing.assert_allclose(found, centroid(scene.corners), atol=0.05)
        checked += 1
    assert checked > 10


def test_two_pools_have_nothing_in_common() -> None:
    drawn = {pool: document_scene(3, size=SMALL, pool=pool).image.tobytes() for pool in (0, 1)}
    assert drawn[0] != drawn[1]
    assert drawn[0] == document_scene(3, size=SMALL).image.tobytes()
    first, second = ({pages.page(pool * pages.POOL + i).image.tobytes() for i in range(20)} for pool in (0, 1))
    assert not first & second


def test_condition_rates(scenes: list[Scene]) -> None:
    counts = Counter(name for scene in scenes for name in scene.conditions)
    rates = {name: count / SEEDS for name, count in counts.items()}
    # Three standard deviations of a rate of 0.1 over 300 draws are 0.052.
    assert rates["empty"] == pytest.approx(EMPTY_RATE, abs=0.05)
    assert rates["outside"] == pytest.approx(OUTSIDE_RATE, abs=0.055)
    expected = {"shadow": 0.25, "clutter": 0.25, "noise": 0.1, "jpeg": 0.2, "rotated": 0.15}
    expected |= {"blur": 0.04, "motion": 0.04, "glare": 0.06, "occluded": 0.06, "low-contrast": 0.04}
    expected |= {"card": 0.1, "receipt": 0.06, "a4": 0.15, "distractor": 0.05, "dark": 0.04, "small": 0.08}
    assert {name: rates.get(name, 0) for name, low in expected.items() if rates.get(name, 0) < low} == {}
    assert max(rates.values()) < 0.7


def test_extent_of_documents(scenes: list[Scene]) -> None:
    whole = [scene.corners for scene in scenes if scene.visible.all()]
    extents = np.array([(np.ptp(corners, axis=0) / SMALL).max() for corners in whole])
    assert extents.min() > 0.08
    assert extents.max() <= 1.0
    assert np.mean(extents > 0.4) > 0.65


def test_every_scene_has_at_least_two_corners_or_its_middle_inside(scenes: list[Scene]) -> None:
    for scene in scenes:
        if "outside" in scene.conditions:
            middle = scene.corners.mean(axis=0)
            assert (middle > 0).all()
            assert (middle < SMALL).all()


def test_pictures_are_not_flat_or_alike(scenes: list[Scene]) -> None:
    assert min(float(scene.image.std()) for scene in scenes) > 0.5
    assert len({scene.image.tobytes() for scene in scenes}) == SEEDS
