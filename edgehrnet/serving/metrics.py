"""Count requests and their seconds, in the text format of Prometheus."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds
TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters of a server. All methods are for the thread of the event loop."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._seconds: defaultdict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0] * (len(BUCKETS) + 2))

    def count(self, model: str, method: str, status: int, seconds: float) -> None:
        """Count one request.

        Args:
            model: Name of the model.
            method: ``rest``, ``grpc`` or ``picture``.
            status: Status of HTTP.
            seconds: From its arrival to its answer.
        """
        self._requests[model, method, status] += 1
        if status == 200:
            row = self._seconds[model, method]
            for number, limit in enumerate(BUCKETS):
                row[number] += seconds <= limit
            row[-2] += 1
            row[-1] += seconds

    def text(self, gauges: Mapping[str, float]) -> str:
        """Return all numbers, with further ones by name that hold at this moment."""
        lines = ["# TYPE edgehrnet_requests_total counter"]
        for (model, method, status), number in sorted(self._requests.items()):
            labels = f'{_labels(model, method)},status="{status}"'
            lines.append(f"edgehrnet_requests_total{{{labels}}} {number}")
        lines.append("# TYPE edgehrnet_request_seconds histogram")
        for (model, method), row in sorted(self._seconds.items()):
            labels = _labels(model, method)
            for limit, below in zip((*BUCKETS, "+Inf"), row, strict=False):
                lines.append(f'edgehrnet_request_seconds_bucket{{{labels},le="{limit}"}} {below:g}')
            lines.append(f"edgehrnet_request_seconds_count{{{labels}}} {row[-2]:g}")
            lines.append(f"edgehrnet_request_seconds_sum{{{labels}}} {row[-1]:.6f}")
        for name, value in gauges.items():
            lines += [f"# TYPE edgehrnet_{name} gauge", f"edgehrnet_{name} {value:g}"]
        return "\n".join(lines) + "\n"


def _labels(model: str, method: str) -> str:
    """Return labels, with the characters escaped that end or continue them."""
    escaped = model.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'model="{escaped}",method="{method}"'
