"""The published heatmap targets, against numbers of the published implementations: input 192x256, heatmap 48x64."""

import pickle

import numpy as np
import pytest

from edgehrnet.decoding import decode
from edgehrnet.decoding.refiners import offset_radius
from edgehrnet.picture.cells import CellGrid
from quant.data.codecs import (
    CODECS,
    SIGMA,
    dark_target,
    msra_target,
    pose_sigma,
    udp_offset_targets,
    udp_target,
)

SIZE, SHAPE = (256, 192), (64, 48)
POINTS = np.array([(100.3, 57.8), (0.0, 0.0), (190.9, 255.0)])
PRESENT = np.ones(3, bool)
HRNET = CellGrid(4, 0.0)
UDP = CellGrid.corners(4, SIZE)


@pytest.mark.parametrize(
    ("target", "grid", "sums", "row"),
    [
        (msra_target, HRNET, [25.081287, 9.024384, 4.016261], [1, 0.8824969, 0.60653067]),
        (dark_target, HRNET, [25.132744, 9.039814, 5.1399426], [0.9743199, 0.87610835, 0.61353666]),
        (udp_target, UDP, [25.074308, 9.024384, 9.096276], [0.9777434, 0.79674554, 0.50563926]),
    ],
)
def test_heatmaps_equal_the_published_ones(target, grid, sums, row):
    maps, weights = target(POINTS, PRESENT, grid, SHAPE, 2.0)
    assert maps.dtype == weights.dtype == np.float32
    # Goldens are sums and values in float32; UDP's published strides are float32 too.
    np.testing.assert_allclose(maps.sum(axis=(1, 2), dtype=np.float64), sums, rtol=1e-6)
    np.testing.assert_allclose(maps[0, 14, 25:28], row, rtol=1e-6)
    assert weights.tolist() == [1, 1, 1]


def test_msra_draws_windows_around_whole_cells():
    maps, _ = msra_target(POINTS, PRESENT, HRNET, SHAPE, 2.0)
    assert [np.unravel_index(one.argmax(), SHAPE) for one in maps] == [(14, 25), (0, 0), (63, 47)]
    # The third point rounds to the cell (48, 64), just outside: its map ends at exp(-(1 + 1) / 8).
    np.testing.assert_allclose(maps.max(axis=(1, 2)), [1, 1, 0.7788007], rtol=1e-6)
    assert [np.count_nonzero(one) for one in maps] == [169, 49, 36]


def test_udp_offsets_equal_the_published_ones():
    discs, offsets, weights = udp_offset_targets(POINTS, PRESENT, UDP, SHAPE)
    assert discs.sum(axis=(1, 2)).tolist() == [37, 13, 13]
    # Published strides are float32, so that an offset differs by an ulp of 25 cells / 3.5.
    np.testing.assert_allclose(offsets[0, :, 14, 25], [-0.09109933, 0.0800002], atol=1e-6)
    assert weights.tolist() == [1, 1, 1]
    assert not (offsets * (1 - discs[:, None])).any()
    rows, columns = np.nonzero(discs[0])
    reached = np.stack([columns, rows], axis=1) + 3.5 * offsets[0, :, rows, columns]
    np.testing.assert_allclose(reached, np.broadcast_to(UDP.to_cells(POINTS[0]), reached.shape), atol=1e-5)


@pytest.mark.parametrize(
    ("cell", "weight", "drawn"),
    [
        ((-7, 10), 1, True),  # rounds to -6, and the window's last cell is the map's first
        ((-7.5, 10), 1, False),  # to -7: as published it still weighs, and all of its map is zero
        ((-8.5, 10), 0, False),
        ((53, 10), 1, True),
        ((54, 10), 0, False),
        ((10, -8.5), 0, False),
        ((10, 69), 1, True),
        ((10, 70), 0, False),
    ],
)
def test_points_out_of_reach_weigh_nothing(cell, weight, drawn):
    maps, weights = msra_target(4.0 * np.array([cell]), np.ones(1, bool), HRNET, SHAPE, 2.0)
    assert weights.tolist() == [weight]
    assert bool(maps.any()) == drawn
    assert udp_target(UDP.to_pixels([cell]), np.ones(1, bool), UDP, SHAPE, 2.0)[1].tolist() == [weight]


def test_dark_reaches_without_rounding():
    x = 4 * np.array([-7.0, -7.01, 53.99, 54.0])
    weights = dark_target(np.stack([x, np.full(4, 40.0)], axis=1), np.ones(4, bool), HRNET, SHAPE, 2.0)[1]
    assert weights.tolist() == [1, 0, 1, 0]


def test_cells_round_towards_zero_below_it():
    # -0.6 + 0.5 = -0.1, cut to 0: the published rounding, not the nearest cell.
    maps, _ = msra_target(np.array([[-2.4, 40.0]]), np.ones(1, bool), HRNET, SHAPE, 2.0)
    assert maps[0, 10, 0] == 1


@pytest.mark.parametrize("name", CODECS)
def test_absent_points_are_zero_everywhere(name):
    drawn = CODECS[name].draw(POINTS, np.array([True, False, True]), HRNET, SHAPE, 2.0)
    for key, value in drawn.items():
        assert value.dtype == np.float32
        assert not value[1].any(), key
        assert value[0].any(), key


@pytest.mark.parametrize("name", CODECS)
def test_what_is_drawn_is_decoded(name):
    codec = CODECS[name]
    grid = UDP if codec.crop == "udp" else HRNET
    points = np.array([(100.3, 57.8), (61.0, 131.1), (133.3, 200.9)])
    drawn = codec.draw(points, PRESENT, grid, SHAPE, codec.sigma(SIZE))
    unit = offset_radius(SHAPE) if name == "udp-offset" else 1
    offsets = unit * drawn["offsets"].reshape(1, -1, *SHAPE) if "offsets" in drawn else None
    xy, conf = decode(drawn["heatmaps"][None], offsets, method=codec.decode)
    # Quarters, and whole cells, from blobs around whole cells; offsets that end at the disc's rim are blurred to less.
    bound = {"msra": 0.5, "udp-offset": 0.3}.get(name, 1e-2)
    assert np.abs(xy[0] - grid.to_cells(points)).max() <= bound
    assert (conf > 0.3).all()


def test_codecs_travel_to_other_processes():
    assert set(pickle.loads(pickle.dumps(dict(CODECS)))) == {"offset", "msra", "dark", "udp", "udp-offset"}


@pytest.mark.parametrize(("size", "sigma"), [((256, 192), 2), ((256, 256), 2), ((384, 288), 3)])
def test_sigma_of_the_published_networks(size, sigma):
    assert pose_sigma(size) == sigma
    assert CODECS["udp"].sigma(size) == sigma
    assert CODECS["offset"].sigma(size) == SIGMA
