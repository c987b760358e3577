"""Compare post-training quantization of small networks with the defaults of NNCF.

    python -m benchmarks.ptq --out DIR

trains five small networks on drawn documents, unless DIR has them, and takes the shipped one. It quantizes each without
corrections, with those that ``quant.ptq`` chooses, and with ``nncf.quantize``, all with the same calibration pictures.
OpenVINO runs all files on other pictures, and their keypoints are compared with those of the float network. One network
is quantized twice: as it was trained, and with channels multiplied by random factors that the next layer undoes, which
changes nothing in float.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import logging
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import runtimes
from benchmarks.small_networks import BATCH, CORNERS, FOREIGN, drawn_samples, scaled, trained
from edgehrnet.models.checkpoints import Checkpoint, build_model, load_checkpoint
from edgehrnet.spec import ModelSpec
from quant.data.documents.corners import DocumentCorners
from quant.files.model_file import export_file
from quant.files.proof import CertificateError
from quant.int8.calibration import network_inputs
from quant.int8.choice import Search
from quant.int8.degradation import Degradation, Probe
from quant.int8.scheme import SCHEMES
from runtimes.base import METADATA_KEY

SHIPPED = Path(__file__).parent.parent / "checkpoints" / "document-corners.pt"
SIDE = 256  # px; pictures are shrunk to it, which makes reading them quick
SCHEME = SCHEMES["openvino"]
JUDGED = 32  # pictures for the choice, apart from those that are tested
SPREAD = 0.7  # standard deviation of the logarithm of the random factors
NETWORKS = (*FOREIGN, "mobile_relu, scaled channels", "hrnet_w18_small_v1", "litehrnet18", "edgehrnet18")
Pictures = list[NDArray[np.uint8]]


def load(name: str, folder: Path, steps: int) -> Checkpoint:
    """Return a float network by its name in `NETWORKS`."""
    if name == "edgehrnet18":
        shipped = load_checkpoint(SHIPPED)
        spec = ModelSpec.from_dict(shipped.spec).replace(input_size=(128, 256))
        return dataclasses.replace(shipped, spec=spec.to_dict())
    plain, _, changed = name.partition(",")
    checkpoint = trained(plain, folder, cache(drawn_samples), steps)
    return scaled(checkpoint, SPREAD) if changed else checkpoint


def measured(checkpoint: Checkpoint, pictures: Sequence[Pictures], name: str) -> Iterator[tuple[str, ...]]:
    """Quantize a network in each way and yield the rows of the table.

    Args:
        checkpoint: The float network.
        pictures: Pictures to calibrate with, to judge candidates on, and to measure on.
        name: Name for the table.
    """
    calibration, judged, test = pictures
    spec = ModelSpec.from_dict(checkpoint.spec)
    probe = Probe(build_model(checkpoint), test, spec)
    choice = Search(checkpoint, calibration, judged, [SCHEME], "openvino").run()
    images = network_inputs(calibration, spec)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        export_file(checkpoint, folder / "float.xml", pictures=test[:1])
        quantize_with_nncf(folder / "float.xml", folder / "nncf.xml", images)
        for what, quantized in (("none", choice.plain), (f"auto: {choice.chosen.name}", choice.checkpoint)):
            yield (name, f"ours, {what}", *numbers(of_checkpoint(probe, quantized, folder, test)))
        yield (name, "NNCF defaults", *numbers(of_file(probe, folder / "nncf.xml")))


def of_checkpoint(probe: Probe, checkpoint: Checkpoint, folder: Path, test: Pictures) -> Degradation:
    """Build an INT8 file and measure it. A file that the build refuses is measured as torch simulates it."""
    try:
        export_file(checkpoint, folder / "ours.xml", precision="int8", pictures=test[:8])
    except CertificateError as error:
        print(f"simulated, because the build refuses it: {error}")
        return probe.degradation(checkpoint.table("openvino"), build_model(checkpoint))
    return of_file(probe, folder / "ours.xml")


def of_file(probe: Probe, path: Path) -> Degradation:
    """Measure a file."""
    runtime = runtimes.load(path, "cpu")
    try:
        return probe.compare(partial(run, runtime))
    finally:
        runtime.close()


def run(runtime: Any, pixels: Tensor) -> Any:
    """Run a file on a network input."""
    return runtime.run(pixels.numpy())


def quantize_with_nncf(source: Path, out: Path, images: list[Tensor]) -> None:
    """Quantize a float file with NNCF's defaults."""
    import nncf

    nncf.set_log_level(logging.ERROR)
    model = ov.Core().read_model(source)
    data = nncf.Dataset([image.numpy() for image in images])
    quantized = nncf.quantize(model, data, subset_size=len(images))
    quantized.set_rt_info(model.get_rt_info([METADATA_KEY]).astype(str), [METADATA_KEY])
    ov.save_model(quantized, out)


def numbers(degradation: Degradation) -> tuple[str, ...]:
    """Return the columns of the table for a file."""
    values = (degradation.median_px, degradation.capped_px, degradation.p95_px)
    return (f"{degradation.sqnr_db:.1f}", *(f"{value:.2f}" for value in values))


def shrunk(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink a picture to `SIDE`."""
    image = Image.fromarray(picture)
    image.thumbnail((SIDE, SIDE))
    return np.array(image)


def main() -> None:
    """Train, quantize, measure, and print one table."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("names", nargs="*", metavar="NAME", help=f"network: {'; '.join(NETWORKS)} (default: all)")
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the trained networks")
    p.add_argument("--steps", type=int, default=1200, help="training steps (default: %(default)s)")
    p.add_argument("--calibration", type=int, default=64, help="calibration pictures (default: %(default)s)")
    p.add_argument("--test", type=int, default=64, help="pictures to measure on (default: %(default)s)")
    p.add_argument("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    data = DocumentCorners()
    seen = [shrunk(picture) for picture in data.calibration(args.calibration + JUDGED)]
    test = [shrunk(example.image) for example in data.validation(args.test)]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "openvino", "nncf"))
    print(f"{datetime.now(timezone.utc):%Y-%m-%d}, {versions}; {args.steps} steps of {BATCH} at {CORNERS.input_size}\n")
    head = ("network", "quantized by", "SQNR dB", "median px", "drift px", "p95 px")
    for cells in (head, ["---"] * len(head)):
        print(f"| {' | '.join(cells)} |", flush=True)
    for name in args.names or NETWORKS:
        for row in measured(load(name, args.out, args.steps), (seen[JUDGED:], seen[:JUDGED], test), name):
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
