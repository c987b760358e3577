"""Does training wait for the network or for the pictures? ``python benchmarks/generator.py`` on an idle machine.

Times one drawn picture and one picture's share of a training step, each on one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from edgehrnet.cli.arguments import parse_size
from quant.data.batches import Samples
from quant.data.documents.corners import DocumentCorners
from quant.training.settings import TrainSettings
from quant.training.trainer import Trainer

WARM = 400  # pictures, after which most pages and surfaces of the pool are in the cache, as in all but a run's start


def main() -> None:
    """Print milliseconds per picture."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--sizes", type=parse_size, nargs="+", default=[(128, 256), (256, 256), (256, 512)], metavar="HxW")
    p.add_argument("--count", type=int, default=100, help="pictures to time (default: 100)")
    args = p.parse_args()
    torch.set_num_threads(1)
    data = DocumentCorners()
    for number in range(WARM):
        data.training(0, number)
    for size in args.sizes:
        samples = Samples(data, WARM, args.count, batch=8, sizes=(size,))
        drawn = timed(samples.__getitem__, range(args.count))
        print(f"{size[0]}x{size[1]}: drawn and letterboxed in {drawn:.1f} ms, learned in {step(samples):.1f} ms")


def step(samples: Samples) -> float:
    """Return the milliseconds of a training step, bfloat16, for each picture of its batch."""
    settings = TrainSettings(sizes=samples.sizes, batch=samples.batch, steps=100, amp="bf16")
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(settings, Path(folder))
        batch = next(iter(DataLoader(samples, samples.batch)))
        trainer._train_step(dict(batch))  # the first one allocates
        return timed(lambda _: trainer._train_step(dict(batch)), range(5)) / samples.batch


def timed(work: Callable[[int], object], numbers: range) -> float:
    """Return the mean milliseconds of ``work`` over the numbers."""
    start = time.perf_counter()
    for number in numbers:
        work(number)
    return 1000 * (time.perf_counter() - start) / len(numbers)


if __name__ == "__main__":
    main()
