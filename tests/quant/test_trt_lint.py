import json

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edgehrnet.errors import MissingFileError, ModelFileError
from edgehrnet.models.checkpoints import load_checkpoint
from edgehrnet.models.deploy.frozen import freeze
from edgehrnet.models.deploy.loading import deployable, deployed_spec
from quant.files.onnx_file import write_onnx
from quant.files.tensorrt_rules import trt_lint
from quant.trt_lint import main

CHECKPOINT = "checkpoints/document-corners.pt"
KINDS = {np.float32: TensorProto.FLOAT, np.float16: TensorProto.FLOAT16, np.uint8: TensorProto.UINT8}


class Net:
    """A graph that grows node by node; `model` closes it."""

    def __init__(self, shape=(1, 4, 8, 8), kind=np.float32, opset=21):
        self.nodes, self.constants, self.kind, self.opset = [], [], kind, opset
        self.input = helper.make_tensor_value_info("x", KINDS[kind], shape)

    def constant(self, value):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, kind, *inputs, name=None, **attributes):
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=name or f"{kind}{output}", **attributes))
        return output

    def qdq(self, x, scale=0.1, zero=0, integers=np.int8, kind=np.float32, **attributes):
        pair = self.constant(np.array(scale, kind)), self.constant(np.full(np.shape(scale), zero, integers))
        return self.node("DequantizeLinear", self.node("QuantizeLinear", x, *pair, **attributes), *pair, **attributes)

    def weights(self, shape=(8, 4, 3, 3), axis=0, low=-127, kind=np.float32):
        values = np.zeros(shape, np.int8)
        values.flat[:2] = low, 127
        scale, zero = np.full(shape[axis], 0.01, kind), np.zeros(shape[axis], np.int8)
        return self.node("DequantizeLinear", *map(self.constant, (values, scale, zero)), axis=axis)

    def conv(self, x, weights=None, kind="Conv"):
        return self.node(kind, x, weights or self.weights(), name="conv", pads=[1] * 4)

    def model(self, output):
        end = helper.make_tensor_value_info(output, TensorProto.UNDEFINED, None)
        graph = helper.make_graph(self.nodes, "g", [self.input], [end], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10)

    def findings(self, output):
        return [(found.severity, found.rule, found.node) for found in trt_lint(self.model(output))]


class TestLegal:
    def test_convolution_of_quantized_inputs(self):
        net = Net()
        assert net.findings(net.conv(net.qdq("x"))) == []

    def test_float_network(self):
        net = Net()
        assert net.findings(net.conv("x", net.constant(np.ones((8, 4, 3, 3), np.float32)))) == []

    def test_half_scales(self):
        net = Net(kind=np.float16)
        x = net.qdq("x", kind=np.float16)
        assert net.findings(net.conv(x, net.weights(kind=np.float16))) == []

    def test_weights_quantized_in_the_file(self):
        net = Net()
        values = net.constant(np.full((8, 4, 3, 3), 1.27, np.float32))
        assert net.findings(net.conv(net.qdq("x"), net.qdq(values, [0.01] * 8, axis=0))) == []


class TestZeroPoint:
    def test_other_than_zero(self):
        net = Net()
        output = net.conv(net.qdq("x", zero=3))
        assert [found[:2] for found in net.findings(output)] == [("error", "zero-point")] * 2
        assert "zero point 3; TensorRT accepts 0 only" in str(trt_lint(net.model(output)))

    def test_computed(self):
        net = Net()
        zero = net.node("Cast", net.node("ReduceMax", "x", keepdims=0), to=TensorProto.INT8)
        scale = net.constant(np.float32(0.1))
        x = net.node("DequantizeLinear", net.node("QuantizeLinear", "x", scale, zero, name="q"), scale, name="dq")
        assert net.findings(net.conv(x)) == [("error", "zero-point", "q")]


class TestType:
    @pytest.mark.parametrize("integers", [np.uint8, np.int16, np.uint16])
    def test_other_integers(self, integers):
        net = Net()
        assert {found[:2] for found in net.findings(net.conv(net.qdq("x", integers=integers)))} == {("error", "type")}

    def test_without_a_zero_point_it_is_uint8(self):
        net = Net()
        scale = net.constant(np.float32(0.1))
        q = net.node("QuantizeLinear", "x", scale, name="q")
        assert net.findings(net.conv(net.node("DequantizeLinear", q, scale, name="dq"))) == [
            ("error", "type", "q"),
            ("error", "type", "dq"),
        ]

    def test_output_dtype_replaces_a_zero_point(self):
        net = Net()
        scale = net.constant(np.float32(0.1))
        q = net.node("QuantizeLinear", "x", scale, output_dtype=TensorProto.INT8)
        assert net.findings(net.conv(net.node("DequantizeLinear", q, scale))) == []

    def test_bias_of_int32(self):
        net = Net()
        bias = [net.constant(value) for value in (np.ones(8, np.int32), np.full(8, 0.1, np.float32))]
        bias = net.node("DequantizeLinear", *bias, name="bias", axis=0)
        output = net.node("Conv", net.qdq("x"), net.weights(), bias, pads=[1] * 4)
        assert net.findings(output) == [("error", "type", "bias")]
        assert "keep the bias in float" in trt_lint(net.model(output))[0].message


class TestScale:
    def test_computed(self):
        net = Net()
        scale, zero = net.node("ReduceMax", "x", keepdims=0), net.constant(np.int8(0))
        x = net.node("DequantizeLinear", net.node("QuantizeLinear", "x", scale, zero, name="q"), scale, zero, name="dq")
        assert net.findings(net.conv(x)) == [("error", "scale", "q"), ("error", "scale", "dq")]

    @pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan])
    def test_not_above_zero(self, scale):
        net = Net()
        assert {found[:2] for found in net.findings(net.conv(net.qdq("x", scale)))} == {("error", "scale")}

    def test_half_scale_in_an_old_opset(self):
        net = Net(kind=np.float16, opset=18)
        x = net.qdq("x", kind=np.float16)
        found = net.findings(net.conv(x, net.weights(kind=np.float16)))
        assert {each[:2] for each in found} == {("error", "scale")}

    def test_other_type_than_the_tensor(self):
        net = Net(kind=np.float16)
        scale, zero = net.constant(np.float32(0.1)), net.constant(np.int8(0))
        net.node("QuantizeLinear", "x", scale, zero, name="q")
        assert ("error", "scale", "q") in net.findings(net.node("DequantizeLinear", "t0", scale, zero))


class TestChannels:
    def test_of_an_activation(self):
        net = Net()
        found = net.findings(net.conv(net.qdq("x", [0.1] * 4, axis=1)))
        assert [each[:2] for each in found] == [("error", "channels")] * 2

    @pytest.mark.parametrize(
        ("kind", "axis", "legal"),
        [("Conv", 0, True), ("Conv", 1, False), ("ConvTranspose", 1, True), ("ConvTranspose", 0, False)],
    )
    def test_axis_of_a_convolution(self, kind, axis, legal):
        net = Net()
        found = net.findings(net.conv(net.qdq("x"), net.weights((4, 4, 3, 3), axis), kind))
        assert [each[:2] for each in found] == ([] if legal else [("error", "channels")])

    @pytest.mark.parametrize(
        ("kind", "attributes", "axis", "legal"),
        [
            ("MatMul", {}, 1, True),
            ("MatMul", {}, 0, False),
            ("Gemm", {"transB": 1}, 0, True),
            ("Gemm", {"transB": 1}, 1, False),
            ("Gemm", {}, 1, True),
        ],
    )
    def test_axis_of_a_product(self, kind, attributes, axis, legal):
        net = Net((4, 4))
        output = net.node(kind, net.qdq("x"), net.weights((4, 4), axis), **attributes)
        assert [each[:2] for each in net.findings(output)] == ([] if legal else [("error", "channels")])

    def test_axis_of_a_product_quantized_in_the_file(self):
        net = Net((4, 4))
        weights = net.qdq(net.constant(np.ones((4, 4), np.float32)), [0.01] * 4, axis=1)
        assert net.findings(net.node("MatMul", net.qdq("x"), weights)) == []

    def test_axis_before_a_transpose_is_not_judged(self):
        net = Net((4, 4))
        weights = net.node("Transpose", net.weights((4, 4), 0), perm=[1, 0])
        assert net.findings(net.node("MatMul", net.qdq("x"), weights)) == []


class TestWeights:
    def test_stored_as_minus_128(self):
        net = Net()
        weights = net.weights(low=-128)
        assert net.findings(net.conv(net.qdq("x"), weights)) == [("error", "weights", "DequantizeLineart0")]

    @pytest.mark.parametrize(("low", "legal"), [(-1.27, True), (-1.28, False)])
    def test_rounded_to_minus_128(self, low, legal):
        net = Net()
        values = net.constant(np.full((8, 4, 3, 3), low, np.float32))
        found = net.findings(net.conv(net.qdq("x"), net.qdq(values, [0.01] * 8, axis=0)))
        assert [each[:2] for each in found] == ([] if legal else [("error", "weights")])


class TestPairs:
    def test_clip_between(self):
        net = Net()
        scale, zero = net.constant(np.float32(0.1)), net.constant(np.int8(0))
        q = net.node("QuantizeLinear", "x", scale, zero, name="q")
        q = net.node("Clip", q, net.constant(np.int8(-127)), net.constant(np.int8(127)))
        output = net.conv(net.node("DequantizeLinear", q, scale, zero, name="dq"))
        assert net.findings(output) == [("error", "pairs", "q"), ("error", "pairs", "dq")]
        assert "Clip" in trt_lint(net.model(output))[1].message

    def test_integers_read_by_others(self):
        net = Net()
        q = net.node("QuantizeLinear", "x", net.constant(np.float32(0.1)), net.constant(np.int8(0)), name="q")
        assert net.findings(net.node("Abs", q)) == [("error", "pairs", "q")]

    def test_operators_on_integers(self):
        net = Net()
        q = net.node("QuantizeLinear", "x", net.constant(np.float32(0.1)), net.constant(np.int8(0)))
        output = net.node("ConvInteger", q, net.constant(np.ones((8, 4, 1, 1), np.int8)), name="c")
        assert net.findings(output) == [("error", "operator", "c")]

    def test_transpose_between_is_legal(self):
        net = Net()
        scale, zero = net.constant(np.float32(0.1)), net.constant(np.int8(0))
        q = net.node("Transpose", net.node("QuantizeLinear", "x", scale, zero), perm=[0, 1, 3, 2])
        assert net.findings(net.conv(net.node("DequantizeLinear", q, scale, zero))) == []


class TestWeighted:
    def test_only_weights_are_quantized(self):
        net = Net()
        assert net.findings(net.conv("x")) == [("error", "weighted", "conv")]

    def test_only_activations_are_quantized(self):
        net = Net()
        output = net.conv(net.qdq("x"), net.constant(np.ones((8, 4, 3, 3), np.float32)))
        assert net.findings(output) == [("error", "weighted", "conv")]
        assert trt_lint(net.model(output))[0].message.startswith("int8 activations")

    def test_float_head_is_a_note(self):
        net = Net()
        head = net.node("Conv", net.conv(net.qdq("x")), net.constant(np.ones((2, 8, 1, 1), np.float32)), name="head")
        assert net.findings(head) == [("note", "weighted", "head")]


class TestResidual:
    def square(self, net, x):
        return net.conv(x, net.weights((4, 4, 3, 3)))

    def test_identity_alone_is_legal(self):
        net = Net()
        x = net.qdq("x")
        assert net.findings(net.node("Add", self.square(net, x), x, name="add")) == []

    def test_both_summands(self):
        net = Net()
        x = net.qdq("x")
        output = net.node("Add", net.qdq(self.square(net, x)), x, name="add")
        assert net.findings(output) == [("error", "residual", "add")]

    def test_the_wrong_summand(self):
        net = Net()
        output = net.node("Add", net.qdq(self.square(net, net.qdq("x"))), "x", name="add")
        assert net.findings(output) == [("error", "residual", "add")]
        assert "quantize the other" in trt_lint(net.model(output))[0].message

    def test_one_of_two_convolutions_is_legal(self):
        net = Net()
        x = net.qdq("x")
        output = net.node("Add", net.qdq(self.square(net, x)), self.square(net, x), name="add")
        assert net.findings(output) == []

    def test_two_activations_are_legal(self):
        net = Net()
        assert net.findings(net.node("Add", net.qdq(net.node("Relu", "x")), net.qdq("x"))) == []


class TestInt8Throughout:
    @pytest.mark.parametrize("other", [0.1, 0.2])
    def test_concat(self, other):
        net = Net()
        output = net.qdq(net.node("Concat", net.qdq("x"), net.qdq("x", other), name="concat", axis=1))
        assert net.findings(output) == ([] if other == 0.1 else [("error", "concat", "concat")])

    def test_output_in_float(self):
        net = Net()
        output = net.node("Relu", net.node("Concat", net.qdq("x"), net.qdq("x"), name="concat", axis=1))
        assert net.findings(output) == [("error", "int8-output", "concat")]

    def test_float_inputs_are_legal(self):
        net = Net()
        assert net.findings(net.node("Concat", net.qdq("x"), "x", axis=1)) == []

    @pytest.mark.parametrize("legal", [True, False])
    def test_pooling(self, legal):
        net = Net()
        pool = net.node("MaxPool", net.qdq("x"), name="pool", kernel_shape=[2, 2])
        output = net.qdq(pool) if legal else net.node("Relu", pool)
        assert net.findings(output) == ([] if legal else [("error", "int8-output", "pool")])


class TestUint8:
    def test_without_a_cast(self):
        net = Net(kind=np.uint8)
        output = net.node("Transpose", "x", name="nchw", perm=[0, 3, 1, 2])
        assert net.findings(output) == [("error", "uint8", "nchw")]

    def test_cast_first(self):
        net = Net(kind=np.uint8)
        output = net.node("Transpose", net.node("Cast", "x", to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
        assert net.findings(output) == []


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The shipped checkpoint in INT8, for TensorRT and for OpenVINO."""
    folder = tmp_path_factory.mktemp("onnx")
    checkpoint = load_checkpoint(CHECKPOINT)
    network = deployable(checkpoint)
    spec = deployed_spec(checkpoint, network, "int8", None)
    for target, dtype in (("tensorrt", torch.float16), ("openvino", torch.float32)):
        write_onnx(freeze(network, checkpoint.table(target), dtype), spec, folder / f"{target}.onnx", dtype)
    return folder


class TestShipped:
    def test_for_tensorrt(self, shipped, capsys):
        assert main([str(shipped / "tensorrt.onnx")]) == 0
        printed = capsys.readouterr().out
        # The three heads are float on purpose.
        assert printed.endswith("tensorrt.onnx: 0 errors, 3 notes\n")
        assert printed.count("weighted") == 3

    def test_for_openvino(self, shipped, capsys):
        path = shipped / "openvino.onnx"
        assert main([str(path), "--json"]) == 1
        found = json.loads(capsys.readouterr().out)
        nodes = {each["node"] for each in found if each["rule"] == "zero-point"}
        assert len(nodes) > 100
        assert nodes < {node.name for node in onnx.load(path).graph.node}
        assert {each["rule"] for each in found if each["severity"] == "error"} == {"zero-point", "type"}


class TestFiles:
    def test_missing_file(self, tmp_path):
        with pytest.raises(MissingFileError, match=r"a\.onnx"):
            trt_lint(tmp_path / "a.onnx")

    @pytest.mark.parametrize("content", [b"", b"hello", b"\0\1\2\xff" * 99])
    def test_other_content(self, tmp_path, content):
        (tmp_path / "a.onnx").write_bytes(content)
        with pytest.raises(ModelFileError, match=r"a\.onnx"):
            trt_lint(tmp_path / "a.onnx")

    def test_status_of_the_command(self, tmp_path, capsys):
        with pytest.raises(SystemExit) as caught:
            main([str(tmp_path / "a.onnx")])
        assert caught.value.code == 2
        assert str(tmp_path / "a.onnx") in capsys.readouterr().err
