"""Compare the INT8 files of this project with those of NNCF: error, speed, and the share of MACs in INT8.

    python -m benchmarks.int8 build --data D --fold 0/5 --out DIR --float F.pt --qat Q.pt --hardswish H.pt
    python -m benchmarks.int8 latency DIR
    python -m benchmarks.int8 report DIR [DIR ...] --out PICTURE.png

``build`` writes all files, calibrated with the same pictures, and evaluates them on the validation set. ``latency``
times them and needs an idle machine. ``report`` pools the validation sets of several folds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import runtimes
import runtimes.openvino
from benchmarks.nncf_file import quantized_by_nncf
from edgehrnet import Predictor
from edgehrnet.cli.tables import table
from edgehrnet.models.checkpoints import Checkpoint, load_checkpoint
from edgehrnet.models.deploy.loading import deployable
from edgehrnet.spec import ModelSpec
from quant.data.examples import DataSet, Example
from quant.data.opening import ACCEPTED, open_data, parse_fold
from quant.files.model_file import export_file
from quant.files.proof import Reference, certify
from quant.int8.calibration import PICTURES, network_inputs
from quant.int8.pipeline import bias_corrected, calibrate, equalized
from quant.int8.scheme import SCHEMES
from quant.scoring.evaluation import evaluate
from quant.scoring.metrics import paired_bootstrap

PROOF = 16  # pictures for SQNR and keypoint drift
ROUNDS = 60  # each with one inference of each file
WARMUP = 5  # rounds before those that are timed
RADII = (2, 5, 10)  # px, for PCK
TITLES = {
    "float": "float",
    "ptq": "PTQ",
    "ptq-all": "PTQ, all inputs of additions",
    "ptq-corrected": "PTQ, bias correction and equalization",
    "qat": "QAT",
    "hardswish-float": "float, Hardswish",
    "hardswish": "PTQ, Hardswish",
    "nncf": "NNCF default",
    "nncf-tuned": "NNCF mixed, histogram, float heads",
}


def build(args: argparse.Namespace) -> None:
    """Build all files from the checkpoints, evaluate them, and write ``results.json``."""
    data = open_data(args.data, args.fold)
    validation = ValidationSet(data, args.count)
    pictures = list(data.calibration(args.calibration))
    args.out.mkdir(parents=True, exist_ok=True)
    plain, trained, swapped = (load_checkpoint(path) for path in (args.float, args.qat, args.hardswish))
    images = network_inputs(pictures, ModelSpec.from_dict(plain.spec))
    proof = [example.image for example in validation.examples[:PROOF]]
    ours: dict[str, tuple[Checkpoint, str]] = {
        "float": (plain, "fp32"),
        "ptq": (calibrate(plain, images), "int8"),
        "ptq-all": (calibrate(plain, images, [SCHEMES["openvino"].replace(adds="all")]), "int8"),
        "ptq-corrected": (bias_corrected(calibrate(equalized(plain), images), "openvino", images), "int8"),
        "qat": (trained, "int8"),
        "hardswish-float": (swapped, "fp32"),
        "hardswish": (calibrate(swapped, images), "int8"),
    }
    certificates = {}
    for name, (checkpoint, precision) in ours.items():
        file = args.out / f"{name}.xml"
        certificates[name] = export_file(checkpoint, file, precision=precision, picture=pictures[0], pictures=proof)
    float_network, spec = deployable(plain), Predictor(args.out / "float.xml").spec
    for name, tuned in (("nncf", False), ("nncf-tuned", True)):
        file = args.out / f"{name}.xml"
        layers = quantized_by_nncf(args.out / "float.xml", file, [image.numpy() for image in images], tuned)
        integer = sum(layer.type == "Convolution" and layer.precision in ("u8", "i8") for layer in layers)
        reference = Reference(float_network, None, integer)
        certificates[name] = certify(file, layers, reference, spec.replace(precision="int8"), proof)
    results = {}
    for name, certificate in certificates.items():
        with Predictor(args.out / f"{name}.xml") as predictor:
            found = evaluate(name, _predict(predictor), validation)  # type: ignore[arg-type]
        errors = [[None if np.isnan(e) else float(e) for e in row] for row in found.errors]
        scaled = [[None if np.isnan(e) else float(e) for e in row] for row in found.percent]
        results[name] = {"certificate": dataclasses.asdict(certificate), "errors_px": errors, "errors_percent": scaled}
        print(name, {key: value for key, value in found.summary(RADII).items() if value is not None})
    (args.out / "results.json").write_text(json.dumps(results))


class ValidationSet:
    """Validation pictures of a data set, generated or read once for all files."""

    def __init__(self, data: DataSet, count: int | None) -> None:
        self.spec = data.spec
        self.examples = list(data.validation(count))

    def validation(self, count: int | None = None) -> Iterator[Example]:
        """Yield the first ``count`` validation pictures, None for all."""
        return iter(self.examples[:count])


def _predict(predictor: Predictor) -> Callable[[NDArray[np.uint8]], tuple[Any, Any]]:
    def predict(image: NDArray[np.uint8]) -> tuple[Any, Any]:
        result = predictor.predict(image)
        return result.keypoints.xy[0], result.keypoints.conf[0]

    return predict


def latency(args: argparse.Namespace) -> None:
    """Time one inference of each file in turn, repeatedly. Write medians and speedups to ``latency.json``."""
    files = [args.dir / f"{name}.xml" for name in TITLES if (args.dir / f"{name}.xml").exists()]
    loaded = {file.stem: runtimes.load(file, "cpu", threads=args.threads) for file in files}
    size = next(iter(loaded.values())).describe().input_size
    image = np.random.default_rng(0).integers(0, 256, (1, *size, 4), dtype=np.uint8)
    times: dict[str, list[float]] = {name: [] for name in loaded}
    for turn in range(ROUNDS + WARMUP):
        for name, runtime in loaded.items():
            runtime.run(image)  # fills the cache with this network's weights, as if it ran alone
            started = time.perf_counter()
            runtime.run(image)
            if turn >= WARMUP:
                times[name].append(1000 * (time.perf_counter() - started))
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratios = {name: _ratio(times["float"], values) for name, values in times.items()}
    (args.dir / "latency.json").write_text(json.dumps({"ms": medians, "speedup": ratios, "threads": args.threads}))
    rows = [(TITLES[name], f"{ms:.2f}", f"{ratios[name]:.2f}") for name, ms in medians.items()]
    print(table(("file", "ms", "speedup over float"), rows))


def _ratio(before: list[float], after: list[float]) -> float:
    """Return the median speedup over all rounds. Both files run in each round, so a slow moment affects both."""
    return statistics.median(a / b for a, b in zip(before, after, strict=True))


@dataclass(frozen=True)
class MethodScores:
    """Results of one method, pooled over all folds."""

    name: str
    """Key of `TITLES`."""

    errors: NDArray[np.float64]
    """``(N, K)`` keypoint errors in pixels, NaN where not scored."""

    percent: NDArray[np.float64]
    """``(N, K)`` keypoint errors in percent of the picture's diagonal."""

    sqnr_db: float
    """Mean SQNR over the folds."""

    share: float
    """Share of MACs in INT8, 0..1."""

    speedup: float
    """Speed relative to float, NaN if not timed."""


def report(args: argparse.Namespace) -> None:
    """Print one table over all folds, with paired bootstrap intervals of the difference to float, and plot those."""
    rows = [_pool(name, args.dirs) for name in TITLES if all(name in _results(folder) for folder in args.dirs)]
    reference = next(row for row in rows if row.name == "float")
    lines = []
    for row in rows:
        difference, low, high = paired_bootstrap(_per_picture(row.errors), _per_picture(reference.errors))
        seen = row.errors[np.isfinite(row.errors)]
        percent = row.percent[np.isfinite(row.percent)]
        change = "" if row is reference else f"{difference:+.3f} [{low:+.3f}, {high:+.3f}]"
        lines.append(
            (
                TITLES[row.name],
                f"{seen.mean():.3f}",
                f"{np.median(seen):.3f}",
                change,
                *(f"{100 * (seen <= radius).mean():.1f}" for radius in RADII),
                *(f"{100 * (percent <= radius).mean():.1f}" for radius in (1, 2)),
                f"{row.sqnr_db:.1f}",
                f"{100 * row.share:.1f}",
                f"{row.speedup:.2f}",
            )
        )
    head = ("method", "mean px", "median", "mean - float [95 %]", *(f"PCK@{r}px" for r in RADII),
            "PCK@1%", "PCK@2%", "SQNR dB", "INT8 MACs %", "speed")  # fmt: skip
    print(_markdown(head, lines))
    tuned = next((row for row in rows if row.name == "nncf-tuned"), None)
    for row in rows:
        if tuned is not None and row.name in ("ptq", "ptq-all", "ptq-corrected", "qat", "hardswish"):
            difference, low, high = paired_bootstrap(_per_picture(row.errors), _per_picture(tuned.errors))
            print(f"\n{TITLES[row.name]} - {TITLES['nncf-tuned']}: {difference:+.4f} px [{low:+.4f}, {high:+.4f}]")
    if args.out is not None:
        _draw(rows, reference, args.out)


def _results(folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return results


def _pool(name: str, folders: Sequence[Path]) -> MethodScores:
    entries = [_results(folder)[name] for folder in folders]
    timed = [json.loads(path.read_text()) for folder in folders if (path := folder / "latency.json").exists()]
    certificates = [entry["certificate"] for entry in entries]
    return MethodScores(
        name,
        np.concatenate([np.array(entry["errors_px"], np.float64) for entry in entries]),
        np.concatenate([np.array(entry["errors_percent"], np.float64) for entry in entries]),
        statistics.fmean(certificate["sqnr_db"] for certificate in certificates),
        statistics.fmean(certificate["macs_int8"] / certificate["macs"] for certificate in certificates),
        statistics.fmean(entry["speedup"][name] for entry in timed) if timed else float("nan"),
    )


def _per_picture(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    labeled = np.asarray(np.isfinite(errors).any(axis=1))
    return np.where(labeled, np.nanmean(np.where(labeled[:, None], errors, 0.0), axis=1), np.nan)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def _draw(rows: Sequence[MethodScores], reference: MethodScores, path: Path) -> None:
    """Plot the mean error relative to float with its interval. PCK curves would coincide."""
    from matplotlib.figure import Figure

    shown = [row for row in rows if row is not reference]
    figure = Figure(figsize=(9, 0.8 + 0.45 * len(shown)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color="black", linewidth=0.8)
    for place, row in enumerate(shown):
        difference, low, high = paired_bootstrap(_per_picture(row.errors), _per_picture(reference.errors))
        color = "tab:orange" if row.name.startswith("nncf") else "tab:blue"
        axes.plot([low, high], [place, place], color=color, linewidth=2)
        axes.plot(difference, place, "o", color=color)
    axes.set_yticks(range(len(shown)), [TITLES[row.name] for row in shown])
    axes.invert_yaxis()
    axes.set_xlabel(f"difference of the mean error to float, px (95 % interval, {len(reference.errors)} pictures)")
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run one step of the comparison."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = p.add_subparsers(required=True)
    b = parts.add_parser("build", help="build and evaluate all files")
    b.add_argument("--data", required=True, help=ACCEPTED)
    b.add_argument("--fold", type=parse_fold, help="validation fold, such as 0/5")
    b.add_argument("--out", type=Path, required=True, help="folder to write to")
    b.add_argument(
        "--calibration", type=int, default=PICTURES, help="number of calibration pictures (default: %(default)s)"
    )
    b.add_argument("--count", type=int, help="number of validation pictures (default: all)")
    for name in ("--float", "--qat", "--hardswish"):
        b.add_argument(name, type=Path, required=True, help="checkpoint")
    b.set_defaults(run=build)
    t = parts.add_parser("latency", help="time all files")
    t.add_argument("dir", type=Path, help="folder written by build")
    t.add_argument("--threads", type=int, help="number of CPU threads (default: the engine's choice)")
    t.set_defaults(run=latency)
    r = parts.add_parser("report", help="print and plot the comparison")
    r.add_argument("dirs", type=Path, nargs="+", help="folders written by build, one per fold")
    r.add_argument("--out", type=Path, help="plot of the differences to write")
    r.set_defaults(run=report)
    args = p.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
