"""Leave the input of an ONNX file open: the number of pictures, and height and width unless they are crops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import onnx

from edgehrnet.errors import InputError, ModelFileError
from edgehrnet.picture.letterbox import MULTIPLE
from edgehrnet.spec import ModelSpec
from runtimes.onnx import ONNXRuntime

CROPS: Mapping[str, str] = {"N": "pictures"}
WHOLE: Mapping[str, str] = {**CROPS, "H": "height", "W": "width"}


def open_input(path: Path, out: Path, spec: ModelSpec) -> None:
    """Write a copy of a file that takes any number of pictures, of any size unless they are crops.

    The nodes stay as they are. Not all networks have nodes that take other sizes, see `check_open`.

    Args:
        path: The file, with an input in NHWC.
        out: The copy.
        spec: Spec of the file.
    """
    model = onnx.load(path)
    names = WHOLE if spec.crop is None else CROPS
    _name(model.graph.input[0], "NHWC", names)
    for output in model.graph.output:
        own = {axis: name if axis == "N" else f"{output.name}_{name}" for axis, name in names.items()}
        _name(output, dict(spec.outputs)[output.name], own)
    del model.graph.value_info[:]  # shapes at the file's size
    onnx.save_model(model, out)


def check_open(path: Path, spec: ModelSpec) -> None:
    """Raise InputError unless a file that `open_input` made runs two pictures at once, and at another size."""
    height, width = spec.input_size
    other = (height + MULTIPLE, width + MULTIPLE) if spec.crop is None else spec.input_size
    try:
        runtime = ONNXRuntime(path, "cpu", shapes=2, batch=2)
        runtime.run(replace(runtime.describe().input, size=other).blank(2))
        runtime.close()
    except ModelFileError as error:
        raise InputError(
            f"--open-input: the network {spec.name} has the size of its input in its operations ({error}); leave it out"
        ) from None


def _name(tensor: onnx.ValueInfoProto, order: str, names: Mapping[str, str]) -> None:
    for axis, dim in zip(order, tensor.type.tensor_type.shape.dim, strict=True):
        if axis in names:
            dim.dim_param = names[axis]
