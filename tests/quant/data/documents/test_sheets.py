"""Pages are drawn where exact polygon geometry says."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from quant.data.documents import camera, pages, poses, sheets
from quant.data.documents.difficulty import HARD
from quant.data.documents.pages import Page

SIZE = (400, 300)


def draw_inner_quad(seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    roll, tilt, scale = rng.uniform(-np.pi, np.pi), rng.uniform(0, 0.9), rng.uniform(0.3, 0.95)
    return poses.draw_quad(rng, SIZE, (210, 297), scale=scale, roll=roll, tilt=tilt, outside=False)


def exact_centroid(quad: NDArray[np.float64]) -> NDArray[np.float64]:
    after = np.roll(quad, -1, axis=0)
    cross = quad[:, 0] * after[:, 1] - after[:, 0] * quad[:, 1]
    return np.asarray(((quad + after) * cross[:, None]).sum(axis=0) / (6 * poses.area(quad)))


@pytest.mark.parametrize("seed", range(40))
def test_area_and_centroid_of_a_white_page_are_exact(seed: int) -> None:
    quad = draw_inner_quad(seed)
    canvas = Image.new("RGB", SIZE)
    sheets.place_page(canvas, pages.plain_page((210, 297)), quad)
    share = np.asarray(canvas, float)[..., 0] / 255
    perimeter = np.hypot(*(np.roll(quad, -1, axis=0) - quad).T).sum()
    # Corners moved outward by 0.05 px would increase the area by about 0.05 * perimeter / sqrt 2. The tolerance is half
    # of that. Rounding to 1/255 is unbiased and far below it.
    assert share.sum() == pytest.approx(poses.area(quad), abs=0.018 * perimeter)
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    found = np.array([(x * share).sum(), (y * share).sum()]) / share.sum()
    # Pixel centers of labels are at integers, half a px less than in the continuous coordinates of the quad. A shift of
    # the sheet moves the centroid equally, so 0.02 px limits any common offset.
    np.testing.assert_allclose(found, exact_centroid(quad) - 0.5, atol=0.02)


@pytest.mark.parametrize("seed", range(12))
def test_print_is_where_the_homography_maps_it(seed: int) -> None:
    quad = draw_inner_quad(seed)
    rng = np.random.default_rng(seed)
    page = pages.plain_page((420, 594), (0, 0, 0))
    spot = rng.uniform((60, 60), (360, 530))
    half = 45
    image = page.image.copy()
    left, top = (int(v) for v in spot + pages.MARGIN - half)
    image.paste((255, 255, 255), (left, top, left + 2 * half, top + 2 * half))
    canvas = Image.new("RGB", SIZE)
    sheets.place_page(canvas, Page(image, page.size, None, "blank"), quad)
    matrix = poses.homography(poses.rectangle(page.size), quad)
    box = poses.rectangle((2 * half, 2 * half)) + np.array([left, top]) - pages.MARGIN
    mapped = np.column_stack([box, np.ones(4)]) @ matrix.T
    target = mapped[:, :2] / mapped[:, 2:]
    share = np.asarray(canvas, float)[..., 0] / 255
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    found = np.array([(x * share).sum(), (y * share).sum()]) / share.sum()
    # A tent filter over one (possibly reduced) texel in perspective is off by a small part of a px. A mistake of half a
    # pixel in either frame would be 0.5 px.
    np.testing.assert_allclose(found, exact_centroid(target) - 0.5, atol=0.1)


def test_edges_along_the_pixel_grid_have_exact_shares() -> None:
    quad = np.array([(2.25, 3.5), (7.75, 3.5), (7.75, 6.0), (2.25, 6.0)])
    share = sheets.coverage(quad, (0, 0, 10, 8))
    np.testing.assert_allclose(share[4], [0, 0, 0.75, 1, 1, 1, 1, 0.75, 0, 0], atol=1e-5)
    np.testing.assert_allclose(share[:, 5], [0, 0, 0, 0.5, 1, 1, 0, 0], atol=1e-5)


@pytest.mark.parametrize("index", range(24))
def test_outlines_of_pool_pages_keep_their_corners(index: int) -> None:
    """Rounded or bowed sheets lose paper only near the edge, at most a few percent."""
    page = pages.page(index)
    w, h = page.size
    assert page.image.size == (w + 2 * pages.MARGIN, h + 2 * pages.MARGIN)
    if page.cutout is not None:
        inner = np.asarray(page.cutout)[pages.MARGIN : -pages.MARGIN, pages.MARGIN : -pages.MARGIN]
        assert inner.mean() > 0.93 * 255
        assert inner[h // 8 : -h // 8, w // 8 : -w // 8].min() == 255


@pytest.mark.parametrize("outside", [False, True])
def test_quads_are_clockwise_convex_and_inside_or_outside_as_requested(outside: bool) -> None:
    rng = np.random.default_rng(5)
    for _ in range(150):
        roll, tilt, scale = rng.uniform(-np.pi, np.pi), rng.uniform(0, 0.95), rng.uniform(0.1, 1.05)
        quad = poses.draw_quad(rng, SIZE, (85, 54), scale=scale, roll=roll, tilt=tilt, outside=outside)
        assert poses.is_convex(quad)
        assert poses.contains(quad, SIZE).all() != outside


def test_effects_do_not_move_the_picture() -> None:
    """Light, blur, noise and JPEG do not move the centroid of a bright square on average."""
    drift = []
    for seed in range(60):
        picture = Image.new("RGB", (160, 160), (60, 60, 60))
        ImageDraw.Draw(picture).rectangle((70, 70, 89, 89), fill=(200, 200, 200))
        image, names = camera.develop(np.random.default_rng(seed), picture, HARD)
        if names & {"shadow", "glare", "dark"}:
            continue
        part = image[50:110, 50:110].astype(float).mean(axis=2)
        weight = np.clip(part - (part.min() + part.max()) / 2, 0, None)
        y, x = np.mgrid[0:60, 0:60]
        drift.append([(x * weight).sum() / weight.sum() - 29.5, (y * weight).sum() / weight.sum() - 29.5])
    # Light from one side shifts single squares by up to a px. Its direction is uniform, so the mean is near 0.
    assert len(drift) > 15
    assert np.abs(np.mean(drift, axis=0)).max() < 0.25


@pytest.mark.parametrize("seed", range(8))
def test_motion_blur_is_symmetric_about_each_pixel(seed: int) -> None:
    """A blurred centered square equals its half turn. A one-sided blur would shift it by half its length."""
    picture = Image.new("RGB", (61, 61))
    ImageDraw.Draw(picture).rectangle((25, 25, 35, 35), fill=(240, 240, 240))
    blurred = np.asarray(camera._motion(np.random.default_rng(seed), picture, 9))
    assert not np.array_equal(blurred, np.asarray(picture))
    assert np.array_equal(blurred, blurred[::-1, ::-1])
