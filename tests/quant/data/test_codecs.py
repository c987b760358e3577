"""Codecs: single maps, the way from keypoints to heatmaps and back, and the specs that they make."""

import pickle

import numpy as np
import pytest

from edgehrnet import ModelSpec
from edgehrnet.decoding import decode, locate
from edgehrnet.decoding.refiners import offset_radius
from edgehrnet.errors import InputError
from edgehrnet.models.variants import PUBLISHED
from edgehrnet.picture.cells import CellGrid
from edgehrnet.preparation import fit_crop
from quant.data.batches import sample
from quant.data.codecs import (
    CODECS,
    SDF_CLIP,
    SIGMA,
    MapLayout,
    gaussian_heatmaps,
    offset_maps,
    outline_maps,
    usual_codec,
    with_codec,
)
from quant.data.examples import Example

GRID = CellGrid(4, 1.5)
SQUARE = GRID.to_pixels(np.array([[10.0, 8.0], [30.0, 8.0], [30.0, 24.0], [10.0, 24.0]]))
NAMES = tuple("abcdef")
BOX = (60.0, 40.0, 90.0, 150.0)
# Largest error in cells. msra rounds to the nearest cell, at most half a cell away, and a rounded peak has no higher
# neighbor to step towards. Codecs with exact positions lose float32's rounding, or what 3 sigma cut off. The published
# udp-offset decoder blurs offsets beyond the rim of the disc, where a trained network continues and the ground truth
# is 0: over 3.5 cells, a sigma of 2 blurs in a quarter of a cell.
LARGEST = {"offset": 1e-5, "msra": 0.501, "dark": 0.01, "udp": 0.01, "udp-offset": 0.26}


class TestMaps:
    def test_a_heatmap_peaks_at_its_point_and_is_zero_for_absent_ones(self):
        heat = gaussian_heatmaps(SQUARE, np.array([True, True, False, True]), GRID, (32, 40))
        assert heat.shape == (4, 32, 40)
        assert heat[0, 8, 10] == 1
        assert heat[0, 8, 11] == pytest.approx(np.exp(-1 / (2 * SIGMA**2)))
        assert not heat[2].any()

    def test_offsets_lead_from_each_weighted_cell_to_the_point(self):
        point = np.array([[37.7, 21.2]])
        offsets, weight = offset_maps(point, np.array([True]), GRID, (32, 40))
        rows, columns = np.nonzero(weight[0])
        assert len(rows) > 8
        reached = np.stack([columns, rows], axis=1) + offsets[0, :, rows, columns]
        np.testing.assert_allclose(reached, np.broadcast_to(GRID.to_cells(point), reached.shape), atol=1e-5)
        assert not offsets[0][:, weight[0] == 0].any()

    def test_outline_and_signed_distance_of_a_rectangle(self):
        boundary, distance = outline_maps(SQUARE, GRID, (32, 40))
        assert distance[16, 20] == -SDF_CLIP  # 8 cells from the nearest edge
        assert distance[16, 12] == pytest.approx(-2)
        assert distance[16, 5] == pytest.approx(5)
        assert distance[5, 7] == pytest.approx(np.hypot(3, 3))
        assert distance[8, 20] == pytest.approx(0)
        assert boundary[8, 20] == pytest.approx(1)
        assert boundary[16, 12] == pytest.approx(np.exp(-0.5 * 4))
        assert distance[31, 39] == SDF_CLIP

    def test_the_signed_distance_is_the_same_for_either_direction_of_the_outline(self):
        _, clockwise = outline_maps(SQUARE, GRID, (32, 40))
        _, other = outline_maps(SQUARE[::-1], GRID, (32, 40))
        np.testing.assert_array_equal(clockwise, other)


def person(rotation: float) -> tuple[Example, ModelSpec]:
    """Six points well inside a box, and the spec of a published network for them."""
    rng = np.random.default_rng(0)
    points = np.array(BOX[:2]) + np.array(BOX[2:]) * rng.uniform(0.2, 0.8, (6, 2))
    image = np.zeros((240, 200, 3), np.uint8)
    example = Example(image, points, np.ones(6, bool), box=BOX, rotation=rotation, scale=1.1)
    fields = {**PUBLISHED, "input_size": (256, 192), "crop": "hrnet"}
    return example, ModelSpec("person", NAMES, **fields)


class TestRoundTrip:
    @pytest.mark.parametrize("rotation", [0.0, 25.0])
    @pytest.mark.parametrize("name", list(CODECS))
    def test_decoding_ground_truth_gives_the_keypoints_in_the_picture(self, name, rotation):
        example, spec = person(rotation)
        spec = with_codec(spec, name)
        maps = {key: value.numpy() for key, value in sample(example, spec, codec=CODECS[name]).items()}
        offsets = maps.get("offsets")
        if offsets is not None:
            unit = offset_radius(maps["heatmaps"].shape[1:]) if name == "udp-offset" else 1
            offsets = (offsets * unit).reshape(12, *maps["heatmaps"].shape[1:]).astype(np.float32)
        assert example.box is not None
        crop = fit_crop(example.image, spec, example.box, rotation=example.rotation, scale=example.scale)
        xy, conf, _ = locate(maps["heatmaps"], offsets, spec, crop)
        cells = spec.grid.to_cells(crop.forward(xy)) - spec.grid.to_cells(crop.forward(example.points))
        assert np.abs(cells).max() <= LARGEST[name], cells
        # A disc of 3.5 cells is blurred over 23 before its maximum is taken, as published.
        assert conf.min() > (0.3 if name == "udp-offset" else 0.8)
        assert maps["weight"].tolist() == [1] * 6
        assert maps["image"].shape == (256, 192, 3)

    @pytest.mark.parametrize("name", CODECS)
    def test_decoding_ground_truth_gives_the_cells(self, name):
        codec, size, shape = CODECS[name], (256, 192), (64, 48)
        grid = CellGrid.corners(4, size) if codec.crop == "udp" else CellGrid(4, 0.0)
        points = np.array([(100.3, 57.8), (61.0, 131.1), (133.3, 200.9)])
        maps = codec.encode(points, np.ones(3, bool), MapLayout(grid, shape, codec.sigma(size)))
        unit = offset_radius(shape) if name == "udp-offset" else 1
        offsets = unit * maps["offsets"].reshape(1, -1, *shape) if "offsets" in maps else None
        xy, conf = decode(maps["heatmaps"][None], offsets, method=codec.decode)
        # Quarters and whole cells from rounded peaks; offsets that end at the disc's rim are blurred to less.
        bound = {"msra": 0.5, "udp-offset": 0.3}.get(name, 1e-2)
        assert np.abs(xy[0] - grid.to_cells(points)).max() <= bound
        assert (conf > 0.3).all()

    @pytest.mark.parametrize("name", CODECS)
    def test_absent_points_are_zero_in_every_map(self, name):
        points, present = np.array([(100.3, 57.8), (0.0, 0.0), (190.9, 255.0)]), np.array([True, False, True])
        maps = CODECS[name].encode(points, present, MapLayout(CellGrid(4, 0.0), (64, 48), 2.0))
        for key, value in maps.items():
            assert value.dtype == np.float32
            assert not value[1].any(), key
            assert value[0].any(), key


class TestSpecs:
    def test_a_codec_is_recognized_from_the_spec_it_makes(self):
        _, spec = person(0.0)
        for name in ("msra", "dark", "udp", "udp-offset"):
            assert usual_codec(with_codec(spec, name)) == name
        assert usual_codec(ModelSpec("whole", NAMES)) == "offset"

    def test_udp_is_refused_without_boxes(self):
        with pytest.raises(InputError, match="udp"):
            with_codec(ModelSpec("whole", NAMES), "udp")

    def test_codecs_can_be_pickled_for_worker_processes(self):
        assert set(pickle.loads(pickle.dumps(dict(CODECS)))) == {"offset", "msra", "dark", "udp", "udp-offset"}
