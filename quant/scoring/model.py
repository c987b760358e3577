"""Open a model file for scoring."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgehrnet import Predictor
from edgehrnet.errors import InputError, NoBoxesWarning
from edgehrnet.spec import ModelSpec
from quant.data.examples import Box, DataSet
from quant.data.keypoint_order import check_order
from quant.scoring.average_precision import PredictBoxes
from quant.scoring.evaluation import Evaluation, Prediction, evaluate

# xy (K, 2) float64 in picture pixels, confidence (K,) float32 in 0..1, and heatmaps (K, h, w) float32 in 0..1.
Observation = tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class OpenModel:
    """A model ready to be scored."""

    name: str
    """Name or path by which it was opened."""
    spec: ModelSpec
    """Its specification, with the input size at which it runs."""
    observe: Callable[..., Observation]
    """Maps a picture ``(H, W, 3)`` u8 RGB to xy, confidence and heatmaps. Models for crops take a box xywh as well."""
    instances: PredictBoxes
    """Maps a picture and boxes ``(N, 4)`` xywh to xy ``(N, K, 2)`` and confidence ``(N, K)``."""
    info: Callable[[], Mapping[str, Any]]
    """Returns what is loaded, as Predictor.info does."""

    def predict(self, image: NDArray[np.uint8], box: Box | None = None) -> Prediction:
        """Return points and confidence, without heatmaps."""
        return self.observe(image, box)[:2]


@contextmanager
def open_model(
    name: str,
    device: str | None = None,
    input_size: tuple[int, int] | None = None,
    *,
    flip_test: bool = False,
    spec: Path | None = None,
    verify: bool = True,
    trusted: bool = False,
    shapes: int | None = None,
) -> Iterator[OpenModel]:
    """Open a model for scoring.

    Args:
        name: Any file that Predictor accepts, checkpoints included, or the name of a shipped model.
        device: Device name, see Predictor.
        input_size: (height, width). None selects the model's default.
        flip_test: Average the heatmaps of the picture and its mirror image, see Predictor.
        spec: JSON file that describes a file of another project. None reads the description in the file.
        verify: Refuse a file that differs from its certificate or checksums, see Predictor.
        trusted: Load a file without a certificate at once, see Predictor.
        shapes: Number of input sizes, see Predictor. With 1, heatmaps always have the size of the file.
    """
    with (
        Predictor(
            name,
            device=device,
            input_size=input_size,
            flip_test=flip_test,
            spec=spec,
            verify=verify,
            trusted=trusted,
            shapes=shapes,
        ) as predictor,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", NoBoxesWarning)  # data without boxes is scored on whole pictures on purpose

        def observe(image: NDArray[np.uint8], box: Box | None = None) -> Observation:
            found = predictor.predict(image, boxes=None if box is None or predictor.spec.crop is None else [box])
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
    """Evaluate several models on the validation set of one data set.

    Args:
        models: Models.
        data: Data set.
        count: Number of pictures, see `evaluate`.
        progress: Show a progress bar.

    Raises:
        InputError: A model does not fit the data. This is checked before any model runs.
    """
    for model in models:
        if model.spec.crop is None and data.spec.crop is not None:
            raise InputError(
                f"{model.name} takes whole pictures and finds one object in each, but pictures of {data.spec.name} "
                "have several; use a model for crops of boxes"
            )
    ordered = [in_order_of(model, data.spec) for model in models]
    return [
        evaluate(model.name, model.predict, data, count, crops=model.spec.crop is not None, progress=progress)
        for model in ordered
    ]


def in_order_of(model: OpenModel, spec: ModelSpec) -> OpenModel:
    """Return a model that gives its keypoints in the order of the data.

    Args:
        model: Model.
        spec: Spec of the data set.

    Raises:
        InputError: The data has other keypoints. The message lists both.
    """
    order = check_order(model.spec.keypoints, spec.keypoints, model.name, spec.name)
    if order == list(range(len(order))):
        return model

    def observe(image: NDArray[np.uint8], box: Box | None = None) -> Observation:
        xy, conf, heatmaps = model.observe(image, box)
        return xy[order], conf[order], heatmaps[order]

    def instances(
        image: NDArray[np.uint8], boxes: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        xy, conf = model.instances(image, boxes)
        return xy[:, order], conf[:, order]

    return dataclasses.replace(model, observe=observe, instances=instances)
