"""Folders for Triton and OpenVINO Model Server, read as these servers read them."""

import json
import re

import numpy as np
import pytest

import runtimes
from edgehrnet import ModelSpec, Predictor
from edgehrnet.certificate import read_certificate
from edgehrnet.errors import InputError, WriteError
from quant.files.parity import File
from quant.files.servers import check_servers, config_pbtxt, write_servers
from runtimes.remote import stored_fields

# OVMS refuses a configuration with any other key (schema.cpp of OpenVINO Model Server).
OVMS_KEYS = {
    "name", "base_path", "batch_size", "graph_path", "subconfig", "model_version_policy", "shape", "layout", "nireq",
    "target_device", "allow_cache", "plugin_config", "custom_loader_options",
}  # fmt: skip


@pytest.fixture(scope="module")
def files(openvino_model, onnx_model):
    certificate = read_certificate(openvino_model.path)
    return [
        File(openvino_model.path, "openvino", "fp32", certificate),
        File(onnx_model.path, "onnx", "fp32", certificate),
        File(openvino_model.path.with_suffix(".engine"), "plan", "fp32", None, "there is no GPU"),
    ]


@pytest.fixture(scope="module")
def folders(files, tmp_path_factory):
    return write_servers(files, ["triton", "ovms"], tmp_path_factory.mktemp("servers"))


def test_triton_has_a_folder_for_each_model(folders):
    found = sorted(path.relative_to(folders[0]).as_posix() for path in folders[0].rglob("*") if path.is_file())
    assert found == [
        "corners-onnx/1/model.onnx",
        "corners-onnx/config.pbtxt",
        "corners/1/model.bin",
        "corners/1/model.xml",
        "corners/config.pbtxt",
    ]


@pytest.mark.parametrize(("name", "backend"), [("corners", "openvino"), ("corners-onnx", "onnxruntime")])
def test_triton_reads_the_configuration(folders, openvino_model, name, backend):
    messages = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason="needs edgehrnet[remote]")
    from google.protobuf import json_format, text_format  # type: ignore[import-untyped]

    text = (folders[0] / name / "config.pbtxt").read_text()
    config = text_format.Parse(text, messages.ModelConfig())
    assert (config.name, config.backend, config.max_batch_size) == (name, backend, 0)
    assert (folders[0] / name / "1" / config.default_model_filename).is_file()
    assert not config.HasField("dynamic_batching")
    (image,) = config.input
    assert (image.name, image.data_type, image.format) == (
        "image",
        messages.TYPE_UINT8,
        messages.ModelInput.FORMAT_NONE,
    )
    with Predictor(openvino_model.path, shapes=1) as predictor:
        outputs = dict(predictor.info()["outputs"])
        assert list(image.dims) == [1, *predictor.spec.input_size, 4]
        assert {port.name: tuple(port.dims) for port in config.output} == outputs
        assert {port.data_type for port in config.output} == {messages.TYPE_FP32}
        shown = json_format.MessageToDict(config, preserving_proto_field_name=True)
        fields = stored_fields({}, shown)
        assert ModelSpec.from_json(fields["edgehrnet"]) == predictor.spec
        assert fields["labels"] == "top-left top-right bottom-right bottom-left"


def test_ovms_reads_the_configuration(folders):
    config = json.loads((folders[1] / "config.json").read_text())
    assert list(config) == ["model_config_list"]
    for row in config["model_config_list"]:
        assert list(row) == ["config"]
        assert set(row["config"]) <= OVMS_KEYS
        assert row["config"]["name"] == "corners"
        model = folders[1] / row["config"]["base_path"]
        assert [path.name for path in model.iterdir()] == ["1"]
        assert sorted(path.name for path in (model / "1").iterdir()) == ["model.bin", "model.xml"]


def test_ovms_shows_the_spec_and_runs_the_same_network(folders, openvino_model):
    import openvino

    path = folders[1] / "corners" / "1" / "model.xml"
    model = openvino.Core().read_model(path)
    info = {key: model.get_rt_info(["model_info", key]).astype(str) for key in ("edgehrnet", "labels")}
    fields = stored_fields({"rt_info": {"model_info": info}}, {})
    with Predictor(openvino_model.path, shapes=1) as predictor:
        assert ModelSpec.from_json(fields["edgehrnet"]) == predictor.spec
    image = np.random.default_rng(0).integers(0, 256, (1, *openvino_model.spec.input_size, 4), np.uint8)
    here, there = (runtimes.load(file).run(image) for file in (openvino_model.path, path))
    np.testing.assert_array_equal(here["heatmaps"], there["heatmaps"])


def test_texts_of_a_configuration_are_escaped(null_model):
    spec = null_model.spec.replace(name='é "\\\n\t', golden=None)
    described = runtimes.load(null_model.path).describe()
    text = config_pbtxt(
        "a", "openvino", "model.xml", type(described)(**{**vars(described), "metadata": spec.to_json()})
    )
    assert text.isascii()
    assert all(re.fullmatch(r'[^"]*("([^"\\]|\\.)*"[^"]*)*', line) for line in text.splitlines())
    messages = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason="needs edgehrnet[remote]")
    from google.protobuf import text_format

    config = text_format.Parse(text, messages.ModelConfig())
    assert config.parameters["model_name"].string_value == spec.name


def test_a_server_without_a_file_that_it_runs_is_named():
    check_servers(["triton", "ovms"], ["onnx", "openvino"])
    check_servers(["triton"], ["onnx"])
    with pytest.raises(InputError, match="ovms"):
        check_servers(["ovms"], ["onnx"])
    with pytest.raises(InputError, match="triton"):
        check_servers(["triton"], ["tensorrt"])


def test_a_file_that_fails_leaves_the_older_folder(files, tmp_path):
    (tmp_path / "ovms" / "corners" / "1").mkdir(parents=True)
    (tmp_path / "ovms" / "corners" / "1" / "model.xml").write_text("before")
    missing = File(tmp_path / "none.xml", "openvino", "fp32", None)
    with pytest.raises(WriteError, match="ovms"):
        write_servers([files[0], missing], ["ovms"], tmp_path)
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.read_text() for path in found] == ["before"]
