"""Open a model file for scoring."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgehrnet import Predictor
from edgehrnet.errors import InputError
from edgehrnet.spec import ModelSpec
from quant.data.examples import Box, DataSet
from quant.scoring.average_precision import (
    PredictBoxes,
)
from quant.scoring.evaluation import Evaluation, Prediction, evaluate

# xy (K, 2) float64 in picture pixels, confidence (K,) float32 and heatmaps (K, h, w) float32, both 0..1.
Observation = tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class OpenModel:
    """A model ready to run: as it was named, and its spec at the size it runs at.

    ``observe`` maps a picture ``(H, W, 3)`` u8 RGB to xy ``(K, 2)`` in its pixels, confidence ``(K,)`` and heatmaps
    ``(K, h, w)``, both 0..1; with a box x, y, width, height of the picture as well, if the model is for crops.
    ``instances`` maps a picture and boxes ``(N, 4)`` to xy ``(N, K, 2)`` and confidence ``(N, K)``. ``info`` gives what
    is loaded, as Predictor.info does.
    """

    name: str
    spec: ModelSpec
    observe: Callable[..., Observation]
    instances: PredictBoxes
    info: Callable[[], Mapping[str, Any]]

    def predict(self, image: NDArray[np.uint8], box: Box | None = None) -> Prediction:
        """Return the points and their confidence alone."""
        return self.observe(image, box)[:2]


@contextmanager
def open_model(
    name: str, device: str | None = None, input_size: tuple[int, int] | None = None, *, flip_test: bool = False
) -> Iterator[OpenModel]:
    """Open a file that Predictor runs, checkpoints among them, or a shipped name such as document-corners.

    ``device`` and ``flip_test`` as of Predictor. ``input_size`` (height, width), None for the model's own.
    """
    with Predictor(name, device=device, input_size=input_size, flip_test=flip_test) as predictor:

        def observe(image: NDArray[np.uint8], box: Box | None = None) -> Observation:
            found = predictor.predict(image, boxes=None if box is None else [box])
            return found.keypoints.xy[0], found.keypoints.conf[0], found.heatmaps[0]

        def instances(
            image: NDArray[np.uint8], boxes: NDArray[np.float64]
        ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
            found = predictor.predict(image, boxes=boxes)
            return found.keypoints.xy, found.keypoints.conf

        yield OpenModel(name, predictor.spec, observe, instances, predictor.info)


def compare(
    models: Sequence[OpenModel], data: DataSet, count: int | None, *, progress: bool = False
) -> list[Evaluation]:
    """Evaluate each model, after checking that all of them fit the data; ``progress`` shows a bar."""
    expected = len(data.spec.keypoints)
    for model in models:
        found = len(model.spec.keypoints)
        if found != expected:
            raise InputError(f"{model.name} finds {found} keypoints, {data.spec.name} has {expected}; they must agree")
        if model.spec.crop is None and data.spec.crop is not None:
            raise InputError(f"{model.name} looks at whole pictures, {data.spec.name} has boxes of instances")
    return [evaluate(model.name, model.predict, data, count, progress=progress) for model in models]
