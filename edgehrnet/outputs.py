"""Rename a model's outputs and check them against its ModelSpec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgehrnet.decoding import OFFSET_METHODS, activations, locate, probability
from edgehrnet.decoding.vectors import given_points, simcc_maps, simcc_points
from edgehrnet.errors import SpecError
from edgehrnet.preparation import Transform
from edgehrnet.spec import ModelSpec
from runtimes.remote_address import Location

T = TypeVar("T")
POINTS = "points"  # name under which outputs have the coordinates that a network gives


def heatmaps_name(outputs: Mapping[str, Any], spec: ModelSpec) -> str:
    """Return the file's name for its heatmaps, or for its coordinates.

    The only output of another project's file may have any name.
    """
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


def with_heatmaps(
    outputs: dict[str, NDArray[np.float32]], spec: ModelSpec, name: str
) -> dict[str, NDArray[np.float32]]:
    """Return the outputs of a file with ``heatmaps (N, K, h, w)`` as activations.

    Those of SimCC vectors are made from them, see `simcc_maps`. If the file gives coordinates, they are under the name
    `POINTS`, and the heatmaps have h = w = 0.

    Args:
        outputs: The outputs as the file gives them.
        spec: The spec of the file.
        name: The file's name for its heatmaps or coordinates, see `heatmaps_name`.
    """
    if spec.decode == "simcc":
        return {**outputs, "heatmaps": simcc_maps(*_vectors(outputs, spec), _cells(spec))}
    if spec.decode == "points":
        others = {key: value for key, value in outputs.items() if key != name}
        maps = np.zeros((len(outputs[name]), len(spec.keypoints), 0, 0), np.float32)
        return {**others, POINTS: outputs[name], "heatmaps": maps}
    found = renamed(outputs, name)
    return found | {"heatmaps": activations(maps_of(found["heatmaps"], spec), spec)}


def _cells(spec: ModelSpec) -> tuple[int, int]:
    height, width = spec.input_size
    return height // spec.stride, width // spec.stride


def _vectors(outputs: Mapping[str, T], spec: ModelSpec) -> tuple[T, T]:
    """Return the vectors along x and along y."""
    (x, _), (y, _) = spec.outputs[:2]
    return outputs[x], outputs[y]


def check_outputs(
    path: Location, spec: ModelSpec, decode: str | None, outputs: Mapping[str, tuple[int, ...]], name: str
) -> None:
    """Raise SpecError if the shapes of the outputs do not match the spec and would be decoded into nonsense.

    Args:
        path: Model file, named in the error.
        spec: The spec of the file.
        decode: Decoding method. None is the spec's.
        outputs: Shape of each output by the file's names.
        name: The file's name for its heatmaps or coordinates, see `heatmaps_name`.
    """
    if spec.has_heatmaps:
        _check_maps(path, spec, decode or spec.decode, renamed(outputs, name))
        return
    if decode is not None:
        raise SpecError(f"decode={decode!r} is for heatmaps, which {path} does not give; leave out decode")
    if spec.decode == "simcc":
        _check_simcc(path, spec, outputs)
    elif outputs.get(name) not in [(1, len(spec.keypoints), columns) for columns in (2, 3)]:
        raise SpecError(
            f"{path} does not match its spec: {name} must be (1, K, 2) or (1, K, 3) with K = {len(spec.keypoints)}, "
            f"the file gives {dict(outputs)}; name the output in the spec: outputs=((NAME, 'NKC'),)"
        )


def _check_simcc(path: Location, spec: ModelSpec, outputs: Mapping[str, tuple[int, ...]]) -> None:
    """Raise SpecError unless there are vectors with the same whole number of values for each cell along both axes."""
    names, count = [name for name, _ in spec.outputs[:2]], len(spec.keypoints)
    shapes, (height, width) = [outputs.get(name, ()) for name in names], _cells(spec)
    per_cell = {shape[2] / side for shape, side in zip(shapes, (width, height), strict=True) if len(shape) == 3}
    same = [shape[:2] for shape in shapes] == [(1, count)] * 2 and len(per_cell) == 1
    if not same or not all(number >= 1 and number % 1 == 0 for number in per_cell):
        raise SpecError(
            f"{path} does not match its spec: {names[0]} must be (1, {count}, {width} n) and {names[1]} (1, {count}, "
            f"{height} n) for an input of {spec.input_size} (height, width), the file gives {dict(outputs)}; name the "
            "vectors of x, then of y in the spec: outputs=((NAME_X, 'NKW'), (NAME_Y, 'NKW'))"
        )


def _check_maps(path: Location, spec: ModelSpec, decode: str, outputs: Mapping[str, tuple[int, ...]]) -> None:
    cells, count = _cells(spec), len(spec.keypoints)
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
    path: Location, spec: ModelSpec, outputs: Mapping[str, tuple[int, ...]], cells: tuple[int, ...]
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


def _mismatch(path: Location, spec: ModelSpec, name: str, wanted: tuple[int, ...]) -> str:
    return (
        f"{path} does not match its spec: {name} must be {wanted} for {len(spec.keypoints)} keypoints at stride "
        f"{spec.stride}, the file gives"
    )


def decode_outputs(
    outputs: dict[str, NDArray[np.float32]], spec: ModelSpec, transforms: Sequence[Transform], method: str | None
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Decode N instances, and bring their heatmaps and offsets in place into the order of the keypoints.

    Args:
        outputs: ``heatmaps (N, K, h, w)`` peak values, and ``offsets`` and ``sdf`` if the network has them. Without
            heatmaps, see `with_heatmaps`.
        spec: The spec of the network.
        transforms: Transform of each instance.
        method: Decoding method. None is the spec's.

    Returns:
        xy ``(N, K, 2)`` in pixels of the picture, and confidence ``(N, K)``.
    """
    if not spec.has_heatmaps:
        return _decode_others(outputs, spec, transforms)
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


def _decode_others(
    outputs: Mapping[str, NDArray[np.float32]], spec: ModelSpec, transforms: Sequence[Transform]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Decode N instances of a file without heatmaps, as `decode_outputs` does."""
    if spec.decode == "simcc":
        points, confidence = simcc_points(*_vectors(outputs, spec), spec.input_size)
    else:
        points, confidence = given_points(outputs[POINTS], spec.input_size, spec.unit)
    for n, transform in enumerate(transforms):
        points[n] = transform.inverse(points[n])
    return points, probability(confidence, spec.confidence)
