"""Run network inputs through an engine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgehrnet.decoding import activations
from edgehrnet.decoding.flipping import average, mirror
from edgehrnet.outputs import renamed
from edgehrnet.preparation import formatted
from edgehrnet.spec import ModelSpec
from runtimes.base import Runtime

Outputs = dict[str, NDArray[np.float32]]


def infer(engine: Runtime, inputs: NDArray[np.uint8], spec: ModelSpec, heatmaps: str, *, flip_test: bool) -> Outputs:
    """Run N inputs and return the outputs by name, with ``heatmaps`` as peak values, not logits.

    Args:
        engine: The loaded file.
        inputs: ``(N, height, width, 4)`` u8 RGB + mask.
        spec: The spec of the network.
        heatmaps: The file's name for its heatmaps.
        flip_test: Also run the mirrored inputs, and average.
    """
    outputs = _run(engine, inputs, spec, heatmaps)
    if not flip_test:
        return outputs
    return outputs | average(outputs, _run(engine, mirror(inputs), spec, heatmaps), spec)


def _run(engine: Runtime, inputs: NDArray[np.uint8], spec: ModelSpec, heatmaps: str) -> Outputs:
    outputs = renamed(engine.run(formatted(inputs, spec)), heatmaps)
    return outputs | {"heatmaps": activations(outputs["heatmaps"], spec)}
