"""Files of other projects that give SimCC vectors or coordinates, in both engines."""

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgehrnet import ModelSpec, Predictor
from edgehrnet.cli import main
from edgehrnet.errors import InputError, SpecError, UnsupportedError
from edgehrnet.preparation import prepare

SIZE = (64, 96)
RED, BLUE = (30, 20), (70, 45)  # (x, y) of the dots
NAMES = ("red", "blue")


@pytest.fixture(params=["onnx", "xml"])
def written(request, tmp_path):
    """Function that writes a graph with the input ``picture`` and these outputs, and returns its path."""

    def write(nodes, constants, *outputs):
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 3) for name in outputs]
        picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, (1, 3, *SIZE))
        tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
        graph = helper.make_graph(nodes, "other", [picture], values, tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        path = tmp_path / "other.onnx"
        onnx.save_model(model, path)
        if request.param == "xml":
            openvino.save_model(openvino.convert_model(path), path.with_suffix(".xml"), compress_to_fp16=False)
        return path.with_suffix(f".{request.param}")

    return write


def brightest(written, ratio=2, names=("simcc_x", "simcc_y")):
    """Write a network with the brightest red and blue of each column and row, ``ratio`` times each."""
    nodes = [helper.make_node("Gather", ["picture", "channels"], ["maps"], axis=1)]
    for name, axis in zip(names, (2, 3), strict=True):
        nodes += [
            helper.make_node("ReduceMax", ["maps", f"axis{axis}"], [f"max{axis}"], keepdims=0),
            helper.make_node("Unsqueeze", [f"max{axis}", "last"], [f"column{axis}"]),
            helper.make_node("Expand", [f"column{axis}", "shape"], [f"twice{axis}"]),
            helper.make_node("Reshape", [f"twice{axis}", "flat"], [name]),
        ]
    constants = {"channels": [0, 2], "axis2": [2], "axis3": [3], "last": [3], "shape": [1, 1, 1, ratio]}
    return written(nodes, constants | {"flat": [1, 2, -1]}, *names)


def given(written, values, name="keypoints"):
    """Write a network that gives the same coordinates for every picture."""
    nodes = [
        helper.make_node("ReduceMax", ["picture", "axes"], ["max"], keepdims=1),
        helper.make_node("Mul", ["max", "zero"], ["none"]),
        helper.make_node("Add", ["none", "values"], [name]),
    ]
    nodes[0].output[0] = "all"
    nodes.insert(1, helper.make_node("Reshape", ["all", "one"], ["max"]))
    constants = {"axes": [1, 2, 3], "one": [1, 1, 1], "zero": np.float32(0), "values": np.float32(values)[None]}
    return written(nodes, constants, name)


def picture():
    """A dark picture with a red and a blue dot, whose brightest pixels are their centers."""
    image = np.full((*SIZE, 3), 20, np.uint8)
    for (x, y), color in ((RED, (200, 30, 10)), (BLUE, (15, 60, 150))):
        image[y - 3 : y + 4, x - 3 : x + 4] = color
        image[y, x] = np.add(color, 40)
    return image


def simcc(**fields):
    return ModelSpec.simcc("other", NAMES, **{"input_size": SIZE, **fields})


def points(**fields):
    return ModelSpec.points("other", NAMES, **{"input_size": SIZE, **fields})


class TestVectors:
    @pytest.mark.parametrize("ratio", [1, 2, 3])
    def test_the_ratio_is_that_of_the_shapes(self, written, ratio):
        with Predictor(brightest(written, ratio), spec=simcc()) as predictor:
            result = predictor.predict(picture())
        np.testing.assert_array_equal(result.keypoints.xy[0], [RED, BLUE])
        pixels = prepare(picture(), simcc())[0][0]
        np.testing.assert_allclose(result.keypoints.conf[0], pixels[..., [0, 2]].max(axis=(0, 1)) / 255, rtol=1e-6)
        assert result.outputs["simcc_x"].shape == (1, 2, ratio * SIZE[1])

    def test_crops_are_mapped_back(self, written):
        boxes = [[0.0, 0.0, SIZE[1] / 1.25, SIZE[0] / 1.25], [10.0, 5.0, 76.8, 51.2]]
        with Predictor(brightest(written), spec=simcc(crop="hrnet")) as predictor:
            xy = predictor.predict(picture(), boxes=boxes).keypoints.xy
        assert xy.shape == (2, 2, 2)
        # The second box is where its crop has the scale of the picture, so that pixels stay whole.
        np.testing.assert_allclose(xy[1], [RED, BLUE], atol=1)

    def test_heatmaps_show_where_the_vectors_are_high(self, written):
        with Predictor(brightest(written), spec=simcc()) as predictor:
            result = predictor.predict(picture())
        assert result.heatmaps.shape == (1, 2, 16, 24)
        for maps, (x, y) in zip(result.heatmaps[0], (RED, BLUE), strict=True):
            assert np.unravel_index(maps.argmax(), maps.shape) == (y // 4, x // 4)
        assert [len(found) > 0 for found in result.peaks] == [True, True]
        result.plot(heatmaps=True)

    def test_other_names(self, written):
        path = brightest(written, names=("a", "b"))
        with Predictor(path, spec=simcc(outputs=(("a", "NKW"), ("b", "NKW")))) as predictor:
            np.testing.assert_array_equal(predictor.predict(picture()).keypoints.xy[0], [RED, BLUE])

    @pytest.mark.parametrize(
        "fields",
        [
            {"outputs": (("simcc_y", "NKW"), ("simcc_x", "NKW"))},
            {"outputs": (("simcc_x", "NKW"), ("missing", "NKW"))},
            {"keypoints": ("red", "green", "blue")},
        ],
        ids=["exchanged", "missing", "another count"],
    )
    def test_shapes_that_do_not_fit_are_refused(self, written, fields):
        with pytest.raises(SpecError, match=r"\(1, 2, 192\).*NAME_X"):
            Predictor(brightest(written), spec=simcc().replace(**fields))


class TestPoints:
    @pytest.mark.parametrize("unit", ["px", "normalized"])
    def test_units(self, written, unit):
        scale = (1, 1) if unit == "px" else (1 / SIZE[1], 1 / SIZE[0])
        values = [[x * scale[0], y * scale[1], conf] for (x, y), conf in ((RED, 0.75), (BLUE, -1))]
        with Predictor(given(written, values), spec=points(unit=unit)) as predictor:
            result = predictor.predict(picture())
            larger = predictor.predict(np.zeros((2 * SIZE[0], 2 * SIZE[1], 3), np.uint8))
        np.testing.assert_allclose(result.keypoints.xy[0], [RED, BLUE], rtol=1e-5)
        assert result.keypoints.conf[0].tolist() == [0.75, 0]
        # Centers of pixels are integers: pixel 0 of the input covers pixels 0 and 1 of a picture twice as large.
        np.testing.assert_allclose(larger.keypoints.xy[0], 2 * np.array([RED, BLUE]) + 0.5, rtol=1e-5)

    def test_without_a_confidence_it_is_1(self, written):
        with Predictor(given(written, [RED, BLUE], "any name"), spec=points()) as predictor:
            assert predictor.predict(picture()).keypoints.conf[0].tolist() == [1, 1]

    def test_there_are_no_heatmaps(self, written):
        path = given(written, [RED, BLUE])
        with Predictor(path, spec=points()) as predictor:
            result = predictor.predict(picture())
        assert result.heatmaps.shape == (1, 2, 0, 0)
        result.plot()
        for show in (lambda: result.plot(heatmaps=True), lambda: result.peaks):
            with pytest.raises(UnsupportedError, match="'other'"):
                show()
        with pytest.raises(SpecError, match="decode='dark'"):
            Predictor(path, spec=points(), decode="dark")
        with pytest.raises(InputError, match="other"):
            Predictor(path, spec=points(), flip_test=True)

    @pytest.mark.parametrize("values", [[[1, 2]], [[1, 2, 3, 4]] * 2])
    def test_shapes_that_do_not_fit_are_refused(self, written, values):
        with pytest.raises(SpecError, match=r"K = 2.*NAME"):
            Predictor(given(written, values), spec=points())

    def test_info(self, written, tmp_path, capsys):
        (tmp_path / "spec.json").write_text(points().to_json())
        assert main(["info", str(given(written, [RED, BLUE])), "--spec", str(tmp_path / "spec.json")]) == 0
        assert "1x2x2 NKC" in capsys.readouterr().out
