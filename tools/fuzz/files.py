"""Make the small model files that cases are run on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import runtimes.null
from edgehrnet.spec import ModelSpec

SIZE = (32, 32)
NAMES = ("a", "b")


def null_file(folder: Path, name: str = "m", **fields: Any) -> Path:
    """Write a ``.null`` file with random heatmaps and offsets of two keypoints, and return it."""
    spec = ModelSpec("m", NAMES, **{"input_size": SIZE, **fields})
    rng = np.random.default_rng(0)
    cells = tuple(side // spec.stride for side in spec.input_size)
    outputs = {
        "heatmaps": rng.normal(size=(1, 2, *cells)).astype(np.float32),
        "offsets": rng.normal(size=(1, 4, *cells)).astype(np.float32),
        "hf": rng.normal(size=(1, *cells, 3)).astype(np.float32),
    }
    path = folder / f"{name}.null"
    runtimes.null.build(path, spec.to_json(), spec.input_size, outputs)
    return path
