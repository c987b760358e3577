"""Only one module imports torch.ao, and torchao provides the same classes."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import quant.int8.torch_ao
from quant.int8.torch_ao import FakeQuantize

ROOT = Path(__file__).parents[3]
PACKAGES = ("edgehrnet", "quant", "runtimes", "samples", "benchmarks")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
WRAPPER = ROOT / "quant" / "int8" / "torch_ao.py"
LEAVING = ("torch.ao", "torchao", "torch.quantization", "torch.nn.quantized", "torch.nn.intrinsic")
# Names that are removed or wrong in torch or torchao. See the docstring of the wrapper.
FORBIDDEN = {
    "convert_fx",
    "convert_pt2e",
    "prepare_fx",
    "prepare_qat",
    "prepare_qat_fx",
    "prepare_pt2e",
    "quantize_fx",
    "quint8",
    "qint8",
    "qint32",
    "quint4x2",
    "quantize_per_tensor",
    "quantize_per_channel",
}


def dotted(node):
    """Return ``a.b.c`` for nested attributes, or an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (start := dotted(node.value)):
        return f"{start}.{node.attr}"
    return ""


def names_used(source):
    """Return every module, name and attribute that code uses, without comments and docstrings."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute):
            yield dotted(node) or node.attr
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Call):
            yield from (
                argument.value
                for argument in node.args
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            )


def belongs_to(name, module):
    return name == module or name.startswith(module + ".")


def leaving(source):
    return {name for name in names_used(source) for module in LEAVING if belongs_to(name, module)}


def forbidden(source):
    found = {name for name in names_used(source) if name.rpartition(".")[2] in FORBIDDEN}
    # Pictures have a `convert` of their own, which takes a mode, and so has OpenVINO.
    for node in ast.walk(ast.parse(source)):
        called = (dotted(node.func) or getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Call) and called.endswith("convert") and called != "op.convert":
            mode = node.args[0] if node.args else None
            if not (isinstance(mode, ast.Constant) and isinstance(mode.value, str)):
                found.add("convert")
    return found


def test_scan_covers_every_package():
    assert WRAPPER in SOURCES
    assert {path.relative_to(ROOT).parts[0] for path in SOURCES} == set(PACKAGES)


@pytest.mark.parametrize(
    "source",
    [
        "import torch.ao.quantization",
        "from torch.ao import quantization",
        "from torch import ao\nimport torchao",
        "import torch\ntorch.ao.quantization.FakeQuantize",
        "import importlib\nimportlib.import_module('torch.ao.quantization')",
        "from torch.quantization import prepare_qat",
    ],
)
def test_scan_finds_torch_ao_imports(source):
    assert leaving(source)


@pytest.mark.parametrize("source", ["torch.quint8", "x(dtype=torch.qint8)", "from a import convert_fx", "convert(net)"])
def test_scan_finds_forbidden_names(source):
    assert forbidden(source)
    assert not forbidden("image.convert('RGB')  # convert_fx of torch.quint8")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_wrapper_imports_torch_ao(path):
    source = path.read_text()
    assert bool(leaving(source)) == (path == WRAPPER)
    assert forbidden(source) == set()


def test_wrapper_exports_only_the_listed_classes():
    assert set(quant.int8.torch_ao.__all__) == {
        "FakeQuantize",
        "HistogramObserver",
        "MinMaxObserver",
        "MovingAverageMinMaxObserver",
        "MovingAveragePerChannelMinMaxObserver",
    }
    assert FakeQuantize.__module__ == "torch.ao.quantization.fake_quantize"


# Run torch without both modules of torch.ao. torchao is imported first, because it imports torch.ao itself.
WITHOUT = """
import json, sys
import torch
from torch.ao.quantization import fake_quantize, observer
import torchao.quantization.pt2e.fake_quantize, torchao.quantization.pt2e.observer
old = {**vars(observer), **vars(fake_quantize)}
sys.modules["torch.ao.quantization.fake_quantize"] = None
sys.modules["torch.ao.quantization.observer"] = None
from quant.int8 import torch_ao

def run(parts, kind, values):
    scheme, first, last, dtype = kind
    per_channel = scheme == torch.per_channel_symmetric
    name = "MovingAveragePerChannelMinMaxObserver" if per_channel else "MovingAverageMinMaxObserver"
    more = {"ch_axis": 0, "averaging_constant": 1.0} if per_channel else {}
    quantizer = parts["FakeQuantize"](
        observer=parts[name], quant_min=first, quant_max=last, dtype=dtype, qscheme=scheme, **more)
    outputs = [quantizer(value) for value in values]
    quantizer.disable_observer()
    outputs.append(quantizer(3 * values[0]))
    return [quantizer.scale, quantizer.zero_point, *outputs]

def observe(parts, name, values):
    watching = parts[name](dtype=torch.uint8)
    for value in values:
        watching(value)
    return [watching.min_val, watching.max_val, getattr(watching, "histogram", torch.zeros(1))]

torch.manual_seed(0)
values = [torch.nn.functional.silu(torch.randn(6, 4, 5, 5) * k) for k in (2.0, 3.0, 1.0)]
new = vars(torch_ao)
kinds = [
    (torch.per_tensor_affine, 0, 255, torch.uint8),
    (torch.per_tensor_symmetric, -128, 127, torch.int8),
    (torch.per_channel_symmetric, -127, 127, torch.int8),
    (torch.per_channel_symmetric, -63, 63, torch.int8),
]
pairs = [(run(old, kind, values), run(new, kind, values)) for kind in kinds]
observers = [name for name in torch_ao.__all__ if name.endswith("Observer") and "PerChannel" not in name]
pairs += [(observe(old, name, values), observe(new, name, values)) for name in observers]
print(json.dumps({
    "modules": sorted({getattr(torch_ao, name).__module__ for name in torch_ao.__all__}),
    "old": old["FakeQuantize"].__module__,
    "equal": [[torch.equal(a, b) for a, b in zip(one, other, strict=True)] for one, other in pairs],
    "rounds": not torch.equal(pairs[0][0][2], values[0]),
}))
"""


def test_torchao_replaces_a_missing_torch_ao():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WITHOUT], capture_output=True, text=True, timeout=300, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found["modules"] == ["torchao.quantization.pt2e.fake_quantize", "torchao.quantization.pt2e.observer"]
    assert found["old"] == "torch.ao.quantization.fake_quantize"
    assert found["rounds"]
    assert len(found["equal"]) == 7
    assert all(all(pair) for pair in found["equal"]), found["equal"]
