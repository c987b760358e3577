"""The network input has the proportions of the picture."""

import numpy as np
import pytest

from edgehrnet import Predictor
from edgehrnet.errors import InputError
from edgehrnet.picture.letterbox import Letterbox, letterbox
from runtimes.openvino import OpenVINORuntime

WIDE = np.full((180, 320, 3), 90, np.uint8)
TALL = np.full((320, 100, 3), 90, np.uint8)


@pytest.mark.parametrize("input_size", [(256, 512), (64, 96), (256, 256)])
def test_a_trimmed_input_holds_the_picture_at_the_same_scale(input_size):
    sides = np.random.default_rng(0).integers(8, 5000, (300, 2)).tolist()
    for width, height in sides:
        whole = Letterbox.fit(width, height, input_size)
        trimmed = whole.trimmed()
        assert trimmed.scale == whole.scale
        assert trimmed.input_height <= input_size[0]
        assert trimmed.input_width <= input_size[1]
        assert trimmed.input_height - trimmed.content_height < 32
        assert trimmed.input_width - trimmed.content_width < 32


def test_the_scaled_picture_is_the_same():
    picture = np.random.default_rng(0).integers(0, 256, (397, 101, 3), dtype=np.uint8)
    (whole, box), (trimmed, smaller) = letterbox(picture, (96, 256)), letterbox(picture, (96, 256), trim=True)
    assert trimmed.shape == (96, 32, 4)
    np.testing.assert_array_equal(trimmed[smaller.inside], whole[box.inside])


def sizes_run(predictor, pictures):
    return [predictor.predict(picture).transform for picture in pictures]


def compiled_sizes(predictor):
    runtime = predictor._runtime
    assert isinstance(runtime, OpenVINORuntime)
    return [size for *size, _ in runtime._compiled]


@pytest.fixture(params=["openvino", "torch"])
def path(request, openvino_model, checkpoint_model):
    return (openvino_model if request.param == "openvino" else checkpoint_model).path


def test_each_picture_runs_at_its_own_size(path):
    with Predictor(path) as predictor:
        wide, tall = sizes_run(predictor, [WIDE, TALL])
        assert wide.input_size == (64, 96)
        assert tall.input_size == (64, 32)
        assert predictor.predict(TALL).heatmaps.shape[2:] == (16, 8)


@pytest.mark.parametrize("options", [{"shapes": 1}, {"input_size": (64, 96)}])
def test_a_fixed_size(path, options):
    with Predictor(path, **options) as predictor:
        (tall,) = sizes_run(predictor, [TALL])
        assert tall.input_size == (64, 96)


def test_the_size_used_least_recently_is_dropped(openvino_model):
    square = np.full((100, 100, 3), 90, np.uint8)
    with Predictor(openvino_model.path, shapes=2) as predictor:
        first = predictor.predict(TALL).heatmaps
        predictor.predict(square)
        predictor.predict(TALL)
        predictor.predict(WIDE)
        assert compiled_sizes(predictor) == [[64, 32], [64, 96]]
        np.testing.assert_array_equal(predictor.predict(TALL).heatmaps, first)


def test_warmup_compiles_the_sizes_of_pictures(openvino_model):
    with Predictor(openvino_model.path) as predictor:
        predictor.warmup([(4000, 1200), (1080, 1920)])
        assert compiled_sizes(predictor) == [[64, 32], [64, 96]]


@pytest.mark.parametrize("shapes", [0, -1, 1.5, True, "2"])
def test_refuses_other_numbers_of_shapes(openvino_model, shapes):
    with pytest.raises(InputError, match=str(shapes)):
        Predictor(openvino_model.path, shapes=shapes)


def test_compiling_for_a_size_is_no_part_of_inference(openvino_model, noise_pictures):
    with Predictor(openvino_model.path) as predictor:
        first, second = (predictor.predict(noise_pictures[0]) for _ in range(2))
        assert first.compile_ms > 0
        assert second.compile_ms == 0
        assert first.speed.keys() == second.speed.keys()
        assert first.speed["inference"] < first.compile_ms
