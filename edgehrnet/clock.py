"""Measure the stages of a prediction."""

from __future__ import annotations

import time


class Clock:
    """Milliseconds between laps."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}
        self.aside = 0.0  # milliseconds that belong to no stage
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Add the time since the previous lap to a stage."""
        now = time.perf_counter()
        self.ms[stage] = self.ms.get(stage, 0.0) + (now - self._last) * 1000
        self._last = now

    def set_aside(self) -> None:
        """Count the time since the previous lap to no stage, but to `aside`."""
        now = time.perf_counter()
        self.aside += (now - self._last) * 1000
        self._last = now

    def resume(self) -> None:
        """Begin the next stage now, after a pause that belongs to none."""
        self._last = time.perf_counter()
