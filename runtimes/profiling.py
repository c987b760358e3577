"""Measure how long each operation of a file takes, and with which kernel."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtimes import quirks
from runtimes.errors import MissingExtraError
from runtimes.onnx_ports import input_port as onnx_port
from runtimes.openvino import read
from runtimes.openvino_core import new_core
from runtimes.openvino_ports import input_port as openvino_port
from runtimes.openvino_ports import reshape
from runtimes.ports import Size


@dataclass(frozen=True)
class OperationTime:
    """Time of one operation."""

    name: str
    """Name that the engine gives the operation."""
    type: str
    """Kind of operation."""
    kernel: str
    """Code that runs it, such as ``brgconv_avx512_I8``, or ONNX Runtime's provider."""
    ms: float
    """Mean time of an inference in milliseconds."""


def profile(
    path: Path,
    device: str | None = None,
    *,
    input_size: Size | None = None,
    open_size: Size | None = None,
    threads: int | None = None,
    runs: int = 20,
) -> list[OperationTime]:
    """Return the operations of a file, the slowest first. The list is empty if its engine does not measure them.

    OpenVINO measures on all devices, and ONNX Runtime on the CPU. Measuring makes the inference slower.

    Args:
        path: Model file.
        device: Device, see `runtimes.load`.
        input_size: See `runtimes.load`.
        open_size: See `runtimes.load`.
        threads: See `runtimes.load`.
        runs: Number of inferences.

    Raises:
        MissingExtraError: The engine is not installed.
        ModelFileError: The file cannot be used.
    """
    if path.suffix == ".xml":
        found = _openvino(path, (device or "cpu").upper(), input_size, open_size, threads, runs)
    elif path.suffix == ".onnx" and (device or "cpu").lower() == "cpu":
        found = _onnxruntime(path, open_size, threads, runs)
    else:
        return []
    total: defaultdict[tuple[str, str, str], float] = defaultdict(float)
    for key, ms in found:
        total[key] += ms
    return sorted((OperationTime(*key, ms / runs) for key, ms in total.items()), key=lambda one: -one.ms)


def _openvino(
    path: Path, device: str, input_size: Size | None, open_size: Size | None, threads: int | None, runs: int
) -> Iterator[tuple[tuple[str, str, str], float]]:
    model = read(path, open_size)  # says how to install the engine if it is missing
    import openvino as ov

    reshape(model, path, input_size, open_size)
    quantized = any(op.get_type_name() == "FakeQuantize" for op in model.get_ops())
    settings: dict[str, Any] = {"PERF_COUNT": True, "PERFORMANCE_HINT": "LATENCY",
                                **quirks.settings("openvino", device, quantized=quantized)}  # fmt: skip
    if threads and device == "CPU":
        settings["INFERENCE_NUM_THREADS"] = threads
    compiled = new_core().compile_model(model, device, settings)
    request, port = compiled.create_infer_request(), openvino_port(model, path)
    blank = port.array(port.input.blank())
    sums: defaultdict[tuple[str, str, str], float] = defaultdict(float)
    for number in range(1, runs + 2):  # the first inference is slower, and left out
        request.infer({0: blank})
        for one in request.profiling_info:
            if one.status != ov.ProfilingInfo.Status.EXECUTED:
                continue
            key, ms = (one.node_name, one.node_type, one.exec_type), one.real_time.total_seconds() * 1000
            if device == "CPU":  # a mean: findings/openvino_profiling_times_are_means.sh
                earlier, sums[key] = sums[key], number * ms
                ms = sums[key] - earlier
            if number > 1:
                yield key, ms


def _onnxruntime(
    path: Path, open_size: Size | None, threads: int | None, runs: int
) -> Iterator[tuple[tuple[str, str, str], float]]:
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise MissingExtraError(f"{path} needs onnxruntime ({error}); type: pip install 'edgehrnet[onnx]'") from None
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads or 0
    with tempfile.TemporaryDirectory() as folder:
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        port = onnx_port(session, path, None, open_size)
        blank = {session.get_inputs()[0].name: port.array(port.input.blank())}
        for _ in range(runs + 1):
            session.run(None, blank)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    warmed_up: set[str] = set()
    for event in events:
        about = event.get("args", {})
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["name"].removesuffix("_kernel_time")
            if name not in warmed_up:  # the first inference is slower, and left out
                warmed_up.add(name)
                continue
            yield (name, about.get("op_name", ""), about.get("provider", "")), event["dur"] / 1000
