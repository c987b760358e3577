"""Measure one thing in this process, as ``python -m edgehrnet.benchmarking.child``.

Reads a JSON object from the standard input, and writes one to the standard output.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgehrnet.benchmarking.cases import STAGES, TOTAL
from edgehrnet.benchmarking.truth import error_of, read_truth
from edgehrnet.errors import EdgeHRNetError, ModelFileError
from edgehrnet.predictor import Predictor
from edgehrnet.result import Result
from edgehrnet.shipped import model_path
from edgehrnet.sources import Frame
from runtimes.profiling import profile

PERCENTILES = {"p50": 50, "p95": 95, "p99": 99}
LEAST = 20
"""Smallest number of calls, also if they take longer than they should."""


def measure(job: Mapping[str, Any]) -> dict[str, Any]:
    """Do what a job says: ``cold``, ``times`` or ``operations``."""
    kinds: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
        "cold": _cold, "times": _times, "operations": _operations,
    }  # fmt: skip
    try:
        return kinds[job["kind"]](job)
    except EdgeHRNetError as error:
        return {"error": str(error)}


def _open(job: Mapping[str, Any], **more: Any) -> Predictor:
    """Open the model, with its boxes in batches if it takes crops and its engine takes batches."""
    arguments = {**job["arguments"], **more}
    if "input_size" in arguments:
        arguments["input_size"] = tuple(arguments["input_size"])
    predictor, batch = Predictor(job["model"], **arguments), job.get("batch", 1)
    if batch == 1 or predictor.spec.crop is None:
        return predictor
    try:
        together = Predictor(job["model"], **arguments, batch=batch)
    except ModelFileError:
        return predictor
    predictor.close()
    return together


def _cold(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return the seconds from the start of the process to the first result."""
    with _open(job, cache_dir=job["cache_dir"]) as predictor:
        _predict(predictor, job["pictures"][:1], 1)
        return {"seconds": time.time() - job["started"]}


def _times(job: Mapping[str, Any]) -> dict[str, Any]:
    with _open(job) as predictor:
        pictures, batch, seconds = job["pictures"], job["batch"], job["seconds"]
        for picture in pictures:  # compiles for its shape
            _predict(predictor, [picture], batch)
        stages: dict[str, list[float]] = {}
        turns, end = cycle(pictures), time.perf_counter() + seconds
        while time.perf_counter() < end or len(stages.get(TOTAL, ())) < LEAST:
            start = time.perf_counter()
            results = _predict(predictor, [next(turns) for _ in range(batch)], batch)
            total = 1000 * (time.perf_counter() - start)
            stages.setdefault(TOTAL, []).append(total)
            for stage in STAGES:
                if stage in results[0].speed:
                    spent = sum(result.speed[stage] for result in results)
                    stages.setdefault(stage, []).append(spent)
        found = {
            "stages": {name: _percentiles(values) for name, values in stages.items()},
            "calls": len(stages[TOTAL]),
            "per_second": _throughput(predictor, pictures, batch, seconds),
            "memory_mb": _peak_memory(),
        }
        info = predictor.info()
        found |= {"engine": f"{info['engine']} {info['version']} on {info['device']}", "precision": info["spec"][
            "precision"], "input": "{}x{}".format(*info["input_size"])}  # fmt: skip
        if job["truth"]:
            folder = None if job["images"] is None else Path(job["images"])
            truths = read_truth(Path(job["truth"]), predictor.spec.keypoints, folder)
            found["error_px"] = error_of(predictor, truths)
        return found


def _predict(predictor: Predictor, pictures: list[str], batch: int) -> list[Result]:
    """Predict pictures, or for a model that takes crops, ``batch`` boxes of the size of the first picture in it."""
    if predictor.spec.crop is None:
        return predictor.predict(pictures) if batch > 1 else [predictor.predict(pictures[0])]
    return [predictor.predict(pictures[0], boxes=_boxes(pictures[0], batch))]


def _boxes(picture: str, batch: int) -> list[list[float]]:
    with Image.open(picture) as opened:
        return [[0.0, 0.0, *map(float, opened.size)]] * batch


def _throughput(predictor: Predictor, pictures: list[str], batch: int, seconds: float) -> float:
    """Return the pictures, or boxes, that `Predictor.stream` does in a second."""
    crops = predictor.spec.crop is not None

    def frames() -> Iterator[Frame]:
        for picture in cycle(pictures):
            if time.perf_counter() > end and count >= LEAST:
                return
            yield Frame(picture, boxes=_boxes(picture, batch) if crops else None, ahead=True)

    count, start = 0, time.perf_counter()
    end = start + seconds
    for result in predictor.stream(frames()):
        count += len(result.keypoints)
    return count / (time.perf_counter() - start)


def _operations(job: Mapping[str, Any]) -> dict[str, Any]:
    with _open(job) as predictor:
        size = predictor.spec.input_size
    arguments, path = job["arguments"], model_path(job["model"])
    wanted = arguments.get("input_size")
    found = profile(path, arguments.get("device"), input_size=None if wanted is None else tuple(wanted),
                    open_size=size, threads=arguments.get("threads"))  # fmt: skip
    rows = [{"name": one.name, "type": one.type, "kernel": one.kernel, "ms": round(one.ms, 4)} for one in found]
    return {"operations": rows[: job["count"]], "total_ms": round(sum(one.ms for one in found), 3)}


def _percentiles(values: list[float]) -> dict[str, float]:
    return {name: float(np.percentile(values, percent)) for name, percent in PERCENTILES.items()}


def _peak_memory() -> float | None:
    """Return the largest memory of this process in MB, None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


if __name__ == "__main__":
    print(json.dumps(measure(json.load(sys.stdin))))
