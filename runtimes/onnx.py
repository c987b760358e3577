"""Check ONNX files, store metadata in them, and run them with ONNX Runtime on the CPU or other providers."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.base import METADATA_KEY, MODEL_INFO, SIZE_KEY, Batch, Description, Device, Layer
from runtimes.caches import open_cache, seal_cache
from runtimes.cpus import thread_limit
from runtimes.digests import check_digest, digest_of
from runtimes.errors import AbsentDeviceError, ClosedError, DeviceError, MissingExtraError, ModelFileError, WriteError
from runtimes.onnx_external import add_external_data
from runtimes.onnx_graph import import_onnx, read_checked, read_layers, remove_notes
from runtimes.onnx_ports import (
    check_batch,
    check_size,
    fix_dimensions,
    has_open_sides,
    input_port,
    output_types,
    stored_size,
)
from runtimes.onnx_providers import CPU, CUDA, OPENVINO, TENSORRT, provider_of, provider_options
from runtimes.ports import Size, first_of, groups, read_outputs, shapes_of
from runtimes.writing import write_file

FOR_TENSORRT = ".tensorrt.onnx"  # suffix of ONNX files that TensorRT builds plans from
_CACHING = (OPENVINO, TENSORRT)  # providers that keep compiled files
_FATAL = 4  # log severity; errors are raised, so they are not printed on stderr as well


def _onnxruntime() -> ModuleType:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(
            f"an .onnx file needs ONNX Runtime ({error}); type: pip install 'edgehrnet[onnx]'"
        ) from None
    module: ModuleType = onnxruntime
    return module


def build(
    onnx_path: Path, out: Path, metadata: str, info: Mapping[str, str] | None = None, size: Size | None = None
) -> tuple[Layer, ...]:
    """Check an ONNX file, and write it with metadata to ``out`` as a single file.

    Args:
        onnx_path: ONNX file to check.
        out: File to write.
        metadata: Text to store in its ``metadata_props`` under `METADATA_KEY`.
        info: Further texts to store there, under ``model_info`` and their key, None for none.
        size: (height, width) to use for open sides, None for a file that has none.

    Returns:
        The operations that ONNX Runtime really runs on the CPU. A convolution has an integer precision only if ONNX
        Runtime runs it on integers. It stays float unless a QuantizeLinear reads its output directly.

    Raises:
        ModelFileError: The file breaks the ONNX standard or has operators outside it.
    """
    onnx = import_onnx()
    model = read_checked(onnx_path)
    remove_notes(model)
    model.metadata_props.add(key=METADATA_KEY, value=metadata)
    if size is not None:
        model.metadata_props.add(key=SIZE_KEY, value=f"{size[0]}x{size[1]}")
    for key, value in (info or {}).items():
        model.metadata_props.add(key=f"{MODEL_INFO} {key}", value=value)
    write_file(out, partial(onnx.save_model, model))
    return executed_layers(out)


def executed_layers(path: Path) -> tuple[Layer, ...]:
    """List the operations that ONNX Runtime runs on the CPU, from its optimized graph."""
    ort = _onnxruntime()
    options = _session_options(ort, None)
    # All precisions are decided at this level. The next level changes layouts, and convolutions lose their names.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(optimized)
        try:
            _open(ort, path, options, "cpu", CPU, {})
        except ModelFileError as error:
            free, needed = shutil.disk_usage(folder).free, path.stat().st_size
            if free >= needed:
                raise
            raise WriteError(
                f"{tempfile.gettempdir()!r} has {free / 1e6:.1f} MB left, and {needed / 1e6:.1f} MB are needed there "
                f"for a while ({error}); make room, or set the environment variable TMPDIR to another folder"
            ) from None
        return read_layers(path, optimized)


class ONNXRuntime:
    """Runtime of one ONNX file in an ONNX Runtime session. It is thread-safe.

    Devices are ``cpu`` (the default), ``cuda``, ``cuda:1`` (or ``gpu``, ``gpu.1``), ``tensorrt``, ``tensorrt:1``,
    ``openvino``, ``openvino:gpu`` and ``openvino:npu``. The installed onnxruntime must contain the provider of the
    device. A provider may leave some operations to the CPU: ``settings()["nodes"]`` counts them.

    With ``shapes`` above 1, a file with open height and width also takes inputs of other sizes, any number of them.
    """

    def __init__(
        self,
        path: Path,
        device: str | None = None,
        *,
        input_size: Size | None = None,
        open_size: Size | None = None,
        threads: int | None = None,
        cache_dir: str | Path | None = None,
        digest: str | None = None,
        shapes: int = 1,
        batch: int = 1,
        fuse: bool = True,
    ) -> None:
        """Open a file. For the arguments, see `runtimes.load`. With ``fuse=False`` its operations run as written."""
        ort = _onnxruntime()
        provider, place = provider_of(ort, device)
        if provider not in _CACHING:
            cache_dir = None
        found = "" if digest is None and cache_dir is None else digest_of(path)
        check_digest(path, found, digest)
        cache = None if cache_dir is None else open_cache(cache_dir, found)
        options = _session_options(ort, threads)
        if not fuse or path.name.endswith(FOR_TENSORRT):
            # ONNX Runtime 1.31 optimizes float16 quantizers after a ReLU wrongly: 13 times the quantization error.
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        settings = provider_options(provider, place, path, options.intra_op_num_threads, cache)
        kept = add_external_data(options, path)
        session = _open(ort, path, options, device, provider, settings)
        metadata = _metadata(session, path)
        open_size = open_size or stored_size(metadata)
        self._resizes = shapes > 1 and has_open_sides(session)
        if fix_dimensions(options, session, input_size, open_size, "N" * (batch > 1) + "HW" * self._resizes):
            session = _open(ort, path, options, device, provider, settings)
        del kept
        if cache is not None:
            seal_cache(cache)
        self._port = input_port(session, path, input_size, open_size)
        self._input = self._port.input
        check_size(path, self._input.size, input_size)
        self._outputs, self._unread = read_outputs(path, self._port.batch, output_types(session, self._port))
        self._shapes = shapes_of(self._outputs)
        self._input_name, self._path, self._version = session.get_inputs()[0].name, path, ort.__version__
        self._device = ":".join(filter(None, (provider.removesuffix("ExecutionProvider"), place)))
        self._metadata = metadata.get(METADATA_KEY)
        self._session: Any = session
        self._batch = batch
        if batch > 1:
            check_batch(path, session, self._port, batch, self._shapes)

    def run(self, image: Batch) -> dict[str, NDArray[np.float32]]:
        """Run pictures, see ``batch`` of `runtimes.load`. The outputs belong to the caller."""
        session = self._open_session()  # a reference that stays valid if another thread calls close()
        self._input.check(image, any_size=self._resizes)
        image = np.ascontiguousarray(image)
        names = list(self._shapes)
        try:
            found = [self._run_some(session, names, image[some]) for some in groups(len(image), self._batch)]
        except Exception as error:
            raise ModelFileError(f"{self._path} fails on {self._device}: {_reason(error)}") from None
        if len(found) == 1:  # avoids a copy of the 4 MB of features
            return dict(zip(names, found[0], strict=True))
        if not found:
            return {name: np.empty((0, *shape[1:]), np.float32) for name, shape in self._shapes.items()}
        return {name: np.concatenate(arrays) for name, *arrays in zip(names, *found, strict=True)}

    def _run_some(self, session: Any, names: list[str], pictures: Batch) -> list[NDArray[np.float32]]:
        arrays = session.run(names, {self._input_name: self._port.array(pictures)})
        return [first_of(array, self._port.batch if len(pictures) == 1 else 1) for array in arrays]

    def prepare(self, size: tuple[int, int], count: int = 1) -> bool:  # noqa: ARG002 - one of the protocol
        """Return False: there is nothing to compile for a size."""
        return False

    def describe(self) -> Description:
        """Return what is loaded and where it runs."""
        self._open_session()
        return Description(
            engine="onnxruntime",
            version=self._version,
            device=self._device,
            input=self._input,
            outputs=self._shapes,
            metadata=self._metadata,
            resizes=self._resizes,
        )

    def settings(self) -> dict[str, Any]:
        """Return the number of threads, and how many operations each provider runs."""
        session = self._open_session()
        nodes: dict[str, int] = {}
        if hasattr(session, "get_provider_graph_assignment_info"):  # not in older versions
            for part in session.get_provider_graph_assignment_info():
                nodes[part.ep_name] = nodes.get(part.ep_name, 0) + len(part.get_nodes())
        threads = session.get_session_options().intra_op_num_threads
        settings = {"nodes": nodes, "inference_threads": threads, "outputs_not_read": self._unread}
        return {key: value for key, value in settings.items() if value}

    def close(self) -> None:
        """Release the session. Calls in progress still finish, and the last one frees it."""
        self._session = None

    def _open_session(self) -> Any:
        session = self._session
        if session is None:
            raise ClosedError
        return session


def devices() -> list[Device]:
    """Return the providers of the installed onnxruntime. Whether one starts is known only when it loads a file."""
    names = {CPU: "cpu", CUDA: "cuda", TENSORRT: "tensorrt", OPENVINO: "openvino"}
    present = _onnxruntime().get_available_providers()
    return [Device(name, provider) for provider, name in names.items() if provider in present]


def _session_options(ort: ModuleType, threads: int | None) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    quota = thread_limit()
    if threads or quota:
        options.intra_op_num_threads = threads or quota
    if quota:
        # Waiting threads would spin and use up the CPU time of the quota. Without one, spinning is 1.2 times faster.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _metadata(session: Any, path: Path) -> dict[str, str]:
    try:
        return dict(session.get_modelmeta().custom_metadata_map)
    except UnicodeDecodeError as error:
        raise ModelFileError(f"{path} has metadata that is not UTF-8: {error.reason}") from None


def _open(
    ort: ModuleType, path: Path, options: Any, device: str | None, provider: str, settings: dict[str, str]
) -> Any:
    """Open a session that runs on ``provider``, or raise. By default, ONNX Runtime would fall back to the CPU."""
    try:
        session = ort.InferenceSession(str(path), options, providers=[(provider, settings)], enable_fallback=0)
    except Exception as error:  # its errors share no base class, so the text decides
        if provider == CPU or "Load model from" in str(error):
            raise ModelFileError(f"{path} is not a usable ONNX file: {_reason(error)}") from None
        raise DeviceError(f"device {device!r} cannot run {path} ({provider}): {_reason(error)}") from None
    if session.get_providers()[0] != provider:
        raise AbsentDeviceError(
            f"device {device!r} does not start ({provider}): the device or a library that it needs is missing; "
            "onnxruntime has printed which one"
        )
    return session


def _reason(error: Exception) -> str:
    """Return the first line of an ONNX Runtime error, without the error code in front."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rpartition("] : ")[2] if lines else type(error).__name__
