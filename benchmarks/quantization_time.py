"""Compare the time of quantizing with that of NNCF, and of a step of QAT with a step in float.

    python benchmarks/quantization_time.py --pictures 300     # needs an idle machine; NNCF's row needs pip install nncf

PTQ calibrates `document-corners` for one engine, from pictures that are letterboxed already. NNCF quantizes the float
file of the same network with its defaults, from the same inputs. A step is a forward and a backward pass of 8 pictures
of 256x256 and an update of the weights, in turn in float and with fake quantization, in the memory format of training.
Its milliseconds are processor time, which other programs on the machine change less than the time on the clock.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import openvino as ov
import torch
from torch import Tensor, nn

from edgehrnet.cli.tables import table
from edgehrnet.models import KeypointNetwork
from edgehrnet.models.checkpoints import Checkpoint, build_model, load_checkpoint
from edgehrnet.models.deploy.loading import without_heads
from edgehrnet.shipped import model_path
from edgehrnet.spec import ModelSpec
from quant.data.documents.corners import DocumentCorners
from quant.int8.calibration import network_inputs, observe, range_table
from quant.int8.fake_quantize import insert, set_ranges
from quant.int8.pipeline import calibrate
from quant.int8.placement import place
from quant.int8.scheme import SCHEMES

CHECKPOINT = Path("checkpoints/document-corners.pt")
SCHEME = SCHEMES["openvino"]


def ptq_seconds(checkpoint: Checkpoint, images: list[Tensor]) -> dict[str, float]:
    """Return the seconds of quantizing with this project, and with NNCF if it is installed."""
    start = time.perf_counter()
    calibrate(checkpoint, images, [SCHEME])
    found = {"ours": time.perf_counter() - start}
    if find_spec("nncf") is not None:
        import nncf

        model = ov.Core().read_model(model_path("document-corners-fp16"))
        dataset = nncf.Dataset([image.numpy() for image in images])
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            ov.save_model(nncf.quantize(model, dataset, subset_size=len(images)), Path(folder) / "nncf.xml")
        found["nncf"] = time.perf_counter() - start
    return found


def step_of(network: KeypointNetwork, pixels: Tensor) -> Callable[[], None]:
    """Return a function that trains a network for one step."""
    optimizer = torch.optim.AdamW(network.parameters(), 1e-5)

    def step() -> None:
        output = network(pixels)
        loss = output.heatmaps.square().mean() + sum(maps.square().mean() for maps in (output.offsets, output.hf))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def with_quantizers(checkpoint: Checkpoint, images: list[Tensor]) -> KeypointNetwork:
    """Return the network in training mode with calibrated fake quantization, as QAT trains it."""
    network, spec = build_model(checkpoint), ModelSpec.from_dict(checkpoint.spec)
    placement = place(network, SCHEME)
    insert(network, placement, SCHEME)
    seen = observe(build_model(checkpoint), placement.sites, images, spec, "histogram")
    set_ranges(network, range_table(seen, placement, SCHEME, spec, "histogram"))
    return trainable(network)


def trainable(network: KeypointNetwork) -> KeypointNetwork:
    """Put a network into training mode and the memory format of training."""
    nn.Module.train(network)
    trained: KeypointNetwork = network.requires_grad_(True).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return trained


def step_milliseconds(checkpoint: Checkpoint, images: list[Tensor], rounds: int) -> dict[str, float]:
    """Return the median processor milliseconds of a step in float and with fake quantization, in turn."""
    pixels = torch.rand(8, 4, 256, 256).to(memory_format=torch.channels_last)
    steps = {
        "float": step_of(trainable(build_model(checkpoint)), pixels),
        "qat": step_of(with_quantizers(checkpoint, images[:4]), pixels),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name, step in steps.items():
            start = time.process_time()
            step()
            if number:
                times[name].append((time.process_time() - start) * 1000)
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Compare the time of quantizing with that of NNCF and of float.")
    parser.add_argument("--pictures", type=int, default=300, help="calibration pictures (default: 300)")
    parser.add_argument("--rounds", type=int, default=10, help="steps of each kind (default: 10)")
    args = parser.parse_args()
    checkpoint = without_heads(load_checkpoint(CHECKPOINT), ("auxiliary", "boundary"))
    images = network_inputs(DocumentCorners().calibration(args.pictures), ModelSpec.from_dict(checkpoint.spec))
    steps = step_milliseconds(checkpoint, images, args.rounds)
    print(table(("a step of 8 pictures", "ms"), [(name, f"{ms:.0f}") for name, ms in steps.items()]))
    print(f"\nqat / float: {steps['qat'] / steps['float']:.2f}")
    seconds = ptq_seconds(checkpoint, images)
    print("\n" + table((f"PTQ of {len(images)} pictures", "s"), [(name, f"{s:.1f}") for name, s in seconds.items()]))
    if "nncf" in seconds:
        print(f"\nours / nncf: {seconds['ours'] / seconds['nncf']:.2f}")


if __name__ == "__main__":
    main()
