"""Build TensorRT plans from ONNX files with `tensorrt_rtx` or `tensorrt`.

`tensorrt_rtx` builds on any machine, and compiles for the GPU when a plan is loaded. `tensorrt` compiles when it
builds, so it must build on the GPU that will run the plan. If both are installed, `tensorrt_rtx` is used.
"""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runtimes import cuda
from runtimes.base import Input, Layer, existing_file
from runtimes.errors import AbsentDeviceError, DeviceError, MissingExtraError, ModelFileError
from runtimes.onnx_metadata import read_metadata
from runtimes.tensorrt_plan import Sidecar, inspected_layers, plan_layers, sha256
from runtimes.writing import new_files, write_file

RTX = "tensorrt_rtx"
ENGINES = (RTX, "tensorrt")  # module names; extras have the same names with a hyphen


def engine_name() -> str:
    """Return the name of the installed module that builds plans, ``tensorrt_rtx`` or ``tensorrt``."""
    return str(installed(*ENGINES).__name__)


def build(
    onnx_path: Path,
    out: Path,
    metadata: str | None = None,
    *,
    compute_capability: tuple[int, int] | None = None,
    timing_cache: Path | None = None,
) -> tuple[Layer, ...]:
    """Build a plan from an ONNX file, keeping the types of all tensors.

    Args:
        onnx_path: ONNX file to build from.
        out: Plan to write. Its sidecar is written next to it as ``<out>.json``.
        metadata: Text to store in the sidecar. None takes the metadata of the ONNX file.
        compute_capability: (major, minor) of the GPU to build for. None means the GPU of this machine, which is the
            only one that `tensorrt` builds for.
        timing_cache: File where `tensorrt` keeps its measurements between builds. TensorRT-RTX measures nothing.

    Returns:
        The operations that the plan runs.

    Raises:
        ModelFileError: TensorRT rejects the file. The text names the node.
        DeviceError: No plan can be built for this GPU on this machine.
        MissingFileError: The ONNX file does not exist.
    """
    onnx_path, trt = existing_file(onnx_path), installed(*ENGINES)
    if timing_cache is not None and trt.__name__ == RTX:
        raise ModelFileError("TensorRT-RTX has no timing cache; leave out timing_cache")
    capability = _capability(trt, compute_capability)
    source, log = onnx_path.read_bytes(), logger(trt)
    builder = trt.Builder(log)
    # Keep the parser: the network uses weights in its memory.
    network, _parser = _parse(trt, builder, log, source, onnx_path)
    config = _configuration(trt, builder, capability)
    with _timings(config, timing_cache):
        built = builder.build_serialized_network(network, config)
    if built is None:
        raise ModelFileError(f"{onnx_path.name}: TensorRT cannot build a plan: {log.last()}")
    plan, shape = bytes(built), tuple(network.get_input(0).shape)
    layers = plan_layers(plan, trt.__version__) if trt.__name__ == RTX else _inspect(trt, log, plan)
    made_by = trt.__name__, trt.__version__, capability
    metadata = read_metadata(onnx_path) if metadata is None else metadata
    with new_files(out) as folder:
        Sidecar(*made_by, shape, sha256(source), sha256(plan), metadata, layers).save(folder / out.name)
        (folder / out.name).write_bytes(plan)
    return layers


def _configuration(trt: Any, builder: Any, capability: tuple[int, int]) -> Any:
    config = builder.create_builder_config()
    # TF32 would round float32 values to 10 bits. For speed there are float16 files.
    config.clear_flag(trt.BuilderFlag.TF32)
    if trt.__name__ == RTX:
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.__members__[_member(capability)], 0)
    else:
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # makes the inspector report types
    return config


def installed(*names: str) -> Any:
    """Import the first of these modules that is installed. Raise MissingExtraError if none is."""
    reasons = []
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError as error:
            reasons.append(str(error))
    extras = " or ".join(f"pip install 'edgehrnet[{name.replace('_', '-')}]'" for name in names)
    raise MissingExtraError(f"a TensorRT file needs {' or '.join(names)} ({'; '.join(reasons)}); type: {extras}")


def _member(capability: tuple[int, int]) -> str:
    return "SM" + "".join(map(str, capability))


def _capability(trt: Any, wanted: tuple[int, int] | None) -> tuple[int, int]:
    """Return the compute capability to build for."""
    if trt.__name__ != RTX:
        present = cuda.compute_capability(0)
        if wanted not in (None, present):
            raise DeviceError(
                f"tensorrt builds only for the GPU of this machine, compute capability {present}, not for {wanted}; "
                "build on a machine with that GPU"
            )
        return present
    if wanted is None:
        try:
            wanted = cuda.compute_capability(0)
        except AbsentDeviceError as error:
            raise AbsentDeviceError(
                f"{error}; or pass the GPU to build for, such as compute_capability=(8, 6)"
            ) from None
    known = [name for name in trt.ComputeCapability.__members__ if name.startswith("SM")]
    if _member(wanted) not in known:
        accepted = ", ".join(f"({name[2:-1]}, {name[-1]})" for name in known)
        raise DeviceError(
            f"compute_capability={wanted!r}: TensorRT-RTX {trt.__version__} builds for {accepted}; "
            "for other GPUs, install edgehrnet[tensorrt] instead"
        )
    return wanted


def logger(trt: Any) -> Any:
    """Return a TensorRT logger that prints nothing and keeps the last errors and warnings for error messages."""

    class Log(trt.ILogger):  # type: ignore[misc] # known at run time only
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.messages: deque[str] = deque(maxlen=100)

        def log(self, severity: Any, msg: str) -> None:
            if severity <= trt.ILogger.WARNING:
                self.messages.append(msg.strip())

        def last(self) -> str:
            return self.messages[-1] if self.messages else "no reason given"

    return Log()


def _parse(trt: Any, builder: Any, log: Any, source: bytes, path: Path) -> tuple[Any, Any]:
    """Return the network and the parser that holds its weights."""
    # Keep the tensor types of the file. TensorRT 11 always does so, TensorRT 10 needs this flag.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(source, str(path)):
        raise ModelFileError(f"{path.name}: TensorRT rejects {_rejected(parser)}")
    if any("Defaulting to INT8" in message for message in log.messages):
        raise ModelFileError(
            f"{path.name} quantizes to uint8, which TensorRT would take for int8; export it with symmetric ranges"
        )
    _check_ends(trt, network, path)
    return network, parser


def _check_ends(trt: Any, network: Any, path: Path) -> None:
    """Raise ModelFileError if the network has inputs or outputs that the runtime does not support."""
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    outputs = [network.get_output(index) for index in range(network.num_outputs)]
    found = [(tensor.dtype, tuple(tensor.shape)) for tensor in inputs]
    if len(found) != 1 or found[0][0] != trt.uint8:
        raise ModelFileError(f"{path.name}: expected one input u8 [1, H, W, C], found {found}")
    if any(-1 in tensor.shape for tensor in (*inputs, *outputs)):
        raise ModelFileError(f"{path.name}: expected static shapes; export it with a fixed size")
    Input.read(path, "u8", found[0][1])
    if any(tensor.dtype not in (trt.float32, trt.float16) for tensor in outputs):
        raise ModelFileError(f"{path.name}: expected outputs of float32 or float16")


def _rejected(parser: Any) -> str:
    """Return the node at which the parser stopped, and its reason."""
    if parser.num_errors == 0:
        return "the file without a reason"
    error = parser.get_error(parser.num_errors - 1)
    node = f"{error.node_operator()} {error.node_name()!r}" if error.node_operator() else "the file"
    # Without a GPU, the description also contains CUDA errors.
    why = "; ".join(line for line in error.desc().splitlines() if "cudaError" not in line)
    hint = "; zero points must be 0: export it with symmetric ranges" if "zero point" in why else ""
    return f"{node}: {why}{hint}"


@contextmanager
def _timings(config: Any, path: Path | None) -> Iterator[None]:
    """Load the builder's timing cache from a file, and save it after the build."""
    if path is not None:
        cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
        if not config.set_timing_cache(cache, False):
            raise ModelFileError(f"timing cache {path} is of another GPU or another TensorRT version; delete it")
    yield
    if path is not None:
        write_file(path, bytes(config.get_timing_cache().serialize()))


def _inspect(trt: Any, log: Any, plan: bytes) -> tuple[Layer, ...]:
    runtime = trt.Runtime(log)
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise ModelFileError(f"TensorRT cannot read its own plan: {log.last()}")
    return inspected_layers(engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON))
