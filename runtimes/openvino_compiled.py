"""Run an OpenVINO model that is compiled for one input size."""

from __future__ import annotations

import os
import queue
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.base import Batch
from runtimes.errors import ClosedError, ModelFileError
from runtimes.openvino_ports import FAILURES, output_types, reason
from runtimes.ports import InputPort, OutputPort, groups, read_outputs, shapes_of


class Compiled:
    """A compiled model with its inference requests, which callers take in turn. It is thread-safe.

    Args:
        compiled: OpenVINO's compiled model.
        port: Its input.
        path: The file, named in errors.
        tensor: OpenVINO's class Tensor.
        count: Number of pictures that run together.
    """

    def __init__(self, compiled: Any, port: InputPort, path: Path, tensor: Any, count: int) -> None:
        self.model, self._port, self._path, self._tensor, self._count = compiled, port, path, tensor, count
        self._outputs, self.unread = read_outputs(path, port.batch, output_types(compiled))
        self.shapes = shapes_of(self._outputs)
        # A caller takes a request from this pool, and waits if there is none. Nothing runs in the background.
        self._requests = max(1, int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")))
        self._fill_pool()
        self._closed = False
        self._closing = threading.Lock()

    def run(self, image: Batch) -> dict[str, NDArray[np.float32]]:
        """Run pictures of this size, as many as a multiple of ``count``. The outputs belong to the caller."""
        # Keep a reference until the end, because a tensor does not keep the memory that it shares alive.
        # And a tensor shares no memory that is read only, such as that of bytes.
        image = np.require(image, requirements=("C", "W"))
        outputs = {name: np.empty((len(image), *shape[1:]), np.float32) for name, shape in self.shapes.items()}
        request = self._take()
        try:
            for some in groups(len(image), self._count):
                pictures = self._port.array(image[some])
                request.set_input_tensor(self._tensor(pictures, shared_memory=True))
                for name, port in self._outputs.items():
                    if self._is_direct(port):
                        # The engine writes into the caller's array. This avoids a copy of 4 MB of features.
                        output = self._tensor(outputs[name][some], shared_memory=True)
                        request.set_output_tensor(port.index, output)
                request.infer()
                for name, port in self._outputs.items():
                    if not self._is_direct(port):
                        outputs[name][some] = request.get_output_tensor(port.index).data[: self._count]
        except FAILURES as error:
            raise ModelFileError(f"{self._path} fails: {reason(error)}") from None
        finally:
            self._pool.put(request)
        return outputs

    def close(self) -> None:
        """Wait for calls in progress. Later calls raise ClosedError."""
        self._renew_after_fork()
        with self._closing:
            if self._closed:
                return
            self._closed = True
        for _ in range(self._requests):
            self._pool.get()
        self._pool.put(None)  # wakes a caller that still waits for a request

    def _fill_pool(self) -> None:
        self._process = os.getpid()
        self._pool: queue.Queue[Any] = queue.Queue()
        for _ in range(self._requests):
            self._pool.put(self.model.create_infer_request())

    def _renew_after_fork(self) -> None:
        """Make new requests in a forked process, where those that threads of the other one had never come back."""
        if self._process != os.getpid():
            self._closing = threading.Lock()
            self._fill_pool()

    def _is_direct(self, port: OutputPort) -> bool:
        """Return whether the engine gives an output as the caller wants it: float32, of no picture twice."""
        return port.kind == "f32" and self._port.batch == self._count

    def _take(self) -> Any:
        """Wait for a free request. Raise ClosedError after close()."""
        if self._closed:
            raise ClosedError
        self._renew_after_fork()
        request = self._pool.get()
        if request is None:
            self._pool.put(None)  # for the next waiting caller
            raise ClosedError
        return request
