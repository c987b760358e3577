"""Compare the time from a photograph to its keypoints with a script of OpenCV and OpenVINO, and with NNCF's files.

    python benchmarks/speed.py                       # prints the table; needs an idle machine
    python benchmarks/speed.py --out speed.json      # also stores the ratios
    python benchmarks/speed.py --check speed.json    # prints what has moved since, and exits with 1 if something has

All candidates run in turn in one process, on two threads, and each is compared by its median. Photographs are the two
sample pictures, enlarged to 8 megapixels in both orientations, with the noise of a camera. The rows of NNCF need
``pip install nncf``, and are left out without it. The script, which a user would write without this project, is
`script` in this file.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino as ov
from numpy.typing import NDArray
from PIL import Image

from edgehrnet import Predictor
from edgehrnet.cli.tables import table
from edgehrnet.picture.letterbox import letterbox
from edgehrnet.shipped import model_path

ASSETS = Path(str(model_path("document-corners"))).parent
CHECKPOINT = Path(__file__).parents[1] / "checkpoints" / "document-corners.pt"
SIZE = (256, 512)
THREADS = 2
MOVED = 0.10  # a ratio that differs by more has moved
Picture = NDArray[np.uint8]
Candidates = Mapping[str, Callable[[], object]]


def compiled(path: Path) -> Any:
    """Compile a file with OpenVINO as a script would, and return an inference request."""
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": THREADS, "ENABLE_CPU_PINNING": False}
    settings["INFERENCE_PRECISION_HINT"] = "f32"  # as Predictor runs float layers, and not in bfloat16
    return ov.Core().compile_model(path, "CPU", settings).create_infer_request()


def script(request: Any, path: Path) -> Picture:
    """Find the strongest cell of each heatmap in a photograph with OpenCV and OpenVINO."""
    image = cv2.imread(str(path))
    assert image is not None
    height, width = image.shape[:2]
    scale = min(SIZE[0] / height, SIZE[1] / width)
    small = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    top, left = (SIZE[0] - small.shape[0]) // 2, (SIZE[1] - small.shape[1]) // 2
    pixels = np.zeros((1, *SIZE, 4), np.uint8)
    inside = pixels[0, top : top + small.shape[0], left : left + small.shape[1]]
    inside[..., :3], inside[..., 3] = small[..., ::-1], 255
    heatmaps = request.infer({0: pixels})["heatmaps"][0]
    return np.array([np.unravel_index(heatmap.argmax(), heatmap.shape) for heatmap in heatmaps])


def photographs(folder: Path, count: int = 12) -> list[Path]:
    """Write photographs of 8 megapixels as a phone does, half of them upright."""
    random, paths = np.random.default_rng(0), []
    for number in range(count):
        size = (3264, 2448) if number % 2 else (2448, 3264)
        with Image.open(ASSETS / ("book.jpg", "card.jpg")[number % 4 // 2]) as picture:
            pixels = np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)).astype(np.int16)
        pixels += random.integers(-6, 7, pixels.shape, dtype=np.int16)
        paths.append(folder / f"{number:02}.jpg")
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(paths[-1], quality=90)
    return paths


def medians(candidates: Candidates, rounds: int) -> dict[str, float]:
    """Run each candidate once a round, in turn, and return the median milliseconds of each."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds + 2):  # the first two warm up
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            if number > 1:
                times[name].append((time.perf_counter() - start) * 1000)
    return {name: statistics.median(found) for name, found in times.items()}


def of_photographs(folder: Path, rounds: int) -> dict[str, float]:
    """Return the milliseconds for a photograph, from its file."""
    paths = photographs(folder)
    request = compiled(model_path("document-corners"))
    with Predictor("document-corners", threads=THREADS) as predictor:
        times = medians(
            {
                "script": lambda: [script(request, path) for path in paths],
                "predict(path)": lambda: [predictor.predict(path) for path in paths],
                "stream(folder)": lambda: [result.score for result in predictor.stream(folder)],
            },
            rounds,
        )
    return {name: ms / len(paths) for name, ms in times.items()}


def of_arrays(folder: Path, rounds: int) -> dict[str, float]:
    """Return the milliseconds for an array of 1280x720, and of inference alone."""
    with Image.open(ASSETS / "book.jpg") as picture:
        array = np.asarray(picture.convert("RGB").resize((1280, 720)))
    pixels = letterbox(array, SIZE)[0][None]
    trimmed = letterbox(array, SIZE, trim=True)[0][None]
    candidates: dict[str, Callable[[], object]] = {}
    files = {"int8": "document-corners", "hs": "document-corners-hs", "float": "document-corners-fp16"}
    for name, model in files.items():
        request = compiled(model_path(model))
        candidates[f"{name}, bare"] = partial(request.infer, {0: pixels})
        if name != "float":
            predictor = Predictor(model, threads=THREADS)
            candidates[f"{name}, bare, trimmed"] = partial(predictor._runtime.run, trimmed)
            candidates[f"{name}, predict"] = partial(predictor.predict, array)
    if find_spec("nncf") is not None:
        request = compiled(by_nncf(model_path("document-corners-fp16"), folder / "nncf.xml", array))
        candidates["nncf, bare"] = partial(request.infer, {0: pixels})
    return medians(candidates, rounds * 8)


def of_onnxruntime(folder: Path, rounds: int) -> dict[str, float]:
    """Return the milliseconds for an array of 1280x720 with an INT8 file in ONNX Runtime, and of inference alone."""
    import onnxruntime

    from edgehrnet.models.checkpoints import load_checkpoint
    from quant.data.documents.corners import DocumentCorners
    from quant.files.model_file import PROOF_PICTURES, export_file

    path, checkpoint = folder / "int8.onnx", load_checkpoint(CHECKPOINT)
    pictures = [example.image for example in DocumentCorners().validation(PROOF_PICTURES)]
    export_file(checkpoint, path, pictures=pictures, target="onnx", precision="int8")
    with Image.open(ASSETS / "book.jpg") as picture:
        array = np.asarray(picture.convert("RGB").resize((1280, 720)))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    pixels = {session.get_inputs()[0].name: letterbox(array, SIZE)[0][None]}
    with Predictor(path, threads=THREADS) as predictor:
        candidates = {"bare": partial(session.run, None, pixels), "predict": partial(predictor.predict, array)}
        return medians(candidates, rounds * 4)


def by_nncf(source: Path, out: Path, array: Picture) -> Path:
    """Quantize a float file with NNCF's defaults. The numbers of the ranges do not change the speed."""
    import nncf

    inputs = [np.roll(letterbox(array, SIZE)[0], shift, axis=1)[None] for shift in range(0, 300, 30)]
    ov.save_model(nncf.quantize(ov.Core().read_model(source), nncf.Dataset(inputs), subset_size=len(inputs)), out)
    return out


def peak_memory(code: str) -> float:
    """Return the peak memory in MB of a Python process that runs ``code``. Linux only."""
    # Not ru_maxrss of resource.getrusage: a new process begins with that of the one which started it.
    report = "print([int(line.split()[1]) / 1024 for line in open('/proc/self/status') if line[:5] == 'VmHWM'][0])"
    command = [sys.executable, "-c", f"{code}\n{report}"]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def of_memory(photograph: Path) -> dict[str, float]:
    """Return the peak memory in MB of a process that predicts once, and of the script."""
    ours = f"from edgehrnet import Predictor; Predictor('document-corners', threads=2).predict({str(photograph)!r})"
    folder, model = str(Path(__file__).parent), str(model_path("document-corners"))
    bare = (
        f"import sys; sys.path.insert(0, {folder!r}); import cv2, numpy, openvino as ov; from pathlib import Path\n"
        f"c = ov.Core().compile_model({model!r}, 'CPU', {{'INFERENCE_NUM_THREADS': 2}}).create_infer_request()\n"
        f"image = cv2.imread({str(photograph)!r}); c.infer({{0: numpy.zeros((1, 256, 512, 4), 'u1')}})"
    )
    return {"predict": peak_memory(ours), "script": peak_memory(bare)}


def of_cold_start(folder: Path, rounds: int) -> dict[str, float]:
    """Return the ms of a process that predicts once, and of one that runs the same file with OpenVINO alone.

    Python's bytecode is kept in a folder, as it is after an installation by pip.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    codes = {}
    for name in ("document-corners", "document-corners-fp16"):
        model = str(model_path(name))
        codes[f"{name}, predict"] = (
            "import numpy; from edgehrnet import Predictor\n"
            f"Predictor({name!r}, threads=2, shapes=1).predict(numpy.zeros((256, 512, 3), 'u1'))"
        )
        codes[f"{name}, bare"] = (
            "import numpy, openvino as ov\n"
            f"c = ov.Core().compile_model({model!r}, 'CPU', {{'INFERENCE_NUM_THREADS': 2, 'ENABLE_CPU_PINNING': False, "
            "'INFERENCE_PRECISION_HINT': 'f32'}).create_infer_request()\n"
            "c.infer({0: numpy.zeros((1, 256, 512, 4), 'u1')})"
        )

    def run(code: str) -> None:
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)

    return medians({name: partial(run, code) for name, code in codes.items()}, rounds)


def ratios(
    photos: Mapping[str, float],
    arrays: Mapping[str, float],
    onnx: Mapping[str, float],
    memory: Mapping[str, float],
    start: Mapping[str, float],
) -> dict[str, float]:
    """Return the ratios that the benchmark page states. Smaller is better, except for float / int8."""
    found = {
        "stream(folder) / script": photos["stream(folder)"] / photos["script"],
        "predict(path) / script": photos["predict(path)"] / photos["script"],
        "predict(array) / inference, int8": arrays["int8, predict"] / arrays["int8, bare, trimmed"],
        "predict(array) / inference, hs": arrays["hs, predict"] / arrays["hs, bare, trimmed"],
        "predict(array) / inference, int8, ONNX Runtime": onnx["predict"] / onnx["bare"],
        "float / int8, inference": arrays["float, bare"] / arrays["int8, bare"],
        "float / hs, inference": arrays["float, bare"] / arrays["hs, bare"],
        "peak memory, predict / script": memory["predict"] / memory["script"],
        "cold start, predict / bare, int8": start["document-corners, predict"] / start["document-corners, bare"],
        "cold start, predict / bare, fp16": start["document-corners-fp16, predict"]
        / start["document-corners-fp16, bare"],
    }
    if "nncf, bare" in arrays:
        for name in ("int8", "hs"):
            found[f"predict(array) / nncf inference, {name}"] = arrays[f"{name}, predict"] / arrays["nncf, bare"]
            found[f"inference / nncf inference, {name}"] = arrays[f"{name}, bare"] / arrays["nncf, bare"]
    return found


def moved(stored: Mapping[str, float], found: Mapping[str, float]) -> list[Sequence[str]]:
    """Return name, stored and new value of each ratio that differs by more than `MOVED`."""
    return [
        (name, f"{before:.3f}", f"{found[name]:.3f}")
        for name, before in stored.items()
        if name in found and abs(found[name] / before - 1) > MOVED
    ]


def main() -> None:
    """Measure, and print, store or compare."""
    parser = argparse.ArgumentParser(description="Compare the time from a photograph to its keypoints.")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of all photographs (default: 9)")
    parser.add_argument("--out", type=Path, help="write the ratios as JSON")
    parser.add_argument("--check", type=Path, help="compare with ratios that --out wrote")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "photographs"
        folder.mkdir()
        photos = of_photographs(folder, args.rounds)
        arrays = of_arrays(Path(name), args.rounds)
        onnx = of_onnxruntime(Path(name), args.rounds)
        memory = of_memory(next(folder.iterdir()))
        start = of_cold_start(Path(name), 2 * args.rounds)
    print(table(("from a JPEG file of 8 Mpx", "ms"), [(key, f"{ms:.1f}") for key, ms in photos.items()]))
    print("\n" + table(("array of 1280x720", "ms"), [(key, f"{ms:.2f}") for key, ms in arrays.items()]))
    print("\n" + table(("the same, INT8 in ONNX Runtime", "ms"), [(key, f"{ms:.2f}") for key, ms in onnx.items()]))
    print("\n" + table(("peak memory", "MB"), [(key, f"{mb:.0f}") for key, mb in memory.items()]))
    print("\n" + table(("a process that predicts once", "ms"), [(key, f"{ms:.0f}") for key, ms in start.items()]))
    found = ratios(photos, arrays, onnx, memory, start)
    print("\n" + table(("ratio", "value"), [(key, f"{value:.3f}") for key, value in found.items()]))
    if args.out is not None:
        args.out.write_text(json.dumps({key: round(value, 4) for key, value in found.items()}, indent=1) + "\n")
    if args.check is not None:
        rows = moved(json.loads(args.check.read_text()), found)
        print("\n" + (table(("moved by more than 10 %", "before", "now"), rows) if rows else "nothing has moved"))
        sys.exit(bool(rows))


if __name__ == "__main__":
    main()
