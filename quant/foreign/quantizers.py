"""Quantize a float file: with NNCF for OpenVINO, and with ONNX Runtime's own quantizer for ONNX Runtime.

Both put quantizers before and after every operation that their engine runs on integers.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgehrnet.errors import InputError, MissingExtraError, ModelFileError, nearest
from quant.files.onnx_file import integer_convolutions
from quant.foreign.float_files import has_integer_weights, input_of, read_float_onnx, read_float_openvino
from runtimes import onnx, openvino, openvino_ports
from runtimes.base import Batch, Layer
from runtimes.onnx_graph import import_onnx
from runtimes.ports import Size

Prepare = Callable[[NDArray[np.uint8]], Batch]
"""Turns a picture into a batch of one input, in the layout of the file, u8 or float32."""


def quantize_for_openvino(
    source: Path,
    out: Path,
    pictures: Sequence[NDArray[np.uint8]],
    prepare: Prepare,
    size: Size,
    notes: tuple[str, dict[str, str]],
    keep_float: Collection[str] = (),
) -> tuple[tuple[Layer, ...], int]:
    """Quantize an IR or ONNX file with NNCF, and write it as IR.

    Args:
        source: The float file.
        out: File to write, ending in ``.xml``.
        pictures: Calibration pictures ``(H, W, 3)`` u8 RGB.
        prepare: Turns one of them into an input.
        size: (height, width) for what the file leaves open.
        notes: Metadata and model_info to store, see runtimes.openvino.build.
        keep_float: Names of the file's operations that stay in float.

    Returns:
        The operations as OpenVINO runs them, and the number of convolutions with integer weights.

    Raises:
        InputError: The file is quantized already, or has no operation of that name.
        MissingExtraError: NNCF is not installed.
        ModelFileError: NNCF cannot quantize the file.
    """
    model = read_float_openvino(source, size)
    # The weights of a convolution may have the name that it has in an ONNX file. Only operations can be left in float.
    operations = [op for op in model.get_ops() if op.get_type_name() not in ("Constant", "Parameter", "Result")]
    _check_names(source, keep_float, [op.get_friendly_name() for op in operations])
    port = openvino_ports.input_port(model, source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nncf = _nncf()
        data = nncf.Dataset(pictures, lambda picture: port.array(prepare(picture)))
        try:
            quantized = nncf.quantize(
                model,
                data,
                subset_size=len(pictures),
                preset=nncf.QuantizationPreset.MIXED,
                ignored_scope=nncf.IgnoredScope(names=list(keep_float)),
            )
        except Exception as error:  # its errors share no base class with those of OpenVINO
            raise ModelFileError(f"NNCF cannot quantize {source}: {_reason(error)}") from None
    metadata, info = notes
    layers = openvino.save(quantized, out, metadata, half=True, info=info)
    return layers, sum(map(_reads_integers, quantized.get_ops()))


def _reads_integers(op: Any) -> bool:
    """Return whether an operation is a convolution whose weights are stored as integers."""
    if "Convolution" not in op.get_type_name():
        return False
    weights = op.input_value(1).get_node()
    while weights.get_input_size() and not has_integer_weights(weights):
        weights = weights.input_value(0).get_node()
    return bool(weights.get_input_size())


def _nncf() -> Any:
    try:
        import nncf
    except ImportError as error:
        raise MissingExtraError(
            f"quantizing a file for OpenVINO needs NNCF ({error}); type: pip install 'edgehrnet[foreign]', or pass "
            "--targets onnx for an .onnx file"
        ) from None
    return nncf


def quantize_for_onnx(
    source: Path,
    out: Path,
    pictures: Sequence[NDArray[np.uint8]],
    prepare: Prepare,
    size: Size,
    notes: tuple[str, dict[str, str]],
) -> tuple[tuple[Layer, ...], int]:
    """Quantize an ONNX file with ONNX Runtime's quantizer. See `quantize_for_openvino` for arguments and errors.

    All operations that ONNX Runtime runs on integers are quantized. None can be kept in float, because ONNX Runtime
    also quantizes a float convolution between two quantizers.
    """
    from onnxruntime import quantization

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fixed, prepared, quantized = (Path(folder) / f"{name}.onnx" for name in ("fixed", "prepared", "quantized"))
        model = read_float_onnx(source, size)
        import_onnx().save_model(model, fixed)
        name, port = input_of(model, source)
        try:
            quantization.quant_pre_process(fixed, prepared, skip_symbolic_shape=True)
            quantization.quantize_static(
                prepared,
                quantized,
                _Reader(name, (port.array(prepare(picture)) for picture in pictures)),
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
        except Exception as error:  # the quantizer and ONNX Runtime raise errors of many classes
            raise ModelFileError(f"ONNX Runtime cannot quantize {source}: {_reason(error)}") from None
        layers = onnx.build(quantized, out, *notes)
    return layers, integer_convolutions(out)


class _Reader:
    """Give ONNX Runtime's calibration one input after the other."""

    def __init__(self, name: str, inputs: Iterator[Batch]) -> None:
        self._name, self._inputs = name, inputs

    def get_next(self) -> dict[str, Batch] | None:
        """Return the next input by its name, None after the last."""
        batch = next(self._inputs, None)
        return None if batch is None else {self._name: batch}


def _check_names(source: Path, wanted: Collection[str], known: Sequence[str]) -> None:
    for name in wanted:
        if name not in known:
            raise InputError(f"--keep-float: {source} has no operation {name!r}; {nearest(name, known)}")


def _reason(error: Exception) -> str:
    """Return the first line of an error."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
