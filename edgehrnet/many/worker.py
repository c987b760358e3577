"""Predict one part of a run after another in the process of a worker."""

from __future__ import annotations

import json
import os
import socket
import time
import warnings
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from edgehrnet import __version__
from edgehrnet.certificate import digest
from edgehrnet.errors import EdgeHRNetError, ImageError, ModelFileError, NoBoxesWarning
from edgehrnet.many.listing import frames_of_part
from edgehrnet.many.work import LINEAGE, Work
from edgehrnet.picture.limits import Limits
from edgehrnet.predictor import Predictor
from edgehrnet.results.formats import COLUMNS, parquet_schema, rows, write_rows
from edgehrnet.shipped import model_path
from edgehrnet.sources.frame import Frame

TRIES = 4  # of a part whose worker is killed


class Worker:
    """A Predictor that writes parts of a run. Ray makes one for each actor.

    Args:
        folder: Folder of the run.

    Raises:
        ModelFileError: The model file on this machine is another one.
        EdgeHRNetError: This machine has another version of the package.
    """

    def __init__(self, folder: Path) -> None:
        self._work = Work(folder)
        run = self._work.run
        host = socket.gethostname()
        if run.version != __version__:
            raise EdgeHRNetError(f"{host} has edgehrnet {__version__}, the run has {run.version}; install the same")
        path = model_path(run.model)
        if digest(path) != run.sha256:
            raise ModelFileError(f"{str(path)!r} on {host} is not the file of the run, SHA-256 {run.sha256}; copy it")
        self._predictor = Predictor(path, **run.arguments)
        self._lineage = (self._predictor.spec.name, run.sha256, run.version)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Write the parts whose numbers a batch has. Return who took how long for how many pictures."""
        answers = [self.write(int(number)) for number in batch["item"]]
        return {name: [answer[name] for answer in answers] for name in answers[0]}

    def write(self, number: int) -> dict[str, Any]:
        """Write a part, unless it is there.

        Raises:
            EdgeHRNetError: Several workers were killed at this part.
        """
        path, start, cpu = self._work.path_of(number), time.time(), time.process_time()
        facts = {"pictures": "0", "errors": "0"}
        if not path.exists():
            mark = self._mark(number)
            hidden = path.with_name(f".{uuid4().hex}")
            write_rows(self._rows(number, facts), hidden, parquet_schema(*LINEAGE), facts)
            hidden.replace(path)
            mark.unlink(missing_ok=True)
        counts = {name: int(value) for name, value in facts.items()}
        times = {"start": start, "end": time.time(), "cpu": time.process_time() - cpu}
        return {"part": number, **counts, "process": f"{socket.gethostname()} {os.getpid()}", **times}

    def _mark(self, number: int) -> Path:
        """Write which process works at a part. The file stays if it is killed."""
        for attempt in range(TRIES):
            path = self._work.path_of(number, f".{attempt}.try")
            if not path.exists():
                path.write_text(f"{socket.gethostname()} {os.getpid()}")
                return path
        start, lines = self._work.parts[number]
        with self._work.list.open("rb") as file:
            file.seek(start)
            names = [json.loads(file.readline())[0] for _ in range(lines)]
        raise EdgeHRNetError(
            f"{TRIES} workers were killed at part {number}, by lack of memory or by a picture; predict them without "
            f"--ray to see which: {names[0]} to {names[-1]}"
        )

    def _rows(self, number: int, facts: dict[str, str]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a part: one for each keypoint, or one for a picture that could not be read."""
        pictures = errors = 0
        for frame, outcome in self._outcomes(number):
            pictures += 1
            if isinstance(outcome, ImageError):
                errors += 1
                empty = (None,) * (len(COLUMNS) - 3)
                yield (frame.name, frame.frame, frame.time, *empty, str(outcome), *self._lineage)
            else:
                for row in rows([outcome]):
                    yield (*row, None, *self._lineage)
        facts.update(pictures=str(pictures), errors=str(errors))

    def _outcomes(self, number: int) -> Iterator[tuple[Frame, dict[str, Any] | ImageError]]:
        """Yield each frame of a part with its result, in order, or with the error of reading it."""
        work, waiting = self._work, deque[Frame]()
        failed: deque[tuple[Frame, ImageError]] = deque()

        def taken() -> Iterator[Frame]:
            for frame in frames_of_part(work.list, *work.parts[number], Path(work.run.folder), Limits()):
                waiting.append(frame)
                yield frame

        def report(error: ImageError) -> None:
            failed.append((waiting.popleft(), error))

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoBoxesWarning)
            for result in self._predictor.stream(taken(), on_error=report):
                yield from failed
                failed.clear()
                yield waiting.popleft(), result.to_dict()
        yield from failed

    def close(self) -> None:
        """Release the engine."""
        self._predictor.close()
