"""Measure the layers of an OpenVINO file on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from runtimes import quirks
from runtimes.openvino_graph import executed_layers


class LayerTimes:
    """Smallest time of each layer of an OpenVINO file over a number of runs on one CPU thread.

    The smallest time of a layer varies far less than the time of a run when other programs use the CPU as well.
    """

    def __init__(self, path: Path) -> None:
        """Compile a file whose input size is fixed."""
        import openvino as ov

        settings: dict[str, Any] = {"PERF_COUNT": True, "INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False}
        settings |= quirks.settings("openvino", "CPU", quantized=True)
        compiled = ov.Core().compile_model(path, "CPU", settings)
        self._sources = {layer.name: layer.sources for layer in executed_layers(compiled)}
        self._request = compiled.create_infer_request()
        port = compiled.inputs[0]
        self._image = np.zeros(port.get_shape(), port.get_element_type().to_dtype())
        self._ms: dict[str, float] = {}

    def run(self) -> None:
        """Run once and keep the smaller times."""
        self._request.infer([self._image])
        for layer in self._request.get_profiling_info():
            now = layer.real_time.total_seconds() * 1000
            self._ms[layer.node_name] = min(now, self._ms.get(layer.node_name, now))

    @property
    def total(self) -> float:
        """Sum of the milliseconds of all layers."""
        return sum(self._ms.values())

    def layers(self) -> list[tuple[tuple[str, ...], float]]:
        """Return for each layer the names of the operations in the file that it computes, and its milliseconds."""
        return [(self._sources.get(name, ()), ms) for name, ms in self._ms.items()]
