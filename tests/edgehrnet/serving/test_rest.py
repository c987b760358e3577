"""The REST server by the letter of the protocol, asked with nothing but the standard library."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from edgehrnet import ModelSpec, Predictor

INPUT = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 4), dtype=np.uint8)
TENSOR = {"name": "image", "datatype": "UINT8", "shape": [1, 64, 96, 4]}
PATH = "/v2/models/corners"


def binary(request, content):
    """The body of a request with bytes, and its header."""
    head = json.dumps(request).encode()
    return head + content, {"Inference-Header-Content-Length": str(len(head))}


def arrays_of(answer):
    """The outputs of an answer, from JSON or bytes."""
    length = answer.headers.get("inference-header-content-length")
    end = len(answer.body) if length is None else int(length)
    found, rest = json.loads(answer.body[:end]), answer.body[end:]
    arrays = {}
    for output in found["outputs"]:
        assert output["datatype"] == "FP32"
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            array = np.array(output["data"], np.float32)
        else:
            array, rest = np.frombuffer(rest[:size], np.float32), rest[size:]
        arrays[output["name"]] = array.reshape(output["shape"])
    assert rest == b""
    return arrays


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_health_and_descriptions(server, null_model):
    assert server.get("/v2/health/live").json == {"live": True}
    assert server.get("/v2/health/ready").json == {"ready": True}
    assert server.get("/v2").json["name"] == "edgehrnet"
    assert server.get(f"{PATH}/ready").json == {"name": "corners", "ready": True}
    metadata = server.get(PATH).json
    assert metadata["name"] == "corners"
    assert metadata["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 64, 96, 4]}]
    shapes = {output["name"]: output["shape"] for output in metadata["outputs"]}
    assert shapes == {"heatmaps": [-1, 4, 16, 24], "offsets": [-1, 8, 16, 24], "hf": [-1, 16, 24, 8]}
    spec = ModelSpec.from_json(metadata["rt_info"]["model_info"]["edgehrnet"])
    assert spec == null_model.spec
    config = server.get(f"{PATH}/versions/1/config").json
    assert config["max_batch_size"] == 0
    assert config["parameters"]["edgehrnet"]["string_value"] == spec.to_json()


def test_numbers_in_and_out(server, null_model):
    answer = server.infer({"id": "a", "inputs": [{**TENSOR, "data": INPUT.ravel().tolist()}]})
    assert (answer.status, answer.json["id"], answer.json["model_name"]) == (200, "a", "corners")
    assert_same(arrays_of(answer), null_model.outputs)
    nested = server.infer({"inputs": [{**TENSOR, "data": INPUT.tolist()}], "outputs": [{"name": "hf"}]})
    assert_same(arrays_of(nested), {"hf": null_model.outputs["hf"]})


def test_bytes_in_and_out(server, null_model):
    twice = {**TENSOR, "shape": [2, 64, 96, 4], "parameters": {"binary_data_size": 2 * INPUT.nbytes}}
    body, headers = binary({"inputs": [twice], "parameters": {"binary_data_output": True}}, 2 * INPUT.tobytes())
    found = arrays_of(server.infer(body, **headers))
    assert_same(found, {name: np.repeat(array, 2, axis=0) for name, array in null_model.outputs.items()})


def test_one_output_as_bytes_and_one_as_numbers(server, null_model):
    tensor = {**TENSOR, "parameters": {"binary_data_size": INPUT.nbytes}}
    outputs = [{"name": "heatmaps"}, {"name": "offsets", "parameters": {"binary_data": True}}]
    body, headers = binary({"inputs": [tensor], "outputs": outputs}, INPUT.tobytes())
    expected = {name: null_model.outputs[name] for name in ("heatmaps", "offsets")}
    assert_same(arrays_of(server.infer(body, **headers)), expected)


FULL = {**TENSOR, "data": INPUT.ravel().tolist()}
WRONG = {
    "empty": (b"", "JSON"),
    "deep": (b"[" * 100_000, "JSON"),
    "list": ([], "list"),
    "none": ({"inputs": []}, "inputs"),
    "name": ({"inputs": [{**FULL, "name": "picture"}]}, "picture"),
    "datatype": ({"inputs": [{**FULL, "datatype": "FP32"}]}, "FP32"),
    "shape": ({"inputs": [{**FULL, "shape": [1, -64, 96, 4]}]}, "-64"),
    "true": ({"inputs": [{**FULL, "shape": [True, 64, 96, 4]}]}, "True"),
    "size": ({"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 2, 2, 4], "data": [0] * 16}]}, "2"),
    "flat": ({"inputs": [{"name": "image", "datatype": "UINT8", "shape": [4], "data": [0] * 4}]}, "[4]"),
    "few": ({"inputs": [{**FULL, "data": [1, 2, 3]}]}, "3 numbers"),
    "no data": ({"inputs": [TENSOR]}, "no data"),
    "ragged": ({"inputs": [{**FULL, "data": [[1], [2, 3]]}]}, "numbers"),
    "text": ({"inputs": [{**FULL, "data": ["a"] * INPUT.size}]}, "numbers"),
    "range": ({"inputs": [{**FULL, "data": [256] * INPUT.size}]}, "255"),
    "fraction": ({"inputs": [{**FULL, "data": [0.5] * INPUT.size}]}, "255"),
    "huge": ({"inputs": [{**FULL, "data": [2**70] * INPUT.size}]}, "numbers"),
    "output": ({"inputs": [FULL], "outputs": [{"name": "masks"}]}, "masks"),
    "outputs": ({"inputs": [FULL], "outputs": "hf"}, "outputs"),
    "id": ({"inputs": [FULL], "id": 7}, "7"),
    "parameters": ({"inputs": [{**FULL, "parameters": [1]}]}, "parameters"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_requests_are_answered_with_a_sentence(server, case):
    body, named = WRONG[case]
    answer = server.infer(body)
    assert answer.status == 400
    assert set(answer.json) == {"error"}
    assert named in answer.json["error"]


@pytest.mark.parametrize(
    ("size", "length"), [(5, None), (INPUT.nbytes, "-1"), (INPUT.nbytes, "999999999"), ("x", None)]
)
def test_wrong_lengths_of_bytes_are_refused(server, size, length):
    tensor = {**TENSOR, "parameters": {"binary_data_size": size}}
    body, headers = binary({"inputs": [tensor]}, INPUT.tobytes())
    answer = server.infer(body, **(headers if length is None else {"Inference-Header-Content-Length": length}))
    assert answer.status == 400
    assert str(size if length is None else length) in answer.json["error"]


def test_models_versions_and_paths_that_are_not_there(server):
    for path, named in (("/v2/models/hands", "corners"), (f"{PATH}/versions/2", "'2'"), ("/v1/models", "/v1/models")):
        answer = server.get(path)
        assert (answer.status, list(answer.json)) == (404, ["error"])
        assert named in answer.json["error"]
    assert server.get(f"{PATH}/infer").status == 405


def png(picture):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def test_a_picture_gives_keypoints(server, null_model):
    answer = server.ask("POST", f"{PATH}/keypoints", png(null_model.picture))
    with Predictor(null_model.path) as predictor:
        expected = json.loads(predictor.predict(null_model.picture).to_json())
    assert answer.status == 200
    assert answer.json["instances"] == expected["instances"]


def test_each_box_is_an_instance(server, null_model):
    answer = server.ask("POST", f"{PATH}/keypoints?boxes=[[0,0,90,60],[50,40,60,40]]", png(null_model.picture))
    assert [instance["box"] for instance in answer.json["instances"]] == [[0, 0, 90, 60], [50, 40, 60, 40]]


@pytest.mark.parametrize(
    ("picture", "query", "named"),
    [
        (b"no picture", "", "picture"),
        (png(np.zeros((1001, 1000, 3), np.uint8)), "", "1000x1001"),
        (png(np.zeros((16, 16, 3), np.uint8)), "?boxes=[[0,0,9]]", "(1, 3)"),
        (png(np.zeros((16, 16, 3), np.uint8)), "?boxes=[[0", "JSON"),
    ],
)
def test_pictures_that_are_not_accepted(server, picture, query, named):
    answer = server.ask("POST", f"{PATH}/keypoints{query}", picture)
    assert answer.status == 400
    assert named in answer.json["error"]
