"""Files of other projects in both engines: sizes, types, layouts, colors and outputs.

The network is always "Bright", whose answer is known: each map holds the mean of one input channel over each cell.
"""

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper

import runtimes
from edgehrnet import ModelSpec, Predictor
from edgehrnet.cli import main
from edgehrnet.errors import InputError, ModelFileError, SpecError
from edgehrnet.preparation import prepare

SIZE = (64, 96)
RED, BLUE = (30, 20), (70, 45)  # (x, y) of the dots
F32, F16, F64, U8, I64 = (getattr(TensorProto, n) for n in ("FLOAT", "FLOAT16", "DOUBLE", "UINT8", "INT64"))
HALF, EXACT = 2e-3, 2e-5  # rounding of float16 and float32 numbers of up to 4


@pytest.fixture(params=["onnx", "xml"])
def bright(request, tmp_path):
    """Function that writes Bright, and returns its path."""

    def write(**options):
        model = bright_model(**options)
        onnx.save_model(model, tmp_path / "bright.onnx")
        if request.param == "onnx":
            return tmp_path / "bright.onnx"
        openvino.save_model(
            openvino.convert_model(tmp_path / "bright.onnx"), tmp_path / "bright.xml", compress_to_fp16=False
        )
        return tmp_path / "bright.xml"

    return write


def bright_model(
    shape=(1, 3, *SIZE),
    *,
    kind=F32,
    gives=F32,
    nhwc=False,
    maps_nhwc=False,
    reads=(0, 2),
    name="heatmaps",
    more=(),
    outputs=(),
):
    """Return Bright.

    Args:
        shape: Shape of the input, with a name, None or -1 for an open dimension.
        kind: Type of the input.
        gives: Type of the heatmaps.
        nhwc: The input is NHWC.
        maps_nhwc: The heatmaps are NHWC.
        reads: Channel whose mean each map is.
        name: Name of the heatmaps.
        more: Further nodes.
        outputs: Further outputs.
    """
    channels = shape[3] if nhwc else shape[1]
    weight = np.zeros((len(reads), channels, 4, 4), np.float32)
    for index, channel in enumerate(reads):
        weight[index, channel] = 1 / 16
    nodes = [
        helper.make_node("Cast", ["picture"], ["cast"], to=F32),
        helper.make_node("Mul", ["cast", "unit"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["nchw"], perm=[0, 3, 1, 2] if nhwc else [0, 1, 2, 3]),
        helper.make_node("Conv", ["nchw", "weight"], ["maps"], strides=[4, 4]),
        helper.make_node("Transpose", ["maps"], ["turned"], perm=[0, 2, 3, 1] if maps_nhwc else [0, 1, 2, 3]),
        helper.make_node("Cast", ["turned"], [name], to=gives),
    ]
    constants = [
        numpy_helper.from_array(weight, "weight"),
        numpy_helper.from_array(np.float32(1 / 255 if kind == U8 else 1), "unit"),
    ]
    graph = helper.make_graph(
        [*nodes, *more],
        "bright",
        [helper.make_tensor_value_info("picture", kind, shape)],
        [helper.make_tensor_value_info(name, gives, [None] * 4), *outputs],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def picture(size=SIZE):
    """A dark picture with a red and a blue dot."""
    image = np.full((*size, 3), 20, np.uint8)
    for (x, y), color in ((RED, (250, 30, 10)), (BLUE, (15, 60, 240))):
        image[y - 3 : y + 4, x - 3 : x + 4] = color
    return image


def spec_of(**fields):
    return ModelSpec.heatmaps("bright", ("red", "blue"), **{"input_size": SIZE, **fields})


def check(predictor, channels=(0, 2), tolerance=EXACT, **arguments):
    """Check that the maps are the means over cells of the input's RGB channels, scaled by the spec's mean and std."""
    spec, image = predictor.spec, picture(predictor.spec.input_size)
    result = predictor.predict(image, **arguments)
    rgb = prepare(image, spec, arguments.get("boxes"))[0][..., :3] / 255
    height, width = (side // 4 for side in spec.input_size)
    cells = rgb.reshape(len(rgb), height, 4, width, 4, 3).mean(axis=(2, 4)).transpose(0, 3, 1, 2)[:, list(channels)]
    assert result.heatmaps.dtype == np.float32
    assert result.heatmaps.shape == (len(rgb), 2, height, width)
    moved = slice(None) if spec.color == "rgb" else slice(None, None, -1)
    mean, std = (np.array(v)[moved][list(channels)][:, None, None] for v in (spec.mean, spec.std))
    scaled = cells if spec.input_format.startswith("u8") else (cells - mean) / std
    np.testing.assert_allclose(result.heatmaps, scaled, atol=tolerance)
    np.testing.assert_allclose(result.keypoints.xy[0], [RED, BLUE], atol=1.5)
    return result


class TestSizes:
    @pytest.mark.parametrize(
        "shape",
        [
            (1, 3, "height", "width"),
            ("batch", 3, "height", "width"),
            (None, 3, None, None),
            (-1, 3, *SIZE),
            (None, 3, *SIZE),
            ("side", 3, "side", "side"),
            (1, 3, 64, "width"),
        ],
    )
    def test_open_dimensions_are_those_of_the_spec(self, bright, shape):
        with Predictor(bright(shape=shape), spec=spec_of()) as predictor:
            assert predictor.spec.input_size == SIZE
            check(predictor)

    def test_open_dimensions_of_bytes(self, bright):
        with Predictor(bright(shape=(None, None, None, 3), kind=U8, nhwc=True), spec=spec_of()) as predictor:
            assert predictor.spec.input_size == SIZE
            check(predictor)

    def test_the_argument_goes_before_the_spec(self, bright):
        path = bright(shape=("batch", 3, "height", "width"))
        with Predictor(path, spec=spec_of(), input_size=(100, 120)) as predictor:
            assert predictor.spec.input_size == (100, 120)
            check(predictor)

    def test_a_fixed_size_goes_before_the_spec(self, bright):
        with Predictor(bright(), spec=spec_of(input_size=(128, 128))) as predictor:
            assert predictor.spec.input_size == SIZE

    @pytest.mark.parametrize("shape", [("n", 3, "h", "w"), (None, 3, None, 96)])
    def test_without_a_size_the_error_says_what_to_type(self, bright, shape):
        path = bright(shape=shape)
        with pytest.raises(ModelFileError, match=r"bright\..*f32 \[1, 3, .*input_size=\(height, width\)"):
            runtimes.load(path)
        assert runtimes.load(path, input_size=SIZE).describe().input_size == SIZE

    @pytest.mark.parametrize("size", [(368, 368), (360, 640), (100, 100)])
    def test_any_multiple_of_the_stride(self, bright, size):
        path = bright(shape=(1, 3, *size))
        with Predictor(path, spec=spec_of()) as predictor:
            assert predictor.spec.input_size == size
            check(predictor)
        crops = spec_of(crop="hrnet", cell_offset=1.5)
        with Predictor(path, spec=crops) as predictor:
            check(predictor, boxes=[[0.0, 0.0, size[1] / 1.25, size[0] / 1.25]])

    def test_a_size_that_the_stride_does_not_divide(self, bright):
        with pytest.raises(SpecError, match=r"102x100 .*100x100 and 104x100"):
            Predictor(bright(shape=(1, 3, 102, 100)), spec=spec_of())
        with pytest.raises(InputError, match=r"102x100"):
            Predictor(bright(shape=(1, 3, "h", "w")), spec=spec_of(), input_size=(102, 100))

    @pytest.mark.parametrize("batch", [2, 5])
    def test_a_batch_of_several_pictures(self, bright, batch):
        with Predictor(bright(shape=(batch, 3, *SIZE)), spec=spec_of()) as predictor:
            assert predictor.info()["outputs"] == {"heatmaps": (1, 2, 16, 24)}
            check(predictor)
        with Predictor(bright(shape=(batch, 3, *SIZE)), spec=spec_of(crop="hrnet", cell_offset=1.5)) as predictor:
            check(predictor, boxes=[[0, 0, 76.8, 51.2], [10, 5, 76.8, 51.2]])


class TestTypes:
    @pytest.mark.parametrize(("kind", "gives"), [(F16, F16), (F16, F32), (F32, F16), (F32, F64), (F64, F32)])
    def test_floats_are_cast(self, bright, kind, gives):
        with Predictor(bright(kind=kind, gives=gives), spec=spec_of(mean=0.2, std=0.25)) as predictor:
            check(predictor, tolerance=HALF if F16 in (kind, gives) else EXACT)

    def test_float16_in_a_batch(self, bright):
        with Predictor(bright(shape=(3, 3, *SIZE), kind=F16, gives=F16), spec=spec_of()) as predictor:
            check(predictor, tolerance=HALF)

    def test_outputs_of_other_types_are_not_read(self, bright):
        more = [
            helper.make_node("ArgMax", ["maps"], ["argmax"], axis=1),
            helper.make_node("Constant", [], ["one"], value=numpy_helper.from_array(np.float32(1))),
            helper.make_node("Sub", ["maps", "one"], ["other"]),
            helper.make_node("NonZero", ["other"], ["places"]),
            helper.make_node("Flatten", ["places"], ["row"], axis=0),
            helper.make_node("Cast", ["row"], ["found"], to=F32),
        ]
        outputs = [
            helper.make_tensor_value_info("argmax", I64, [1, 1, 16, 24]),
            helper.make_tensor_value_info("found", F32, [1, None]),
        ]
        with Predictor(bright(more=more, outputs=outputs), spec=spec_of()) as predictor:
            result = check(predictor)
            unread = predictor.info()["settings"]["outputs_not_read"]
            assert "argmax" in unread
            assert "found" in unread
        assert not result.outputs

    def test_only_integers(self, bright):
        with pytest.raises(ModelFileError, match="heatmaps"):
            Predictor(bright(gives=I64), spec=spec_of())


class TestLayouts:
    @pytest.mark.parametrize("kind", [F32, F16, U8])
    @pytest.mark.parametrize("nhwc", [False, True])
    @pytest.mark.parametrize("maps_nhwc", [False, True])
    def test_every_layout_and_type(self, bright, kind, nhwc, maps_nhwc):
        path = bright(shape=(1, *SIZE, 3) if nhwc else (1, 3, *SIZE), kind=kind, nhwc=nhwc, maps_nhwc=maps_nhwc)
        spec = spec_of(outputs=(("heatmaps", "NHWC" if maps_nhwc else "NCHW"),), mean=(0.1, 0.2, 0.3), std=0.5)
        with Predictor(path, spec=spec) as predictor:
            assert predictor.spec.input_format == f"{'u8' if kind == U8 else 'float'} {'NHWC' if nhwc else 'NCHW'}"
            check(predictor, tolerance=HALF if kind == F16 else EXACT)

    def test_open_sides_of_nhwc(self, bright):
        path = bright(shape=("n", "h", "w", 3), nhwc=True, maps_nhwc=True, name="Identity")
        with Predictor(path, spec=spec_of(outputs=(("heatmaps", "NHWC"),))) as predictor:
            check(predictor)

    def test_the_error_says_which_layout_to_write(self, bright):
        with pytest.raises(SpecError, match=r"\(1, 16, 24, 2\).*outputs=\(\('heatmaps', 'NHWC'\),\)"):
            Predictor(bright(maps_nhwc=True), spec=spec_of())

    def test_the_flip_test_mirrors_every_layout(self, bright):
        path = bright(shape=(1, *SIZE, 3), nhwc=True, maps_nhwc=True)
        spec = spec_of(outputs=(("heatmaps", "NHWC"),))
        with Predictor(path, spec=spec, flip_test=True) as predictor:
            check(predictor)


class TestColors:
    @pytest.mark.parametrize("kind", [F32, U8])
    @pytest.mark.parametrize("nhwc", [False, True])
    def test_one_channel_is_gray(self, bright, kind, nhwc):
        path = bright(shape=(1, *SIZE, 1) if nhwc else (1, 1, *SIZE), kind=kind, nhwc=nhwc, reads=(0, 0))
        with Predictor(path, spec=spec_of(mean=0.25, std=0.5)) as predictor:
            spec = predictor.spec
            result = predictor.predict(picture())
        assert spec.channels == 1
        rgb = prepare(picture(), spec)[0][0, ..., :3]
        gray = np.rint(rgb @ [0.299, 0.587, 0.114]) / 255
        cells = gray.reshape(16, 4, 24, 4).mean(axis=(1, 3))
        scaled = cells if kind == U8 else (cells - 0.25) / 0.5
        np.testing.assert_allclose(result.heatmaps[0], [scaled, scaled], atol=EXACT)
        # Red of 250 is as bright as 94, and blue of 240 as 67.
        np.testing.assert_allclose(result.keypoints.xy[0], [RED, RED], atol=1.5)

    def test_one_channel_with_the_mean_of_three(self, bright):
        with pytest.raises(SpecError, match=r"mean=\(0\.1, 0\.2, 0\.3\).*one channel"):
            Predictor(bright(shape=(1, 1, *SIZE), reads=(0, 0)), spec=spec_of(mean=(0.1, 0.2, 0.3)))

    @pytest.mark.parametrize("kind", [F32, U8])
    def test_bgr(self, bright, kind):
        # The mean is in the order of the network: 0.1 for blue.
        with Predictor(
            bright(kind=kind, reads=(2, 0)), spec=spec_of(color="bgr", mean=(0.1, 0.2, 0.3), std=0.5)
        ) as predictor:
            check(predictor)

    def test_info_names_the_colors(self, bright, tmp_path, capsys):
        file = tmp_path / "spec.json"
        file.write_text(spec_of(color="bgr").to_json())
        assert main(["info", str(bright()), "--spec", str(file)]) == 0
        assert "float NCHW 1x3x64x96, BGR" in capsys.readouterr().out
        assert (
            main(["info", str(bright(shape=(1, 1, *SIZE), reads=(0, 0))), "--spec", str(tmp_path / "spec.json")]) == 0
        )
        assert "float NCHW 1x1x64x96, gray" in capsys.readouterr().out

    def test_values_in_0_to_255(self, bright):
        with Predictor(bright(), spec=spec_of(std=1 / 255)) as predictor:
            assert check(predictor, tolerance=5e-3).heatmaps.max() > 200

    def test_rgb_given_to_bgr_swaps_the_answers(self, bright):
        with Predictor(bright(reads=(2, 0)), spec=spec_of()) as predictor:
            xy = predictor.predict(picture()).keypoints.xy[0]
        np.testing.assert_allclose(xy, [BLUE, RED], atol=1.5)


def stages():
    """Two further stages, which are the heatmaps upside down."""
    constant = helper.make_node("Constant", [], ["minus"], value=numpy_helper.from_array(np.float32(-1)))
    nodes = [constant, *(helper.make_node("Mul", ["maps", "minus"], [name]) for name in ("stage0", "stage1"))]
    return nodes, [helper.make_tensor_value_info(name, F32, [None] * 4) for name in ("stage0", "stage1")]


class TestOutputs:
    def test_the_spec_names_the_heatmaps(self, bright):
        more, outputs = stages()
        path = bright(name="stage2", more=more, outputs=outputs)
        with Predictor(path, spec=spec_of(outputs=(("stage2", "NCHW"),))) as predictor:
            result = check(predictor)
        assert sorted(result.outputs) == ["stage0", "stage1"]

    def test_another_output_is_called_heatmaps(self, bright):
        more, outputs = stages()
        more[-1].output[0] = outputs[-1].name = "heatmaps"
        path = bright(name="stage2", more=more, outputs=outputs)
        with Predictor(path, spec=spec_of(outputs=(("stage2", "NCHW"),))) as predictor:
            check(predictor)

    def test_several_without_a_name(self, bright):
        more, outputs = stages()
        with pytest.raises(SpecError, match=r"\['stage0', 'stage1', 'stage2'\].*outputs=\(\(NAME, 'NCHW'\),\)"):
            Predictor(bright(name="stage2", more=more, outputs=outputs), spec=spec_of())

    @pytest.mark.parametrize("maps_nhwc", [False, True])
    def test_further_maps_are_left_out(self, bright, maps_nhwc):
        path = bright(reads=(0, 2, 1, 1), maps_nhwc=maps_nhwc)
        layout = "NHWC" if maps_nhwc else "NCHW"
        with Predictor(path, spec=spec_of(maps=4, outputs=(("heatmaps", layout),))) as predictor:
            check(predictor)

    def test_further_maps_that_nobody_stated(self, bright):
        with pytest.raises(SpecError, match=r"\(1, 2, 16, 24\).*\(1, 3, 16, 24\).*maps=3"):
            Predictor(bright(reads=(0, 2, 1)), spec=spec_of())

    def test_fewer_maps_than_keypoints(self, bright):
        with pytest.raises(SpecError, match=r"\(1, 2, 16, 24\).*\(1, 1, 16, 24\)$"):
            Predictor(bright(reads=(0,)), spec=spec_of())


def test_networks_of_this_project_still_need_multiples_of_32(openvino_model):
    with pytest.raises(InputError, match=r"100x100 .*multiples of 32"):
        Predictor(openvino_model.path, input_size=(100, 100))
