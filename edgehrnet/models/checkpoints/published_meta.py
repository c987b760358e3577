"""What a checkpoint of mmpose 1.x says of itself beside its weights: its keypoints, and how they became heatmaps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from edgehrnet.errors import SpecError
from edgehrnet.spec import ModelSpec

# The configuration is a Python file; its parts begin at the beginning of a line, and all else is indented.
CODEC = re.compile(r"^codec = dict\((.*?)(?:^(?=\w)|\Z)", re.DOTALL | re.MULTILINE)
MALFORMED = (TypeError, KeyError, ValueError, IndexError, AttributeError, SpecError)


def stated_fields(meta: object) -> dict[str, Any]:
    """Return the fields of a ModelSpec that a file's ``meta`` states; what is malformed there states nothing.

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
    """Read what mmpose makes of a data set's description. Its networks of these families see crops of boxes."""
    said: Mapping[str, Any] = meta["dataset_meta"]
    count = len(said["keypoint_id2name"])
    names = tuple(said["keypoint_id2name"][index] for index in range(count))
    swapped = list(said["flip_indices"])
    sigmas = tuple(said["sigmas"])
    if len(set(names)) < count or sorted(swapped) != list(range(count)) or not all(sigma > 0 for sigma in sigmas):
        raise ValueError("a name twice, keypoints that mirror none, or a sigma of 0")
    if any(swapped[swapped[index]] != index for index in range(count)):
        raise ValueError("keypoints that a mirror of a mirror does not bring back")
    return {
        "keypoints": names,
        "skeleton": tuple((a, b) for a, b in said["skeleton_links"]),
        "flip_pairs": tuple((index, other) for index, other in enumerate(swapped) if index < other),
        "oks_sigmas": sigmas,
        "crop": "hrnet",
    }


def _codec(meta: Any) -> dict[str, Any]:
    """Read the part of the configuration that says how large the input is, and how keypoints are encoded."""
    part = CODEC.search(meta["cfg"])
    text = part[1] if part else ""
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
