"""Say in the words of OpenVINO's Model API what a ModelSpec says.

Tools that know Model API, such as OpenVINO Model Server, read these entries of a model file. This project reads the
spec only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from edgehrnet.spec import ModelSpec


def model_info(spec: ModelSpec) -> dict[str, str]:
    """Return the entries of ``model_info`` for a file with this spec.

    ``model_type`` names no class of Model API, because none decodes these outputs. Model API guesses if there is none.
    Models for crops have no ``resize_type``, because Model API has none for boxes.

    >>> info = model_info(ModelSpec("hand", ("tip", "little finger")))
    >>> info["labels"], info["resize_type"], info["mean_values"]
    ('tip little_finger', 'fit_to_window_letterbox', '0 0 0 0')
    """
    names = [name.replace(" ", "_") for name in spec.keypoints]
    # A u8 input is scaled inside the file. Values for floats are for pixels in 0..255 there, and in 0..1 in the spec.
    bytes_in = spec.input_format.startswith("u8")
    mean = [0.0] * spec.channels if bytes_in else [255 * value for value in spec.mean[: spec.channels]]
    scale = [1.0] * spec.channels if bytes_in else [255 * value for value in spec.std[: spec.channels]]
    letterboxed = {"resize_type": "fit_to_window_letterbox", "pad_value": "0"}
    return {
        "model_type": "edgehrnet",
        "model_name": spec.name,
        "task_type": "keypoint_detection",
        "labels": _joined(names),
        "label_info": json.dumps({"label_names": list(spec.keypoints)}),
        "mean_values": _joined(f"{value:g}" for value in mean),
        "scale_values": _joined(f"{value:g}" for value in scale),
        "reverse_input_channels": str(spec.color == "bgr"),
        "input_dtype": "u8",
        **(letterboxed if spec.crop is None else {}),
    }


def _joined(values: Iterable[Any]) -> str:
    return " ".join(map(str, values))
