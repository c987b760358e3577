"""Time each published network in float and in INT8 on this CPU, and print the share of MACs in INT8.

    python benchmarks/networks.py [NAME ...] --threads 2

Run it on an idle machine. All networks together take half an hour. Speed does not depend on the weights, so they are
random. The float and the INT8 file run in turn, at the input size of the published checkpoints.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

import runtimes
import runtimes.openvino
from edgehrnet.cli.tables import table
from edgehrnet.models import available, create
from edgehrnet.models.checkpoints import Checkpoint
from edgehrnet.models.deploy.frozen import freeze
from edgehrnet.models.deploy.loading import deployable, deployed_spec
from edgehrnet.models.inspection.counting import TOTAL, count
from edgehrnet.models.layers.blocks import initialize_convolutions
from edgehrnet.models.variants import VARIANTS
from edgehrnet.spec import ModelSpec
from quant.data.documents.corners import validation_scene
from quant.files.onnx_file import write_onnx
from quant.int8.calibration import network_inputs
from quant.int8.pipeline import calibrate
from quant.int8.scheme import SCHEMES

KEYPOINTS = 17
PICTURES = 4  # for calibration
ROUNDS = 40  # each with one inference of each file
WARMUP = 5  # rounds before those that are timed


def build(name: str, folder: Path) -> tuple[Path, Path, str]:
    """Write a float and an INT8 file of a network with random weights.

    Returns:
        The float file, the INT8 file, and the percentage of MACs in INT8 as text.
    """
    torch.manual_seed(0)
    network = create(name, keypoints=KEYPOINTS)
    initialize_convolutions(network)
    spec = ModelSpec("speed", tuple(f"keypoint-{k}" for k in range(KEYPOINTS))).replace(**VARIANTS[name].spec)
    checkpoint = Checkpoint(name, KEYPOINTS, {}, network.state_dict(), spec.to_dict(), {})
    scheme = SCHEMES["openvino"]
    images = network_inputs([validation_scene(index).image for index in range(PICTURES)], spec)
    ranges = calibrate(checkpoint, images, [scheme], method="minmax").table(scheme.target)
    plain = deployable(checkpoint)
    files = {"float": plain, "int8": freeze(plain, ranges)}
    for kind, net in files.items():
        precision = "fp32" if kind == "float" else "int8"
        stored = deployed_spec(checkpoint, plain, precision, None)
        write_onnx(net, stored, folder / f"{name}-{kind}.onnx")
        out = folder / f"{name}-{kind}.xml"
        layers = runtimes.openvino.build(folder / f"{name}-{kind}.onnx", out, stored.to_json(), half=kind == "int8")
    convolutions = [layer for layer in layers if layer.type == "Convolution"]
    integer = [layer for layer in convolutions if layer.precision in ("u8", "i8")]
    fraction = sum(layer.macs for layer in integer) / sum(layer.macs for layer in convolutions)
    return folder / f"{name}-float.xml", folder / f"{name}-int8.xml", f"{100 * fraction:.1f}"


def milliseconds(files: tuple[Path, ...], threads: int | None) -> list[list[float]]:
    """Time one inference of each file in turn, repeatedly. Return the milliseconds of each file."""
    loaded = [runtimes.load(file, "cpu", threads=threads) for file in files]
    times: list[list[float]] = [[] for _ in loaded]
    for turn in range(ROUNDS + WARMUP):
        for record, runtime in zip(times, loaded, strict=True):
            batch = runtime.describe().input.blank()
            runtime.run(batch)  # fills the cache with this network's weights, as if it ran alone
            started = time.perf_counter()
            runtime.run(batch)
            if turn >= WARMUP:
                record.append(1000 * (time.perf_counter() - started))
    return times


def main() -> None:
    """Run the benchmark and print one row per network."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("names", nargs="*", metavar="NAME", help=f"network to time: {', '.join(available())} (default: all)")
    p.add_argument("--threads", type=int, help="number of CPU threads (default: the engine's choice)")
    args = p.parse_args()
    rows = []
    for name in args.names or available():
        with tempfile.TemporaryDirectory() as folder:
            plain, quantized, share = build(name, Path(folder))
            slow, fast = milliseconds((plain, quantized), args.threads)
        size = ModelSpec("size", ("a",)).replace(**VARIANTS[name].spec).input_size
        cost = count(create(name, keypoints=KEYPOINTS), size)[TOTAL]
        ratio = statistics.median(a / b for a, b in zip(slow, fast, strict=True))
        ms = (f"{statistics.median(times):.1f}" for times in (slow, fast))
        millions = (f"{value / 1e6:.2f}" for value in (cost.parameters, cost.macs))
        rows.append((name, "x".join(map(str, size)), *millions, *ms, f"{ratio:.2f}", share))
        print(f"{name}: INT8 is {ratio:.2f} times as fast as float", flush=True)
    print(
        table(("network", "input", "M params", "M MACs", "float ms", "INT8 ms", "speedup", "% of MACs in INT8"), rows)
    )


if __name__ == "__main__":
    main()
