"""Create the assets of the package from checkpoints: sample pictures, model files and scores.

Usage: ``python tools/ship.py CHECKPOINT ...`` in the project's folder. Writes to ``edgehrnet/assets`` and
``checkpoints``. The checkpoint whose INT8 file has the highest PCK at 1 percent becomes ``document-corners``. In a tie,
the first one does.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from edgehrnet import Predictor, sample_picture
from edgehrnet.models.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from edgehrnet.models.deploy.loading import without_heads
from edgehrnet.models.variants import VARIANTS
from edgehrnet.picture.sources import read_image
from edgehrnet.spec import ModelSpec
from quant.data.documents.corners import SAMPLES, UNSEEN, DocumentCorners, sample_scene
from quant.files.model_file import PROOF_PICTURES, export_file, summary
from quant.int8.calibration import PICTURES, network_inputs
from quant.int8.pipeline import calibrate
from quant.scoring.confidence import fit
from quant.scoring.evaluation import Evaluation, evaluate
from quant.scoring.metrics import keypoint_errors
from quant.scoring.model import open_model
from runtimes.writing import write_file

CHECKPOINTS = Path("checkpoints")
NAME = "document-corners"
SHORT = {"silu": "silu", "hardswish": "hs"}  # activation -> its name in file names
CONFIDENCE_PICTURES = 1000
DEMO_PERCENT = 2.0  # of the diagonal: largest corner error allowed on a sample picture


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    p = argparse.ArgumentParser(prog="python tools/ship.py", description=__doc__)
    p.add_argument("checkpoints", type=Path, nargs="+", help="checkpoint; calibrated if it has no INT8 ranges")
    p.add_argument(
        "--recalibrate", action="store_true", help="find INT8 ranges again (default: only if there are none)"
    )
    p.add_argument(
        "--validate-count", type=int, default=None, help="number of validation pictures to score (default: all)"
    )
    args = p.parse_args(arguments)

    for name in SAMPLES:
        file = io.BytesIO()
        Image.fromarray(sample_scene(name).image).save(file, "JPEG", quality=90)
        write_file(sample_picture(name), file.getvalue())
    trained, scores = {}, {}
    for path in args.checkpoints:
        # These heads serve training only. The signed distance stays, because decoding needs it.
        checkpoint = _calibrated(
            without_heads(load_checkpoint(path), ("auxiliary", "boundary")), again=args.recalibrate
        )
        name = f"{NAME}-{SHORT[_activation(checkpoint)]}"
        trained[name] = _with_confidence(checkpoint, _asset(name))
        _export(trained[name], _asset(name), "int8")
        scores[name] = _score(_asset(name), args.validate_count)
    best = max(trained, key=lambda name: scores[name]["pck1"] or 0.0)
    half = f"{NAME}-fp16"
    _export(trained[best], _asset(half), "fp16")
    scores[half] = _score(_asset(half), args.validate_count)
    for name, checkpoint in trained.items():
        kept = {"int8": scores[name]} | ({"fp16": scores[half]} if name == best else {})
        _save(checkpoint, NAME if name == best else name, kept)
    worst = max(demo_error(_asset(name), picture) for name in scores for picture in SAMPLES)
    print(json.dumps({**scores, "demo_worst_percent": round(worst, 3), "best": best}, indent=1))
    if worst > DEMO_PERCENT:
        print(
            f"do not ship: a corner of a sample picture is off by {worst:.2f} % of the diagonal, limit {DEMO_PERCENT} %"
        )
        return 1
    return 0


def demo_error(file: Path, picture: str) -> float:
    """Return the largest corner error on a sample picture in percent of its diagonal. The corner order must match."""
    scene = sample_scene(picture)
    with Predictor(file) as predictor:
        result = predictor.predict(sample_picture(picture))
    errors = keypoint_errors(result.keypoints.xy[0], scene.corners, scene.visible)
    return float(100 * errors.max() / np.hypot(*result.keypoints.size))


def _asset(name: str) -> Path:
    return sample_picture().with_name(f"{name}.xml")


def _activation(checkpoint: Checkpoint) -> str:
    return str({**VARIANTS[checkpoint.variant].options, **checkpoint.options}.get("activation", "silu"))


def _calibrated(checkpoint: Checkpoint, *, again: bool) -> Checkpoint:
    if checkpoint.quantization and not again:
        return checkpoint
    images = network_inputs(DocumentCorners().calibration(PICTURES), ModelSpec.from_dict(checkpoint.spec))
    return calibrate(checkpoint, images, progress=True)


def _with_confidence(checkpoint: Checkpoint, file: Path) -> Checkpoint:
    """Return the checkpoint with confidences fitted to its INT8 predictions. Overwrites ``file`` to get them."""
    spec = ModelSpec.from_dict(checkpoint.spec).replace(confidence=None)
    _export(dataclasses.replace(checkpoint, spec=spec.to_dict()), file, "int8")
    evaluation = _evaluate(file, UNSEEN, CONFIDENCE_PICTURES)
    return dataclasses.replace(
        checkpoint, spec=spec.replace(confidence=fit(evaluation.conf, evaluation.correct)).to_dict()
    )


def _export(checkpoint: Checkpoint, file: Path, precision: str) -> None:
    pictures = [example.image for example in DocumentCorners().validation(PROOF_PICTURES)]
    golden = read_image(sample_picture())
    certificate = export_file(checkpoint, file, pictures=pictures, picture=golden, precision=precision)
    print(summary(file, certificate))


def _evaluate(file: Path, data: DocumentCorners, count: int | None) -> Evaluation:
    with open_model(str(file)) as model:
        return evaluate(model.name, model.predict, data, count)


def _score(file: Path, count: int | None) -> dict[str, float | None]:
    return _evaluate(file, DocumentCorners(), count).score().as_dict()


def _save(checkpoint: Checkpoint, name: str, scores: dict[str, dict[str, float | None]]) -> None:
    size = ModelSpec.from_dict(checkpoint.spec).input_size
    training = {**checkpoint.training, "scores": scores, "score_size": size}
    save_checkpoint(
        CHECKPOINTS / f"{name}.pt",
        checkpoint.variant,
        {"keypoints": checkpoint.keypoints, **checkpoint.options},
        checkpoint.state,
        checkpoint.spec,
        training,
        dtype=torch.float16,
        quantization=checkpoint.quantization,
    )
    write_file(CHECKPOINTS / f"{name}.json", json.dumps(training, indent=1) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
