"""Rename a model's outputs and check them against its ModelSpec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgehrnet.decoding import OFFSET_METHODS, locate
from edgehrnet.errors import SpecError
from edgehrnet.preparation import Transform
from edgehrnet.spec import ModelSpec

T = TypeVar("T")


def heatmaps_name(outputs: Mapping[str, Any], spec: ModelSpec) -> str:
    """Return the file's name for its heatmaps. The only output of another project's file may have any name."""
    only = next(iter(outputs)) if len(outputs) == 1 else "heatmaps"
    return "heatmaps" if only in dict(spec.outputs) else only


def renamed(outputs: Mapping[str, T], heatmaps: str) -> dict[str, T]:
    """Return the outputs with the heatmaps under the name ``heatmaps``."""
    return {"heatmaps" if name == heatmaps else name: value for name, value in outputs.items()}


def check_outputs(path: Path, spec: ModelSpec, decode: str, outputs: Mapping[str, tuple[int, ...]]) -> None:
    """Raise SpecError if the shapes of the outputs do not match the spec and would be decoded into nonsense."""
    cells = tuple(side // spec.stride for side in spec.input_size)
    count = len(spec.keypoints)
    if decode in OFFSET_METHODS and "offsets" not in outputs:
        raise SpecError(f"{path} has no offsets, which decode={decode!r} needs; pass another decode, such as 'dark'")
    if "hf" in outputs and (spec.layout("hf") is None or len(outputs["hf"]) != 4):
        raise SpecError(f"{path} has an output hf of shape {outputs['hf']}, but its spec states no layout for it")
    read = [("heatmaps", count, True), ("offsets", 2 * count, False), *([("sdf", 1, False)] if spec.cyclic else [])]
    for name, channels, needed in read:
        found = outputs.get(name)
        if found is None and not needed:
            continue
        if found != (1, channels, *cells):
            raise SpecError(
                f"{path} does not match its spec: {name} must be {(1, channels, *cells)} for {count} keypoints at "
                f"stride {spec.stride}, the file gives {found or f'only {sorted(outputs)}'}"
            )


def decode_outputs(
    outputs: dict[str, NDArray[np.float32]], spec: ModelSpec, transforms: Sequence[Transform], method: str | None
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Decode N instances, and bring their heatmaps and offsets in place into the order of the keypoints.

    Args:
        outputs: ``heatmaps (N, K, h, w)`` peak values, and ``offsets`` and ``sdf`` if the network has them.
        spec: The spec of the network.
        transforms: Transform of each instance.
        method: Decoding method. None is the spec's.

    Returns:
        xy ``(N, K, 2)`` in pixels of the picture, and confidence ``(N, K)``.
    """
    heatmaps, offsets, sdf = outputs["heatmaps"], outputs.get("offsets"), outputs.get("sdf")
    shape = (len(transforms), len(spec.keypoints))
    xy, conf = np.zeros((*shape, 2)), np.zeros(shape, np.float32)
    for n, transform in enumerate(transforms):
        steps = None if offsets is None else offsets[n]
        outline = None if sdf is None else sdf[n]
        xy[n], conf[n], order = locate(heatmaps[n], steps, spec, transform, method, sdf=outline)
        heatmaps[n] = heatmaps[n, order]
        if steps is not None:
            steps[...] = steps[(2 * order[:, None] + [0, 1]).ravel()]
    return xy, conf
