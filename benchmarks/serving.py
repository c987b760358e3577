"""Load a server with twice as many requests as it can answer, and report what became of each of them.

A server is started with one model. First, as many clients as it lets in ask one request after another: that is its
capacity. Then requests come at a fixed rate, whether or not others were answered. Half of them are pictures for
keypoints, half are network inputs for heatmaps and offsets, as bytes. Client and server share the machine.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgehrnet import sample_picture

CLIENTS = 64
LOST = 0  # status of a request without an answer


@dataclass
class Load:
    """Answers to many requests."""

    port: int
    """Port of the server."""
    statuses: Counter[int] = field(default_factory=Counter)
    """Number of answers by HTTP status, `LOST` for none."""
    seconds: dict[int, list[float]] = field(default_factory=dict)
    """Seconds from sending a request to its answer, by status."""

    def ask(self, connection: http.client.HTTPConnection, number: int) -> None:
        """Send one request and count its answer."""
        path, body, headers = REQUESTS[number % len(REQUESTS)]
        start = time.perf_counter()
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException):
            connection.close()  # the next request opens it again
            status = LOST
        self.statuses[status] += 1
        self.seconds.setdefault(status, []).append(time.perf_counter() - start)

    def run(self, clients: int, seconds: float, rate: float | None) -> float:
        """Ask for some seconds, at a rate or as fast as there are answers. Return the seconds it took."""
        numbers, start = itertools.count(), time.perf_counter()

        def client() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            for number in numbers:
                due = start + (0 if rate is None else number / rate)
                time.sleep(max(0.0, due - time.perf_counter()))
                if max(due, time.perf_counter()) > start + seconds:
                    break
                self.ask(connection, number)
            connection.close()

        threads = [threading.Thread(target=client) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - start

    def percentile(self, status: int, share: float) -> float:
        """Return the milliseconds within which a share of the answers with a status came."""
        return float(np.percentile(self.seconds.get(status, [float("nan")]), share) * 1000)


def _requests() -> list[tuple[str, bytes, dict[str, str]]]:
    image = np.zeros((1, 256, 512, 4), np.uint8)
    tensor = {"name": "image", "datatype": "UINT8", "shape": image.shape}
    asked = {
        "inputs": [{**tensor, "parameters": {"binary_data_size": image.nbytes}}],
        "outputs": [{"name": name, "parameters": {"binary_data": True}} for name in ("heatmaps", "offsets")],
    }
    head = json.dumps(asked).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    path = "/v2/models/document-corners"
    picture = sample_picture().read_bytes()
    return [(f"{path}/keypoints", picture, {}), (f"{path}/infer", head + image.tobytes(), headers)]


REQUESTS = _requests()


@contextmanager
def server(workers: int, queue: int) -> Iterator[tuple[int, int]]:
    """Run a server, and yield its port and process number. It must end with status 0."""
    command = [sys.executable, "-m", "edgehrnet", "serve", "document-corners", "--port", "0", "--no-grpc"]
    limits = ["--workers", str(workers), "--queue", str(queue)]
    with subprocess.Popen([*command, *limits], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline()
        try:
            yield int(address.split("/")[2].rpartition(":")[2]), process.pid
        finally:
            process.terminate()
            status = process.wait(120)
    if status != 0:
        raise SystemExit(f"the server ended with status {status}")


def state(process: int) -> dict[str, int]:
    """Return the resident kilobytes, threads and open files of a process, on Linux."""
    folder = Path("/proc") / str(process)
    rows = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    files = len(list((folder / "fd").iterdir()))
    return {"kB": int(rows["VmRSS"].split()[0]), "threads": int(rows["Threads"]), "files": files}


def main() -> int:
    """Run the measurement and return 1 if a request got no answer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=30.0, help="of load (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="of the server (default: %(default)s)")
    parser.add_argument("--queue", type=int, default=16, help="of the server (default: %(default)s)")
    args = parser.parse_args()
    with server(args.workers, args.queue) as (port, process):
        Load(port).run(1, 10, None)  # compiles
        alone = Load(port)
        took = alone.run(args.workers + args.queue, 30, None)
        capacity = alone.statuses[200] / took
        print(f"capacity {capacity:.1f} answers/s, p99 {alone.percentile(200, 99):.0f} ms")
        load, states = Load(port), [state(process)]
        parts = 10
        for _ in range(parts):
            load.run(CLIENTS, args.minutes * 60 / parts, 2 * capacity)
            states.append(state(process))
            print(states[-1], dict(load.statuses), flush=True)
    total = sum(load.statuses.values())
    print(f"{total} requests in {args.minutes:g} min at {2 * capacity:.1f}/s: {dict(load.statuses)}")
    for status in sorted(set(load.statuses) - {LOST}):
        print(f"status {status}: median {load.percentile(status, 50):.0f} ms, p99 {load.percentile(status, 99):.0f} ms")
    print(f"server at first {states[0]}, after a tenth {states[1]}, at the end {states[-1]}")
    return int(load.statuses[LOST] > 0)


if __name__ == "__main__":
    raise SystemExit(main())
