"""``python -m quant.ship``: make what the package carries from a checkpoint: sample picture, model files, scores.

Run from the project's folder; writes into ``edgehrnet/assets`` and ``checkpoints``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from edgehrnet import Predictor, sample_picture
from edgehrnet.models.checkpoints import build_model, load_checkpoint, save_checkpoint
from edgehrnet.sources import read_image
from edgehrnet.spec import ModelSpec
from quant.data.corners import DocumentCorners, sample_scene
from quant.export import export_openvino
from quant.metrics import keypoint_errors
from quant.validation import validate

CHECKPOINTS = Path("checkpoints")
NAME = "document-corners"
DEMO_PERCENT = 2.0  # of the diagonal: how far a corner of the sample picture may be off


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    p = argparse.ArgumentParser(prog="python -m quant.ship", description=__doc__)
    p.add_argument("checkpoint", type=Path)
    p.add_argument("--validate-count", type=int, default=500, help="held-back pictures to score on")
    args = p.parse_args(arguments)

    trained = load_checkpoint(args.checkpoint)
    size = ModelSpec.from_dict(trained.spec).input_size
    found = validate(build_model(trained), DocumentCorners(), args.validate_count, size, torch.device("cpu")).as_dict()
    training = {**trained.training, "scores": found, "score_size": size}
    shipped = dataclasses.replace(trained, training=training)
    save_checkpoint(
        CHECKPOINTS / f"{NAME}.pt",
        shipped.variant,
        {"keypoints": shipped.keypoints, **shipped.options},
        shipped.state,
        shipped.spec,
        shipped.training,
        dtype=torch.float16,
    )
    (CHECKPOINTS / f"{NAME}.json").write_text(json.dumps(training, indent=1) + "\n")

    Image.fromarray(sample_scene().image).save(sample_picture(), quality=92)
    assets = sample_picture().parent
    picture = read_image(sample_picture())
    file = assets / f"{NAME}-fp16.xml"
    export_openvino(shipped, file, precision="fp16", picture=picture)
    worst = demo_error(file)
    print(json.dumps({**found, "demo_worst_percent": round(worst, 3)}))
    if worst > DEMO_PERCENT:
        print(f"not fit to ship: on the sample picture a corner is off by {worst:.2f} % of the diagonal")
        return 1
    return 0


def demo_error(file: Path) -> float:
    """Return the largest corner error on the sample picture, in percent of its diagonal, the order counting too."""
    scene = sample_scene()
    with Predictor(file) as predictor:
        result = predictor.predict(sample_picture())
    errors = keypoint_errors(result.keypoints.xy[0], scene.corners, scene.visible)
    return float(100 * errors.max() / np.hypot(*result.keypoints.size))


if __name__ == "__main__":
    raise SystemExit(main())
