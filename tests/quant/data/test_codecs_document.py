from dataclasses import replace

import numpy as np
import pytest

from edgehrnet.picture.cells import CellGrid
from edgehrnet.picture.letterbox import letterbox
from quant.data.batches import SampleHeads, Samples
from quant.data.batches import sample as make_sample
from quant.data.codecs import SDF_CLIP, SIGMA, heatmap_target, offset_target, outline_targets
from quant.data.documents.corners import SPEC, DocumentCorners, example
from quant.data.documents.scenes import Scene, document_scene

GRID = CellGrid(4, 1.5)
SQUARE = GRID.to_pixels(np.array([[10.0, 8.0], [30.0, 8.0], [30.0, 24.0], [10.0, 24.0]]))


def test_a_heatmap_peaks_at_its_point_and_absent_ones_are_zero():
    heat = heatmap_target(SQUARE, np.array([True, True, False, True]), GRID, (32, 40))
    assert heat.shape == (4, 32, 40)
    assert heat[0, 8, 10] == 1
    assert heat[0, 8, 11] == pytest.approx(np.exp(-1 / (2 * SIGMA**2)))
    assert not heat[2].any()


def test_offsets_lead_from_each_weighted_cell_to_the_point():
    point = np.array([[37.7, 21.2]])
    offsets, weight = offset_target(point, np.array([True]), GRID, (32, 40))
    rows, columns = np.nonzero(weight[0])
    assert len(rows) > 8
    reached = np.stack([columns, rows], axis=1) + offsets[0, :, rows, columns]
    np.testing.assert_allclose(reached, np.broadcast_to(GRID.to_cells(point), reached.shape), atol=1e-5)
    assert not offsets[0][:, weight[0] == 0].any()


def test_signed_distance_of_a_rectangle():
    boundary, distance = outline_targets(SQUARE, GRID, (32, 40))
    assert distance[16, 20] == -SDF_CLIP  # 8 cells from the nearest edge
    assert distance[16, 12] == pytest.approx(-2)
    assert distance[16, 5] == pytest.approx(5)
    assert distance[5, 7] == pytest.approx(np.hypot(3, 3))
    assert distance[8, 20] == pytest.approx(0)
    assert boundary[8, 20] == pytest.approx(1)
    assert boundary[16, 12] == pytest.approx(np.exp(-0.5 * 4))
    assert distance[31, 39] == SDF_CLIP


def test_the_inside_does_not_depend_on_the_direction_of_the_outline():
    _, clockwise = outline_targets(SQUARE, GRID, (32, 40))
    _, other = outline_targets(SQUARE[::-1], GRID, (32, 40))
    np.testing.assert_array_equal(clockwise, other)


def test_training_sees_the_bytes_that_the_runtime_sees():
    scene = document_scene(5)
    sample = make_sample(example(scene), SPEC.replace(input_size=(128, 256)), SampleHeads())
    np.testing.assert_array_equal(sample["image"].numpy(), letterbox(scene.image, (128, 256))[0])


def test_corners_outside_the_picture_have_no_target():
    scene = next(s for s in map(document_scene, range(200)) if "outside" in s.conditions)
    sample = make_sample(example(scene), SPEC.replace(input_size=(128, 256)), SampleHeads())
    present = sample["heatmaps"].amax(dim=(1, 2)).numpy() > 0.5
    np.testing.assert_array_equal(present, scene.visible)


def test_an_empty_scene_is_outside_everywhere():
    scene = next(s for s in map(document_scene, range(200)) if "empty" in s.conditions)
    sample = make_sample(example(scene), SPEC.replace(input_size=(64, 64)), SampleHeads(auxiliary=True, outline=True))
    for name in ("heatmaps", "offset_weight", "aux_p3", "aux_p4", "boundary"):
        assert not sample[name].any(), name
    assert (sample["sdf"] == SDF_CLIP).all()
    assert sample["outline_weight"] == 1


def test_an_outline_with_an_unlabeled_corner_is_not_learned():
    scene = document_scene(3)
    for known in (True, False):
        given = replace(example(scene), outlined=known)
        sample = make_sample(given, SPEC.replace(input_size=(64, 64)), SampleHeads(outline=True))
        assert sample["outline_weight"] == known


def test_coarser_heads_look_at_the_same_place():
    corners = np.array([[40.0, 30.0], [200.0, 35.0], [190.0, 100.0], [45.0, 95.0]])
    scene = Scene(np.zeros((128, 256, 3), np.uint8), corners, np.ones(4, bool), frozenset())
    sample = make_sample(example(scene), SPEC.replace(input_size=(128, 256)), SampleHeads(auxiliary=True))
    for name, stride in (("heatmaps", 4), ("aux_p3", 8), ("aux_p4", 16)):
        for k, corner in enumerate(corners):
            row, column = divmod(int(sample[name][k].argmax()), 256 // stride)
            center = np.array([column, row]) * stride + (stride - 1) / 2
            assert np.abs(center - corner).max() <= stride / 2, (name, k)


def test_a_batch_has_one_size_and_processes_share_nothing():
    def numbers(**kwargs):
        seen = []
        data = Samples(DocumentCorners(), SPEC, 0, 8, batch=4, sizes=((64, 64), (64, 96)), **kwargs)
        shapes = [tuple(data[i]["image"].shape[:2]) for i in range(8)]
        for i in range(8):
            seen.append(data[i]["image"].numpy().tobytes())
        return shapes, set(seen)

    shapes, first = numbers(rank=0, world=2)
    assert shapes == [(64, 64)] * 4 + [(64, 96)] * 4
    _, second = numbers(rank=1, world=2)
    assert len(first) == len(second) == 8
    assert not first & second


def test_a_stream_goes_on_where_it_stopped():
    whole = Samples(DocumentCorners(), SPEC, 0, 4, batch=2, sizes=((64, 64),), seed=3)
    rest = Samples(DocumentCorners(), SPEC, 2, 2, batch=2, sizes=((64, 64),), seed=3)
    np.testing.assert_array_equal(whole[3]["image"], rest[1]["image"])


def test_the_spec_describes_the_task():
    assert SPEC.cyclic
    assert SPEC.keypoints == ("top-left", "top-right", "bottom-right", "bottom-left")
