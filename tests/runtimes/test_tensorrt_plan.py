import json

import pytest

from runtimes.base import Layer
from runtimes.errors import ModelFileError
from runtimes.tensorrt_plan import CHECKED_VERSIONS, Sidecar, inspected_layers, plan_layers, sidecar_path

SIDECAR = Sidecar(
    "tensorrt_rtx",
    "1.7.1.116",
    (8, 6),
    (1, 8, 12, 4),
    "a",
    "b",
    "é",
    (Layer("a", "Convolution", "i8", ("x", "y"), 10),),
)


def tensor(name, kind, dims):
    return (
        f'  tensor={{ alignment=128 dims={{ {dims} }} mem_prop=0 name="{name}" offset=0 region="devmem" type={kind} }}'
    )


def operation(kind, read, written, sources="[ONNX Layer: conv][ONNX Layer: act]"):
    read = " ".join(f'"{name}"' for name in read)
    return f'  {kind}={{ name="node" output={{"{written}" }} input={{{read} }} stream=0 layers="{sources}" a=false }}'


def part(*lines):
    text = "\n".join(["header {", "  version = 5", "}", "descriptors {", *lines, "}", ""]).encode()
    return b"NLYM\xa1\xda\x1e\x00" + len(text).to_bytes(8, "little") + text


def plan(*lines):
    return b"\0\1\2" + part(*lines) + b"\xff" * 9


def layers_of(content):
    return plan_layers(content, CHECKED_VERSIONS[-1])


TENSORS = [tensor("x", "int8", "1 16 8 8"), tensor("w", "int8", "32 16 3 3"), tensor("y", "float", "1 32 8 8")]
CONVOLUTION = operation("corrltn", ["x", "w"], "y")


class TestPlanLayers:
    def test_convolution(self):
        # 8 * 8 output positions with 32 * 16 * 3 * 3 products each.
        expected = Layer("node", "Convolution", "i8", ("conv", "act"), 64 * 4608)
        assert layers_of(plan(*TENSORS, CONVOLUTION)) == (expected,)

    @pytest.mark.parametrize(
        ("first", "second", "precision"), [("half", "half", "f16"), ("float", "int8", "f32/i8"), ("fp8", "fp8", "fp8")]
    )
    def test_precision_of_a_convolution_is_that_of_its_inputs(self, first, second, precision):
        tensors = [tensor("x", first, "1 16 8 8"), tensor("w", second, "32 16 3 3"), TENSORS[2]]
        assert layers_of(plan(*tensors, CONVOLUTION))[0].precision == precision

    def test_convolution_compiled_as_a_matrix_product(self):
        tensors = [tensor("w", "half", "1 32 16"), tensor("x", "half", "1 16 64"), tensor("y", "half", "1 32 64")]
        line = operation("fully_connected", ["w", "x"], "y", "[ONNX Layer: conv]__gemm_from_conv1x1")
        expected = Layer("node", "Convolution", "f16", ("conv",), 64 * 32 * 16)
        assert layers_of(plan(*tensors, line)) == (expected,)

    def test_other_matrix_products_are_not_convolutions(self):
        tensors = [tensor("w", "half", "1 32 16"), tensor("x", "half", "1 16 64"), tensor("y", "half", "1 32 64")]
        (layer,) = layers_of(plan(*tensors, operation("fully_connected", ["w", "x"], "y")))
        assert (layer.type, layer.macs) == ("fully_connected", 0)

    def test_other_operations_keep_the_names_of_the_plan(self):
        layers = layers_of(plan(*TENSORS, operation("resize", ["x"], "y"), operation("signal", [], "x")))
        assert layers == (Layer("node", "resize", "f32", ("conv", "act")),)

    def test_every_part_has_its_own_tensors(self):
        other = part(tensor("x", "half", "1 16 8 8"), tensor("w", "half", "32 16 3 3"), TENSORS[2], CONVOLUTION)
        summary = operation("runtime_fusion", ["x", "w"], "y")
        layers = layers_of(plan(*TENSORS, CONVOLUTION, summary) + other)
        assert [layer.precision for layer in layers] == ["i8", "f16"]

    def test_refuses_a_convolution_without_described_inputs(self):
        with pytest.raises(ModelFileError, match="'node'"):
            layers_of(plan(*TENSORS[1:], CONVOLUTION))

    @pytest.mark.parametrize("content", [b"", b"\0" * 99, plan(*TENSORS)])
    def test_refuses_content_without_operations(self, content):
        with pytest.raises(ModelFileError, match=CHECKED_VERSIONS[-1]):
            layers_of(content)

    def test_names_an_unknown_version_that_it_cannot_read(self):
        with pytest.raises(ModelFileError, match=r"TensorRT-RTX 9\.9"):
            plan_layers(b"", "9.9")


class TestInspectedLayers:
    def test_reads_layers_of_the_inspector(self):
        layers = [
            {
                "Name": "c",
                "LayerType": "CaskConvolution",
                "Inputs": [{"Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format"}],
                "Outputs": [{"Format/Datatype": "Row major linear FP32"}],
                "Metadata": "[ONNX Layer: conv]",
            },
            {"Name": "r", "LayerType": "Resize", "Inputs": [], "Outputs": [{"Format/Datatype": "Half"}]},
        ]
        expected = (Layer("c", "Convolution", "i8", ("conv",)), Layer("r", "Resize", "f16"))
        assert inspected_layers(json.dumps({"Layers": layers})) == expected

    @pytest.mark.parametrize(
        ("said", "precision"),
        [("UInt8", "u8"), ("BFloat16", "bf16"), ("Row major linear FP32", "f32"), ("Channel major FP16", "f16")],
    )
    def test_precision_is_found_as_a_whole_word(self, said, precision):
        layer = {"Name": "c", "LayerType": "CaskConvolution", "Inputs": [{"Format/Datatype": said}], "Outputs": []}
        assert inspected_layers(json.dumps({"Layers": [layer]}))[0].precision == precision

    @pytest.mark.parametrize("text", ["", "{}", '{"Layers": ["conv1", "conv2"]}', '{"Layers": [{"Name": "a"}]}'])
    def test_refuses_text_without_types(self, text):
        with pytest.raises(ModelFileError):
            inspected_layers(text)


class TestSidecar:
    def test_a_saved_sidecar_reads_back_equal(self, tmp_path):
        path = tmp_path / "corners.engine"
        SIDECAR.save(path)
        assert sidecar_path(path).name == "corners.engine.json"
        assert Sidecar.read(path) == SIDECAR

    @pytest.mark.parametrize(
        "change",
        [
            {"engine": None},
            {"metadata": {}},
            {"compute_capability": "8.6"},
            {"compute_capability": [8]},
            {"input_shape": [1, 8, 12]},
            {"input_shape": 8},
            {"layers": [{"name": "a"}]},
            {"layers": 3},
            {"surprise": 1},
        ],
        ids=str,
    )
    def test_refuses_damaged_values(self, tmp_path, change):
        path = tmp_path / "corners.engine"
        SIDECAR.save(path)
        values = json.loads(sidecar_path(path).read_text(encoding="utf-8"))
        del values["checksum"]
        sidecar_path(path).write_text(json.dumps(values))
        assert Sidecar.read(path) == SIDECAR  # one of an earlier build
        sidecar_path(path).write_text(json.dumps(values | change))
        with pytest.raises(ModelFileError, match=r"corners\.engine\.json"):
            Sidecar.read(path)

    def test_refuses_a_changed_character(self, tmp_path):
        path = tmp_path / "corners.engine"
        SIDECAR.save(path)
        text = sidecar_path(path).read_text(encoding="utf-8")
        for place in [index for index, character in enumerate(text) if character.isdigit()]:
            other = "1" if text[place] != "1" else "2"
            sidecar_path(path).write_text(text[:place] + other + text[place + 1 :])
            with pytest.raises(ModelFileError, match=r"corners\.engine\.json"):
                Sidecar.read(path)

    @pytest.mark.parametrize("content", ["", "[]", "{}", "3", '{"engine"'])
    def test_refuses_malformed_json(self, tmp_path, content):
        sidecar_path(tmp_path / "a.engine").write_text(content)
        with pytest.raises(ModelFileError, match=r"a\.engine\.json"):
            Sidecar.read(tmp_path / "a.engine")
