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
    wanted = spec.heatmaps_output
    only = next(iter(outputs)) if len(outputs) == 1 else wanted
    return wanted if only in dict(spec.outputs) else only


def renamed(outputs: Mapping[str, T], heatmaps: str) -> dict[str, T]:
    """Return the outputs with the heatmaps under the name ``heatmaps``, and without another output of that name."""
    kept = {name: value for name, value in outputs.items() if heatmaps in ("heatmaps", name) or name != "heatmaps"}
    return {"heatmaps" if name == heatmaps else name: value for name, value in kept.items()}


def maps_of(heatmaps: NDArray[np.float32], spec: ModelSpec) -> NDArray[np.float32]:
    """Return the keypoints' heatmaps ``(N, K, h, w)`` of an output in the file's layout, with all its maps."""
    if spec.layout(spec.heatmaps_output) == "NHWC":
        heatmaps = heatmaps.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(heatmaps[:, : len(spec.keypoints)])


def check_outputs(path: Path, spec: ModelSpec, decode: str, outputs: Mapping[str, tuple[int, ...]]) -> None:
    """Raise SpecError if the shapes of the outputs do not match the spec and would be decoded into nonsense."""
    cells = tuple(side // spec.stride for side in spec.input_size)
    count = len(spec.keypoints)
    if decode in OFFSET_METHODS and "offsets" not in outputs:
        raise SpecError(f"{path} has no offsets, which decode={decode!r} needs; pass another decode, such as 'dark'")
    if "hf" in outputs and (spec.layout("hf") is None or len(outputs["hf"]) != 4):
        raise SpecError(f"{path} has an output hf of shape {outputs['hf']}, but its spec states no layout for it")
    _check_heatmaps(path, spec, outputs, cells)
    for name, channels in [("offsets", 2 * count), *([("sdf", 1)] if spec.cyclic else [])]:
        found, wanted = outputs.get(name), (1, channels, *cells)
        if found is not None and found != wanted:
            raise SpecError(f"{_mismatch(path, spec, name, wanted)} {found}")


def _check_heatmaps(
    path: Path, spec: ModelSpec, outputs: Mapping[str, tuple[int, ...]], cells: tuple[int, ...]
) -> None:
    """Raise SpecError, with what to write in the spec, unless there are the heatmaps that it describes."""
    found, count, layout = outputs.get("heatmaps"), spec.maps or len(spec.keypoints), spec.layout(spec.heatmaps_output)
    wanted = (1, *cells, count) if layout == "NHWC" else (1, count, *cells)
    if found == wanted:
        return
    text = _mismatch(path, spec, "heatmaps", wanted)
    if found is None:
        raise SpecError(f"{text} only {sorted(outputs)}; name the heatmaps in the spec: outputs=((NAME, 'NCHW'),)")
    advice = ""
    for name, place in (("NCHW", found[1:2]), ("NHWC", found[3:4])):
        maps = sum(place)
        if maps >= count and found == ((1, maps, *cells) if name == "NCHW" else (1, *cells, maps)):
            asked = [f"outputs=(({spec.heatmaps_output!r}, {name!r}),)"] if name != layout else []
            asked += [f"maps={maps} if the further maps are no keypoints"] if maps > count else []
            advice = f"; in the spec, write {' and '.join(asked)}"
    raise SpecError(f"{text} {found}{advice}")


def _mismatch(path: Path, spec: ModelSpec, name: str, wanted: tuple[int, ...]) -> str:
    return (
        f"{path} does not match its spec: {name} must be {wanted} for {len(spec.keypoints)} keypoints at stride "
        f"{spec.stride}, the file gives"
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
