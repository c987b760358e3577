"""Building TensorRT plans from ONNX, with `tensorrt_rtx` or `tensorrt`.

`tensorrt_rtx` builds for GPUs that need not be here, and compiles for the GPU when a plan is loaded; `tensorrt`
compiles when it builds, on that GPU. With both installed, the first builds.
"""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runtimes import cuda
from runtimes.base import AbsentDeviceError, DeviceError, Input, Layer, MissingExtraError, ModelFileError, existing_file
from runtimes.onnx_metadata import read_metadata
from runtimes.tensorrt_plan import REBUILD, Sidecar, inspected_layers, plan_layers, sha256

RTX = "tensorrt_rtx"
ENGINES = (RTX, "tensorrt")  # modules; the extra has the same name, with a hyphen


def engine_name() -> str:
    """Which module builds plans here: ``tensorrt_rtx`` or ``tensorrt``."""
    return str(installed(*ENGINES).__name__)


def build(
    onnx_path: Path,
    out: Path,
    metadata: str | None = None,
    *,
    compute_capability: tuple[int, int] | None = None,
    timing_cache: Path | None = None,
) -> tuple[Layer, ...]:
    """Build a plan ``out`` from an ONNX file whose types are kept as they are; ``<out>.json`` goes beside it.

    ``metadata``: what the plan will say of itself, None for what the ONNX file says.
    ``compute_capability``: (major, minor) of the GPUs it is for, None for the one that is here; `tensorrt` builds for
    no other. ``timing_cache``: a file in which `tensorrt` keeps what it measured; TensorRT-RTX measures nothing.
    Returns the operations that the plan says it runs.

    Raises:
        ModelFileError: TensorRT cannot take the file; the text names the node.
        DeviceError: no plan can be built for this GPU here.
        MissingFileError: there is no such ONNX file.
    """
    onnx_path, trt = existing_file(onnx_path), installed(*ENGINES)
    if timing_cache is not None and trt.__name__ == RTX:
        raise ModelFileError("TensorRT-RTX measures nothing when it builds; leave out timing_cache")
    capability = _target(trt, compute_capability)
    source, log = onnx_path.read_bytes(), logger(trt)
    builder = trt.Builder(log)
    # The network reads its weights from the parser's memory.
    network, _parser = _parse(trt, builder, log, source, onnx_path)
    config = _configuration(trt, builder, capability)
    with _timings(config, timing_cache):
        built = builder.build_serialized_network(network, config)
    if built is None:
        raise ModelFileError(f"{onnx_path.name}: TensorRT builds no plan of it: {log.last()}")
    plan, shape = bytes(built), tuple(network.get_input(0).shape)
    layers = plan_layers(plan) if trt.__name__ == RTX else _inspect(trt, log, plan)
    made_by = trt.__name__, trt.__version__, capability
    metadata = read_metadata(onnx_path) if metadata is None else metadata
    # The plan last: without what lies beside it, it would be of no use.
    Sidecar(*made_by, shape, sha256(source), sha256(plan), metadata, layers).save(out)
    out.write_bytes(plan)
    return layers


def _configuration(trt: Any, builder: Any, capability: tuple[int, int]) -> Any:
    config = builder.create_builder_config()
    # It would round the factors of float32 products to 10 bits unasked; for speed there is float16.
    config.clear_flag(trt.BuilderFlag.TF32)
    if trt.__name__ == RTX:
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.__members__[_member(capability)], 0)
    else:
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # types, for the list of operations
    return config


def installed(*names: str) -> Any:
    """Import the first of these modules that is here; MissingExtraError if none is."""
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


def _target(trt: Any, wanted: tuple[int, int] | None) -> tuple[int, int]:
    """The compute capability to build for."""
    if trt.__name__ != RTX:
        present = cuda.compute_capability(0)
        if wanted not in (None, present):
            raise DeviceError(f"tensorrt builds for the GPU that is here, {present}, not for {wanted}; {REBUILD} there")
        return present
    if wanted is None:
        try:
            wanted = cuda.compute_capability(0)
        except AbsentDeviceError as error:
            raise AbsentDeviceError(f"{error}; or say for which GPU, as in compute_capability=(8, 6)") from None
    known = [name for name in trt.ComputeCapability.__members__ if name.startswith("SM")]
    if _member(wanted) not in known:
        accepted = ", ".join(f"({name[2:-1]}, {name[-1]})" for name in known)
        raise DeviceError(
            f"compute_capability={wanted!r}: TensorRT-RTX {trt.__version__} builds for {accepted}; "
            "for others, install edgehrnet[tensorrt] in its place"
        )
    return wanted


def logger(trt: Any) -> Any:
    """A logger that keeps the last errors and warnings for our own texts, and prints nothing."""

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
    # Every tensor has the type that the file gives it; TensorRT 11 knows nothing else, 10 has to be told.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    remedy = f"for every such node and its remedy: python -m quant.trt_lint {path}"
    if not parser.parse(source, str(path)):
        raise ModelFileError(f"{path.name}: TensorRT refuses {_refused(parser)}; {remedy}")
    if any("Defaulting to INT8" in message for message in log.messages):
        raise ModelFileError(
            f"{path.name} quantizes to uint8, which TensorRT would read as int8; export with symmetric ranges; {remedy}"
        )
    _check_ends(trt, network, path)
    return network, parser


def _check_ends(trt: Any, network: Any, path: Path) -> None:
    """Refuse what is no network of ours: the runtime could not feed it."""
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    outputs = [network.get_output(index) for index in range(network.num_outputs)]
    found = [(tensor.dtype, tuple(tensor.shape)) for tensor in inputs]
    if len(found) != 1 or found[0][0] != trt.uint8:
        raise ModelFileError(f"{path.name}: expected one input u8 [1, H, W, C], found {found}")
    if any(-1 in tensor.shape for tensor in (*inputs, *outputs)):
        raise ModelFileError(f"{path.name}: expected static shapes; export with a fixed size")
    Input.read(path, "u8", found[0][1])
    if any(tensor.dtype not in (trt.float32, trt.float16) for tensor in outputs):
        raise ModelFileError(f"{path.name}: expected outputs of float32 or float16")


def _refused(parser: Any) -> str:
    """The node that the parser stopped at, and why."""
    if parser.num_errors == 0:
        return "it, giving no reason"
    error = parser.get_error(parser.num_errors - 1)
    node = f"{error.node_operator()} {error.node_name()!r}" if error.node_operator() else "it"
    # On a machine without a GPU, complaints about that come along.
    why = "; ".join(line for line in error.desc().splitlines() if "cudaError" not in line)
    hint = "; zero points have to be 0: export with symmetric ranges" if "zero point" in why else ""
    return f"{node}: {why}{hint}"


@contextmanager
def _timings(config: Any, path: Path | None) -> Iterator[None]:
    """Give the builder what it measured before, and keep what it measures."""
    if path is not None:
        cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
        if not config.set_timing_cache(cache, False):
            raise ModelFileError(f"{path} was measured on another GPU or by another TensorRT; remove it")
    yield
    if path is not None:
        path.write_bytes(bytes(config.get_timing_cache().serialize()))


def _inspect(trt: Any, log: Any, plan: bytes) -> tuple[Layer, ...]:
    runtime = trt.Runtime(log)
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise ModelFileError(f"TensorRT cannot read the plan that it built: {log.last()}")
    return inspected_layers(engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON))
