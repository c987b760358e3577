"""Predict for minutes on pictures of many sizes, some of them damaged, and fail if memory, threads or handles grow.

Usage: ``python tools/soak.py --minutes 10``, or ``make soak MINUTES=10``. It needs Linux.

Memory is the bytes that malloc has given and not got back, Python's objects included. The memory that the process holds
is no measure: free blocks between those in use stay with it, and each compilation of a model leaves others.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import io
import os
import sys
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
RELOADS = 3  # batches between two reloads
PROPORTIONS = ((1, 1), (4, 3), (3, 4), (16, 9), (2, 1), (2, 3), (1, 3))  # fewer than the shapes that stay compiled
MOST_GROWTH = 10.0  # bytes a frame
# Otherwise Python keeps small objects in memory of its own, and each thread some free blocks, which count as in use.
ENVIRONMENT = {"PYTHONMALLOC": "malloc", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
PERCENTILES = (50, 95, 99)
SPEC = ModelSpec.heatmaps("soak", ("a", "b"), input_size=(32, 32))


@dataclass(frozen=True)
class Sample:
    """State of the process after some frames."""

    frames: int
    memory: int
    """Bytes in use."""
    resident: int
    """Bytes that the process holds."""
    threads: int
    handles: int
    latencies: tuple[float, ...]
    """`PERCENTILES` of the milliseconds that the frames took since the sample before."""


def pictures() -> list[bytes]:
    """Return JPEG and PNG files of many sizes and several proportions."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(42):
        longest, (width, height) = int(rng.integers(16, 320)), PROPORTIONS[number % len(PROPORTIONS)]
        shape = (max(1, longest * height // max(width, height)), max(1, longest * width // max(width, height)), 3)
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(file, ("JPEG", "PNG")[number % 2])
        found.append(file.getvalue())
    return found


def growth(samples: list[Sample]) -> float:
    """Return the bytes a frame by which memory grew in the second half: the median of all slopes between two samples.

    A single step, such as memory that the engine takes once, moves it less than a fitted line.
    """
    half = samples[len(samples) // 2 :]
    frames = np.array([sample.frames for sample in half], np.float64)
    memory = np.array([sample.memory for sample in half], np.float64)
    first, second = np.triu_indices(len(half), 1)
    return float(np.median((memory[second] - memory[first]) / (frames[second] - frames[first])))


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
    """Predict in `THREADS` threads and return a sample after each batch. ``plant`` bytes are leaked for each frame."""
    files, leaked, samples = pictures(), list[bytes](), list[Sample]()
    predictor = _load(model, files)

    def frame(number: int) -> float:
        rng = Random(number)
        content = rng.choice(files)
        started = time.perf_counter()
        with suppress(ImageError):
            predictor.predict(content[: len(content) // 2] if rng.random() < DAMAGED else content)
        return (time.perf_counter() - started) * 1000

    end = time.monotonic() + seconds
    with ThreadPoolExecutor(THREADS) as pool:
        while time.monotonic() < end:
            first = len(samples) * BATCH
            latencies = np.fromiter(pool.map(frame, range(first, first + BATCH)), np.float64)
            leaked.append(b"x" * (plant * BATCH))
            samples.append(_sample(first + BATCH, latencies))
            if len(samples) % RELOADS == 0:
                predictor.close()
                predictor = _load(model, files)
    predictor.close()
    return samples


def _load(model: str | Path, files: list[bytes]) -> Predictor:
    """Load a model and compile it for the shapes of all pictures."""
    predictor = Predictor(model, threads=1)
    for content in files[: len(PROPORTIONS)]:
        predictor.predict(content)
    return predictor


def _sample(frames: int, latencies: NDArray[np.float64]) -> Sample:
    handles = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - numbers, not paths
    percentiles = tuple(float(value) for value in np.percentile(latencies, PERCENTILES))
    return Sample(frames, _memory(), _resident(), threading.active_count(), handles, percentiles)


class _Mallinfo(ctypes.Structure):
    """Counts of glibc's ``mallinfo2``."""

    _fields_ = [(name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks",
                                                     "fsmblks", "uordblks", "fordblks", "keepcost")]  # fmt: skip


def _memory() -> int:
    """Return the bytes of all blocks in use, without the names that Python keeps to find attributes faster."""
    getattr(sys, "_clear_internal_caches", sys._clear_type_cache)()
    gc.collect()
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = _Mallinfo
    found = mallinfo()
    return int(found.uordblks + found.hblkhd)


def _resident() -> int:
    """Return the bytes that the process holds and that are in no file."""
    ctypes.CDLL(None).malloc_trim(0)
    _, _, rest = Path("/proc/self/smaps_rollup").read_text().partition("Anonymous:")
    return int(rest.split()[0]) << 10


def report(samples: list[Sample]) -> str:
    """Return memory, threads, handles and latencies at the beginning and at the end."""
    tenth = max(1, len(samples) // 10)
    lines = [f"{samples[-1].frames} frames, {growth(samples):.1f} bytes a frame in the second half"]
    for name, part in (("first", samples[:tenth]), ("last", samples[-tenth:])):
        p50, p95, p99 = np.median([sample.latencies for sample in part], axis=0)
        last = part[-1]
        lines.append(f"{name} tenth: {last.memory >> 10} kB in use, {last.resident >> 10} kB held, "
                     f"{last.threads} threads, {last.handles} handles, "
                     f"p50 {p50:.2f} ms, p95 {p95:.2f} ms, p99 {p99:.2f} ms")  # fmt: skip
    return "\n".join(lines)


def main() -> int:
    """Soak a tiny model, or the one that is named, and return 1 if something grew."""
    if os.environ.get("PYTHONMALLOC") != ENVIRONMENT["PYTHONMALLOC"]:
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ENVIRONMENT})
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
