"""Compare INT8 files in ONNX Runtime on a CPU: float, ours, and ONNX Runtime's own quantize_static.

    python benchmarks/onnx_cpu.py checkpoints/document-corners.pt --data synthetic:document-corners

All three are timed in turn on one thread. ``quantize_static`` writes QDQ with unsigned activations and weights per
channel. It calibrates on the same pictures as ours.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgehrnet.cli.tables import table
from edgehrnet.models.checkpoints import load_checkpoint
from edgehrnet.spec import ModelSpec
from quant.data.examples import DataSet
from quant.data.opening import ACCEPTED, open_data
from quant.files.model_file import PROOF_PICTURES, export_file
from quant.int8.calibration import network_inputs
from quant.int8.pipeline import completed, is_complete
from quant.scoring.model import compare, open_model
from runtimes.onnx import executed_layers

NAMES = ("float", "ours", "quantize_static")
WARMUP = 5  # rounds before those that are timed


def build(args: argparse.Namespace, data: DataSet, folder: Path) -> None:
    """Write the three files into a folder."""
    checkpoint = load_checkpoint(args.checkpoint)
    images = network_inputs(data.calibration(args.calibration), ModelSpec.from_dict(checkpoint.spec))
    if not is_complete(checkpoint.table("onnx")):
        checkpoint = completed(checkpoint, "onnx", images, progress=True)
    pictures = [example.image for example in data.validation(PROOF_PICTURES)]
    for name, precision in (("float", "fp32"), ("ours", "int8")):
        export_file(checkpoint, folder / f"{name}.onnx", pictures=pictures, target="onnx", precision=precision)
    quantize(folder / "float.onnx", folder / "quantize_static.onnx", images)


def quantize(source: Path, out: Path, images: Sequence[torch.Tensor]) -> None:
    """Quantize a float file with ONNX Runtime's own tool."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Yield the pictures one by one."""

        def __init__(self) -> None:
            self.rest: Iterator[torch.Tensor] = iter(images)

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            """Return the next picture, or None after the last."""
            image = next(self.rest, None)
            return None if image is None else {"image": image.numpy()}

    prepared = out.with_suffix(".prepared")
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    quantize_static(prepared, out, Reader(), per_channel=True, **kinds)


def session_of(path: Path, *, profile: Path | None = None) -> Any:
    """Open a file on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def latencies(files: Sequence[Path], rounds: int) -> list[list[float]]:
    """Run all files in turn, and return the milliseconds that the processor spent on each run."""
    sessions = [session_of(file) for file in files]
    image = noise(sessions[0])
    times: list[list[float]] = [[] for _ in files]
    for turn in range(rounds + WARMUP):
        for session, record in zip(sessions, times, strict=True):
            session.run(None, {"image": image})  # fills the cache with this file's weights, as if it ran alone
            started = time.thread_time()
            session.run(None, {"image": image})
            if turn >= WARMUP:
                record.append(1000 * (time.thread_time() - started))
    return times


def noise(session: Any) -> NDArray[np.uint8]:
    """Return noise of the input's size."""
    shape: list[int] = session.get_inputs()[0].shape
    return np.random.default_rng(0).integers(0, 256, tuple(shape), dtype=np.uint8)


def per_operation(file: Path, folder: Path, rounds: int) -> Counter[str]:
    """Profile a file, and return the milliseconds by kind of operation: the least of all rounds, summed."""
    session = session_of(file, profile=folder / "profile")
    image = noise(session)
    for _ in range(rounds):
        session.run(None, {"image": image})
    events = json.loads(Path(session.end_profiling()).read_text())
    least: dict[tuple[str, str], float] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            key = event["args"]["op_name"], event["name"]
            least[key] = min(least.get(key, math.inf), event["dur"] / 1000)
    total: Counter[str] = Counter()
    for (kind, _), milliseconds in least.items():
        total[kind] += milliseconds  # type: ignore[assignment]
    return total


def share(file: Path) -> float:
    """Return the share of the MACs that ONNX Runtime runs on integers."""
    layers = executed_layers(file)
    return sum(layer.macs for layer in layers if layer.precision in ("u8", "i8")) / sum(layer.macs for layer in layers)


def main() -> None:
    """Build, time and score the files, and print two tables."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("checkpoint", type=Path, help="checkpoint with INT8 ranges")
    p.add_argument("--data", required=True, help=ACCEPTED)
    p.add_argument("--calibration", type=int, default=64, help="calibration pictures (default: %(default)s)")
    p.add_argument("--count", type=int, default=300, help="pictures to score, 0 for none (default: %(default)s)")
    p.add_argument("--rounds", type=int, default=100, help="timed runs of each file (default: %(default)s)")
    p.add_argument("--out", type=Path, help="folder to keep the files in (default: they are deleted)")
    args = p.parse_args()
    data = open_data(args.data)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / f"{name}.onnx" for name in NAMES]
        if not all(file.exists() for file in files):
            build(args, data, folder)
        print(f"onnxruntime {importlib.metadata.version('onnxruntime')}, one thread\n")
        print(_speed(files, args))
        print("\nms by operation\n")
        print(_operations(files, folder))
        if args.count:
            print("\n" + _scores(files, data, args.count))


def _speed(files: Sequence[Path], args: argparse.Namespace) -> str:
    times = latencies(files, args.rounds)
    rows = []
    for name, file, record in zip(NAMES, files, times, strict=True):
        ratios = [f"{statistics.median(a / b for a, b in zip(other, record, strict=True)):.2f}" for other in times]
        best = [f"{min(other) / min(record):.2f}" for other in times]
        rows.append((name, f"{min(record):.2f}", f"{statistics.median(record):.2f}", f"{ratios[0]} ({best[0]})",
                     f"{ratios[2]} ({best[2]})", f"{100 * share(file):.1f}"))  # fmt: skip
    head = ("file", "ms, least", "ms, median", "float / this", "quantize_static / this", "MACs in INT8, %")
    return f"{table(head, rows)}\n\nRatios are medians over the rounds, with those of the least times in parentheses."


def _operations(files: Sequence[Path], folder: Path) -> str:
    found = [per_operation(file, folder, 20) for file in files]
    kinds = sorted(set().union(*found), key=lambda kind: -max(times[kind] for times in found))
    rows = [(kind, *(f"{times[kind]:.2f}" for times in found)) for kind in kinds]
    return table(("operation", *NAMES), [*rows, ("sum", *(f"{times.total():.2f}" for times in found))])


def _scores(files: Sequence[Path], data: DataSet, count: int) -> str:
    with ExitStack() as stack:
        models = [stack.enter_context(open_model(str(file), "cpu")) for file in files]
        scores = compare(models, data, count)
    rows = []
    for name, found in zip(NAMES, scores, strict=True):
        percent = found.percent[np.isfinite(found.percent)]
        pixels = found.errors[np.isfinite(found.errors)]
        rows.append((name, f"{100 * (percent <= 1).mean():.1f}", f"{pixels.mean():.2f}", f"{np.median(pixels):.2f}"))
    return table(("file", "PCK@1%", "mean error, px", "median, px"), rows)


if __name__ == "__main__":
    main()
