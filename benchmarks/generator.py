"""Compare the time to generate a synthetic picture with the time to train on it.

Usage: ``python benchmarks/generator.py`` on an idle machine. Both are timed on one thread.
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

WARMUP = 400  # pictures; afterwards most pages and surfaces of the pool are cached, as in a long run


def main() -> None:
    """Print the milliseconds per picture."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument(
        "--sizes",
        type=parse_size,
        nargs="+",
        default=[(128, 256), (256, 256), (256, 512)],
        metavar="HxW",
        help="input sizes, HEIGHTxWIDTH (default: 128x256 256x256 256x512)",
    )
    p.add_argument("--count", type=int, default=100, help="number of pictures to time (default: 100)")
    args = p.parse_args()
    torch.set_num_threads(1)
    data = DocumentCorners()
    for index in range(WARMUP):
        data.training(0, index)
    for size in args.sizes:
        samples = Samples(data, data.spec, WARMUP, args.count, batch=8, sizes=(size,))
        generated = timed(samples.__getitem__, range(args.count))
        trained = step(samples, size)
        print(f"{size[0]}x{size[1]}: generated and letterboxed in {generated:.1f} ms, trained on in {trained:.1f} ms")


def step(samples: Samples, size: tuple[int, int]) -> float:
    """Return the milliseconds per picture of a training step in bfloat16 at an input size (height, width)."""
    settings = TrainSettings(sizes=(size,), batch=samples.batch, steps=100, amp="bf16")
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(settings, Path(folder))
        batch = next(iter(DataLoader(samples, samples.batch)))
        trainer.train_step(dict(batch))  # the first step allocates memory
        return timed(lambda _: trainer.train_step(dict(batch)), range(5)) / samples.batch


def timed(work: Callable[[int], object], indices: range) -> float:
    """Return the mean milliseconds of ``work(index)`` over the indices."""
    start = time.perf_counter()
    for index in indices:
        work(index)
    return 1000 * (time.perf_counter() - start) / len(indices)


if __name__ == "__main__":
    main()
