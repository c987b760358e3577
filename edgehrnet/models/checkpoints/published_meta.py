"""Read the metadata in a checkpoint of mmpose 1.x: its keypoints and how they are encoded as heatmaps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from edgehrnet.errors import SpecError
from edgehrnet.spec import ModelSpec

# The configuration is a Python file. Each setting starts at the beginning of a line, and the rest of it is indented.
CODEC = re.compile(r"^codec = dict\((.*?)(?:^(?=\w)|\Z)", re.DOTALL | re.MULTILINE)
MALFORMED = (TypeError, KeyError, ValueError, IndexError, AttributeError, SpecError)


def stated_fields(meta: object) -> dict[str, Any]:
    """Return the ModelSpec fields that a file's ``meta`` states. Malformed metadata is ignored.

    >>> stated_fields({"cfg": "codec = dict(input_size=(288, 384), type='MSRAHeatmap', unbiased=True)"})
    {'input_size': (384, 288), 'crop': 'hrnet', 'decode': 'dark', 'kernel': 11}
    """
    found: dict[str, Any] = {}
    for read in (_data_set, _codec):
        try:
            fields = read(meta)
            ModelSpec("stated", **{"keypoints": ("one",), **fields})
        except MALFORMED:
            continue
        found |= fields
    return found


def _data_set(meta: Any) -> dict[str, Any]:
    """Read the description of the data set. In mmpose, HRNet and Lite-HRNet take crops of boxes."""
    stated: Mapping[str, Any] = meta["dataset_meta"]
    count = len(stated["keypoint_id2name"])
    names = tuple(stated["keypoint_id2name"][index] for index in range(count))
    swapped = list(stated["flip_indices"])
    sigmas = tuple(stated["sigmas"])
    if len(set(names)) < count or sorted(swapped) != list(range(count)) or not all(sigma > 0 for sigma in sigmas):
        raise ValueError("a duplicate name, flip indices that are not a permutation, or a sigma that is not positive")
    if any(swapped[swapped[index]] != index for index in range(count)):
        raise ValueError("flipping twice does not restore the keypoints")
    return {
        "keypoints": names,
        "skeleton": tuple((a, b) for a, b in stated["skeleton_links"]),
        "flip_pairs": tuple((index, other) for index, other in enumerate(swapped) if index < other),
        "oks_sigmas": sigmas,
        "crop": "hrnet",
    }


def _codec(meta: Any) -> dict[str, Any]:
    """Read the codec in the configuration: the input size and how keypoints are encoded."""
    codec = CODEC.search(meta["cfg"])
    text = codec[1] if codec else ""
    size = re.search(r"\binput_size=[(\[]\s*(\d{1,5}),\s*(\d{1,5}),?\s*[)\]]", text)
    kind = re.search(r"\btype='(MSRA|UDP)Heatmap'", text)
    if size is None or kind is None:
        return {}
    kernel = re.search(r"\bblur_kernel_size=(\d{1,3})\b", text)
    if kind[1] == "UDP":
        crop, decode = "udp", "udp"
    else:
        crop, decode = "hrnet", "dark" if re.search(r"\bunbiased=True\b", text) else "quarter-mmpose"
    return {
        "input_size": (int(size[2]), int(size[1])),
        "crop": crop,
        "decode": decode,
        "kernel": int(kernel[1]) if kernel else 11,
    }
