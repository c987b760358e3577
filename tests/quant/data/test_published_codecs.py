"""Published encodings, against values of the published implementations for input 192x256 and heatmap 48x64."""

import numpy as np
import pytest

from edgehrnet.picture.cells import CellGrid
from quant.data.codecs import (
    CODECS,
    SIGMA,
    MapLayout,
    encode_dark,
    encode_msra,
    encode_udp,
    encode_udp_offset,
    pose_sigma,
)

SIZE, SHAPE = (256, 192), (64, 48)
POINTS = np.array([(100.3, 57.8), (0.0, 0.0), (190.9, 255.0)])
PRESENT = np.ones(3, bool)
GRID = CellGrid.corners(4, SIZE)
HRNET = MapLayout(CellGrid(4, 0.0), SHAPE, 2.0)
UDP = MapLayout(GRID, SHAPE, 2.0)


@pytest.mark.parametrize(
    ("encode", "layout", "sums", "row"),
    [
        (encode_msra, HRNET, [25.081287, 9.024384, 4.016261], [1, 0.8824969, 0.60653067]),
        (encode_dark, HRNET, [25.132744, 9.039814, 5.1399426], [0.9743199, 0.87610835, 0.61353666]),
        (encode_udp, UDP, [25.074308, 9.024384, 9.096276], [0.9777434, 0.79674554, 0.50563926]),
    ],
)
def test_heatmaps_equal_the_published_ones(encode, layout, sums, row):
    found = encode(POINTS, PRESENT, layout)
    maps, weights = found["heatmaps"], found["weight"]
    assert maps.dtype == weights.dtype == np.float32
    # The values are sums and cells in float32. UDP's published strides are float32 too.
    np.testing.assert_allclose(maps.sum(axis=(1, 2), dtype=np.float64), sums, rtol=1e-6)
    np.testing.assert_allclose(maps[0, 14, 25:28], row, rtol=1e-6)
    assert weights.tolist() == [1, 1, 1]


def test_msra_draws_windows_around_whole_cells():
    maps = encode_msra(POINTS, PRESENT, HRNET)["heatmaps"]
    assert [np.unravel_index(one.argmax(), SHAPE) for one in maps] == [(14, 25), (0, 0), (63, 47)]
    # The third point rounds to the cell (48, 64), just outside: its map ends at exp(-(1 + 1) / 8).
    np.testing.assert_allclose(maps.max(axis=(1, 2)), [1, 1, 0.7788007], rtol=1e-6)
    assert [np.count_nonzero(one) for one in maps] == [169, 49, 36]


def test_udp_offsets_equal_the_published_ones():
    found = encode_udp_offset(POINTS, PRESENT, UDP)
    discs, offsets = found["heatmaps"], found["offsets"]
    assert discs.sum(axis=(1, 2)).tolist() == [37, 13, 13]
    # Published strides are float32, so that an offset differs by one unit in the last place of 25 cells / 3.5.
    np.testing.assert_allclose(offsets[0, :, 14, 25], [-0.09109933, 0.0800002], atol=1e-6)
    assert found["weight"].tolist() == [1, 1, 1]
    assert not (offsets * (1 - discs[:, None])).any()
    rows, columns = np.nonzero(discs[0])
    reached = np.stack([columns, rows], axis=1) + 3.5 * offsets[0, :, rows, columns]
    np.testing.assert_allclose(reached, np.broadcast_to(GRID.to_cells(POINTS[0]), reached.shape), atol=1e-5)


@pytest.mark.parametrize(
    ("cell", "weight", "visible"),
    [
        ((-7, 10), 1, True),  # rounds to -6, and the last cell of the window is the first of the map
        ((-7.5, 10), 1, False),  # rounds to -7: as published, the weight is still 1, and the map is all zero
        ((-8.5, 10), 0, False),
        ((53, 10), 1, True),
        ((54, 10), 0, False),
        ((10, -8.5), 0, False),
        ((10, 69), 1, True),
        ((10, 70), 0, False),
    ],
)
def test_points_out_of_reach_have_weight_zero(cell, weight, visible):
    found = encode_msra(4.0 * np.array([cell]), np.ones(1, bool), HRNET)
    assert found["weight"].tolist() == [weight]
    assert bool(found["heatmaps"].any()) == visible
    assert encode_udp(GRID.to_pixels(np.array([cell])), np.ones(1, bool), UDP)["weight"].tolist() == [weight]


def test_dark_measures_its_reach_without_rounding():
    x = 4 * np.array([-7.0, -7.01, 53.99, 54.0])
    weights = encode_dark(np.stack([x, np.full(4, 40.0)], axis=1), np.ones(4, bool), HRNET)["weight"]
    assert weights.tolist() == [1, 0, 1, 0]


def test_negative_cells_round_towards_zero():
    # -0.6 + 0.5 = -0.1, cut to 0: the published rounding, not the nearest cell.
    maps = encode_msra(np.array([[-2.4, 40.0]]), np.ones(1, bool), HRNET)["heatmaps"]
    assert maps[0, 10, 0] == 1


@pytest.mark.parametrize(("size", "sigma"), [((256, 192), 2), ((256, 256), 2), ((384, 288), 3)])
def test_sigma_of_the_published_networks(size, sigma):
    assert pose_sigma(size) == sigma
    assert CODECS["udp"].sigma(size) == sigma
    assert CODECS["offset"].sigma(size) == SIGMA
