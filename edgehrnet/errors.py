"""Define the errors and the warning of the project, and a check that refuses misspelled keywords.

::

    EdgeHRNetError
    ├── ModelFileError, DeviceError, MissingExtraError, WriteError, RemoteError, ...  (see runtimes.errors)
    ├── MissingSpecError       (a ModelFileError) the file has no ModelSpec
    ├── InputError             (also ValueError)  a value is outside what is accepted
    │   └── ImageError         the picture cannot be used
    │       ├── MissingImageError  (also FileNotFoundError)
    │       ├── CorruptImageError  not a picture, truncated, or empty
    │       └── ImageSizeError     too small, too large, or a decompression bomb
    ├── SpecError              (also ValueError)  a ModelSpec is inconsistent or cannot be read
    ├── UnsupportedError       the model has no such output or task
    └── UnknownKeywordError    (also TypeError)   names the nearest keyword

    NoBoxesWarning             (a UserWarning)    a model for crops got no boxes
    ConfidenceWarning          (a UserWarning)    confidences were fitted at another input size
    SkippedPictureWarning      (a UserWarning)    a picture of a stream could not be read
"""

from __future__ import annotations

import difflib
import functools
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ParamSpec, TypeVar

from runtimes.errors import (
    AbsentDeviceError,
    BatchError,
    ClosedError,
    DeviceError,
    EdgeHRNetError,
    MissingExtraError,
    MissingFileError,
    ModelFileError,
    RemoteError,
    RemoteTimeoutError,
    UnknownSuffixError,
    WriteError,
)

__all__ = [
    "AbsentDeviceError",
    "BatchError",
    "ClosedError",
    "ConfidenceWarning",
    "CorruptImageError",
    "DeviceError",
    "EdgeHRNetError",
    "ImageError",
    "ImageSizeError",
    "InputError",
    "MissingExtraError",
    "MissingFileError",
    "MissingImageError",
    "MissingSpecError",
    "ModelFileError",
    "NoBoxesWarning",
    "RemoteError",
    "RemoteTimeoutError",
    "SkippedPictureWarning",
    "SpecError",
    "UnknownKeywordError",
    "UnknownSuffixError",
    "UnsupportedError",
    "WriteError",
    "check_keywords",
    "nearest",
    "warn_caller",
]

P = ParamSpec("P")
R = TypeVar("R")
PACKAGE = str(Path(__file__).parent) + os.sep


class MissingSpecError(ModelFileError):
    """The model file has no ModelSpec, or its ModelSpec has no golden pair."""


class InputError(EdgeHRNetError, ValueError):
    """A value is outside what is accepted."""


class ImageError(InputError):
    """The picture cannot be used."""


class MissingImageError(ImageError, FileNotFoundError):
    """The picture does not exist."""


class CorruptImageError(ImageError):
    """The data is not a picture, or is truncated."""


class ImageSizeError(ImageError):
    """The picture is too small, too large, or would unpack to an unreasonable size."""


class SpecError(EdgeHRNetError, ValueError):
    """A ModelSpec is inconsistent or cannot be read."""


class UnsupportedError(EdgeHRNetError):
    """The model has no such output or task."""


class UnknownKeywordError(EdgeHRNetError, TypeError):
    """The keyword argument does not exist."""


class NoBoxesWarning(UserWarning):
    """A model for crops got no boxes and uses the whole picture as one box."""


class ConfidenceWarning(UserWarning):
    """A model runs at an input size for which its confidences were not fitted."""


class SkippedPictureWarning(UserWarning):
    """A picture of a stream could not be read and was left out."""


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn, and show the line outside this package that the call came from."""
    frame, level = sys._getframe(), 1
    while frame.f_code.co_filename.startswith(PACKAGE) and frame.f_back is not None:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def nearest(name: str, known: Iterable[object]) -> str:
    """Return the nearest known name and all accepted ones, for the end of an error message.

    >>> nearest("devise", ["device", "threads"])
    "did you mean 'device'? accepted: device, threads"
    >>> nearest("zzz", ["device", "threads"])
    'accepted: device, threads'
    """
    names = sorted(map(str, known))
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    accepted = f"accepted: {', '.join(names)}"
    return f"did you mean {close[0]!r}? {accepted}" if close else accepted


def check_keywords(function: Callable[P, R]) -> Callable[P, R]:
    """Make an unknown keyword raise UnknownKeywordError with the nearest name.

    >>> @check_keywords
    ... def predict(image, *, color="rgb"): ...
    >>> predict(0, colour="bgr")
    Traceback (most recent call last):
    edgehrnet.errors.UnknownKeywordError: predict() has no keyword 'colour'; did you mean 'color'? accepted: color
    """
    parameters = inspect.signature(function).parameters
    accepted = {name for name, p in parameters.items() if p.kind is not inspect.Parameter.POSITIONAL_ONLY}
    # Leave out required arguments, which are passed by position.
    required = inspect.Parameter.empty
    shown = {
        n
        for n in accepted
        if parameters[n].kind is inspect.Parameter.KEYWORD_ONLY or parameters[n].default is not required
    }
    title = function.__qualname__.removesuffix(".__init__")

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for keyword in kwargs:
            if keyword not in accepted:
                raise UnknownKeywordError(f"{title}() has no keyword {keyword!r}; {nearest(keyword, shown)}")
        return function(*args, **kwargs)

    return checked
