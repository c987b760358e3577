"""Run a network on a picture, in parts so that its inputs take little memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgehrnet.clock import Clock
from edgehrnet.decoding.flipping import average, mirror
from edgehrnet.errors import InputError
from edgehrnet.outputs import with_heatmaps
from edgehrnet.picture.picture import Picture
from edgehrnet.preparation import Boxes, Transform, formatted, prepare
from edgehrnet.spec import ModelSpec
from runtimes.base import Runtime

Outputs = dict[str, NDArray[np.float32]]
CHUNK_BYTES = (
    16 * 2**20
)  # of u8 inputs that are run together. Converted to floats and copied, they take up to ten times as much.


def infer(
    engine: Runtime,
    picture: NDArray[np.uint8] | Picture,
    spec: ModelSpec,
    boxes: Boxes | None,
    heatmaps: str,
    *,
    trim: bool = False,
    flip_test: bool,
    clock: Clock,
) -> tuple[Outputs, tuple[Transform, ...]]:
    """Prepare and run the N inputs of a picture, at most `CHUNK_BYTES` of them at a time.

    Args:
        engine: The loaded file.
        picture: ``(H, W, 3)`` u8 RGB, or as read at a reduced scale.
        spec: The spec of the network.
        boxes: ``(N, 4)`` xywh, see `prepare`.
        heatmaps: The file's name for its heatmaps or coordinates.
        trim: Leave padding out of the inputs, see `prepare`.
        flip_test: Also run the mirrored inputs, and average.
        clock: Receives the times.

    Returns:
        The outputs by name, with ``heatmaps`` as peak values, not logits, and the transform of each input.

    Raises:
        InputError: There is not enough memory for the outputs.
    """
    count = 1 if boxes is None else len(boxes)
    step = max(1, CHUNK_BYTES // (spec.input_size[0] * spec.input_size[1] * 4))
    outputs: Outputs = {}
    transforms: list[Transform] = []
    for start in range(0, max(1, count), step):
        inputs, places = prepare(picture, spec, None if boxes is None else boxes[start : start + step], trim=trim)
        transforms += places
        clock.lap("letterbox" if spec.crop is None else "crop")
        found = _infer(engine, inputs, spec, heatmaps, flip_test=flip_test)
        outputs = _stored(outputs, found, start, count)
        clock.lap("inference")
    return outputs, tuple(transforms)


def _stored(outputs: Outputs, found: Outputs, start: int, count: int) -> Outputs:
    """Copy the outputs ``found`` of some inputs to their place in the outputs of all ``count`` inputs."""
    if any(len(array) == count for array in found.values()):
        return found  # all of them, without a copy
    if start == 0:
        try:
            outputs = {name: np.empty((count, *array.shape[1:]), array.dtype) for name, array in found.items()}
        except MemoryError:
            size = sum(array[0].nbytes for array in found.values()) * count / 1e9
            raise InputError(
                f"the outputs for {count} boxes need {size:.0f} GB, more than there is; pass fewer boxes at a time"
            ) from None
    for name, array in found.items():
        outputs[name][start : start + len(array)] = array
    return outputs


def _infer(engine: Runtime, inputs: NDArray[np.uint8], spec: ModelSpec, heatmaps: str, *, flip_test: bool) -> Outputs:
    outputs = _run(engine, inputs, spec, heatmaps)
    if not flip_test:
        return outputs
    return outputs | average(outputs, _run(engine, mirror(inputs), spec, heatmaps), spec)


def _run(engine: Runtime, inputs: NDArray[np.uint8], spec: ModelSpec, heatmaps: str) -> Outputs:
    return with_heatmaps(engine.run(formatted(inputs, spec)), spec, heatmaps)
