from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgehrnet.decoding
from edgehrnet.decoding import (
    CONFIDENCE_THRESHOLD,
    OFFSET_METHODS,
    activations,
    decode,
    locate,
    probability,
    sigmoid,
)
from edgehrnet.decoding.refiners import REFINERS, blur
from edgehrnet.errors import InputError, UnsupportedError
from edgehrnet.picture.crops import Crop
from edgehrnet.picture.letterbox import Letterbox
from edgehrnet.spec import DECODE_METHODS, ModelSpec
from quant.data.codecs import SIGMA, gaussian_heatmaps, offset_maps

SHAPE = (40, 48)
GRID = ModelSpec("test", ("a",)).grid
# Every sub-cell phase in steps of a tenth, in both directions.
PHASES = [(dx, dy) for dx in np.arange(-0.5, 0.5, 0.1) for dy in np.arange(-0.5, 0.5, 0.1)]


def encoded_maps(cells):
    points = GRID.to_pixels(np.atleast_2d(cells))
    present = np.ones(len(points), bool)
    heat = gaussian_heatmaps(points, present, GRID, SHAPE)
    offsets, _ = offset_maps(points, present, GRID, SHAPE)
    return heat[None], offsets.reshape(1, -1, *SHAPE)


def errors(method, centers):
    cells = np.array([(x + dx, y + dy) for x, y in centers for dx, dy in PHASES])
    heat, offsets = encoded_maps(cells)
    xy, _ = decode(heat, offsets, method=method)
    return xy[0] - cells


def test_dark_is_exact_away_from_the_border():
    margin = int(np.ceil(3 * SIGMA + 2.5))  # 3 sigma + 2 cells inside, for every phase
    centers = [(margin, margin), (SHAPE[1] - 1 - margin, SHAPE[0] - 1 - margin), (24, 20)]
    error = errors("dark", centers)
    assert np.abs(error).max() <= 0.05
    assert np.abs(error.mean(axis=0)).max() <= 1e-3  # no bias


def test_offsets_are_exact_up_to_the_border():
    corners = [(0, 0), (SHAPE[1] - 1, 0), (0, SHAPE[0] - 1), (SHAPE[1] - 1, SHAPE[0] - 1), (20, 20)]
    error = errors("offset", corners)
    assert np.abs(error).max() <= 1e-5  # float32 offsets below 1 cell have an error of 6e-8, added to 48
    assert np.abs(error.mean(axis=0)).max() <= 1e-6


MARGIN = 3 * SIGMA + 2


@given(x=st.floats(MARGIN, SHAPE[1] - 1 - MARGIN), y=st.floats(MARGIN, SHAPE[0] - 1 - MARGIN))
def test_dark_is_within_a_twentieth_of_a_cell(x, y):
    heat, _ = encoded_maps((x, y))
    xy, _ = decode(heat, method="dark")
    assert np.abs(xy[0, 0] - (x, y)).max() <= 0.05


@given(x=st.floats(-0.5, SHAPE[1] - 0.5), y=st.floats(-0.5, SHAPE[0] - 0.5))
def test_offsets_are_within_a_twentieth_of_a_cell(x, y):
    heat, offsets = encoded_maps((x, y))
    xy, _ = decode(heat, offsets, method="offset")
    assert np.abs(xy[0, 0] - (x, y)).max() <= 0.05


@pytest.mark.parametrize(("method", "bound"), [("argmax", 0.5), ("quarter", 0.25), ("softargmax", 0.05)])
def test_other_methods_stay_within_their_bound(method, bound):
    error = errors(method, [(24, 20)])
    # The phases include -0.5, where either neighbor is right.
    assert np.abs(error).max() <= bound + 1e-6


# Gaussians with a sigma of 2 on a map 48 wide and 64 high, and the points that the published code finds.
GOLDEN_POINTS = [(25.37, 14.81), (1.3, 30.2), (46.2, 62.4), (2.2, 2.4), (0.4, 0.3)]
GOLDENS = {
    ("quarter", 11): [(25.25, 14.75), (1, 30), (46.25, 62.25), (2.25, 2.25), (0, 0)],
    ("quarter-mmpose", 11): [(25.25, 14.75), (1, 30.25), (46.25, 62.25), (2.25, 2.25), (0, 0)],
    ("dark", 11): [(25.36979, 14.81009), (1, 30), (46, 62), (2.36215, 2.51814), (0, 0)],
    ("dark", 17): [(25.36999, 14.81000)],
    ("udp", 11): [(25.37003, 14.80997), (1.72246, 30.20003), (45.53907, 61.63256), (2.36416, 2.52117), (-0.5, -0.5)],
}


def golden_maps(height=1.0):
    y, x = np.mgrid[:64, :48]
    heat = [height * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 8) for a, b in GOLDEN_POINTS]
    return np.stack(heat).astype(np.float32)[None]


@pytest.mark.parametrize(("method", "kernel"), GOLDENS)
def test_published_methods_equal_their_implementations(method, kernel):
    xy, conf = decode(golden_maps(), method=method, kernel=kernel)
    expected = GOLDENS[method, kernel]
    # The published code computes in float32, which changes the last of five decimals.
    np.testing.assert_allclose(xy[0, : len(expected)], expected, atol=2e-5)
    np.testing.assert_allclose(conf[0], golden_maps()[0].max(axis=(1, 2)))


def test_a_lower_peak_is_found_at_the_same_point():
    for method, kernel in GOLDENS:
        xy, _ = decode(golden_maps(), method=method, kernel=kernel)
        low, _ = decode(golden_maps(0.5), method=method, kernel=kernel)
        # UDP clips values below 1e-3. No cell next to a peak is that low, even at half the activation.
        np.testing.assert_allclose(low, xy, atol=1e-4)


@pytest.mark.parametrize("method", ["quarter", "dark"])
def test_maps_without_a_positive_cell_give_the_first_cell_as_published(method):
    heat = np.full((1, 1, 16, 12), -0.3, np.float32)
    heat[0, 0, 8, 5] = -0.1
    xy, conf = decode(heat, method=method)
    assert xy.tolist() == [[[0, 0]]]
    assert conf.tolist() == [[0]]


@pytest.mark.parametrize("edge", ["zero", "mirror"])
@pytest.mark.parametrize("kernel", [11, 17, 23])
def test_blur_equals_opencv(kernel, edge):
    cv2 = pytest.importorskip("cv2")
    heat = np.random.default_rng(0).random((2, 20, 15), np.float32)
    border = cv2.BORDER_CONSTANT if edge == "zero" else cv2.BORDER_REFLECT_101
    expected = [cv2.GaussianBlur(one, (kernel, kernel), 0, borderType=border) for one in heat]
    np.testing.assert_allclose(blur(heat, kernel, edge), expected, atol=1e-6)


class TestUdpOffset:
    spec = ModelSpec("udp", ("a", "b", "c"), input_size=(256, 192), crop="udp", decode="udp-offset")
    points = np.array([(100.3, 57.8), (40.0, 131.2), (150.9, 200.1)])

    def test_exact_offsets_give_the_exact_point(self):
        # Offsets continue beyond the disc, as a network's do: only those on the disc are trained.
        cells = self.spec.grid.to_cells(self.points)
        y, x = np.mgrid[:64, :48]
        dx, dy = (cells[:, axis, None, None] - index for axis, index in ((0, x), (1, y)))
        discs = (dx**2 + dy**2 <= 3.5**2).astype(np.float32)
        offsets = np.stack([dx, dy], axis=1).reshape(1, 6, 64, 48).astype(np.float32)
        xy, conf = decode(discs[None], offsets, method="udp-offset")
        np.testing.assert_allclose(xy[0], cells, atol=1e-4)
        # The part of a Gaussian with a sigma of 3.8 within 3.5 cells, 1 - exp(-3.5^2 / (2 x 3.8^2)).
        # The tolerance covers the cells on the disc's rim.
        np.testing.assert_allclose(conf[0], 0.346, atol=0.03)

    def test_without_offsets_the_point_is_the_center_of_the_disc(self):
        discs = np.zeros((1, 1, 64, 48), np.float32)
        discs[0, 0, 20:27, 11:18] = 1
        discs[0, 0, 50, 40] = 2  # a single higher cell
        xy, _ = decode(discs, np.zeros((1, 2, 64, 48), np.float32), method="udp-offset")
        assert xy.tolist() == [[[14, 23]]]

    def test_equals_the_published_equation(self):
        cv2 = pytest.importorskip("cv2")
        rng = np.random.default_rng(3)
        discs, offsets = rng.random((1, 2, 64, 48), np.float32), rng.normal(size=(1, 4, 64, 48)).astype(np.float32)
        xy, conf = decode(discs, offsets, method="udp-offset", kernel=11)
        for k in range(2):
            smooth = cv2.GaussianBlur(discs[0, k], (23, 23), 0)
            y, x = np.unravel_index(smooth.argmax(), smooth.shape)
            step = [cv2.GaussianBlur(offsets[0, 2 * k + axis], (11, 11), 0)[y, x] for axis in (0, 1)]
            np.testing.assert_allclose(xy[0, k], (x + step[0], y + step[1]), atol=1e-5)
            assert conf[0, k] == pytest.approx(smooth.max(), abs=1e-6)


@pytest.mark.parametrize("method", DECODE_METHODS)
@pytest.mark.parametrize("fill", [0.0, 1.0, 0.5])
def test_flat_maps_give_finite_points(method, fill):
    heat = np.full((2, 3, 16, 16), fill, np.float32)
    xy, conf = decode(heat, np.zeros((2, 6, 16, 16), np.float32), method=method)
    assert np.isfinite(xy).all()
    np.testing.assert_allclose(conf, fill)


def test_nan_offsets_give_finite_points():
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


@pytest.mark.parametrize("blank", [0.0, np.nan])
def test_an_empty_map_gives_a_point_within_the_picture(blank):
    heat = np.full((1, 1, 8, 8), blank, np.float32)
    mask = np.zeros((8, 8), bool)
    mask[3:6] = True
    xy, conf = decode(heat, method="argmax", mask=mask)
    assert xy[0, 0].tolist() == [0, 3]
    assert conf[0, 0] == 0


def test_a_nan_cell_does_not_hide_a_peak():
    heat = np.zeros((1, 1, 8, 8), np.float32)
    heat[0, 0, 0, 0], heat[0, 0, 5, 6] = np.nan, 0.7
    xy, conf = decode(heat, method="argmax")
    assert xy[0, 0].tolist() == [6, 5]
    assert conf[0, 0] == np.float32(0.7)


def test_missing_offsets_and_unknown_methods_raise():
    heat = np.zeros((1, 1, 4, 4), np.float32)
    with pytest.raises(UnsupportedError, match="decode='offset'"):
        decode(heat)
    with pytest.raises(UnsupportedError, match="'darc'"):
        decode(heat, method="darc")
    with pytest.raises(InputError, match="kernel=10"):
        decode(heat, method="dark", kernel=10)


def test_a_spec_accepts_every_method():
    assert {*REFINERS, *OFFSET_METHODS} == set(DECODE_METHODS)


def test_activations_are_converted_from_logits_only():
    answered = np.array([0.0, 1.5], np.float32)
    spec = ModelSpec("test", ("a",))
    np.testing.assert_allclose(activations(answered, spec), sigmoid(answered))
    np.testing.assert_array_equal(activations(answered, spec.replace(heatmap_values="linear")), answered)


def test_sigmoid_matches_its_definition():
    x = np.linspace(-20, 20, 401, dtype=np.float32)
    np.testing.assert_allclose(sigmoid(x), 1 / (1 + np.exp(-x.astype(float))), atol=1e-7)


class TestLocate:
    spec = ModelSpec("corners", ("a", "b", "c", "d"), input_size=(64, 96), cyclic=True)
    box = Letterbox.fit(192, 128, (64, 96))
    corners = np.array([[30.0, 20.0], [160.0, 25.0], [150.0, 100.0], [25.0, 110.0]])

    def locate(self, corners, present=(True,) * 4, spec=spec):
        """Encode corners, and decode the maps."""
        points = self.box.forward(corners)
        heat = gaussian_heatmaps(points, np.array(present), spec.grid, (16, 24))
        offsets, _ = offset_maps(points, np.array(present), spec.grid, (16, 24))
        return locate(heat, offsets.reshape(8, 16, 24), spec, self.box)

    def test_maps_back_into_the_picture(self):
        xy, conf, order = self.locate(self.corners)
        assert order.tolist() == [0, 1, 2, 3]
        np.testing.assert_allclose(xy, self.corners, atol=1e-4)
        # The maximum may lie half a cell from a cell's center in x and y: exp(-(0.5^2 + 0.5^2) / (2 sigma^2)).
        assert conf.min() >= np.exp(-0.25 / SIGMA**2)

    @pytest.mark.parametrize("shift", range(4))
    def test_every_cyclic_shift_of_the_channels_gives_the_same_outline(self, shift):
        xy, _, order = self.locate(np.roll(self.corners, shift, axis=0))
        assert order.tolist() == np.roll(range(4), -shift).tolist()
        np.testing.assert_allclose(xy, self.corners, atol=1e-4)

    def test_calibration_changes_the_confidence_but_not_the_order(self):
        doubtful = self.spec.replace(confidence=(1.0, 1.0, -6.0))
        shifted = np.roll(self.corners, 1, axis=0)
        xy, conf, order = self.locate(shifted, spec=doubtful)
        peaks = self.locate(shifted)[1]
        np.testing.assert_allclose(conf, probability(peaks, doubtful.confidence), rtol=1e-5)
        assert conf.max() < peaks.min()
        assert order.tolist() == [1, 2, 3, 0]
        np.testing.assert_allclose(xy, self.corners, atol=1e-4)

    def test_an_outline_with_a_missing_corner_keeps_the_channel_order(self):
        shifted = np.roll(self.corners, 1, axis=0)
        xy, conf, order = self.locate(shifted, (True, True, False, True))
        assert order.tolist() == [0, 1, 2, 3]
        assert conf[2] < CONFIDENCE_THRESHOLD
        np.testing.assert_allclose(xy[[0, 1, 3]], shifted[[0, 1, 3]], atol=1e-4)


class TestLocateInACrop:
    points = np.array([[300.5, 250.2], [331.0, 180.4]])

    @pytest.mark.parametrize(
        ("convention", "decode", "error"), [("hrnet", "dark", 0.01), ("hrnet", "quarter", 1.0), ("udp", "udp", 0.01)]
    )
    def test_maps_back_into_the_picture(self, convention, decode, error):
        spec = ModelSpec(
            "person", ("a", "b"), input_size=(256, 192), crop=convention, cell_offset=0.0, decode=decode,
            heatmap_values="linear", outputs=(("heatmaps", "NCHW"),),
        )  # fmt: skip
        box = Crop.fit((245, 140, 150, 200), (640, 480), spec.input_size, convention)
        present = np.ones(2, bool)
        heat = gaussian_heatmaps(box.forward(self.points), present, spec.grid, (64, 48), sigma=2.0)
        xy, conf, order = locate(heat, None, spec, box)
        assert np.abs(xy - self.points).max() <= error
        assert conf.min() > 0.9
        assert order.tolist() == [0, 1]

    def test_peaks_beyond_the_picture_count(self):
        spec = ModelSpec("person", ("a",), input_size=(256, 192), crop="hrnet", cell_offset=0.0, decode="argmax")
        box = Crop.fit((0, 0, 100, 400), (640, 480), spec.input_size, "hrnet")
        heat = np.zeros((1, 64, 48), np.float32)
        heat[0, 30, 2] = 1
        xy, conf, _ = locate(heat, None, spec, box)
        assert xy[0, 0] < -100
        assert conf.tolist() == [1]

    def test_the_kernel_comes_from_the_spec(self):
        spec = ModelSpec("person", ("a",) * 5, input_size=(256, 192), crop="hrnet", cell_offset=0.0, decode="dark")
        box = Crop.fit((0, 0, 192, 256), (192, 256), spec.input_size, "hrnet", margin=1)
        for kernel in (11, 17):
            xy, _, _ = locate(golden_maps()[0], None, spec.replace(kernel=kernel), box)
            np.testing.assert_allclose(xy[0] / 4, GOLDENS["dark", kernel][0], atol=2e-5)


def test_the_radius_of_udp_offsets_is_written_once():
    # Networks, training and decoding have to agree on it.
    root = Path(edgehrnet.decoding.__file__).parents[2]
    files = [path for package in ("edgehrnet", "quant") for path in (root / package).rglob("*.py")]
    assert [path.name for path in files if "0.0546875" in path.read_text()] == ["refiners.py"]
