r"""Measure the error of keypoints when a detector runs on a part of a video's frames only.

Usage: ``python benchmarks/detectors.py pictures FOLDER`` draws labeled pictures of walking figures
(`benchmarks.moving_figures`). Train a network for crops on them::

    python -m quant.train --data FOLDER/figures.json --fold 0/8 --crop hrnet --sizes 128x96 --steps 300 --batch 8 \
        --init checkpoints/document-corners.pt --learning-rate 1.5e-3 --ema 0.98 --amp bf16 --out RUN

``python benchmarks/detectors.py measure RUN/ema.pt`` runs it on videos of other figures. The detector is imitated: it
gives the true boxes, each side moved by a random error of 3 % of the box's width or height.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import moving_figures
from edgehrnet import Detector, Predictor
from edgehrnet.sources.frame import Frame

BOX_ERROR = 0.03  # standard deviation of each side, by the width or height of the box
REFRESH = (1, 5, 15, 60, 10_000)
Floats = NDArray[np.float64]


@dataclass
class Imitation:
    """A detector that knows the boxes ``(T, N, 4)`` of a video."""

    boxes: Floats
    rng: np.random.Generator
    frame: int = 0
    """Number of the current frame."""
    calls: int = 0
    """Number of frames that it looked at."""

    def __call__(self, _: NDArray[np.uint8]) -> Floats:
        """Return the boxes ``(N, 4)`` of the current frame, with errors."""
        self.calls += 1
        boxes = self.boxes[self.frame]
        moved = self.rng.normal(0, BOX_ERROR, boxes.shape) * np.tile(boxes[:, 2:], 2)
        return np.asarray(boxes + moved)


def errors(model: Path, refresh: int, videos: int, frames: int) -> tuple[float, Floats]:
    """Return the share of the frames that the detector looked at, and the errors ``(M,)`` of all keypoints in px."""
    found, calls = [], 0
    for seed in range(videos):
        true = moving_figures.track(seed, frames)
        boxes = Imitation(moving_figures.boxes_of(true), np.random.default_rng(seed))

        def clip(true: Floats = true, boxes: Imitation = boxes, seed: int = seed) -> Iterator[Frame]:
            for number, picture in enumerate(moving_figures.draw(seed, true)):
                boxes.frame = number
                yield Frame(picture, "figures", number, number / moving_figures.FPS)

        with Predictor(model, boxes_from=Detector(boxes, refresh=refresh)) as predictor:
            for result, points in zip(predictor.stream(clip()), true, strict=True):
                found.append(np.linalg.norm(result.keypoints.xy - points, axis=2).ravel())
        calls += boxes.calls
    return calls / (videos * frames), np.concatenate(found)


def main() -> None:
    """Draw the pictures or measure."""
    parser = argparse.ArgumentParser(description="Measure keypoints with a detector on some frames of a video.")
    commands = parser.add_subparsers(dest="command", required=True)
    pictures = commands.add_parser("pictures", help="draw labeled pictures")
    pictures.add_argument("folder", type=Path)
    pictures.add_argument("--count", type=int, default=160, help="pictures (default: %(default)s)")
    measure = commands.add_parser("measure", help="measure a network that was trained on them")
    measure.add_argument("model", type=Path)
    measure.add_argument("--videos", type=int, default=4, help="videos (default: %(default)s)")
    measure.add_argument("--frames", type=int, default=150, help="frames of each (default: %(default)s)")
    args = parser.parse_args()
    if args.command == "pictures":
        print(moving_figures.write_pictures(args.folder, args.count))
        return
    print("| refresh | detector ran on | mean px | median | 95 % | over 10 px |\n| --- | --- | --- | --- | --- | --- |")
    for refresh in REFRESH:
        share, error = errors(args.model, refresh, args.videos, args.frames)
        middle, high = np.percentile(error, [50, 95])
        print(
            f"| {refresh} | {share:.0%} of frames | {error.mean():.2f} | {middle:.2f} | {high:.2f} | "
            f"{(error > 10).mean():.1%} |"
        )


if __name__ == "__main__":
    main()
