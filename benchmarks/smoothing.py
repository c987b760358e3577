"""Measure jitter against lag of the ways to smooth a video, on drawn documents and on a video without labels.

Usage: ``python benchmarks/smoothing.py --videos 8 --frames 240 --plot docs/smoothing.png`` prints a table for documents
that are drawn (`benchmarks.moving_documents`), so that their corners are known. ``--video FILE --model MODEL`` prints
one for a recorded video, whose true points are not known. The measures are defined in `benchmarks.motion`, and those of
a recorded video in `measure_recorded`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import motion, moving_documents
from edgehrnet import Kalman, Offline, OneEuro, Predictor, Result, smooth, track
from edgehrnet.decoding import CONFIDENCE_THRESHOLD
from edgehrnet.tracking.smoothing import METHODS, Method

Floats = NDArray[np.float64]
NEAR = 10.0  # px
CURVES: dict[str, Sequence[Method]] = {
    "low-pass": [OneEuro(cutoff, 0.0) for cutoff in (1.5, 2, 3, 4, 6, 9)],
    "one-euro": [OneEuro(beta=beta) for beta in (0.005, 0.01, 0.015, 0.03, 0.06, 0.15)],
    "kalman": [Kalman(agility) for agility in (10, 17, 25, 40, 80, 200)],
    "offline": [Offline(window) for window in (5, 7, 9, 11, 15)],
}


@dataclass(frozen=True)
class Row:
    """Measures of one setting."""

    curve: str
    setting: str
    lag: float
    jitter: float
    whole: float
    """Jitter of the points against the truth, with the error that lag makes where the motion changes."""
    error: float


def points(results: Iterable[Result]) -> Floats:
    """Return the keypoints ``(T, K, 2)`` of the first instance."""
    return np.array([result.keypoints.xy[0] for result in results])


def measure(method: Method | None, videos: Sequence[tuple[Floats, list[Result]]], curve: str) -> Row:
    """Measure one setting on drawn videos: true corners and results. None leaves the points as they are."""

    def smoothed(results: list[Result]) -> Floats:
        return points(results if method is None else smooth(results, method, fps=moving_documents.FPS))

    rows = []
    for true, results in videos:
        perfect = [
            replace(result, keypoints=replace(result.keypoints, xy=corners[None]))
            for corners, result in zip(true, results, strict=True)
        ]
        found, ideal = smoothed(results), smoothed(perfect)
        measures = motion.jitter(found, ideal), motion.jitter(found, true), motion.error(found, true)
        rows.append((motion.lag(found, true), *np.square(measures)))
    mean = np.mean(rows, axis=0)
    return Row(curve, name(method), float(mean[0]), *np.sqrt(mean[1:]).tolist())


def name(method: Method | None) -> str:
    """Return the setting that a curve varies."""
    if isinstance(method, Kalman):
        return f"agility={method.agility:g}"
    if isinstance(method, Offline):
        return f"window={method.window}"
    if isinstance(method, OneEuro):
        return f"beta={method.beta:g}" if method.beta else f"min_cutoff={method.min_cutoff:g}"
    return "none"


def drawn_videos(model: str, count: int, frames: int) -> list[tuple[Floats, list[Result]]]:
    """Return the true corners and the results of drawn videos. All results are kept, without their pictures."""
    videos = []
    with Predictor(model) as predictor:
        for seed in range(count):
            true = moving_documents.track(seed, frames)
            results = track(predictor.stream(moving_documents.draw(seed, true)), fps=moving_documents.FPS)
            videos.append((true, [result.slim() for result in results]))
    return videos


def recorded_video(model: str, video: Path) -> tuple[list[Result], float]:
    """Return the results of a video, without their pictures, and the frames per second that its file states."""
    import cv2

    capture = cv2.VideoCapture(str(video))
    fps = float(capture.get(cv2.CAP_PROP_FPS))

    def frames() -> Iterable[NDArray[np.uint8]]:
        while (read := capture.read())[0]:
            yield read[1].astype(np.uint8)

    with Predictor(model) as predictor:
        return [result.slim() for result in track(predictor.stream(frames(), color="bgr"), fps=fps)], fps


def measure_recorded(results: list[Result], fps: float) -> None:
    """Print jitter and lag without true points.

    The jitter is the median of the second difference of the points themselves, so that single wrong points do not
    decide. The lag is that against ``offline``, over points within `NEAR` px of it.
    """
    raw, still = points(results), points(smooth(results, "offline", fps=fps))
    seen = np.array([result.keypoints.conf[0] >= CONFIDENCE_THRESHOLD for result in results])
    near = seen & (np.linalg.norm(raw - still, axis=2) < NEAR)
    print(f"{len(results)} frames at {fps:g} per second, {seen.mean():.0%} of the points confident, ", end="")
    print(f"{near.sum() / seen.sum():.0%} of these near the offline track\n")
    print("| method | jitter px | of raw | lag frames |\n| --- | --- | --- | --- |")
    for title in (None, *METHODS):
        found = raw if title is None else points(smooth(results, title, fps=fps))
        shake, before = (motion.shaking(xy, near) for xy in (found, raw))
        print(f"| {title or 'raw'} | {shake:.2f} | {shake / before:.2f} | {motion.lag(found, still, near):.2f} |")


def plot(rows: Sequence[Row], path: Path) -> None:
    """Draw jitter against lag."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    raw = rows[0]
    axes.axhspan(0, 1 / 3, xmax=1, color="0.93", zorder=0)
    for curve, color in zip(CURVES, ("0.55", "#0072B2", "#D55E00", "#009E73"), strict=True):
        chosen = [row for row in rows if row.curve == curve]
        axes.plot([r.lag for r in chosen], [r.jitter / raw.jitter for r in chosen], "o-", color=color, label=curve)
        usual = [row for row in chosen if curve in METHODS and row.setting == name(METHODS[curve])]
        axes.plot([r.lag for r in usual], [r.jitter / raw.jitter for r in usual], "o", ms=13, mfc="none", color=color)
    axes.plot([0], [1], "kx", label="raw points")
    axes.set(xlabel="lag in frames", ylabel="jitter, as a share of the raw points'", ylim=(0, 1.05), xlim=(-0.1, 3))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run the measurement that the arguments name."""
    parser = argparse.ArgumentParser(description="Measure jitter against lag.")
    parser.add_argument("--model", default="document-corners", help="model file (default: %(default)s)")
    parser.add_argument("--videos", type=int, default=8, help="drawn videos (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=240, help="frames of each (default: %(default)s)")
    parser.add_argument("--plot", type=Path, help="PNG file to write (default: none)")
    parser.add_argument("--video", type=Path, help="recorded video (default: drawn ones)")
    args = parser.parse_args()
    if args.video is not None:
        measure_recorded(*recorded_video(args.model, args.video))
        return
    videos = drawn_videos(args.model, args.videos, args.frames)
    rows = [measure(None, videos, "raw")]
    rows += [measure(method, videos, curve) for curve, methods in CURVES.items() for method in methods]
    print("| method | setting | lag frames | jitter px | of raw | with lag px | error px |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        share = row.jitter / rows[0].jitter
        print(
            f"| {row.curve} | {row.setting} | {row.lag:.2f} | {row.jitter:.3f} | {share:.2f} | {row.whole:.3f} "
            f"| {row.error:.2f} |"
        )
    if args.plot is not None:
        plot(rows, args.plot)


if __name__ == "__main__":
    main()
