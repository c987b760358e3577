"""ONNX files: check and seal them, run them with ONNX Runtime on the CPU, or elsewhere through its providers."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.base import (
    METADATA_KEY,
    AbsentDeviceError,
    Batch,
    ClosedError,
    Description,
    Device,
    DeviceError,
    Input,
    Layer,
    MissingExtraError,
    ModelFileError,
)
from runtimes.cpus import thread_limit
from runtimes.onnx_graph import import_onnx, read_checked, read_layers, remove_notes

FOR_TENSORRT = ".tensorrt.onnx"  # how names of files end that TensorRT builds plans from
CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"
# what device= may be, with the provider's own name of the device in a group -> (provider, that name if left out)
_DEVICES = {
    r"cpu()": (CPU, ""),
    r"(?:cuda|gpu)(?:[:.](\d+))?": (CUDA, "0"),
    r"tensorrt(?:[:.](\d+))?": (TENSORRT, "0"),
    r"openvino(?:[:.](cpu|gpu(?:\.\d+)?|npu))?": (OPENVINO, "cpu"),
}
_PACKAGES = {CUDA: "onnxruntime-gpu", TENSORRT: "onnxruntime-gpu", OPENVINO: "onnxruntime-openvino"}
_FATAL = 4  # severity; what goes wrong is raised, and needs no line on stderr as well


def _onnxruntime() -> ModuleType:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(
            f"an .onnx file needs ONNX Runtime ({error}); type: pip install 'edgehrnet[onnx]'"
        ) from None
    module: ModuleType = onnxruntime
    return module


def build(onnx_path: Path, out: Path, metadata: str) -> tuple[Layer, ...]:
    """Check an ONNX file and write it to ``out``, a single file, with ``metadata`` in its ``metadata_props``.

    ONNX Runtime then prepares the file for the CPU, and the operations that it really runs there are returned. A
    convolution counts as integer only where ONNX Runtime made it one: a Conv between a DequantizeLinear and anything
    but a QuantizeLinear stays a float one, and is reported so.

    Raises ModelFileError if the file breaks the ONNX standard or has operators outside of it.
    """
    onnx = import_onnx()
    model = read_checked(onnx_path)
    remove_notes(model)
    model.metadata_props.add(key=METADATA_KEY, value=metadata)
    onnx.save_model(model, out)
    return executed_layers(out)


def executed_layers(path: Path) -> tuple[Layer, ...]:
    """Read from ONNX Runtime's own graph what it makes of a file on the CPU."""
    ort = _onnxruntime()
    options = _session_options(ort, None)
    # All that decides precisions; one level further, convolutions are laid out for the CPU and lose their names.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(optimized)
        _open(ort, path, options, "cpu", CPU, {})
        return read_layers(path, optimized)


class ONNXRuntime:
    """One ONNX file in a session of ONNX Runtime; see Runtime. Safe to call from several threads.

    ``device``: None or ``cpu``; ``cuda``, ``cuda:1`` (or ``gpu``, ``gpu.1``); ``tensorrt``, ``tensorrt:1``;
    ``openvino``, ``openvino:gpu``, ``openvino:npu``. What is not the CPU's has to be in the onnxruntime installed.
    A provider may leave single operations to the CPU: ``describe().settings["nodes"]`` counts them.
    """

    def __init__(
        self,
        path: Path,
        device: str | None = None,
        *,
        input_size: tuple[int, int] | None = None,
        threads: int | None = None,
        cache_dir: str | Path | None = None,
    ) -> None:
        ort = _onnxruntime()
        provider, place = _provider(ort, device)
        options = _session_options(ort, threads)
        if path.name.endswith(FOR_TENSORRT):
            # Its optimizer makes something else of float16 quantizers behind a ReLU: 13 times their error in 1.31.
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        settings = _provider_options(provider, place, path, options.intra_op_num_threads, cache_dir)
        session = _open(ort, path, options, device, provider, settings)
        if _fix_dimensions(options, session, input_size):
            session = _open(ort, path, options, device, provider, settings)
        self._input = _input(session, path)
        if input_size not in (None, self._input.size):
            height, width = self._input.size
            raise ModelFileError(
                f"{path} runs at {height}x{width} only; leave out input_size, "
                f"or export it with --size {input_size[0]}x{input_size[1]}"
            )
        self._shapes = _output_shapes(session, path)
        self._input_name = session.get_inputs()[0].name
        self._path, self._version = path, ort.__version__
        self._device = ":".join(filter(None, (provider.removesuffix("ExecutionProvider"), place)))
        self._session: Any = session

    def run(self, image: Batch) -> dict[str, NDArray[np.float32]]:
        """Run a batch, one picture after the other; the outputs belong to the caller."""
        session = self._open_session()  # kept until the end, whoever closes the runtime meanwhile
        self._input.check(image)
        image = np.ascontiguousarray(image)
        names = list(self._shapes)
        try:
            found = [session.run(names, {self._input_name: image[n : n + 1]}) for n in range(len(image))]
        except Exception as error:
            raise ModelFileError(f"{self._path} fails on {self._device}: {_reason(error)}") from None
        if len(found) == 1:  # as the engine gave it: no copy of the 4 MB of features
            return dict(zip(names, found[0], strict=True))
        empty = [np.empty((0, *shape[1:]), np.float32) for shape in self._shapes.values()]
        return {name: np.concatenate(arrays) for name, *arrays in zip(names, empty, *found, strict=True)}

    def describe(self) -> Description:
        """Say what is loaded, on which device, and how many operations run by which provider."""
        session = self._open_session()
        nodes: dict[str, int] = {}
        if hasattr(session, "get_provider_graph_assignment_info"):  # older versions do not tell
            for part in session.get_provider_graph_assignment_info():
                nodes[part.ep_name] = nodes.get(part.ep_name, 0) + len(part.get_nodes())
        settings = {"nodes": nodes, "inference_threads": session.get_session_options().intra_op_num_threads}
        return Description(
            engine="onnxruntime",
            version=self._version,
            device=self._device,
            input=self._input,
            outputs=self._shapes,
            metadata=session.get_modelmeta().custom_metadata_map.get(METADATA_KEY),
            settings={key: value for key, value in settings.items() if value},
        )

    def close(self) -> None:
        """Release the session; calls in flight still end, on what is freed with the last of them."""
        self._session = None

    def _open_session(self) -> Any:
        session = self._session
        if session is None:
            raise ClosedError("this runtime is closed; load the file again")
        return session


def devices() -> list[Device]:
    """Return the providers that the installed onnxruntime has; which of them start shows when a file is loaded."""
    names = {CPU: "cpu", CUDA: "cuda", TENSORRT: "tensorrt", OPENVINO: "openvino"}
    present = _onnxruntime().get_available_providers()
    return [Device(name, provider) for provider, name in names.items() if provider in present]


def _provider(ort: ModuleType, device: str | None) -> tuple[str, str]:
    """Map our device names to a provider and one of its devices, refusing what is not there."""
    name = "cpu" if device is None else str(device).lower()
    for pattern, (provider, usual) in _DEVICES.items():
        match = re.fullmatch(pattern, name)
        if match is None:
            continue
        present = ort.get_available_providers()
        if provider not in present:
            raise AbsentDeviceError(
                f"device {device!r} is not present: onnxruntime has no {provider} here, only {', '.join(present)}; "
                f"type: pip uninstall onnxruntime; pip install {_PACKAGES[provider]}"
            )
        return provider, (match[1] or usual).upper()
    raise DeviceError(
        f"device {device!r}: an .onnx file runs on cpu, cuda, cuda:1 (or gpu, gpu.1), tensorrt, tensorrt:1, openvino, "
        "openvino:gpu or openvino:npu"
    )


def _session_options(ort: ModuleType, threads: int | None) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    limit = threads or thread_limit()
    if limit:
        options.intra_op_num_threads = limit
        # Threads that spin while they wait use up the CPU time that the limit is there to save.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _provider_options(
    provider: str, place: str, path: Path, threads: int, cache_dir: str | Path | None
) -> dict[str, str]:
    cache = "" if cache_dir is None else str(cache_dir)
    # Without the switch, TensorRT refuses files with quantizers, and with it, files without.
    quantized = provider == TENSORRT and b"QuantizeLinear" in path.read_bytes()
    options = {
        CPU: {},
        # What was trained is what runs: neither TF32 nor bfloat16 unasked.
        CUDA: {"device_id": place, "use_tf32": "0"},
        OPENVINO: {
            "device_type": place,
            "precision": "FP32" if place == "CPU" else "",
            "num_of_threads": str(threads or ""),
            "cache_dir": cache,
        },
        TENSORRT: {
            "device_id": place,
            "trt_int8_enable": "1" if quantized else "",
            "trt_engine_cache_enable": "1" if cache else "",
            "trt_engine_cache_path": cache,
        },
    }
    return {key: value for key, value in options[provider].items() if value}


def _open(
    ort: ModuleType, path: Path, options: Any, device: str | None, provider: str, settings: dict[str, str]
) -> Any:
    """Open a session that runs on ``provider``, or raise; left alone, ONNX Runtime takes the CPU instead."""
    try:
        session = ort.InferenceSession(str(path), options, providers=[(provider, settings)], enable_fallback=0)
    except Exception as error:  # its errors share no base class; what it says is how those of the file are known
        if provider == CPU or "Load model from" in str(error):
            raise ModelFileError(f"{path} is not a usable ONNX file: {_reason(error)}") from None
        raise DeviceError(f"device {device!r} cannot run {path} ({provider}): {_reason(error)}") from None
    if session.get_providers()[0] != provider:
        raise AbsentDeviceError(
            f"device {device!r} does not start ({provider}): it, or a library that it needs, is missing here; "
            "onnxruntime has printed which"
        )
    return session


def _fix_dimensions(options: Any, session: Any, input_size: tuple[int, int] | None) -> bool:
    """Give each dimension that a file names rather than numbers its number; return whether there is one."""
    shape, kind = session.get_inputs()[0].shape, session.get_inputs()[0].type
    sides = (1, *(input_size or ())) if kind == "tensor(uint8)" else (1, None, *(input_size or ()))
    named = [(name, side) for name, side in zip(shape, sides, strict=False) if isinstance(name, str) and side]
    for name, side in named:
        options.add_free_dimension_override_by_name(name, side)
    return bool(named)


def _input(session: Any, path: Path) -> Input:
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise ModelFileError(f"{path}: expected one static input, found {len(inputs)}")
    kind = {"tensor(uint8)": "u8", "tensor(float)": "f32"}.get(inputs[0].type, inputs[0].type)
    return Input.read(path, kind, inputs[0].shape)


def _output_shapes(session: Any, path: Path) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for output in session.get_outputs():
        if output.type != "tensor(float)" or not all(isinstance(side, int) for side in output.shape):
            found = f"{output.name}: {output.type} {output.shape}"
            raise ModelFileError(f"{path}: expected static float32 outputs, found {found}")
        shapes[output.name] = tuple(output.shape)
    return shapes


def _reason(error: Exception) -> str:
    """The first line of an error, without ONNX Runtime's own code before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rpartition("] : ")[2] if lines else type(error).__name__
