"""Define what is measured: model files with the arguments of Predictor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from edgehrnet.errors import InputError

STAGES = ("read", "letterbox", "crop", "inference", "decode")
"""Stages of a prediction, in order. A model has either a letterbox or a crop."""
TOTAL = "end to end"


@dataclass(frozen=True)
class Case:
    """A model file, and how it runs."""

    model: str
    """Path of the file, or name of a shipped model."""
    device: str | None = None
    """None: the engine's default."""
    threads: int | None = None
    """None: all CPUs that may be used."""
    input_size: tuple[int, int] | None = None
    """(height, width). None: the file's."""
    batch: int = 1
    """Pictures per call. For models that take crops, boxes per picture, which run at once if the file can."""
    spec: str | None = None
    """Path of a spec, for files of other projects."""

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of Predictor that differ from their defaults."""
        given = {"device": self.device, "threads": self.threads, "input_size": self.input_size, "spec": self.spec}
        return {name: value for name, value in given.items() if value is not None}

    def line(self) -> str:
        """Return the Python line that makes this Predictor.

        >>> Case("model.xml", threads=2, input_size=(256, 512)).line()
        "Predictor('model.xml', threads=2, input_size=(256, 512))"
        """
        return f"Predictor({', '.join([repr(self.model), *(f'{k}={v!r}' for k, v in self.arguments().items())])})"

    def title(self, several_models: bool = True) -> str:
        """Return a short name for tables.

        >>> Case("runs/model.xml", threads=2, batch=4).title()
        'model.xml, 2 threads, batch 4'
        """
        parts = [Path(self.model).name] if several_models else []
        parts += [self.device] if self.device else []
        parts += [f"{self.threads} thread{'s' * (self.threads > 1)}"] if self.threads else []
        parts += ["{}x{}".format(*self.input_size)] if self.input_size else []
        parts += [f"batch {self.batch}"] if self.batch > 1 else []
        return ", ".join(parts) or "as it is"


def cases_of(
    models: Sequence[str],
    *,
    devices: Iterable[str | None] = (None,),
    threads: Iterable[int | None] = (None,),
    sizes: Iterable[tuple[int, int] | None] = (None,),
    batches: Iterable[int] = (1,),
    specs: Sequence[str] = (),
) -> list[Case]:
    """Return all combinations.

    Args:
        models: Model files.
        devices: See `Case`.
        threads: See `Case`.
        sizes: See `Case`.
        batches: See `Case`.
        specs: Specs of files of other projects: none, one for all files, or one for each, with ``-`` for a file that
            has its own.

    Raises:
        InputError: There are no models, or the number of specs does not fit.
    """
    if not models:
        raise InputError("no model to measure; name at least one model file")
    if len(specs) not in (0, 1, len(models)):
        raise InputError(f"{len(specs)} specs for {len(models)} models; pass one for each, '-' for a file with its own")
    each = list(specs) * (len(models) if len(specs) == 1 else 1) or ["-"] * len(models)
    options = list(product(devices, threads, sizes, batches))
    return [
        Case(model, device, count, size, batch, None if spec == "-" else spec)
        for model, spec in zip(models, each, strict=True)
        for device, count, size, batch in options
    ]
