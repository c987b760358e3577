import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehrnet.decoding import CERTAIN, REFINERS, cyclic_order, decode, find_peaks, locate, probability, sigmoid
from edgehrnet.errors import UnsupportedError
from edgehrnet.letterbox import Letterbox
from edgehrnet.spec import ModelSpec
from quant.data.targets import SIGMA, heatmap_target, offset_target

SHAPE = (40, 48)
GRID = ModelSpec("test", ("a",)).grid
# Every sub-pixel phase in steps of a tenth, in both directions.
PHASES = [(dx, dy) for dx in np.arange(-0.5, 0.5, 0.1) for dy in np.arange(-0.5, 0.5, 0.1)]


def encode(cells):
    points = GRID.to_pixels(np.atleast_2d(cells))
    present = np.ones(len(points), bool)
    heat = heatmap_target(points, present, GRID, SHAPE)
    offsets, _ = offset_target(points, present, GRID, SHAPE)
    return heat[None], offsets.reshape(1, -1, *SHAPE)


def errors(method, centres):
    cells = np.array([(x + dx, y + dy) for x, y in centres for dx, dy in PHASES])
    heat, offsets = encode(cells)
    xy, _ = decode(heat, offsets, method=method)
    return xy[0] - cells


def test_dark_returns_what_was_encoded_away_from_the_border():
    margin = int(np.ceil(3 * SIGMA + 2.5))  # 3 sigma + 2 cells inside, for every phase
    centres = [(margin, margin), (SHAPE[1] - 1 - margin, SHAPE[0] - 1 - margin), (24, 20)]
    error = errors("dark", centres)
    assert np.abs(error).max() <= 0.05
    assert np.abs(error.mean(axis=0)).max() <= 1e-3  # no bias


def test_offset_head_returns_what_was_encoded_everywhere():
    corners = [(0, 0), (SHAPE[1] - 1, 0), (0, SHAPE[0] - 1), (SHAPE[1] - 1, SHAPE[0] - 1), (20, 20)]
    error = errors("offset", corners)
    assert np.abs(error).max() <= 1e-5  # float32 offsets below 1 cell: an ulp of 6e-8, added to 48
    assert np.abs(error.mean(axis=0)).max() <= 1e-6


MARGIN = 3 * SIGMA + 2


@given(x=st.floats(MARGIN, SHAPE[1] - 1 - MARGIN), y=st.floats(MARGIN, SHAPE[0] - 1 - MARGIN))
def test_dark_within_a_twentieth_of_a_cell(x, y):
    heat, _ = encode((x, y))
    xy, _ = decode(heat, method="dark")
    assert np.abs(xy[0, 0] - (x, y)).max() <= 0.05


@given(x=st.floats(-0.5, SHAPE[1] - 0.5), y=st.floats(-0.5, SHAPE[0] - 0.5))
def test_offsets_within_a_twentieth_of_a_cell_up_to_the_edge(x, y):
    heat, offsets = encode((x, y))
    xy, _ = decode(heat, offsets, method="offset")
    assert np.abs(xy[0, 0] - (x, y)).max() <= 0.05


@pytest.mark.parametrize(("method", "bound"), [("argmax", 0.5), ("quarter", 0.25), ("softargmax", 0.05)])
def test_coarser_decoders_stay_within_their_bound(method, bound):
    error = errors(method, [(24, 20)])
    # The phases run from -0.5 to 0.4: on the edge itself either neighbour is right.
    assert np.abs(error).max() <= bound + 1e-6


def test_dark_equals_the_published_method():
    # Goldens of the official implementation (kernel 11): Gaussians of sigma 2 on a map of 48 x 64.
    points = [(25.37, 14.81), (1.3, 30.2), (46.2, 62.4), (2.2, 2.4), (0.4, 0.3)]
    y, x = np.mgrid[:64, :48]
    heat = np.stack([np.exp(-((x - a) ** 2 + (y - b) ** 2) / 8) for a, b in points]).astype(np.float32)
    xy, _ = decode(heat[None], method="dark")
    expected = [(25.36979, 14.81009), (1, 30), (46, 62), (2.36215, 2.51814), (0, 0)]
    np.testing.assert_allclose(xy[0], expected, atol=1e-5)
    quarter, _ = decode(heat[None], method="quarter")
    np.testing.assert_allclose(quarter[0, 0], (25.25, 14.75))


@pytest.mark.parametrize("method", [*REFINERS, "offset"])
@pytest.mark.parametrize("fill", [0.0, 1.0, 0.5])
def test_flat_maps_give_finite_points(method, fill):
    heat = np.full((2, 3, 16, 16), fill, np.float32)
    xy, conf = decode(heat, np.zeros((2, 6, 16, 16), np.float32), method=method)
    assert np.isfinite(xy).all()
    np.testing.assert_allclose(conf, fill)


def test_broken_offsets_still_give_finite_points():
    xy, _ = decode(np.ones((1, 1, 4, 4), np.float32), np.full((1, 2, 4, 4), np.nan, np.float32))
    assert np.isfinite(xy).all()


def test_peaks_in_the_padding_do_not_count():
    heat = np.zeros((1, 1, 8, 8), np.float32)
    heat[0, 0, 1, 1], heat[0, 0, 6, 6] = 0.9, 0.4
    mask = np.zeros((8, 8), bool)
    mask[4:] = True
    xy, conf = decode(heat, method="argmax", mask=mask)
    assert xy[0, 0].tolist() == [6, 6]
    assert conf[0, 0] == np.float32(0.4)
    assert len(find_peaks(heat[0, 0], mask=mask)) == 1


@pytest.mark.parametrize("blank", [0.0, np.nan])
def test_an_empty_map_is_answered_from_within_the_picture(blank):
    heat = np.full((1, 1, 8, 8), blank, np.float32)
    mask = np.zeros((8, 8), bool)
    mask[3:6] = True
    xy, conf = decode(heat, method="argmax", mask=mask)
    assert xy[0, 0].tolist() == [0, 3]
    assert conf[0, 0] == 0


def test_one_broken_cell_does_not_hide_a_peak():
    heat = np.zeros((1, 1, 8, 8), np.float32)
    heat[0, 0, 0, 0], heat[0, 0, 5, 6] = np.nan, 0.7
    xy, conf = decode(heat, method="argmax")
    assert xy[0, 0].tolist() == [6, 5]
    assert conf[0, 0] == np.float32(0.7)


def test_many_instances_in_one_channel():
    cells = np.array([(5.3, 6.2), (30.8, 10.1), (20.0, 33.4)])
    heat, offsets = encode(cells)
    merged = heat[0].max(axis=0)
    nearest = heat[0].argmax(axis=0)
    pair = offsets[0].reshape(3, 2, *SHAPE)
    field = np.take_along_axis(pair, nearest[None, None], axis=0)[0]
    peaks = find_peaks(merged, field)
    found = peaks[np.lexsort((peaks[:, 1], peaks[:, 0]))][:, :2]
    np.testing.assert_allclose(found, cells[[0, 2, 1]], atol=1e-5)
    assert (np.diff(peaks[:, 2]) <= 0).all()
    assert len(find_peaks(merged, field, limit=2)) == 2
    assert len(find_peaks(merged, field, threshold=1.1)) == 0


def test_equal_neighbours_are_one_peak():
    heat = np.zeros((9, 9), np.float32)
    heat[4, 4:6] = 0.8
    assert len(find_peaks(heat)) == 1


def test_missing_offsets_and_unknown_methods_raise():
    heat = np.zeros((1, 1, 4, 4), np.float32)
    with pytest.raises(UnsupportedError, match="needs offsets"):
        decode(heat)
    with pytest.raises(UnsupportedError, match="did you mean 'dark'"):
        decode(heat, method="darc")


def test_sigmoid_matches_its_definition():
    x = np.linspace(-20, 20, 401, dtype=np.float32)
    np.testing.assert_allclose(sigmoid(x), 1 / (1 + np.exp(-x.astype(float))), atol=1e-7)


def test_an_outline_is_only_rolled_to_its_start():
    square = np.array([(10.0, 10.0), (90.0, 12.0), (88.0, 80.0), (9.0, 79.0)])
    for shift in range(4):
        rolled = np.roll(square, shift, axis=0)
        np.testing.assert_array_equal(rolled[cyclic_order(rolled, (100, 100))], square)


def test_the_start_of_an_outline_counts_in_shares_of_the_picture():
    # In pixels the first corner is nearer to the top left; in shares of a 1000 x 100 picture the last one is.
    corners = np.array([(10.0, 60.0), (600.0, 60.0), (600.0, 90.0), (100.0, 20.0)])
    assert corners[cyclic_order(corners, (1000, 100))][0].tolist() == [100.0, 20.0]


class TestLocate:
    spec = ModelSpec("corners", ("a", "b", "c", "d"), input_size=(64, 96), cyclic=True)
    box = Letterbox.fit(192, 128, (64, 96))
    corners = np.array([[30.0, 20.0], [160.0, 25.0], [150.0, 100.0], [25.0, 110.0]])

    def maps(self, corners, present=(True,) * 4):
        points = self.box.forward(corners)
        present = np.array(present)
        heat = heatmap_target(points, present, self.spec.grid, (16, 24))
        offsets, _ = offset_target(points, present, self.spec.grid, (16, 24))
        return heat, offsets.reshape(8, 16, 24)

    def test_maps_back_into_the_picture(self):
        xy, conf, order = locate(*self.maps(self.corners), self.spec, self.box)
        assert order.tolist() == [0, 1, 2, 3]
        np.testing.assert_allclose(xy, self.corners, atol=1e-4)
        # A blob's top may lie half a cell off in x and y: exp(-(0.5^2 + 0.5^2) / (2 sigma^2)).
        assert conf.min() >= np.exp(-0.25 / SIGMA**2)

    @pytest.mark.parametrize("shift", range(4))
    def test_any_cyclic_shift_of_the_channels_gives_the_same_outline(self, shift):
        xy, _, order = locate(*self.maps(np.roll(self.corners, shift, axis=0)), self.spec, self.box)
        assert order.tolist() == np.roll(range(4), -shift).tolist()
        np.testing.assert_allclose(xy, self.corners, atol=1e-4)

    def test_confidence_is_calibrated_and_the_order_still_follows_the_heights(self):
        doubtful = self.spec.replace(confidence=(1.0, 1.0, -6.0))
        shifted = np.roll(self.corners, 1, axis=0)
        xy, conf, order = locate(*self.maps(shifted), doubtful, self.box)
        heights = locate(*self.maps(shifted), self.spec, self.box)[1]
        np.testing.assert_allclose(conf, probability(heights, doubtful.confidence), rtol=1e-5)
        assert conf.max() < heights.min()
        assert order.tolist() == [1, 2, 3, 0]
        np.testing.assert_allclose(xy, self.corners, atol=1e-4)

    def test_an_uncertain_outline_keeps_the_channel_order(self):
        shifted = np.roll(self.corners, 1, axis=0)
        xy, conf, order = locate(*self.maps(shifted, (True, True, False, True)), self.spec, self.box)
        assert order.tolist() == [0, 1, 2, 3]
        assert conf[2] < CERTAIN
        np.testing.assert_allclose(xy[[0, 1, 3]], shifted[[0, 1, 3]], atol=1e-4)
