"""Leave the input of an ONNX file open: its height and width, or the number of crops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import onnx

from edgehrnet.errors import InputError, ModelFileError
from edgehrnet.picture.letterbox import MULTIPLE
from edgehrnet.spec import ModelSpec
from runtimes.onnx import ONNXRuntime

SIDES: Mapping[str, str] = {"H": "height", "W": "width"}
CROPS: Mapping[str, str] = {"N": "crops"}


def open_input(path: Path, out: Path, spec: ModelSpec) -> None:
    """Write a copy of a file whose input has open sides, or any number of crops if its network takes crops.

    The nodes stay as they are. Not all networks have nodes that take other sizes, see `check_open`.

    Args:
        path: The file, with an input in NHWC.
        out: The copy.
        spec: Spec of the file.
    """
    model = onnx.load(path)
    names = SIDES if spec.crop is None else CROPS
    _name(model.graph.input[0], "NHWC", names)
    for output in model.graph.output:
        order = dict(spec.outputs)[output.name]
        _name(output, order, {axis: f"{output.name}_{name}" if axis in SIDES else name for axis, name in names.items()})
    del model.graph.value_info[:]  # shapes at the file's size
    onnx.save_model(model, out)


def check_open(path: Path, spec: ModelSpec) -> None:
    """Raise InputError unless a file that `open_input` made runs at another size, or on two crops at once."""
    other = (spec.input_size[0] + MULTIPLE, spec.input_size[1] + MULTIPLE)
    try:
        runtime = ONNXRuntime(path, "cpu", shapes=2, batch=1 if spec.crop is None else 2)
        runtime.run(replace(runtime.describe().input, size=other if spec.crop is None else spec.input_size).blank())
        runtime.close()
    except ModelFileError as error:
        raise InputError(
            f"--open-input: the network {spec.name} has the size of its input in its operations ({error}); leave it out"
        ) from None


def _name(tensor: onnx.ValueInfoProto, order: str, names: Mapping[str, str]) -> None:
    for axis, dim in zip(order, tensor.type.tensor_type.shape.dim, strict=True):
        if axis in names:
            dim.dim_param = names[axis]
