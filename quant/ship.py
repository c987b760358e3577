"""``python -m quant.ship``: make what the package carries from a checkpoint: sample picture, model files, scores.

Run from the project's folder; writes into ``edgehrnet/assets`` and ``checkpoints``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from edgehrnet import Predictor, sample_picture
from edgehrnet.models.checkpoints import load_checkpoint, save_checkpoint
from edgehrnet.sources import read_image
from edgehrnet.spec import ModelSpec
from quant.calibration import PICTURES, network_inputs
from quant.data.corners import DocumentCorners, sample_scene
from quant.evaluate import open_model
from quant.evaluation import evaluate
from quant.export import export_openvino, summary
from quant.metrics import keypoint_errors
from quant.quantize import calibrate

CHECKPOINTS = Path("checkpoints")
NAME = "document-corners"
PRECISIONS = ("int8", "fp16")
DEMO_PERCENT = 2.0  # of the diagonal: how far a corner of the sample picture may be off


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    p = argparse.ArgumentParser(prog="python -m quant.ship", description=__doc__)
    p.add_argument("checkpoint", type=Path, help="with range tables, or without: then they are calibrated here")
    p.add_argument("--validate-count", type=int, default=500, help="held-back pictures to score on")
    args = p.parse_args(arguments)

    trained = load_checkpoint(args.checkpoint)
    spec = ModelSpec.from_dict(trained.spec)
    if not trained.quantization:
        images = network_inputs(DocumentCorners().calibration(PICTURES), spec)
        trained = calibrate(trained, images, progress=True)
    Image.fromarray(sample_scene().image).save(sample_picture(), quality=92)
    files = {precision: sample_picture().with_name(f"{NAME}-{precision}.xml") for precision in PRECISIONS}
    for precision, file in files.items():
        picture = read_image(sample_picture())
        print(summary(file, export_openvino(trained, file, precision=precision, picture=picture)))

    scores = {precision: _score(file, args.validate_count) for precision, file in files.items()}
    training = {**trained.training, "scores": scores, "score_size": spec.input_size}
    save_checkpoint(
        CHECKPOINTS / f"{NAME}.pt",
        trained.variant,
        {"keypoints": trained.keypoints, **trained.options},
        trained.state,
        trained.spec,
        training,
        dtype=torch.float16,
        quantization=trained.quantization,
    )
    (CHECKPOINTS / f"{NAME}.json").write_text(json.dumps(training, indent=1) + "\n")
    worst = max(demo_error(file) for file in files.values())
    print(json.dumps({**scores, "demo_worst_percent": round(worst, 3)}, indent=1))
    if worst > DEMO_PERCENT:
        print(f"not fit to ship: on the sample picture a corner is off by {worst:.2f} % of the diagonal")
        return 1
    return 0


def _score(file: Path, count: int) -> dict[str, float | None]:
    with open_model(str(file)) as model:
        return evaluate(model.name, model.predict, DocumentCorners(), count).score().as_dict()


def demo_error(file: Path) -> float:
    """Return the largest corner error on the sample picture, in percent of its diagonal, the order counting too."""
    scene = sample_scene()
    with Predictor(file) as predictor:
        result = predictor.predict(sample_picture())
    errors = keypoint_errors(result.keypoints.xy[0], scene.corners, scene.visible)
    return float(100 * errors.max() / np.hypot(*result.keypoints.size))


if __name__ == "__main__":
    raise SystemExit(main())
