"""The gRPC server, asked with the messages of the protocol."""

import numpy as np
import pytest

from tests.edgehrnet.serving.conftest import serving

grpc = pytest.importorskip("grpc", reason="needs edgehrnet[serve]")
pytest.importorskip("tritonclient.grpc", reason="needs edgehrnet[serve]")
from tritonclient.grpc import service_pb2 as messages  # noqa: E402
from tritonclient.grpc import service_pb2_grpc as stubs  # noqa: E402

IMAGE = np.zeros((1, 64, 96, 4), np.uint8)


@pytest.fixture(scope="module")
def stub(null_model):
    with (
        serving(null_model.path, grpc_port=0, max_body=1_000_000) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.running.grpc_port}") as channel,
    ):
        yield stubs.GRPCInferenceServiceStub(channel)


def request(**fields):
    tensor = {"name": "image", "datatype": "UINT8", "shape": IMAGE.shape, **fields}
    return messages.ModelInferRequest(model_name="corners", id="a", inputs=[tensor])


def test_health_and_descriptions(stub, null_model):
    assert stub.ServerLive(messages.ServerLiveRequest()).live
    assert stub.ServerReady(messages.ServerReadyRequest()).ready
    assert stub.ModelReady(messages.ModelReadyRequest(name="corners")).ready
    assert stub.ServerMetadata(messages.ServerMetadataRequest()).name == "edgehrnet"
    metadata = stub.ModelMetadata(messages.ModelMetadataRequest(name="corners"))
    assert [(t.name, t.datatype, list(t.shape)) for t in metadata.inputs] == [("image", "UINT8", [-1, 64, 96, 4])]
    config = stub.ModelConfig(messages.ModelConfigRequest(name="corners")).config
    assert config.parameters["edgehrnet"].string_value == null_model.spec.to_json()


@pytest.mark.parametrize("raw", [True, False])
def test_bytes_and_numbers_in(stub, null_model, raw):
    asked = request() if raw else request(contents={"uint_contents": IMAGE.ravel().tolist()})
    if raw:
        asked.raw_input_contents.append(IMAGE.tobytes())
    asked.outputs.add(name="hf")
    answer = stub.ModelInfer(asked)
    assert (answer.id, [output.name for output in answer.outputs]) == ("a", ["hf"])
    found = np.frombuffer(answer.raw_output_contents[0], np.float32).reshape(answer.outputs[0].shape)
    np.testing.assert_array_equal(found, null_model.outputs["hf"])


@pytest.mark.parametrize(
    ("fields", "content", "code", "named"),
    [
        ({"name": "picture"}, b"", "INVALID_ARGUMENT", "picture"),
        ({"datatype": "FP32"}, b"", "INVALID_ARGUMENT", "FP32"),
        ({}, b"123", "INVALID_ARGUMENT", "3 bytes"),
        ({"shape": [1, 2, 2, 4]}, bytes(16), "INVALID_ARGUMENT", "2"),
        ({}, bytes(1_000_001), "RESOURCE_EXHAUSTED", "1000001|larger than max"),
    ],
)
def test_wrong_requests(stub, fields, content, code, named):
    asked = request(**fields)
    asked.raw_input_contents.append(content)
    with pytest.raises(grpc.RpcError, match=named) as caught:
        stub.ModelInfer(asked)
    assert caught.value.code().name == code


def test_an_unknown_model(stub):
    with pytest.raises(grpc.RpcError, match="hands") as caught:
        stub.ModelReady(messages.ModelReadyRequest(name="hands"))
    assert caught.value.code().name == "NOT_FOUND"
