"""Run ONNX and OpenVINO files of any kind on the CPU: one array in, all outputs as they are.

`runtimes.load` is for keypoint networks, with outputs of floats and fixed shapes. Detectors give a number of boxes that
depends on the picture, and labels as integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from runtimes.base import existing_file
from runtimes.cpus import thread_limit
from runtimes.errors import MissingExtraError, ModelFileError, UnknownSuffixError
from runtimes.openvino_core import compile_model, new_core, openvino
from runtimes.openvino_file import read_file
from runtimes.openvino_ports import FAILURES, reason

SUFFIXES = (".onnx", ".xml")
_FLOATS = {"tensor(float16)": np.float16, "tensor(float)": np.float32, "f16": np.float16, "f32": np.float32}


class _Session(Protocol):
    def __call__(self, image: NDArray[Any]) -> dict[str, NDArray[Any]]: ...


@dataclass(frozen=True)
class PlainModel:
    """An opened file. It is thread-safe."""

    path: Path
    """The file."""
    dtype: Any
    """NumPy float type of the input."""
    shape: tuple[int | None, ...]
    """Shape of the input, None where it is open."""
    outputs: Mapping[str, tuple[int | None, ...]]
    """Shape of each output by name, None where it is open."""
    metadata: Mapping[str, str]
    """Texts stored in an ONNX file, or under ``model_info`` in an OpenVINO file."""
    session: _Session = field(repr=False)

    def run(self, image: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return all outputs by name.

        Raises:
            ModelFileError: The engine refuses the input.
        """
        return self.session(np.ascontiguousarray(image, self.dtype))


def open_plain(path: str | Path, threads: int | None = None) -> PlainModel:
    """Open a file with one input of floats.

    Args:
        path: ``.onnx`` or ``.xml`` file.
        threads: CPU threads of one inference. None uses all that may be used.

    Raises:
        MissingFileError: The file does not exist.
        ModelFileError: The file cannot be used.
        MissingExtraError: The engine is not installed.
        UnknownSuffixError: It is another kind of file.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise UnknownSuffixError(f"no runtime for {str(path)!r}; accepted: {', '.join(SUFFIXES)}")
    opened = _open_onnx if suffix == ".onnx" else _open_openvino
    return opened(existing_file(path), threads or thread_limit())


def _open_onnx(path: Path, threads: int | None) -> PlainModel:
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise MissingExtraError(
            f"an .onnx file needs ONNX Runtime ({error}); type: pip install 'edgehrnet[onnx]'"
        ) from None
    options = ort.SessionOptions()
    options.log_severity_level = 4  # errors are raised, so they are not printed as well
    if threads:
        options.intra_op_num_threads = threads
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no base class
        raise ModelFileError(f"{path} is not usable by ONNX Runtime: {error}") from None
    ports, names = session.get_inputs(), [output.name for output in session.get_outputs()]
    dtype = _input_type(path, [port.type for port in ports])

    def run(image: NDArray[Any]) -> dict[str, NDArray[Any]]:
        try:
            return dict(zip(names, session.run(names, {ports[0].name: image}), strict=True))
        except Exception as error:  # as above
            raise ModelFileError(f"{path} fails: {error}") from None

    shapes = {output.name: _sides(output.shape) for output in session.get_outputs()}
    metadata = dict(session.get_modelmeta().custom_metadata_map)
    return PlainModel(path, dtype, _sides(ports[0].shape), shapes, metadata, run)


def _open_openvino(path: Path, threads: int | None) -> PlainModel:
    core = new_core()
    model, _ = read_file(openvino(), core, path, None)
    dtype = _input_type(path, [port.get_element_type().get_type_name() for port in model.inputs])
    settings = {"PERFORMANCE_HINT": "LATENCY", **({"INFERENCE_NUM_THREADS": threads} if threads else {})}
    try:
        compiled = compile_model(core, model, "CPU", settings)
    except FAILURES as error:
        raise ModelFileError(f"{path} is not usable by OpenVINO: {reason(error)}") from None
    names = [port.get_any_name() if port.get_names() else f"output-{n}" for n, port in enumerate(compiled.outputs)]

    def run(image: NDArray[Any]) -> dict[str, NDArray[Any]]:
        request = compiled.create_infer_request()
        try:
            request.infer([image])
        except FAILURES as error:
            raise ModelFileError(f"{path} fails: {reason(error)}") from None
        return {name: request.get_output_tensor(n).data.copy() for n, name in enumerate(names)}

    found = [port.get_partial_shape() for port in (compiled.input(0), *compiled.outputs)]
    shapes = [tuple(side.get_length() if side.is_static else None for side in shape) for shape in found]
    metadata = {}
    if model.has_rt_info(["model_info"]):
        metadata = {
            key: str(value.astype(str)) for key, value in model.get_rt_info(["model_info"]).astype(dict).items()
        }
    return PlainModel(path, dtype, shapes[0], dict(zip(names, shapes[1:], strict=True)), metadata, run)


def _input_type(path: Path, kinds: list[str]) -> Any:
    """Return the NumPy type of the only input."""
    if len(kinds) != 1 or kinds[0] not in _FLOATS:
        raise ModelFileError(f"{path}: expected one input of f32 or f16, found {', '.join(kinds) or 'none'}")
    return _FLOATS[kinds[0]]


def _sides(shape: Any) -> tuple[int | None, ...]:
    return tuple(side if isinstance(side, int) and side > 0 else None for side in shape)
