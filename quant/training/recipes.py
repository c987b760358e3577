"""Choose the settings of a training run from the number and the shape of the labels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from quant.data.examples import DataSet
from quant.data.labeled import Labeled

MODEL = "hrnet_w18_small_v1"
"""Small HRNet that learns fast from few labels, and runs fastest in INT8."""
STEPS, LABELS = 300, 48
"""Training steps for a number of labels. The steps grow with the square root of the labels."""
BATCH = 8
SIDES = ((0, 128), (500, 192), (5000, 256))
"""Pairs (labels, side): from this number of labels on, the input has as many pixels as a square of this side."""
SMALL, LONGER = 0.4, 2.5
"""A network that takes whole pictures trains this much longer if objects are smaller than this share of their side.

On figures of a fifth of the side this brought the mean error from 4.2 to 1.0 px. A larger input alone did not help.
"""
STRIDE = 32
"""Sides of an input are multiples of this."""
PICTURES = 200
"""Number of instances from which the shape is taken."""


def recipe(data: DataSet, model: str | None = None, steps: int | None = None) -> dict[str, Any]:
    """Return settings for a data set, with the field names of TrainSettings as keys. Empty for synthetic pictures.

    Args:
        data: data set to train on.
        model: network that the user chose. None chooses one.
        steps: number of steps that the user chose, from which averaging and validation are set. None chooses one.

    >>> from quant.data.opening import open_data
    >>> recipe(open_data("synthetic:document-corners"))
    {}
    """
    if not isinstance(data, Labeled):
        return {}
    from edgehrnet.models.variants import find_variant  # needs torch, which choosing an input size does not

    labels = len(data)
    if steps is None:
        longer = LONGER if data.spec.crop is None and object_share(data) < SMALL else 1.0
        steps = 10 * round(longer * STEPS * max(1.0, math.sqrt(labels / LABELS)) / 10)
    chosen: dict[str, Any] = {
        "model": model or MODEL,
        "sizes": (input_size(data, max(side for least, side in SIDES if labels >= least)),),
        "steps": steps,
        "batch": BATCH,
        "learning_rate": 2e-3,
        "ema": round(1 - min(0.1, 4.8 / max(1, steps)), 5),
        "validate_every": max(50, steps // 4),
    }
    if find_variant(chosen["model"]).family != "edgehrnet":
        chosen["codec"] = "udp" if data.spec.crop == "udp" else "dark"
    return chosen


def object_share(data: Labeled) -> float:
    """Return the median size of the objects as a share of their pictures. A size is the square root of an area."""
    instances = list(data.annotations.trained())[:PICTURES]
    pictures = (math.prod(data.annotations.sizes[instance.picture]) for instance in instances)
    shares = [math.sqrt((instance.area or 0) / area) for instance, area in zip(instances, pictures, strict=True)]
    return float(np.median(shares))


def input_size(data: Labeled, side: int) -> tuple[int, int]:
    """Return an input size (height, width) with the median shape of the boxes, or of the pictures without crops.

    Args:
        data: data set.
        side: side of a square with about as many pixels.
    """
    instances = list(data.annotations.trained())[:PICTURES]
    if data.spec.crop is not None:
        shapes = [instance.box[2:][::-1] for instance in instances if instance.box is not None]
    else:
        shapes = [data.annotations.sizes[instance.picture] for instance in instances]
    aspect = math.exp(float(np.median([math.log(height / width) for height, width in shapes])))
    aspect = min(max(aspect, 0.5), 2.0)
    height, width = (STRIDE * max(2, round(side * factor / STRIDE)) for factor in (aspect**0.5, aspect**-0.5))
    return height, width
