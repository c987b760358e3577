"""Warn once about each way to use a model that gives poor results."""

from __future__ import annotations

from edgehrnet.errors import ConfidenceWarning, NoBoxesWarning, warn_caller
from edgehrnet.preparation import Boxes
from edgehrnet.spec import ModelSpec


class Cautions:
    """Remember which warnings were given.

    Args:
        spec: Spec of the model as it runs.
        fitted_size: Input (height, width) for which the file's confidences were fitted, None if they were not.
    """

    def __init__(self, spec: ModelSpec, fitted_size: tuple[int, int] | None) -> None:
        self._spec, self._given = spec, set[type[Warning]]()
        self._size_text: str | None = None
        if fitted_size is not None and fitted_size != spec.input_size:
            self._size_text = other_size(spec, fitted_size)

    def check(self, boxes: Boxes | None) -> None:
        """Give the warnings that are due for a picture with these boxes, and were not given yet."""
        if self._spec.crop is not None and boxes is None:
            self._warn(missing_boxes(self._spec, "boxes="), NoBoxesWarning)
        if self._size_text is not None:
            self._warn(self._size_text, ConfidenceWarning)

    def _warn(self, text: str, category: type[Warning]) -> None:
        if category not in self._given:
            self._given.add(category)
            warn_caller(text, category)


def missing_boxes(spec: ModelSpec, remedy: str) -> str:
    """Say that a network for crops got no boxes, and what to do: ``remedy``, such as ``boxes=``."""
    return (
        f"{spec.name} is a model for crops of boxes, and no boxes were given: each whole picture is used as one box, "
        f"and keypoints may be far off; pass {remedy}"
    )


def other_size(spec: ModelSpec, fitted: tuple[int, int]) -> str:
    """Say that confidences were fitted at the input size ``fitted``, and that the model runs at another one."""
    sizes = [f"{height}x{width}" for height, width in (fitted, spec.input_size)]
    return (
        f"the confidences of {spec.name} were fitted at {sizes[0]} and may be wrong at {sizes[1]}: a keypoint can be "
        "far off with a high confidence; leave out input_size, or check the keypoints in another way"
    )
