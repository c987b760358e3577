"""Show how OpenVINO runs a depthwise convolution whose input has one range for each channel, and what it costs.

    python -m benchmarks.depthwise

Each network is a 1x1 convolution, a depthwise 3x3 and another 1x1 convolution, all with INT8 weights. The input of the
depthwise one is float, has one range, or one for each channel with a zero point of its own or one that all share. The
networks of a row take turns on one thread. Times are the least of many runs.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as op

from edgehrnet.cli.tables import table
from runtimes.openvino_graph import executed_layers

KINDS = ("float", "tensor", "channel", "one zero point")
ACTIVATIONS = {
    "ReLU": (op.relu, 0.0),
    "Hardswish": (op.hswish, -0.375),
    "SiLU": (op.swish, -0.28),
    "none": (None, -4.0),
}
SIZES = ((144, 32, 32), (96, 64, 64), (64, 64, 128))  # channels, height and width
BEFORE = 32  # channels of the input and of the output
ROUNDS = 60
SETTINGS = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
Floats = NDArray[np.float32]


def constant(values: Any) -> Any:
    """Return a constant of float32."""
    return op.constant(np.asarray(values, np.float32))


def weights(values: NDArray[Any], *, quantized: bool) -> Any:
    """Return float weights, or int8 ones with a scale for each output channel."""
    if not quantized:
        return constant(values)
    scale = np.abs(values).reshape(len(values), -1).max(axis=1).reshape(-1, *[1] * (values.ndim - 1)) / 127
    integers = np.round(values / scale).astype(np.int8)
    return op.multiply(op.convert(op.constant(integers), "f32"), constant(scale))


def quantizer(x: Any, low: Any, high: Any, zero: int | None = None) -> Any:
    """Return ``x`` rounded to 256 levels, of which one is 0, or the one that ``zero`` says."""
    scale = (np.asarray(high) - np.asarray(low)) / 255
    zeros = np.round(-np.asarray(low) / scale) if zero is None else zero
    ends = constant(-zeros * scale), constant((255 - zeros) * scale)
    return op.fake_quantize(x, *ends, *ends, 256)


def network(size: tuple[int, int, int], activation: str, kind: str) -> ov.Model:
    """Build a network whose depthwise convolution reads an input of the given kind."""
    random, quantized = np.random.default_rng(0), kind != "float"
    (channels, height, width), (act, low) = size, ACTIVATIONS[activation]
    spread = np.exp(0.7 * random.normal(size=(1, channels, 1, 1)))
    image = op.parameter([1, BEFORE, height, width], np.float32, name="image")

    def convolved(x: Any, after: int, before: int, factors: Any = 1.0) -> Any:
        values = random.normal(size=(after, before, 1, 1)) / np.sqrt(before) * factors
        return op.convolution(x, weights(values, quantized=quantized), [1, 1], [0, 0], [0, 0], [1, 1])

    x = quantizer(image, -2.0, 2.0) if quantized else image
    x = convolved(x, channels, BEFORE, spread.reshape(-1, 1, 1, 1))
    x = x if act is None else act(x)
    lows = low * (spread if act is None else np.ones_like(spread))
    if kind == "tensor":
        x = quantizer(x, lows.min(), 4 * spread.max())
    elif quantized:
        x = quantizer(x, lows, 4 * spread, 40 if kind == "one zero point" else None)
    values = weights(random.normal(size=(channels, 1, 1, 3, 3)) / 3, quantized=quantized)
    x = op.group_convolution(x, values, [1, 1], [1, 1], [1, 1], [1, 1])
    x = x if act is None else act(x)
    x = quantizer(x, low, 4.0) if quantized else x
    return ov.Model([convolved(x, BEFORE, channels)], [image])


def least_milliseconds(compiled: dict[str, Any], image: Floats) -> dict[str, float]:
    """Run the networks in turn, and return the least time of each."""
    requests = {kind: model.create_infer_request() for kind, model in compiled.items()}
    times: dict[str, list[float]] = {kind: [] for kind in compiled}
    for _ in range(ROUNDS):
        for kind, request in requests.items():
            start = time.perf_counter()
            request.infer({0: image})
            times[kind].append((time.perf_counter() - start) * 1000)
    return {kind: min(found) for kind, found in times.items()}


def main() -> None:
    """Measure, and print one table."""
    core, rows = ov.Core(), []
    for size in SIZES:
        image = np.random.default_rng(1).normal(size=(1, BEFORE, *size[1:])).astype(np.float32)
        for activation in ACTIVATIONS:
            models = {kind: network(size, activation, kind) for kind in KINDS}
            compiled = {kind: core.compile_model(model, "CPU", SETTINGS) for kind, model in models.items()}
            times = least_milliseconds(compiled, image)
            for kind, model in compiled.items():
                kernel = [layer.kernel for layer in executed_layers(model) if layer.type == "Convolution"][-2]
                ratio = f"{times[kind] / times['tensor']:.2f}"
                rows.append(("x".join(map(str, size)), activation, kind, kernel, ratio))
    print(table(("channels and size", "activation", "ranges", "kernel of the depthwise", "time"), rows))


if __name__ == "__main__":
    main()
