"""Compare `edgehrnet predict --ray local` with as many plain processes, and measure what a picture costs.

Each round runs plain processes with one thread each, which share the pictures, and then Ray with as many workers. The
first pictures of each process are left out of the rates, because the network is compiled for them. Starting is reported
on its own. Needs edgehrnet[openvino,parquet,ray] and nothing else.
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
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

from PIL import Image

from edgehrnet import sample_picture
from edgehrnet.many import predict_many

FIRST = 16  # pictures of each plain process that are left out
SHIFTS = 16  # pixels by which the pictures are cut at other places, so that no two have the same result


@dataclass
class Measured:
    """One run."""

    seconds: float
    """From typing the command to the end."""
    starting: float
    """Until the first result."""
    rate: float
    """Pictures a second of all processes together, without the first ones."""
    cpu_ms: float
    """CPU time of a picture, without the first ones. Other work on the machine hardly changes it."""


def draw(folder: Path, count: int) -> None:
    """Write pictures of documents, cut out of the sample pictures at different places."""
    for number in range(count):
        left, top = number // 4 % SHIFTS, number // 4 // SHIFTS % SHIFTS
        with Image.open(sample_picture(("document", "receipt", "card", "book")[number % 4])) as picture:
            size = picture.width - SHIFTS, picture.height - SHIFTS
            picture.crop((left, top, left + size[0], top + size[1])).save(folder / f"{number:05}.jpg", quality=90)


def plain(lists: list[Path], results: list[dict[str, Any]]) -> Measured:
    """Run a process for each list of pictures."""
    start = time.perf_counter()
    times: list[list[tuple[float, float]]] = [[] for _ in lists]

    def run(number: int) -> None:
        files = lists[number], lists[number].with_suffix(".parquet")
        command = [sys.executable, "-m", "edgehrnet", "predict", "document-corners", str(files[0]), "--threads", "1"]
        with subprocess.Popen(
            [*command, "--parquet", str(files[1]), "--json"], stdout=subprocess.PIPE, start_new_session=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                times[number].append((time.perf_counter(), cpu_seconds(process.pid)))
                results.append(json.loads(line))

    threads = [Thread(target=run, args=(number,)) for number in range(len(lists))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = [len(each) - FIRST for each in times]
    rate = sum(count / (each[-1][0] - each[FIRST - 1][0]) for count, each in zip(counts, times, strict=True))
    cpu = sum(each[-1][1] - each[FIRST - 1][1] for each in times) / sum(counts)
    starting = min(each[0][0] for each in times) - start
    return Measured(time.perf_counter() - start, starting, rate, 1000 * cpu)


def cpu_seconds(process: int) -> float:
    """Return the CPU time of a process so far, on Linux."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def many(folder: Path, file: Path, workers: int) -> Measured:
    """Run Ray on this machine."""
    start, begin = time.perf_counter(), time.time()
    summary = predict_many("document-corners", [folder], file, workers=workers)
    rate, cpu, count = 0.0, 0.0, 0
    for process in {part["process"] for part in summary.parts}:
        parts = sorted((part for part in summary.parts if part["process"] == process), key=lambda part: part["start"])
        done = sum(part["pictures"] for part in parts[1:])
        rate += done / (parts[-1]["end"] - parts[0]["end"])
        cpu, count = cpu + sum(part["cpu"] for part in parts[1:]), count + done
    starting = min(part["start"] for part in summary.parts) - begin
    return Measured(time.perf_counter() - start, starting, rate, 1000 * cpu / count)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=1024, help="number of pictures (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="workers and processes (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each kind, in turns (default: %(default)s)")
    args = parser.parse_args()
    ratios: list[tuple[float, float]] = []
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder, file = Path(name, "pictures"), Path(name, "many.parquet")
        folder.mkdir()
        draw(folder, args.pictures)
        pictures = sorted(folder.iterdir())
        lists = [Path(name, f"{number}.txt") for number in range(args.workers)]
        for number, path in enumerate(lists):
            path.write_text("".join(f"{one}\n" for one in pictures[number :: args.workers]))
        for _ in range(args.rounds):
            one, other = plain(lists, results), many(folder, file, args.workers)
            ratios.append((other.rate / one.rate, one.cpu_ms / other.cpu_ms))
            print(f"plain {one}\nray   {other}", flush=True)
        for what, each in zip(("rate", "pictures per CPU time"), zip(*ratios, strict=True), strict=True):
            print(f"ray : plain, {what}: median {statistics.median(each):.3f}, {min(each):.3f} to {max(each):.3f}")
        size = statistics.mean(path.stat().st_size for path in pictures)
        print(f"bytes a picture: {size:.0f} read, {file.stat().st_size / len(pictures):.0f} written")
    for stage in results[0]["speed_ms"]:
        print(f"{stage}: {min(result['speed_ms'][stage] for result in results):.2f} ms at least")


if __name__ == "__main__":
    main()
