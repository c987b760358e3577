"""Run a network on a picture, in parts so that its inputs take little memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgehrnet.clock import Clock
from edgehrnet.decoding.flipping import average, mirror
from edgehrnet.errors import InputError
from edgehrnet.outputs import decode_outputs, with_heatmaps
from edgehrnet.picture.letterbox import Letterbox
from edgehrnet.picture.picture import Picture
from edgehrnet.preparation import Boxes, Transform, formatted, prepare
from edgehrnet.reading import Job
from edgehrnet.result import Keypoints, Result
from edgehrnet.spec import ModelSpec
from runtimes.base import Runtime

Outputs = dict[str, NDArray[np.float32]]
CHUNK_BYTES = (
    16 * 2**20
)  # of u8 inputs that are run together. Converted to floats and copied, they take up to ten times as much.


def run_job(
    engine: Runtime,
    job: Job,
    spec: ModelSpec,
    heatmaps: str,
    *,
    decode: str | None = None,
    flip_test: bool = False,
    batch: int = 1,
) -> Result:
    """Run the network on a picture that was read, and decode its outputs.

    Args:
        engine: The loaded file.
        job: The picture.
        spec: The spec of the network.
        heatmaps: The file's name for its heatmaps or coordinates.
        decode: Decoding method, None for the spec's.
        flip_test: Also run the mirrored inputs, and average.
        batch: Number of inputs that the engine runs at once.
    """
    clock = job.clock
    clock.resume()
    outputs, transforms = infer(
        engine,
        job.picture,
        spec,
        job.boxes,
        heatmaps,
        prepared=job.prepared,
        flip_test=flip_test,
        batch=batch,
        clock=clock,
    )
    xy, conf = decode_outputs(outputs, spec, transforms, decode)
    maps, offsets, features = (outputs.pop(name, None) for name in ("heatmaps", "offsets", "hf"))
    assert maps is not None
    if features is not None and spec.layout("hf") == "NHWC":
        features = features.transpose(0, 3, 1, 2)
    clock.lap("decode")
    return Result(
        keypoints=Keypoints(xy, conf, job.picture.size, spec.keypoints),
        heatmaps=maps,
        offsets=offsets,
        hf=features,
        outputs=outputs,
        transforms=transforms,
        speed=clock.ms,
        source=job.source,
        picture=job.picture,
        spec=spec,
        boxes=None if job.boxes is None else job.boxes.copy(),
        frame=job.frame,
        time=job.time,
        compile_ms=clock.aside,
    )


def infer(
    engine: Runtime,
    picture: NDArray[np.uint8] | Picture,
    spec: ModelSpec,
    boxes: Boxes | None,
    heatmaps: str,
    *,
    prepared: tuple[NDArray[np.uint8], tuple[Transform, ...]] | None = None,
    flip_test: bool,
    batch: int = 1,
    clock: Clock,
) -> tuple[Outputs, tuple[Transform, ...]]:
    """Prepare and run the N inputs of a picture, at most `CHUNK_BYTES` of them at a time, but one batch at least.

    Args:
        engine: The loaded file.
        picture: ``(H, W, 3)`` u8 RGB, or as read at a reduced scale.
        spec: The spec of the network.
        boxes: ``(N, 4)`` xywh, see `prepare`.
        heatmaps: The file's name for its heatmaps or coordinates.
        prepared: The inputs and their transforms, if they were prepared already.
        flip_test: Also run the mirrored inputs, and average.
        batch: Number of inputs that the engine runs at once.
        clock: Receives the times.

    Returns:
        The outputs by name, with ``heatmaps`` as peak values, not logits, and the transform of each input.

    Raises:
        InputError: There is not enough memory for the outputs.
    """
    count = 1 if boxes is None else len(boxes)
    step = CHUNK_BYTES // (spec.input_size[0] * spec.input_size[1] * 4)
    step = max(batch, step - step % batch)
    if prepared is not None:
        count = step = len(prepared[1])
    outputs: Outputs = {}
    transforms: list[Transform] = []
    for start in range(0, max(1, count), step):
        if prepared is None:
            inputs, places = prepare(picture, spec, None if boxes is None else boxes[start : start + step])
            clock.lap("crop")
        else:
            inputs, places = prepared
        transforms += places
        if engine.prepare((inputs.shape[1], inputs.shape[2]), len(inputs)):
            clock.set_aside()
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


def repeated(job: Job, spec: ModelSpec, batch: int) -> Job:
    """Return a job with the input of its whole picture so often that it runs in a batch, and alone."""
    if batch == 1:
        return job
    inputs, places = prepare(job.picture, spec)
    return replace(job, prepared=(np.repeat(inputs, batch + 1, axis=0), places * (batch + 1)))


def warm_up(engine: Runtime, spec: ModelSpec, batch: int, shapes: Iterable[tuple[int, int]] | None) -> None:
    """Run blank inputs of the file's size, or of the sizes that pictures of some shapes (height, width) have."""
    blank = engine.describe().input
    if shapes is None:
        engine.run(blank.blank(batch + 1 if batch > 1 else 1))
        return
    for height, width in shapes:
        size = Letterbox.fit(width, height, spec.input_size).trimmed().input_size
        engine.run(replace(blank, size=size).blank())
