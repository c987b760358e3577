"""Predict for minutes on pictures of many sizes, some of them damaged, and fail if memory, threads or handles grow.

Usage: ``python tools/soak.py --minutes 10``, or ``make soak MINUTES=10``. It needs Linux.
"""

from __future__ import annotations

import argparse
import gc
import io
import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import runtimes.null
from edgehrnet.errors import ImageError
from edgehrnet.predictor import Predictor
from edgehrnet.spec import ModelSpec

THREADS = 8
DAMAGED = 0.01
BATCH = 800  # frames between two measurements
RELOADS = 10  # batches between two reloads
MOST_GROWTH = 10.0  # bytes a frame
SPEC = ModelSpec.heatmaps("soak", ("a", "b"), input_size=(32, 32))


@dataclass(frozen=True)
class Sample:
    """State of the process after some frames."""

    frames: int
    rss: int
    threads: int
    handles: int
    latencies: NDArray[np.float64]
    """Milliseconds of each frame since the sample before."""


def pictures() -> list[bytes]:
    """Return JPEG and PNG files of many sizes and shapes."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(32):
        width, height = (int(side) for side in rng.integers(16, 160, 2))
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(file, ("JPEG", "PNG")[number % 2])
        found.append(file.getvalue())
    return found


def growth(samples: list[Sample]) -> float:
    """Return the bytes a frame by which memory grew in the second half: the slope of a line fitted to it."""
    half = samples[len(samples) // 2 :]
    frames = np.array([sample.frames for sample in half], np.float64)
    return float(np.polyfit(frames, np.array([sample.rss for sample in half], np.float64), 1)[0])


def problems(samples: list[Sample]) -> list[str]:
    """Return what grew after the first half."""
    half, found = samples[len(samples) // 2 :], []
    if (bytes_a_frame := growth(samples)) > MOST_GROWTH:
        found.append(f"memory grew by {bytes_a_frame:.1f} bytes a frame, accepted: {MOST_GROWTH:g}")
    for name in ("threads", "handles"):
        first, last = getattr(half[0], name), getattr(half[-1], name)
        if last > first:
            found.append(f"{name} grew from {first} to {last}")
    return found


def soak(model: str | Path, seconds: float, plant: int = 0) -> list[Sample]:
    """Predict in `THREADS` threads and return a sample after each batch. ``plant`` bytes are leaked with each frame."""
    files, leaked, samples = pictures(), bytearray(), list[Sample]()
    predictor, lock = Predictor(model, threads=1), threading.Lock()

    def frame(number: int) -> float:
        rng = Random(number)
        content = rng.choice(files)
        started = time.perf_counter()
        with suppress(ImageError):
            predictor.predict(content[: len(content) // 2] if rng.random() < DAMAGED else content)
        with lock:
            leaked.extend(b"x" * plant)
        return (time.perf_counter() - started) * 1000

    end = time.monotonic() + seconds
    with ThreadPoolExecutor(THREADS) as pool:
        while time.monotonic() < end:
            first = len(samples) * BATCH
            latencies = np.fromiter(pool.map(frame, range(first, first + BATCH)), np.float64)
            samples.append(_sample(first + BATCH, latencies))
            if len(samples) % RELOADS == 0:
                predictor.close()
                predictor = Predictor(model, threads=1)
    predictor.close()
    return samples


def _sample(frames: int, latencies: NDArray[np.float64]) -> Sample:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    handles = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - numbers, not paths
    return Sample(frames, pages * os.sysconf("SC_PAGE_SIZE"), threading.active_count(), handles, latencies)


def report(samples: list[Sample]) -> str:
    """Return memory, threads, handles and latencies at the beginning and at the end."""
    tenth = max(1, len(samples) // 10)
    lines = [f"{samples[-1].frames} frames, {growth(samples):.1f} bytes a frame in the second half"]
    for name, part in (("first", samples[:tenth]), ("last", samples[-tenth:])):
        p50, p95, p99 = np.percentile(np.concatenate([sample.latencies for sample in part]), (50, 95, 99))
        last = part[-1]
        lines.append(f"{name} tenth: {last.rss >> 10} kB, {last.threads} threads, {last.handles} handles, "
                     f"p50 {p50:.2f} ms, p95 {p95:.2f} ms, p99 {p99:.2f} ms")  # fmt: skip
    return "\n".join(lines)


def main() -> int:
    """Soak a tiny model, or the one that is named, and return 1 if something grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="how long to predict (default: %(default)s)")
    parser.add_argument("--model", help="model file or shipped model; without one: a tiny file without an engine")
    parser.add_argument("--plant", type=int, default=0, metavar="BYTES", help="leak bytes with each frame, as a test")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "soak.null"
        runtimes.null.build(path, SPEC.to_json(), SPEC.input_size, {"heatmaps": np.ones((1, 2, 8, 8), np.float32)})
        samples = soak(args.model or path, args.minutes * 60, args.plant)
    if len(samples) < 4:
        parser.error(f"only {len(samples)} batches of {BATCH} frames; use more --minutes")
    print(report(samples))
    for problem in (found := problems(samples)):
        print(problem)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
