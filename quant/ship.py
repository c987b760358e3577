"""``python -m quant.ship``: make what the package carries from a checkpoint: sample picture, model files, scores.

Run from the project's folder; writes into ``edgehrnet/assets`` and ``checkpoints``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import torch
from PIL import Image

from edgehrnet import sample_picture
from edgehrnet.models.checkpoints import build_model, load_checkpoint, save_checkpoint
from edgehrnet.sources import read_image
from edgehrnet.spec import ModelSpec
from quant.data.corners import sample_scene
from quant.export import export_openvino
from quant.validation import validate

CHECKPOINTS = Path("checkpoints")
NAME = "document-corners"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    p = argparse.ArgumentParser(prog="python -m quant.ship", description=__doc__)
    p.add_argument("checkpoint", type=Path)
    p.add_argument("--validate-count", type=int, default=500, help="held-back pictures to score on")
    args = p.parse_args(arguments)

    trained = load_checkpoint(args.checkpoint)
    size = ModelSpec.from_dict(trained.spec).input_size
    found = validate(build_model(trained), args.validate_count, size, torch.device("cpu")).as_dict()
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
    export_openvino(shipped, assets / f"{NAME}-fp16.xml", precision="fp16", picture=picture)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
