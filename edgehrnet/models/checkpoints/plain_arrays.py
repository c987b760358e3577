"""Arrays of numbers in checkpoint files, as lists: what mmpose 1.x writes beside the weights.

To let numpy itself rebuild them is to trust a file with numpy's memory: the state of its dtypes and arrays is not
checked. So the names that a pickle has for them are those of a few classes here, which know numbers alone.
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
MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")  # of numpy 1 and 2
Named = Callable[..., Any]
_lock = threading.Lock()


class Kind:
    """In place of numpy's dtype: a type of numbers, and their byte order."""

    def __init__(self, code: str, *_: object) -> None:
        if not isinstance(code, str) or not NUMBERS.fullmatch(code):
            raise UnpicklingError(f"Unsupported class: arrays of {code!r}")
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ORDERS[state[1]]

    def read(self, content: bytes) -> NDArray[Any]:
        """Return the numbers in some bytes."""
        return np.frombuffer(content, self.order + self.code)


class Numbers(list[Any]):
    """In place of numpy's ndarray: made empty, and then told what is in it."""

    def __init__(self, *_: object) -> None:
        super().__init__()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, by_columns, content = state
        array = kind.read(content).reshape(shape, order="F" if by_columns else "C")
        self[:] = array.tolist() if shape else [array.item()]


def number(kind: Kind, content: bytes) -> bool | int | float:
    """In place of the function that makes numpy's scalars."""
    (value,) = kind.read(content).tolist()
    return value  # type: ignore[no-any-return]


def no_bytes(*_: object) -> bytes:
    """In place of ``bytes``: the content of an array without numbers, for which alone a pickle calls it."""
    return b""


@contextmanager
def plain_arrays() -> Iterator[None]:
    """Let ``torch.load(weights_only=True)`` read numpy's numbers, as lists, and nothing else that it would not."""
    names: list[Named | tuple[Named, str]] = [(Kind, "numpy.dtype"), (Numbers, "numpy.ndarray")]
    names.append((no_bytes, "builtins.bytes"))
    names += [(Numbers, f"{module}._reconstruct") for module in MODULES]
    names += [(number, f"{module}.scalar") for module in MODULES]
    # What is allowed is torch's to remember, for all threads; the first to be ready would forbid it to the others.
    with _lock, safe_globals(names):
        yield
