"""Compare this project with what a user could take instead, on the same pictures with the same scores.

    python -m benchmarks.peers --count 300                 # prints the table; needs an idle machine
    python -m benchmarks.peers --count 0 --rounds 50       # latency only

Every row answers the same question: where are the four corners of the document in an array of 1280x720? All rows run
the float network of ``checkpoints/document-corners.pt`` or an INT8 file made of it, on two threads, and take turns.

- Files of NNCF and ONNX Runtime, and torch, use the letterbox and the decoding of this project. What is compared is
  the engine and the quantizer.
- RTMLib and Model API read two vectors for each keypoint (SimCC). `SimCC` makes them of the network's heatmaps. These
  rows use the letterbox and the decoding of RTMLib and of Model API.
- Pictures a second are those of arrays one after the other: `Predictor.stream` prepares the next one at the same time,
  the others have nothing of the kind for keypoints.
- The installed size is that of the packages that run the file, with all that they require, as the environment has
  them. torch has other sizes with CUDA.

Needs ``pip install nncf rtmlib openvino-model-api``.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import io
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from benchmarks.nncf_file import quantized_by_nncf
from benchmarks.onnx_cpu import quantize
from benchmarks.speed import THREADS, medians
from edgehrnet import Predictor
from edgehrnet.cli.tables import table
from edgehrnet.models.checkpoints import load_checkpoint
from edgehrnet.models.deploy.export_module import Deployed
from edgehrnet.models.deploy.loading import load_deployed
from edgehrnet.outputs import decode_outputs, with_heatmaps
from edgehrnet.preparation import prepare
from edgehrnet.shipped import model_path
from edgehrnet.spec import ModelSpec
from quant.data.examples import DataSet
from quant.data.opening import open_data
from quant.files.model_file import export_file
from quant.int8.calibration import network_inputs
from quant.scoring.evaluation import Prediction, evaluate

CHECKPOINT = Path("checkpoints/document-corners.pt")
DATA = "synthetic:document-corners"
PACKAGES = ("openvino", "onnxruntime", "torch", "nncf", "rtmlib", "openvino-model-api")
SPLIT = 2  # SimCC values for each pixel of the input, in RTMLib and Model API
Picture = NDArray[np.uint8]
Run = Callable[[Picture], Prediction]
ENGINE, ONNX, TORCH = ("openvino",), ("onnxruntime",), ("torch",)


@dataclass(frozen=True)
class Way:
    """One row of the table."""

    run: Run
    """Returns what is found in a picture."""
    requires: tuple[str, ...]
    """Packages that a user installs for it, apart from numpy, Pillow and this project."""
    stream: Callable[[Iterable[Picture]], Iterable[Any]] | None = None
    """Runs many pictures. None is one after the other."""

    def per_second(self, pictures: list[Picture]) -> float:
        """Return the number of pictures that are run in a second."""
        start = time.perf_counter()
        for _ in map(self.run, pictures) if self.stream is None else self.stream(iter(pictures)):
            pass
        return len(pictures) / (time.perf_counter() - start)


class SimCC(nn.Module):
    """Take floats 0..255 ``(1, 3, H, W)`` RGB, and return the vectors ``(1, K, 2 W)`` and ``(1, K, 2 H)``.

    A vector holds the largest activation along the other axis, with the values between the cells interpolated. Black
    pixels count as padding, because neither of the two says where it pads.

    Args:
        deployed: The network as exported, see `Deployed`.
    """

    def __init__(self, deployed: Deployed) -> None:
        super().__init__()
        self.network = deployed.network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network on one picture."""
        x = torch.cat([image / 255, (image.amax(1, keepdim=True) > 0).float()], dim=1)
        heatmaps = self.network(x).heatmaps.sigmoid()
        stride = image.shape[-1] // heatmaps.shape[-1]
        vectors = (heatmaps.amax(dim=axis) for axis in (2, 3))
        x_axis, y_axis = (nn.functional.interpolate(v, scale_factor=stride * SPLIT, mode="linear") for v in vectors)
        return x_axis, y_axis


def by_predictor(file: Path | str, requires: tuple[str, ...] = ENGINE, **options: Any) -> Way:
    """Return the way of `Predictor` with a file."""
    predictor = Predictor(file, threads=THREADS, **options)

    def run(picture: Picture) -> Prediction:
        result = predictor.predict(picture)
        return result.keypoints.xy[0], result.keypoints.conf[0]

    return Way(run, requires, predictor.stream)


def by_torch(deployed: nn.Module, spec: ModelSpec) -> Way:
    """Return the way of a torch network, with the letterbox and the decoding of this project."""

    def run(picture: Picture) -> Prediction:
        inputs, places = prepare(picture, spec)
        with torch.inference_mode():
            outputs = {name: tensor.numpy() for name, tensor in deployed(torch.from_numpy(inputs)).items()}
        xy, confidence = decode_outputs(with_heatmaps(outputs, spec, "heatmaps"), spec, places, None)
        return xy[0], confidence[0]

    return Way(run, TORCH)


def by_rtmlib(file: Path, size: tuple[int, int], backend: str) -> Way:
    """Return the way of RTMLib with a SimCC file. It reads the whole picture as a box, which it enlarges by 1.25."""
    from rtmlib import RTMPose

    with contextlib.redirect_stdout(io.StringIO()):  # it prints the name of the file
        model = RTMPose(str(file), model_input_size=size[::-1], mean=None, backend=backend)

    def run(picture: Picture) -> Prediction:
        points, confidence = model(picture)
        return np.asarray(points[0], np.float64), np.asarray(confidence[0], np.float32)

    return Way(run, ("rtmlib", backend))


def by_model_api(file: Path) -> Way:
    """Return the way of Model API with a SimCC file, letterboxed by its own operations inside the graph."""
    from model_api.adapters import OpenvinoAdapter
    from model_api.models import KeypointDetectionModel

    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": THREADS, "INFERENCE_PRECISION_HINT": "f32"}
    adapter = OpenvinoAdapter(ov.Core(), str(file), device="CPU", plugin_config=settings)
    model = KeypointDetectionModel(adapter, {"resize_type": "fit_to_window_letterbox"}, preload=True)

    def run(picture: Picture) -> Prediction:
        found = model(picture)
        return np.asarray(found.keypoints, np.float64), np.asarray(found.scores, np.float32)

    return Way(run, ("openvino-model-api",))


def installed_mb(requires: Iterable[str]) -> float:
    """Return the megabytes of installed packages and of all that they require, and of this project."""
    found: set[str] = set()
    waiting = ["numpy", "pillow", *requires]
    while waiting:
        name = re.sub("^opencv-.*", "opencv-python-headless", waiting.pop().lower())  # the smallest that works
        if name not in found:
            found.add(name)
            for line in importlib.metadata.requires(name) or ():
                if "extra ==" not in line and "platform_system" not in line and "sys_platform" not in line:
                    waiting.append(re.match(r"[\w.-]+", line).group())  # type: ignore[union-attr]
    files = [file for name in found for file in importlib.metadata.files(name) or ()]
    own = [path for room in ("edgehrnet", "runtimes") for path in Path(room).rglob("*") if path.suffix != ".pyc"]
    paths = [*(Path(file.locate()) for file in files), *own]
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def candidates(folder: Path, data: DataSet) -> Iterator[tuple[str, Way]]:
    """Build the files below a folder, and yield the name and the way of each row."""
    checkpoint = load_checkpoint(CHECKPOINT)
    pictures = list(data.calibration(64))
    spec = ModelSpec.from_dict(checkpoint.spec)
    images = network_inputs(pictures, spec)
    for suffix, target in ((".xml", "openvino"), (".onnx", "onnx")):
        export_file(checkpoint, folder / f"float{suffix}", pictures=pictures[:16], target=target, precision="fp32")
    yield "EdgeHRNet, INT8", by_predictor("document-corners")
    yield "EdgeHRNet, INT8, Hardswish (-hs)", by_predictor("document-corners-hs")
    yield "EdgeHRNet, float", by_predictor(folder / "float.xml")
    arrays = [image.numpy() for image in images]
    for name, tuned in (("NNCF, defaults", False), ("NNCF, mixed, histogram, float heads", True)):
        file = folder / f"nncf{int(tuned)}.xml"
        quantized_by_nncf(folder / "float.xml", file, arrays, tuned)
        yield name, by_predictor(file)
    quantize(folder / "float.onnx", folder / "static.onnx", images)
    yield "ONNX Runtime, float", by_predictor(folder / "float.onnx", ONNX)
    yield "ONNX Runtime, quantize_static", by_predictor(folder / "static.onnx", ONNX, spec=spec)
    torch.set_num_threads(THREADS)
    deployed, text, _ = load_deployed(CHECKPOINT)
    yield "torch, eager", by_torch(deployed, ModelSpec.from_json(text))
    yield "torch, compiled", by_torch(torch.compile(deployed), ModelSpec.from_json(text))  # type: ignore[arg-type]
    yield from of_simcc(SimCC(deployed).eval(), folder, spec.input_size)  # type: ignore[arg-type]


def of_simcc(network: SimCC, folder: Path, size: tuple[int, int]) -> Iterator[tuple[str, Way]]:
    """Yield the rows of RTMLib and Model API."""
    example, file = torch.zeros(1, 3, *size), folder / "simcc.onnx"
    with contextlib.redirect_stdout(io.StringIO()):
        torch.onnx.export(network, (example,), file, dynamo=True, external_data=False, output_names=["x", "y"])
    ov.save_model(ov.convert_model(file), folder / "simcc.xml")
    yield "RTMLib, ONNX Runtime, float", by_rtmlib(file, size, "onnxruntime")
    yield "RTMLib, OpenVINO, float", by_rtmlib(file, size, "openvino")
    yield "Model API, OpenVINO, float", by_model_api(folder / "simcc.xml")


def rows(ways: Mapping[str, Way], data: DataSet, count: int, rounds: int) -> Iterator[tuple[str, ...]]:
    """Yield a line of the table for each way."""
    array = np.asarray(Image.fromarray(next(data.validation(1)).image).resize((1280, 720)))
    times = medians({name: lambda run=way.run: run(array) for name, way in ways.items()}, rounds)  # type: ignore[misc]
    first = next(iter(times.values()))
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(3):
        for name, way in ways.items():
            speeds[name].append(way.per_second([array] * rounds))
    for name, way in ways.items():
        line = (name, f"{times[name]:.1f}", f"{times[name] / first:.2f}", f"{np.median(speeds[name]):.0f}")
        size = f"{installed_mb(way.requires):.0f}"
        if count:
            percent = evaluate(name, way.run, data, count).percent
            found = percent[np.isfinite(percent)]
            yield (*line, f"{found.mean():.2f}", f"{np.median(found):.2f}", f"{100 * (found <= 1).mean():.1f}", size)
        else:
            yield (*line, "", "", "", size)


def main() -> None:
    """Build, time and score all candidates, and print the table."""
    parser = argparse.ArgumentParser(description="Compare with other ways to run the same network.")
    parser.add_argument("--count", type=int, default=300, help="pictures to score (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=60, help="timed runs of each candidate (default: %(default)s)")
    args = parser.parse_args()
    data = open_data(DATA)
    with tempfile.TemporaryDirectory() as name:
        ways = dict(candidates(Path(name), data))
        head = ("array of 1280x720", "ms", "/ first", "per second", "mean error, %", "median, %", "PCK@1%", "MB")
        print(table(head, list(rows(ways, data, args.count, args.rounds))))
    print(", ".join(f"{package} {importlib.metadata.version(package)}" for package in PACKAGES))
    print(f"model: {model_path('document-corners').name}, errors in percent of the picture's diagonal")


if __name__ == "__main__":
    main()
