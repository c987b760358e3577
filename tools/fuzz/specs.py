"""Fuzz the JSON of a ModelSpec, and run the specs that are accepted."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from edgehrnet.golden import Golden
from edgehrnet.predictor import Predictor
from edgehrnet.spec import ModelSpec
from tools.fuzz.engine import Entry, require_finite
from tools.fuzz.files import NAMES, SIZE, null_file
from tools.fuzz.mutations import damaged_json_text


def seeds() -> list[object]:
    """Return specs of several kinds of networks, as JSON values."""
    maps = np.random.default_rng(0).random((2, 8, 8)).astype(np.float32)
    picture = np.zeros((32, 32, 3), np.uint8)
    golden = Golden.pack(picture, np.zeros((2, 2)), maps.max(axis=(1, 2)), maps)
    whole = ModelSpec("m", NAMES, input_size=SIZE)
    found = [
        whole,
        whole.replace(golden=golden, confidence=(1.0, 0.5, 0.1), cyclic=True, skeleton=((0, 1),), flip_pairs=((0, 1),)),
        ModelSpec.heatmaps("m", NAMES, input_size=SIZE, crop="udp", decode="udp", oks_sigmas=(0.1, 0.2)),
        ModelSpec.heatmaps("m", NAMES, input_size=SIZE, crop="hrnet", color="bgr", maps=2, mean=0.5, std=(1, 0.5, 0.2)),
        ModelSpec.simcc("m", NAMES, input_size=SIZE),
        ModelSpec.points("m", NAMES, input_size=SIZE, unit="normalized"),
    ]
    return [spec.to_dict() for spec in found]


def entry(folder: Path) -> Entry:
    """Return the entry. A spec that is read must come back from its own JSON, and predict."""
    path = null_file(folder)
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)

    def check(case: bytes) -> None:
        spec = ModelSpec.from_json(case.decode("utf-8", "replace"))
        if ModelSpec.from_json(spec.to_json()) != spec:
            raise AssertionError(f"{spec} differs when it is written and read")
        with Predictor(path, spec=spec) as predictor:
            require_finite(predictor.predict(picture))

    return Entry("specs", partial(damaged_json_text, seeds=seeds()), check)
