import itertools

import numpy as np
import pytest

from edgehrnet.decoding import CONFIDENCE_THRESHOLD, locate
from edgehrnet.decoding.outline import OVERLAP_POWER, SKEW_COST, choose, cyclic_order, overlaps, score_peaks, skew
from edgehrnet.picture.letterbox import Letterbox
from edgehrnet.spec import ModelSpec
from quant.data.codecs import gaussian_heatmaps, offset_maps, outline_maps


def test_cyclic_order_finds_the_start_of_a_shifted_outline():
    square = np.array([(10.0, 10.0), (90.0, 12.0), (88.0, 80.0), (9.0, 79.0)])
    for shift in range(4):
        rolled = np.roll(square, shift, axis=0)
        np.testing.assert_array_equal(rolled[cyclic_order(rolled, (100, 100))], square)


def test_the_start_of_an_outline_is_relative_to_the_picture_size():
    # In pixels the first corner is nearer to the top left. Relative to a 1000 x 100 picture the last one is.
    corners = np.array([(10.0, 60.0), (600.0, 60.0), (600.0, 90.0), (100.0, 20.0)])
    assert corners[cyclic_order(corners, (1000, 100))][0].tolist() == [100.0, 20.0]


class TestChoose:
    spec = ModelSpec("corners", ("a", "b", "c", "d"), input_size=(128, 192), cyclic=True)
    box = Letterbox.fit(192, 128, (128, 192))
    corners = np.array([[30.3, 20.0], [150.0, 25.0], [140.0, 100.6], [25.0, 110.0]])
    elsewhere = np.array([[60.0, 60.0], [180.0, 10.0], [100.0, 70.0], [90.0, 30.0]])  # a second peak for each corner

    def maps(self, others=(0.0,) * 4, peaks=(0.6,) * 4):
        """Return maps with ``peaks`` at the corners and ``others`` elsewhere, and the outline through the corners."""
        grid, shape, present = self.spec.grid, (32, 48), np.ones(4, bool)
        right, wrong = (gaussian_heatmaps(points, present, grid, shape) for points in (self.corners, self.elsewhere))
        heat = np.maximum(
            right * np.array(peaks, np.float32)[:, None, None], wrong * np.array(others, np.float32)[:, None, None]
        )
        first, weight = offset_maps(self.corners, present, grid, shape)
        second, _ = offset_maps(self.elsewhere, present, grid, shape)
        offsets = np.where(weight[:, None] > 0, first, second).reshape(8, *shape)
        return heat, offsets, outline_maps(self.corners, grid, shape)[1]

    def error(self, heat, offsets, sdf):
        xy, conf, _ = locate(heat, offsets, self.spec, self.box, sdf=None if sdf is None else sdf[None])
        return np.abs(xy - self.corners).max(axis=1), conf

    @pytest.mark.parametrize("k", range(4))
    def test_a_higher_peak_off_the_outline_is_not_chosen(self, k):
        others = np.zeros(4)
        others[k] = 0.7
        heat, offsets, sdf = self.maps(others)
        assert self.error(heat, offsets, None)[0][k] > 10
        assert self.error(heat, offsets, sdf)[0].max() < 1e-3

    def test_two_higher_peaks_off_the_outline_are_not_chosen(self):
        heat, offsets, sdf = self.maps((0.7, 0.0, 0.7, 0.0))
        assert self.error(heat, offsets, sdf)[0].max() < 1e-3

    def test_half_of_a_strip_is_not_chosen(self):
        # Two corners have a higher peak halfway along the strip. The strip is thin, so no side is far from its outline.
        strip = np.array([[4, 10], [44, 10], [44, 16], [4, 16]], float)
        heat = np.zeros((4, 32, 48), np.float32)
        for k, (x, y) in enumerate(strip.astype(int)):
            heat[k, y, x] = 0.6
        heat[1, 10, 24] = heat[2, 16, 24] = 0.8
        sdf = outline_maps(self.spec.grid.to_pixels(strip), self.spec.grid, (32, 48))[1]
        assert choose(heat, None, sdf)[0].tolist() == strip.tolist()

    def test_without_a_distance_field_a_parallelogram_is_chosen(self):
        heat = np.zeros((4, 32, 48), np.float32)
        heat[0, 10, 10] = heat[1, 10, 40] = heat[2, 28, 40] = heat[3, 28, 10] = 0.6
        heat[2, 14, 30] = 0.8
        cells, scores = choose(heat, None, np.zeros((32, 48), np.float32))
        assert cells.tolist() == [[10, 10], [40, 10], [40, 28], [10, 28]]
        np.testing.assert_allclose(scores, [0.6] * 4, rtol=1e-6)  # each side is on the outline, so scores stay

    def test_no_corner_is_chosen_twice(self):
        # A page standing on a corner: its channels may begin at the top or beside it, so each has two peaks.
        heat, offsets, sdf = self.maps(peaks=(0.57, 0.96, 0.93, 0.42))
        heat[3], offsets[6:] = (
            np.maximum(heat[3], heat[0] * 0.95 / heat[0].max()),
            np.where(heat[0] > 0, offsets[:2], offsets[6:]),
        )
        assert self.error(heat, offsets, None)[0][3] > 10
        assert self.error(heat, offsets, sdf)[0].max() < 1e-3

    def test_a_peak_close_to_1_is_kept(self):
        heat, offsets, sdf = self.maps((0.999, 0, 0, 0), peaks=(0.03, 0.6, 0.6, 0.6))
        assert self.error(heat, offsets, sdf)[0][0] > 10

    def test_on_the_outline_the_confidence_is_the_activation(self):
        heat, offsets, sdf = self.maps()
        plain, conf = (self.error(heat, offsets, maps)[1] for maps in (None, sdf))
        # Distances are interpolated between cells, which adds a few hundredths of a cell.
        np.testing.assert_allclose(conf, plain, atol=0.02)

    def test_off_the_outline_the_confidence_falls_with_the_distance(self):
        heat, offsets, sdf = self.maps()
        conf = self.error(heat, offsets, sdf + 4)[1]
        np.testing.assert_allclose(conf, score_peaks(heat.max(axis=(1, 2)), np.full(4, 4.0)), atol=0.02)
        assert conf.max() < CONFIDENCE_THRESHOLD

    def test_no_other_combination_has_a_higher_score(self):
        rng = np.random.default_rng(3)
        heat = np.zeros((4, 32, 48), np.float32)
        peaks = []
        for heatmap in heat:
            cells = rng.choice(12 * 8, 4, replace=False)
            peaks.append([(3 + 4 * (cell % 12), 3 + 4 * (cell // 12)) for cell in cells])
            for x, y in peaks[-1]:
                heatmap[y, x] = rng.uniform(0.5, 0.6)
        sdf = rng.normal(0, 4, (32, 48)).astype(np.float32)
        total_scores = {}
        for outline in itertools.product(*peaks):
            lone = np.zeros_like(heat)
            for k, (x, y) in enumerate(outline):
                lone[k, y, x] = heat[k, y, x]
            corners = np.array(outline, float)[:, None]
            share, lean = overlaps(corners, sdf < 0)[0], skew(corners)[0]
            total_scores[outline] = (
                np.prod(choose(lone, None, sdf)[1]) * max(share, 0.01) ** OVERLAP_POWER * np.exp(-SKEW_COST * lean)
            )
        chosen = tuple(map(tuple, choose(heat, None, sdf)[0].tolist()))
        assert chosen == max(total_scores, key=total_scores.__getitem__)
        assert chosen != tuple(max(cells, key=lambda at: heat[k, at[1], at[0]]) for k, cells in enumerate(peaks))

    def test_blank_and_nan_maps_give_cells_within_the_picture(self):
        mask = np.zeros((32, 48), bool)
        mask[3:] = True
        for fill in (0.0, np.nan, np.inf):
            broken = np.full((4, 32, 48), fill, np.float32)
            cells, scores = choose(broken, broken.repeat(2, axis=0), broken[0], mask)
            assert cells.tolist() == [[0, 3]] * 4
            assert scores.tolist() == [0] * 4

    @pytest.mark.parametrize("count", [1, 2, 9, 200])
    def test_outlines_with_many_corners_take_the_highest_peaks(self, count):
        heat = np.random.default_rng(0).uniform(0, 1, (count, 16, 16)).astype(np.float32)
        cells, _ = choose(heat, None, np.zeros((16, 16), np.float32))
        assert [heat[k, y, x] for k, (x, y) in enumerate(cells)] == heat.max(axis=(1, 2)).tolist()


class TestOverlaps:
    @pytest.mark.parametrize("seed", range(5))
    def test_counts_cells_with_their_center_inside(self, seed):
        rng = np.random.default_rng(seed)
        angles = np.sort(rng.uniform(0, 2 * np.pi, 5))
        outline = np.stack([14 + 13 * np.cos(angles), 9 + 8 * np.sin(angles)], axis=1)  # on an ellipse: convex
        inside = rng.uniform(size=(20, 30)) < 0.6
        y, x = np.mgrid[:20, :30]
        side = np.roll(outline, -1, axis=0) - outline
        within = np.all([dx * (y - b) > dy * (x - a) for (a, b), (dx, dy) in zip(outline, side, strict=True)], axis=0)
        expected = (within & inside).sum() / (within | inside).sum()
        for corners in (outline, outline[::-1]):
            np.testing.assert_allclose(overlaps(corners[:, None], inside), [expected])

    def test_the_two_parts_of_a_crossed_outline_cancel(self):
        crossed = np.array([(0, 0), (10, 7), (10, 0), (0, 7)], float)[:, None] - 0.5
        assert overlaps(crossed, np.ones((7, 10), bool)).tolist() == [0]

    def test_empty_areas_have_no_overlap(self):
        assert overlaps(np.zeros((4, 1, 2)), np.zeros((9, 9), bool)).tolist() == [0]


def test_only_outlines_with_four_corners_have_a_skew():
    outline = np.array([[0, 0], [4, 0], [4, 3], [1, 3], [0, 1]], float)[:, None]
    assert skew(outline[:4]).tolist() == [0.2]
    assert skew(outline).tolist() == [0]


def test_without_a_cyclic_order_the_distance_field_is_ignored():
    spec = ModelSpec("points", ("a", "b"), input_size=(64, 64))
    heat = np.zeros((2, 16, 16), np.float32)
    heat[:, 4, 4], heat[0, 9, 9] = 0.6, 0.7
    sdf = np.full((1, 16, 16), 5.0, np.float32)
    xy, conf, _ = locate(heat, None, spec, Letterbox.fit(64, 64, (64, 64)), "argmax", sdf=sdf)
    np.testing.assert_array_equal(spec.grid.to_pixels(np.array([[9.0, 9.0], [4.0, 4.0]])), xy)
    assert conf.tolist() == [np.float32(0.7), np.float32(0.6)]
