"""List the operations of a compiled OpenVINO model."""

from __future__ import annotations

import math
from typing import Any

from runtimes.base import Layer


def executed_layers(compiled: Any) -> tuple[Layer, ...]:
    """List the operations and their precisions of a compiled model."""
    layers = []
    for node in compiled.get_runtime_model().get_ordered_ops():
        info = node.get_rt_info()
        kind, precision = (info[key].astype(str) for key in ("layerType", "runtimePrecision"))
        sources = info["originalLayersNames"].astype(str) if "originalLayersNames" in info else ""
        kernel = info["primitiveType"].astype(str) if "primitiveType" in info else ""
        layers.append(
            Layer(node.get_friendly_name(), kind, precision, tuple(sources.split(",")), _macs(node, kind), kernel)
        )
    return tuple(layers)


def _macs(node: Any, kind: str) -> int:
    """Return the MACs of an operation, 0 if it does not multiply.

    A convolution uses each weight once per output position, and a transposed one once per input position.
    """
    if kind not in ("Convolution", "Deconvolution", "FullyConnected", "MatMul"):
        return 0
    first, second = ([int(side) for side in node.input_value(index).get_shape()] for index in (0, 1))
    output = [int(side) for side in node.get_output_shape(0)]
    if kind == "Convolution":
        return math.prod(output[2:]) * math.prod(second)
    if kind == "Deconvolution":
        return math.prod(first[2:]) * math.prod(second)
    # The summed dimension: either side of the first matrix, as it may be transposed.
    inner = first[-1] if kind == "FullyConnected" else math.prod(first[-2:]) // max(1, output[-2])
    return math.prod(output) * inner
