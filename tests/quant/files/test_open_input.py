"""ONNX files with open sides run each picture at its own size, and those of crops run several at once."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import runtimes
from edgehrnet import ModelSpec, Predictor
from edgehrnet.errors import InputError, ModelFileError
from edgehrnet.picture.letterbox import Letterbox
from quant import export
from quant.files.input_sizes import at_other_sizes
from quant.files.open_input import check_open, open_input
from quant.files.proof import Reference
from runtimes.onnx import build, executed_layers

WIDE, TALL = np.full((180, 320, 3), 90, np.uint8), np.full((320, 100, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def opened(onnx_model, tmp_path_factory):
    """The file of onnx_model with open sides."""
    metadata = runtimes.load(onnx_model.path).describe().metadata
    assert metadata is not None
    spec, folder = ModelSpec.from_json(metadata), tmp_path_factory.mktemp("open")
    open_input(onnx_model.path.with_name("exported.onnx"), folder / "open.onnx", spec)
    build(folder / "open.onnx", folder / "corners.onnx", metadata, size=spec.input_size)
    check_open(folder / "corners.onnx", spec)
    return folder / "corners.onnx"


def test_each_picture_runs_at_its_own_size_as_in_openvino(opened, openvino_model):
    with Predictor(opened) as predictor, Predictor(openvino_model.path) as other:
        assert predictor.spec.input_size == (64, 96)
        for picture, size in ((WIDE, (64, 96)), (TALL, (64, 32))):
            found, expected = predictor.predict(picture), other.predict(picture)
            assert found.transform == expected.transform
            assert found.transform == Letterbox.fit(picture.shape[1], picture.shape[0], (64, 96)).trimmed()
            assert found.heatmaps.shape[2:] == (size[0] // 4, size[1] // 4)
            np.testing.assert_allclose(found.heatmaps, expected.heatmaps, atol=1e-4)


@pytest.mark.parametrize(("options", "size"), [({"shapes": 1}, (64, 96)), ({"input_size": (96, 160)}, (96, 160))])
def test_a_fixed_size(opened, options, size):
    with Predictor(opened, **options) as predictor:
        assert predictor.predict(TALL).heatmaps.shape[2:] == (size[0] // 4, size[1] // 4)
        assert predictor.info()["outputs"]["heatmaps"] == (1, 4, size[0] // 4, size[1] // 4)


def test_several_pictures_of_another_size(opened):
    runtime = runtimes.load(opened, shapes=8)
    images = np.random.default_rng(0).integers(0, 256, (2, 96, 64, 4), dtype=np.uint8)
    found = runtime.run(images)["heatmaps"]
    np.testing.assert_array_equal(found[1], runtime.run(images[1:])["heatmaps"][0])
    assert runtime.run(images[:0])["heatmaps"].shape == (0, 4, 16, 24)


def test_operations_are_counted_at_its_own_size(opened, onnx_model):
    macs = [[layer.macs for layer in executed_layers(path)] for path in (opened, onnx_model.path)]
    assert sum(macs[0]) == sum(macs[1]) > 0


def test_it_is_measured_at_other_sizes(opened, openvino_model):
    reference = Reference(openvino_model.network, None, 0)
    pictures = [WIDE, np.random.default_rng(0).integers(0, 256, (200, 90, 3), dtype=np.uint8)]
    (row,) = at_other_sizes(opened, reference, openvino_model.spec, pictures)
    assert row["input_size"] == [64, 32]
    assert row["sqnr_db"] > 60


def test_a_network_for_crops_takes_several_at_once(onnx_model, tmp_path):
    spec = ModelSpec.from_json(runtimes.load(onnx_model.path).describe().metadata or "").replace(
        crop="hrnet", cyclic=False, golden=None
    )
    open_input(onnx_model.path.with_name("exported.onnx"), tmp_path / "open.onnx", spec)
    build(tmp_path / "open.onnx", tmp_path / "crops.onnx", spec.to_json(), size=spec.input_size)
    check_open(tmp_path / "crops.onnx", spec)
    boxes = [[10.0 * n, 5.0, 90.0, 60.0] for n in range(3)]
    picture = np.random.default_rng(0).integers(0, 256, (180, 320, 3), dtype=np.uint8)
    with Predictor(tmp_path / "crops.onnx", batch=2) as predictor, Predictor(tmp_path / "crops.onnx") as alone:
        found, expected = (one.predict(picture, boxes=boxes).heatmaps for one in (predictor, alone))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    with pytest.raises(ModelFileError, match="96x160"):
        Predictor(tmp_path / "crops.onnx", input_size=(96, 160))


def test_a_network_with_sides_in_its_operations_is_refused(tmp_path):
    spec = ModelSpec.heatmaps("flat", ("a",), input_size=(64, 96)).replace(outputs=(("heatmaps", "NCHW"),))
    nodes = [
        helper.make_node("Cast", ["image"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["cast", "shape"], ["heatmaps"]),
    ]
    graph = helper.make_graph(
        nodes,
        "flat",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 64, 96, 4])],
        [helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, [1, 4, 64, 96])],
        [helper.make_tensor("shape", TensorProto.INT64, [4], [1, 4, 64, 96])],
    )
    onnx.save_model(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / "flat.onnx"
    )
    open_input(tmp_path / "flat.onnx", tmp_path / "open.onnx", spec)
    build(tmp_path / "open.onnx", tmp_path / "built.onnx", spec.to_json(), size=spec.input_size)
    with pytest.raises(InputError, match="flat"):
        check_open(tmp_path / "built.onnx", spec)


@pytest.mark.parametrize("options", [["--targets", "openvino"], ["--targets", "onnx", "--servers", "triton"]])
def test_options_that_do_not_fit_are_refused(tmp_path, capsys, options):
    with pytest.raises(SystemExit) as stop:
        export.main(["model.pt", "--out", str(tmp_path), "--open-input", *options])
    assert stop.value.code == 2
    assert "--open-input" in capsys.readouterr().err
