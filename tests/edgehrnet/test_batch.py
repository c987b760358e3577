"""Boxes of one picture that run together give what they give alone."""

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper
from PIL import Image

from edgehrnet import ModelSpec, Predictor
from edgehrnet.errors import InputError, ModelFileError
from edgehrnet.golden import Golden
from edgehrnet.models.checkpoints import save_checkpoint
from runtimes.openvino import OpenVINORuntime

SIZE = (64, 96)
SPEC = ModelSpec.heatmaps("person", ("left_hand", "right_hand"), input_size=SIZE, crop="hrnet", decode="argmax")
PICTURE = np.array(Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)).resize((192, 128)))
BOXES = [[20.0 + 9 * n, 10.0 + 7 * n, 60.0, 40.0 + n] for n in range(5)]
F32, U8 = TensorProto.FLOAT, TensorProto.UINT8


def write(path, count="N", mixes=False):
    """Write a file whose heatmaps are two channels, each cell the mean of its pixels."""
    steps = [
        helper.make_node("Cast", ["image"], ["cast"], to=F32),
        helper.make_node("Transpose", ["cast"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["nchw"], ["pooled"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("ReduceMax" if mixes else "Identity", ["pooled", "axis"][: 1 + mixes], ["most"]),
        helper.make_node("Split", ["most"], ["maps", "other"], axis=1, num_outputs=2),
    ]
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [0])
    image = helper.make_tensor_value_info("image", U8, [count, *SIZE, 4])
    heatmaps = helper.make_tensor_value_info("maps", F32, [1 if mixes else count, 2, 16, 24])
    graph = helper.make_graph(steps, "test", [image], [heatmaps], [axis])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save_model(model, path.with_suffix(".onnx"))
    if path.suffix == ".xml":
        openvino.save_model(openvino.convert_model(path.with_suffix(".onnx")), path, compress_to_fp16=False)
    return path


@pytest.fixture(params=["crops.xml", "crops.onnx"])
def path(request, tmp_path):
    return write(tmp_path / request.param)


@pytest.mark.parametrize("crop", ["hrnet", None])
def test_boxes_give_the_same_together_as_alone(path, crop):
    spec = SPEC.replace(crop=crop)
    with Predictor(path, spec=spec) as predictor:
        alone = predictor.predict(PICTURE, boxes=BOXES)
    with Predictor(path, spec=spec, batch=2) as predictor:
        for count in (0, 1, 2, 5):
            found = predictor.predict(PICTURE, boxes=BOXES[:count])
            np.testing.assert_allclose(found.heatmaps, alone.heatmaps[:count], atol=1e-3)
            np.testing.assert_array_equal(found.keypoints.xy, alone.keypoints.xy[:count])
        assert len(predictor.predict([PICTURE], boxes=[BOXES])[0].keypoints) == 5


def test_both_numbers_of_crops_are_compiled_by_a_warmup(tmp_path):
    with Predictor(write(tmp_path / "crops.xml"), spec=SPEC, batch=3) as predictor:
        predictor.warmup()
        assert predictor.predict(PICTURE, boxes=BOXES).compile_ms == 0
        assert isinstance(predictor._engine, OpenVINORuntime)
        assert set(predictor._engine._compiled) == {(*SIZE, 3), (*SIZE, 1)}


def test_a_file_of_a_fixed_number_of_pictures(tmp_path):
    path = write(tmp_path / "crops.onnx", count=2)
    with Predictor(path, spec=SPEC) as alone, Predictor(path, spec=SPEC, batch=2) as predictor:
        found, expected = (one.predict(PICTURE, boxes=BOXES) for one in (predictor, alone))
        np.testing.assert_array_equal(found.heatmaps, expected.heatmaps)
    with pytest.raises(ModelFileError, match=r"batch=3.* 2 "):
        Predictor(path, spec=SPEC, batch=3)


def test_files_that_mix_pictures_are_refused(tmp_path):
    for name in ("crops.xml", "crops.onnx"):
        with pytest.raises(ModelFileError, match="batch=2"):
            Predictor(write(tmp_path / name, mixes=True), spec=SPEC, batch=2)


def test_other_files_are_refused(null_model):
    with pytest.raises(ModelFileError, match=r"batch=4.*\.xml"):
        Predictor(null_model.path, batch=4)
    with pytest.raises(InputError, match="batch=4"):
        Predictor("http://127.0.0.1:1/v2/models/crops", batch=4)


@pytest.mark.parametrize("batch", [0, -1, 1.5, True, None, "2"])
def test_refuses_other_numbers(batch):
    with pytest.raises(InputError, match=f"batch={batch!r}"):
        Predictor("document-corners", batch=batch)


def test_the_selfcheck_also_runs_a_batch(path, monkeypatch):
    with Predictor(path, spec=SPEC) as predictor, pytest.warns(match="boxes"):
        result = predictor.predict(PICTURE)
    golden = Golden.pack(PICTURE, result.keypoints.xy[0], np.ones(2), result.heatmaps[0])
    with Predictor(path, spec=SPEC.replace(golden=golden), batch=2) as predictor:
        assert predictor.selfcheck().passed
        run = predictor._engine.run

        def wrong(image):
            outputs = run(image)
            if len(image) > 1:
                outputs["maps"][1] = outputs["maps"][1][:, ::-1]
            return outputs

        monkeypatch.setattr(predictor._engine, "run", wrong)
        assert not predictor.selfcheck().passed


def test_a_checkpoint(small_checkpoint, tmp_path):
    spec = {**small_checkpoint.spec, "crop": "hrnet", "cyclic": False}
    path = tmp_path / "crops.pt"
    save_checkpoint(path, small_checkpoint.variant, {"keypoints": small_checkpoint.keypoints}, small_checkpoint.state,
                    spec, {})  # fmt: skip
    with Predictor(path) as alone, Predictor(path, batch=2) as predictor:
        found, expected = (one.predict(PICTURE, boxes=BOXES[:3]).heatmaps for one in (predictor, alone))
    np.testing.assert_allclose(found, expected, atol=1e-4)
