"""Many boxes of one picture: few crops are in memory at a time, and the outputs are those of all at once."""

import time

import numpy as np
import pytest

from edgehrnet import ModelSpec, inference
from edgehrnet.clock import Clock
from edgehrnet.errors import InputError
from edgehrnet.inference import infer
from edgehrnet.preparation import prepare

SIZE = (32, 64)
CROP_BYTES = SIZE[0] * SIZE[1] * 4
SPEC = ModelSpec.heatmaps("person", ("left_hand", "right_hand"), input_size=SIZE, crop="hrnet").replace(
    flip_pairs=((0, 1),), input_format="u8 NHWC"
)
PICTURE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
BOXES = np.array([[3.0 * n, 2.0 * n, 20 + n, 30 - n] for n in range(7)])


class Engine:
    """An engine whose outputs are the colors of its inputs."""

    def __init__(self):
        self.counts = []

    def prepare(self, size, count):
        return False

    def run(self, batch):
        self.counts.append(len(batch))
        maps = batch[:, ::4, ::4].transpose(0, 3, 1, 2) / np.float32(255)
        return {"colors": maps[:, :2], "hf": maps[:, 2:]}


def run(engine, boxes, *, flip_test=False, batch=1):
    return infer(engine, PICTURE, SPEC, boxes, "colors", flip_test=flip_test, batch=batch, clock=Clock())


@pytest.mark.parametrize("flip_test", [False, True])
@pytest.mark.parametrize(("at_once", "counts"), [(1, [1] * 7), (3, [3, 3, 1]), (6, [6, 1]), (7, [7])])
def test_outputs_are_those_of_all_boxes_at_once(monkeypatch, at_once, counts, flip_test):
    expected, places = run(Engine(), BOXES, flip_test=flip_test)
    monkeypatch.setattr(inference, "CHUNK_BYTES", at_once * CROP_BYTES + 5)
    engine = Engine()
    found, transforms = run(engine, BOXES, flip_test=flip_test)
    assert engine.counts == [count for count in counts for _ in range(1 + flip_test)]
    assert transforms == places
    assert list(found) == list(expected) == ["heatmaps", "hf"]
    for name, array in expected.items():
        assert array.dtype == found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], array)
    assert len({array.tobytes() for array in expected["heatmaps"]}) == 7


def test_no_more_crops_are_prepared_at_once_than_fit(monkeypatch):
    prepared = []

    def counted(*arguments, **options):
        inputs, places = prepare(*arguments, **options)
        prepared.append(inputs.nbytes)
        return inputs, places

    monkeypatch.setattr(inference, "prepare", counted)
    monkeypatch.setattr(inference, "CHUNK_BYTES", 2 * CROP_BYTES)
    run(Engine(), np.repeat(BOXES, 3, axis=0))
    assert sum(prepared) == 21 * CROP_BYTES
    assert max(prepared) == 2 * CROP_BYTES
    # A crop larger than that is still prepared, alone.
    monkeypatch.setattr(inference, "CHUNK_BYTES", CROP_BYTES - 1)
    prepared.clear()
    run(Engine(), BOXES)
    assert prepared == [CROP_BYTES] * 7


@pytest.mark.parametrize(("batch", "counts"), [(2, [4, 3]), (3, [3, 3, 1]), (4, [4, 3]), (6, [6, 1]), (9, [7])])
def test_crops_are_prepared_in_whole_batches(monkeypatch, batch, counts):
    monkeypatch.setattr(inference, "CHUNK_BYTES", 5 * CROP_BYTES)
    engine = Engine()
    run(engine, BOXES, batch=batch)
    assert engine.counts == counts


@pytest.mark.parametrize(("boxes", "count"), [(None, 1), (np.zeros((0, 4)), 0)])
def test_one_picture_or_no_box_is_one_run(boxes, count):
    engine = Engine()
    found, transforms = run(engine, boxes)
    assert engine.counts == [count]
    assert len(transforms) == count
    assert found["heatmaps"].shape == (count, 2, 8, 16)


def test_outputs_that_do_not_fit_into_memory_raise_before_most_boxes_run():
    engine = Engine()
    with pytest.raises(InputError, match="10000000000000 boxes"):
        run(engine, np.broadcast_to(BOXES[:1], (10**13, 4)))
    assert len(engine.counts) == 1


def test_a_stage_that_comes_again_adds_up(monkeypatch):
    monkeypatch.setattr(time, "perf_counter", iter([0.0, 1.0, 3.0, 7.0]).__next__)
    clock = Clock()
    for stage in ("crop", "inference", "crop"):
        clock.lap(stage)
    assert clock.ms == {"crop": 5000.0, "inference": 2000.0}
