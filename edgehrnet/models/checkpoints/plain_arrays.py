"""Read NumPy arrays of numbers in a checkpoint as lists, without letting NumPy unpickle them.

NumPy does not validate the state of a pickled dtype or array, so a crafted file could corrupt memory. mmpose 1.x writes
such arrays beside the weights. Here a few classes replace NumPy's in the pickle, and accept numbers only.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pickle import UnpicklingError
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.serialization import safe_globals

NUMBERS = re.compile(r"b1|f[248]|[iu][1248]")
ORDERS = {"<": "<", ">": ">", "=": "=", "|": "="}
MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")  # in NumPy 1 and 2
Named = Callable[..., Any]
_lock = threading.Lock()


class Kind:
    """Replacement for NumPy's dtype: a type of numbers and its byte order."""

    def __init__(self, code: str, *_: object) -> None:
        if not isinstance(code, str) or not NUMBERS.fullmatch(code):
            raise UnpicklingError(f"Unsupported class: arrays of {code!r}")
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ORDERS[state[1]]

    def read(self, content: bytes) -> NDArray[Any]:
        """Return the numbers encoded in ``content``."""
        return np.frombuffer(content, self.order + self.code)


class Numbers(list[Any]):
    """Replacement for NumPy's ndarray: a list that pickle creates empty and fills with ``__setstate__``."""

    def __init__(self, *_: object) -> None:
        super().__init__()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, by_columns, content = state
        array = kind.read(content).reshape(shape, order="F" if by_columns else "C")
        self[:] = array.tolist() if shape else [array.item()]


def number(kind: Kind, content: bytes) -> bool | int | float:
    """Replace the function that unpickles NumPy scalars."""
    (value,) = kind.read(content).tolist()
    return value  # type: ignore[no-any-return]


def no_bytes(*_: object) -> bytes:
    """Replace ``bytes``, which a pickle calls only for the content of an empty array."""
    return b""


@contextmanager
def plain_arrays() -> Iterator[None]:
    """Let ``torch.load(weights_only=True)`` also read NumPy numbers and arrays of numbers, as lists."""
    names: list[Named | tuple[Named, str]] = [(Kind, "numpy.dtype"), (Numbers, "numpy.ndarray")]
    names.append((no_bytes, "builtins.bytes"))
    names += [(Numbers, f"{module}._reconstruct") for module in MODULES]
    names += [(number, f"{module}.scalar") for module in MODULES]
    # All threads share torch's list of allowed globals, and the first one to finish would clear it for the others.
    with _lock, safe_globals(names):
        yield
