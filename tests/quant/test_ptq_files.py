"""``python -m quant.ptq FILE``: INT8 files from files of other projects, without a torch network.

The network's answer is known: its heatmaps are the mean red and blue of each cell.
"""

import errno
import shutil
import sys

import numpy as np
import onnx
import openvino as ov
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from edgehrnet import Predictor
from edgehrnet.certificate import read_certificate
from edgehrnet.cli import main
from edgehrnet.errors import InputError
from edgehrnet.spec import ModelSpec
from quant import ptq
from quant.foreign.float_files import PER_CHANNEL_OPSET, read_float_onnx, read_float_openvino

SIZE = (64, 96)
RED, BLUE = (30, 20), (70, 45)  # (x, y) of the dots
SPEC = ModelSpec.heatmaps("other", ("red", "blue"), input_size=SIZE)


MAPS = (("maps", [None, 2, None, None]),)


def bright_file(path, shape=("batch", 3, "height", "width"), opset=18, more=(), outputs=MAPS):
    """Write a network whose heatmaps are the mean red and blue of each cell. Most of its MACs are in its middle.

    ``more`` are nodes that follow, ``outputs`` the names and shapes of what it gives.
    """
    first, middle, last = (np.zeros(s, np.float32) for s in ((8, 3, 3, 3), (8, 8, 3, 3), (2, 8, 4, 4)))
    for channel in range(3):
        first[channel, channel, 1, 1] = 1
    for channel in range(8):
        middle[channel, channel, 1, 1] = 1
    last[0, 0] = last[1, 2] = 1 / 16
    nodes = [
        helper.make_node("Conv", ["picture", "w1"], ["a"], "begin", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("Conv", ["b", "w2"], ["c"], "middle", pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["d"], "relu2"),
        helper.make_node("Conv", ["d", "w3"], ["maps"], "end", strides=[4, 4]),
    ]
    constants = [numpy_helper.from_array(v, n) for n, v in (("w1", first), ("w2", middle), ("w3", last))]
    picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)
    constants += [numpy_helper.from_array(np.array([axis]), f"axis{axis}") for axis in (2, 3)]
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name, sides in outputs]
    graph = helper.make_graph([*nodes, *more], "bright", [picture], given, constants)
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


@pytest.fixture
def bright(tmp_path):
    return bright_file(tmp_path / "bright.onnx")


@pytest.fixture(scope="session")
def dots(tmp_path_factory):
    """A folder of dark pictures with a red and a blue dot."""
    folder = tmp_path_factory.mktemp("dots")
    for number in range(4):
        image = np.full((*SIZE, 3), 10 + number, np.uint8)
        for (x, y), color in ((RED, (250, 30, 10)), (BLUE, (15, 60, 240))):
            image[y - 3 : y + 4, x - 3 : x + 4] = color
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


def test_open_sizes_are_set(bright):
    graph = read_float_onnx(bright, SIZE).graph
    shapes = [[side.dim_value for side in v.type.tensor_type.shape.dim] for v in (*graph.input, *graph.output)]
    assert shapes == [[1, 3, *SIZE], [1, 2, 16, 24]]
    assert read_float_openvino(bright, SIZE).inputs[0].shape == [1, 3, *SIZE]


def test_old_operators_are_converted(tmp_path):
    model = read_float_onnx(bright_file(tmp_path / "old.onnx", opset=11), SIZE)
    assert model.opset_import[0].version == PER_CHANNEL_OPSET


def with_quantizer(path):
    model = onnx.load(path)
    model.graph.initializer.extend(
        [numpy_helper.from_array(np.float32(0.01), "scale"), numpy_helper.from_array(np.uint8(0), "zero")]
    )
    for node in model.graph.node:
        node.input[:] = ["dequantized" if name == "picture" else name for name in node.input]
    model.graph.node.insert(0, helper.make_node("QuantizeLinear", ["picture", "scale", "zero"], ["quantized"]))
    model.graph.node.insert(1, helper.make_node("DequantizeLinear", ["quantized", "scale", "zero"], ["dequantized"]))
    onnx.save_model(model, path)


def test_a_quantized_onnx_file_is_refused(bright):
    with_quantizer(bright)
    for read in (read_float_onnx, read_float_openvino):
        with pytest.raises(InputError, match=r"bright\.onnx"):
            read(bright, SIZE)


def test_an_ir_file_with_integer_weights_is_refused(tmp_path):
    ops = ov.opset8
    picture = ops.parameter([1, 3, *SIZE], np.float32)
    weights = ops.convert(ops.constant(np.ones((2, 3, 4, 4), np.int8)), "f32")
    maps = ops.convolution(picture, weights, [4, 4], [0, 0], [0, 0], [1, 1])
    ov.save_model(ov.Model([maps], [picture], "m"), tmp_path / "m.xml")
    with pytest.raises(InputError, match=r"m\.xml.*integer weights"):
        read_float_openvino(tmp_path / "m.xml", SIZE)


def run(source, dots, out, *more, spec=SPEC):
    """Run the command, and return its exit status."""
    given = ["--data", dots, "--out", out, "--calibration", 4, *more]
    if spec is not None:
        (out.parent / "spec.json").write_text(spec.to_json())
        given += ["--spec", out.parent / "spec.json"]
    return ptq.main([str(argument) for argument in (source, *given)])


def check(file, dots, macs_int8):
    """Check that a file describes itself, and finds the dots."""
    with Predictor(file) as predictor:
        assert predictor.spec.precision == "int8"
        assert predictor.selfcheck().passed
        result = predictor.predict(dots / "0.png")
    np.testing.assert_allclose(result.keypoints.xy[0], [RED, BLUE], atol=1.5)
    certificate = read_certificate(file)
    assert certificate is not None
    assert (certificate.convolutions, certificate.convolutions_expected) == (3, 3)
    assert certificate.int8_share == macs_int8
    assert certificate.drift_max_px is not None
    assert certificate.drift_max_px < 1
    assert certificate.sqnr_db is not None
    assert certificate.sqnr_db > 30  # 8 bits of a signal with a range of its maximum


class TestONNX:
    def test_a_file_with_its_certificate_and_golden_pair(self, bright, dots, tmp_path, capsys):
        assert run(bright, dots, tmp_path / "out", "--targets", "onnx") == 0
        assert {path.name for path in (tmp_path / "out").iterdir()} == {
            "other-int8.onnx",
            "other-int8.onnx.certificate.json",
        }
        check(tmp_path / "out" / "other-int8.onnx", dots, 1.0)
        printed = capsys.readouterr().out
        assert "3 of 3 convolutions and 100.00% of the MACs" in printed
        assert "px maximum" in printed
        props = {e.key: e.value for e in onnx.load(tmp_path / "out" / "other-int8.onnx").metadata_props}
        assert props["model_info labels"] == "red blue"

    def test_a_full_disk_keeps_all_older_files(self, bright, dots, tmp_path, monkeypatch, capsys):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "other-int8.onnx").write_text("before")
        copy = shutil.copyfile

        def full(source, out):
            if source.suffix == ".json":
                raise OSError(errno.ENOSPC, "No space left on device")
            copy(source, out)

        monkeypatch.setattr(shutil, "copyfile", full)
        with pytest.raises(SystemExit, match="2"):
            run(bright, dots, tmp_path / "out", "--targets", "onnx")
        assert "other-int8.onnx" in capsys.readouterr().err.splitlines()[-1]
        assert [path.read_text() for path in (tmp_path / "out").iterdir()] == ["before"]

    def test_the_float_file_is_what_it_is_compared_with(self, bright, dots, tmp_path):
        assert run(bright, dots, tmp_path / "out", "--targets", "onnx") == 0
        with Predictor(bright, spec=SPEC) as floating, Predictor(tmp_path / "out" / "other-int8.onnx") as made:
            golden = made.spec.golden
            assert golden is not None
            expected = floating.predict(golden.image()).heatmaps[0]
        np.testing.assert_allclose(golden.heatmap_array(), expected, atol=1e-3)  # float16

    def test_crops_and_a_fixed_batch(self, dots, tmp_path):
        source = bright_file(tmp_path / "bright.onnx", (2, 3, 64, 96), opset=11)
        spec = SPEC.replace(crop="hrnet", cell_offset=1.5, mean=(0.5,) * 3, heatmap_values="logits")
        assert run(source, dots, tmp_path / "out", "--targets", "onnx", "--name", "crops", spec=spec) == 0
        with Predictor(tmp_path / "out" / "crops-int8.onnx") as predictor:
            assert predictor.predict(dots / "0.png", boxes=[[0, 0, 76.8, 51.2]]).heatmaps.shape == (1, 2, 16, 24)

    def test_vectors(self, dots, tmp_path):
        names = ("simcc_x", "simcc_y")
        nodes = [
            helper.make_node("ReduceMax", ["maps", axis], [name], keepdims=0)
            for name, axis in zip(names, ("axis2", "axis3"), strict=True)
        ]
        outputs = [(name, [None, 2, None]) for name in names]
        source = bright_file(tmp_path / "bright.onnx", more=nodes, outputs=outputs)
        spec = ModelSpec.simcc("other", ("red", "blue"), input_size=SIZE)
        assert run(source, dots, tmp_path / "out", "--targets", "onnx", spec=spec) == 0
        with Predictor(tmp_path / "out" / "other-int8.onnx") as predictor:
            assert predictor.selfcheck().passed
            xy = predictor.predict(dots / "0.png").keypoints.xy[0]
        np.testing.assert_allclose(xy, [RED, BLUE], atol=4)  # one value for each cell of 4 pixels

    def test_coordinates(self, dots, tmp_path, capsys):
        # The mean red and blue, and their maximum: numbers that stand for x and y.
        nodes = [
            helper.make_node("GlobalAveragePool", ["maps"], ["mean"]),
            helper.make_node("GlobalMaxPool", ["maps"], ["highest"]),
            helper.make_node("Concat", ["mean", "highest"], ["both"], axis=2),
            helper.make_node("Squeeze", ["both", "axis3"], ["keypoints"]),
        ]
        source = bright_file(tmp_path / "bright.onnx", more=nodes, outputs=[("keypoints", [None, 2, 2])])
        spec = ModelSpec.points("other", ("red", "blue"), input_size=SIZE)
        assert run(source, dots, tmp_path / "out", "--targets", "onnx", spec=spec) == 0
        certificate = read_certificate(tmp_path / "out" / "other-int8.onnx")
        assert certificate is not None
        assert certificate.sqnr_db is None  # there are no heatmaps
        assert certificate.drift_max_px is not None
        assert "keypoints" in capsys.readouterr().out
        assert main(["info", str(tmp_path / "out" / "other-int8.onnx")]) == 0

    def test_a_second_run_is_refused(self, bright, dots, tmp_path, capsys):
        assert run(bright, dots, tmp_path / "out", "--targets", "onnx") == 0
        refused(tmp_path / "out" / "other-int8.onnx", dots, tmp_path / "again", "--targets", "onnx", spec=None)
        assert "quantized already" in capsys.readouterr().err

    def test_equal_bytes(self, bright, dots, tmp_path):
        for name in ("one", "two"):
            assert run(bright, dots, tmp_path / name, "--targets", "onnx") == 0
        files = [(tmp_path / name / "other-int8.onnx").read_bytes() for name in ("one", "two")]
        assert files[0] == files[1]


class TestOpenVINO:
    @pytest.fixture(autouse=True)
    def quantizer(self):
        pytest.importorskip("nncf", reason="needs the extra 'foreign'", exc_type=ImportError)

    @pytest.mark.filterwarnings("default")  # NNCF's own
    @pytest.mark.parametrize("suffix", [".onnx", ".xml"])
    def test_a_file_with_its_certificate_and_golden_pair(self, bright, dots, tmp_path, suffix):
        source = bright
        if suffix == ".xml":
            source = tmp_path / "bright.xml"
            ov.save_model(ov.convert_model(bright), source, compress_to_fp16=False)
        assert run(source, dots, tmp_path / "out") == 0
        file = tmp_path / "out" / "other-int8.xml"
        check(file, dots, 1.0)
        assert ov.Core().read_model(file).get_rt_info(["model_info", "labels"]).astype(str) == "red blue"
        refused(file, dots, tmp_path / "again", spec=None)

    @pytest.mark.filterwarnings("default")
    def test_kept_in_float(self, bright, dots, tmp_path, capsys):
        assert run(bright, dots, tmp_path / "out", "--keep-float", "middle") == 3
        printed, said = capsys.readouterr()
        assert "middle" in printed.split("in float:")[1]
        assert "--allow-float" in said
        refused(bright, dots, tmp_path / "again", "--keep-float", "nowhere")
        assert "'nowhere'" in capsys.readouterr().err


def refused(source, dots, out, *more, spec=SPEC):
    with pytest.raises(SystemExit) as caught:
        run(source, dots, out, *more, spec=spec)
    assert caught.value.code == 2
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--targets", "tensorrt"], "tensorrt"),
        (["--targets", "onnx", "--corrections", "none"], "--corrections"),
        (["--targets", "onnx", "--weight-bits", "7"], "--weight-bits"),
        (["--keep-float", "auto"], "auto"),
        (["--targets", "onnx", "--keep-float", "middle"], "--keep-float"),
    ],
)
def test_options_that_do_not_apply(bright, dots, tmp_path, capsys, options, named):
    refused(bright, dots, tmp_path / "out", *options)
    assert named in capsys.readouterr().err


def test_without_a_spec(dots, tmp_path, capsys):
    refused(
        bright_file(tmp_path / "bright.onnx", (1, 3, *SIZE)), dots, tmp_path / "out", "--targets", "onnx", spec=None
    )
    assert "--spec" in capsys.readouterr().err


def test_without_nncf(bright, dots, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    refused(bright, dots, tmp_path / "out")
    assert "edgehrnet[foreign]" in capsys.readouterr().err


def test_a_file_that_gives_something_else_is_not_written(bright, dots, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("quant.foreign.int8_file.LEAST_SQNR", 200.0)
    refused(bright, dots, tmp_path / "out", "--targets", "onnx")
    assert "other-int8.onnx" in capsys.readouterr().err
