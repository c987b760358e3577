"""Measure the layers of an OpenVINO file on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from runtimes import quirks
from runtimes.openvino_core import new_core
from runtimes.openvino_graph import executed_layers

RESTART = 4
"""Runs after which the engine's counters start over. It counts whole microseconds, and more runs would round more."""


class LayerTimes:
    """Smallest time of each layer of an OpenVINO file over a number of runs on one CPU thread.

    The smallest time of a layer varies far less than the time of a run when other programs use the CPU as well. The
    engine reports the mean of all runs so far, from which `run` finds the last one.
    """

    def __init__(self, path: Path) -> None:
        """Compile a file whose input size is fixed."""
        self._settings: dict[str, Any] = {
            "PERF_COUNT": True,
            "INFERENCE_NUM_THREADS": 1,
            "ENABLE_CPU_PINNING": False,
            **quirks.settings("openvino", "CPU", quantized=True),
        }
        self._core = new_core()
        compiled = self._core.compile_model(path, "CPU", self._settings)
        self._sources = {layer.name: layer.sources for layer in executed_layers(compiled)}
        port = compiled.inputs[0]
        self._image = np.zeros(port.get_shape(), port.get_element_type().to_dtype())
        self._exported = compiled.export_model()
        self._ms: dict[str, float] = {}
        self._start()

    def _start(self) -> None:
        """Start the counters over, and warm up."""
        self._request = self._core.import_model(self._exported, "CPU", self._settings).create_infer_request()
        self._number, self._sums = 0, dict.fromkeys(self._sources, 0.0)
        self._infer()

    def _infer(self) -> dict[str, float]:
        """Run once and return the milliseconds of each layer."""
        self._request.infer([self._image])
        self._number += 1
        means = {layer.node_name: layer.real_time.total_seconds() for layer in self._request.get_profiling_info()}
        sums = {name: 1000 * self._number * mean for name, mean in means.items()}
        last = {name: max(0.0, total - self._sums.get(name, 0.0)) for name, total in sums.items()}
        self._sums = sums
        return last

    def run(self) -> None:
        """Run once and keep the smaller times."""
        if self._number > RESTART:
            self._start()
        for name, ms in self._infer().items():
            self._ms[name] = min(ms, self._ms.get(name, ms))

    @property
    def total(self) -> float:
        """Sum of the milliseconds of all layers."""
        return sum(self._ms.values())

    def layers(self) -> list[tuple[tuple[str, ...], float]]:
        """Return for each layer the names of the operations in the file that it computes, and its milliseconds."""
        return [(self._sources.get(name, ()), ms) for name, ms in self._ms.items()]
