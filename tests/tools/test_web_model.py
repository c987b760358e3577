"""The file for the browser answers as the file it was made from, and takes other sizes."""

import numpy as np
import onnx
import onnxruntime
import pytest

from edgehrnet.errors import ModelFileError
from tools import web_model


def test_same_answers_at_the_original_size_and_others_at_another(onnx_model, tmp_path):
    out = tmp_path / "folder" / "open.onnx"
    assert web_model.main([str(onnx_model.path), str(out)]) == 0
    before, after = (onnxruntime.InferenceSession(str(path)) for path in (onnx_model.path, out))
    names = [output.name for output in after.get_outputs()]
    assert names == ["heatmaps", "offsets"]
    assert not any(isinstance(side, int) for output in after.get_outputs() for side in output.shape[2:])
    image = np.random.default_rng(0).integers(0, 256, (1, *onnx_model.spec.input_size, 4), dtype=np.uint8)
    for one, other in zip(before.run(names, {"image": image}), after.run(names, {"image": image}), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [array.shape for array in after.run(names, {"image": image[:, :32, :64]})] == [(1, 4, 8, 16), (1, 8, 8, 16)]
    metadata = [dict(session.get_modelmeta().custom_metadata_map) for session in (before, after)]
    assert metadata[0] == metadata[1]


def test_a_file_with_a_float_input_is_refused():
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 3, 32, 32])
    graph = onnx.helper.make_graph([], "empty", [image], [image])
    with pytest.raises(ModelFileError, match="bytes"):
        web_model.prepared(onnx.helper.make_model(graph))
