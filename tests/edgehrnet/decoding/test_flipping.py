import numpy as np
import pytest

from edgehrnet.decoding.flipping import average, mirror, needs_shift, unmirror, unmirror_offsets
from edgehrnet.spec import ModelSpec
from quant.data.codecs import gaussian_heatmaps, offset_maps

COCO_PAIRS = ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16))
SIZE, SHAPE = (64, 96), (16, 24)


def spec(**fields):
    return ModelSpec("test", ("left", "nose", "right"), flip_pairs=((0, 2),), input_size=SIZE, **fields)


def maps(spec, points):
    """Return the outputs of an exact network for keypoints at input pixels ``points``."""
    present = np.ones(len(points), bool)
    offsets, _ = offset_maps(points, present, spec.grid, SHAPE)
    heat = gaussian_heatmaps(points, present, spec.grid, SHAPE)
    return {"heatmaps": heat[None], "offsets": offsets.reshape(1, -1, *SHAPE)}


POINTS = np.array([[33.0, 30.0], [50.5, 22.25], [70.0, 41.0]])
MIRRORED = (POINTS * [-1, 1] + [SIZE[1] - 1, 0])[::-1]  # left and right swap in a mirrored picture


def test_mirror_reverses_the_columns():
    pixels = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    flipped = mirror(pixels)
    np.testing.assert_array_equal(flipped[:, :, 0], pixels[:, :, 3])
    np.testing.assert_array_equal(mirror(flipped), pixels)
    assert flipped.flags.c_contiguous


def test_unmirror_equals_the_published_code():
    heat = np.random.default_rng(0).random((2, 17, 6, 5), np.float32)
    expected = heat[..., ::-1].copy()
    for a, b in COCO_PAIRS:
        expected[:, [a, b]] = expected[:, [b, a]]
    before = heat.copy()
    np.testing.assert_array_equal(unmirror(heat, COCO_PAIRS, shift=False), expected)
    shifted = expected.copy()
    shifted[..., 1:] = expected[..., :-1]
    np.testing.assert_array_equal(unmirror(heat, COCO_PAIRS, shift=True), shifted)
    np.testing.assert_array_equal(heat, before)


def test_unmirror_offsets_twice_changes_nothing():
    offsets = np.random.default_rng(0).random((1, 6, 4, 5), np.float32)
    twice = unmirror_offsets(unmirror_offsets(offsets, [(0, 2)]), [(0, 2)])
    np.testing.assert_array_equal(twice, offsets)


@pytest.mark.parametrize("fields", [{}, {"crop": "udp"}])
def test_aligned_cells_give_the_same_maps(fields):
    described = spec(**fields)
    outputs, mirrored = maps(described, POINTS), maps(described, MIRRORED)
    mean = average(outputs, mirrored, described)
    assert not needs_shift(described)
    # By rounding, a cell on the rim of an offset disc may be in one of the two maps only.
    np.testing.assert_allclose(mean["heatmaps"], outputs["heatmaps"], atol=1e-6)
    peak = outputs["heatmaps"][0] > 0.7
    averaged, plain = (maps["offsets"].reshape(3, 2, *SHAPE).transpose(0, 2, 3, 1)[peak] for maps in (mean, outputs))
    np.testing.assert_allclose(averaged, plain, atol=1e-5)


def test_the_shift_leaves_a_quarter_of_a_cell():
    published = spec(crop="hrnet", cell_offset=0.0)
    assert needs_shift(published)
    back = unmirror(maps(published, MIRRORED)["heatmaps"], published.flip_pairs, shift=True)[0]
    columns = np.arange(SHAPE[1])
    centroid = (back * columns).sum(axis=(1, 2)) / back.sum(axis=(1, 2))
    np.testing.assert_allclose(centroid - POINTS[:, 0] / 4, 0.25, atol=2e-3)
    plain = unmirror(maps(published, MIRRORED)["heatmaps"], published.flip_pairs, shift=False)[0]
    centroid = (plain * columns).sum(axis=(1, 2)) / plain.sum(axis=(1, 2))
    np.testing.assert_allclose(centroid - POINTS[:, 0] / 4, -0.75, atol=2e-3)


def test_the_signed_distance_is_flipped_back_as_well():
    heat = np.zeros((1, 3, *SHAPE), np.float32)
    sdf = np.random.default_rng(0).random((1, 1, *SHAPE), np.float32)
    mean = average({"heatmaps": heat, "sdf": sdf}, {"heatmaps": heat, "sdf": sdf[..., ::-1]}, spec())
    np.testing.assert_array_equal(mean["sdf"], sdf)


def test_heatmaps_alone_are_averaged():
    heat = {"heatmaps": np.ones((1, 3, *SHAPE), np.float32)}
    mean = average(heat, {"heatmaps": np.zeros((1, 3, *SHAPE), np.float32)}, spec())
    assert set(mean) == {"heatmaps"}
    assert (mean["heatmaps"] == 0.5).all()
    assert mean["heatmaps"].dtype == np.float32
