"""Read and write the records that travel with a model file: its spec, its golden pair and its certificate.

A record is a JSON object with a ``format`` number. A newer release may add fields. It lists those that an older
release may ignore under ``optional``. They are kept as they are and written back. Any other unknown field is refused.

A field that was added to a format later is written only if it differs from its default, see `LATER`. Records that do
not need it keep their bytes, and releases without it read them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from edgehrnet.errors import SpecError, nearest

LARGEST = 2**63  # of the numbers in a record
LATER = {"later": True}  # metadata of a dataclass field that is written only if it differs from its default


def pack_record(record: Any, version: int) -> dict[str, Any]:
    """Return the fields of a dataclass as JSON values, with its format number and its unknown optional fields."""
    values = dataclasses.asdict(record)
    for item in dataclasses.fields(record):
        if item.metadata.get("later") and values[item.name] == item.default:
            del values[item.name]
    extra = values.pop("extra")
    optional = {"optional": sorted(extra)} if extra else {}
    return {"format": version, **values, **extra, **optional}


def unpack_record(values: Any, known: Collection[str], version: int, kind: str) -> dict[str, Any]:
    """Return the known fields of a record, and under ``extra`` the unknown optional ones.

    Args:
        values: The parsed JSON.
        known: Names of the fields that this release understands.
        version: Oldest format number that this release reads.
        kind: What to call the record in messages, such as ``spec``.

    Raises:
        SpecError: The value is not an object, its format is older or missing, or a field is unknown and not optional.
    """
    if not isinstance(values, Mapping):
        raise SpecError(f"the {kind} is a {type(values).__name__}; it must be a JSON object")
    found = values.get("format")
    if not isinstance(found, int) or isinstance(found, bool) or found < version:
        raise SpecError(f"the {kind} has format {found!r}; this release reads format {version}: export the file again")
    optional = values.get("optional", [])
    if not isinstance(optional, list | tuple) or not all(isinstance(name, str) for name in optional):
        raise SpecError(f"optional={optional!r} in the {kind}; it must be a list of field names")
    names = set(known) - {"extra"}
    unknown = values.keys() - names - {"format", "optional"}
    for name in sorted(unknown - set(optional)):
        raise SpecError(f"unknown field {name!r} in the {kind}; update edgehrnet to read it; {nearest(name, names)}")
    return {name: values[name] for name in values.keys() & names} | {"extra": {name: values[name] for name in unknown}}


def check_types(record: Any) -> None:
    """Turn the lists of a dataclass into tuples, and raise SpecError unless every field has its annotated type."""
    for name, hint in get_type_hints(type(record)).items():
        value = frozen(getattr(record, name))
        object.__setattr__(record, name, value)
        if _fits(value, hint):
            continue
        if get_origin(hint) is Literal:
            raise SpecError(f"{name}={value!r}; {nearest(str(value), get_args(hint))}")
        raise SpecError(f"{name}={value!r}; it must be of type {hint.__name__ if isinstance(hint, type) else hint}")


def frozen(value: Any) -> Any:
    """Turn lists into tuples at every depth.

    >>> frozen([1, [2, 3]])
    (1, (2, 3))
    """
    return tuple(frozen(item) for item in value) if isinstance(value, list | tuple) else value


def for_each_channel(value: Any) -> Any:
    """Turn one number, or a list of one, into three. Return anything else as it is.

    >>> for_each_channel(0.5), for_each_channel((0.5,)), for_each_channel((0.1, 0.2, 0.3))
    ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), (0.1, 0.2, 0.3))
    """
    one = value if isinstance(value, list | tuple) else (value,)
    return (*one,) * 3 if len(one) == 1 else value


def _fits(value: Any, hint: Any) -> bool:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in args
    if origin in (Union, UnionType):
        return any(_fits(value, arg) for arg in args)
    if origin is tuple:
        hints = args[:1] * len(value) if isinstance(value, tuple) and args[-1] is ... else args
        return isinstance(value, tuple) and len(value) == len(hints) and all(map(_fits, value, hints))
    if hint in (int, float):
        kinds = int if hint is int else int | float
        # Comparing finds infinite, NaN and integers that no float holds.
        return isinstance(value, kinds) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST
    return isinstance(value, origin or hint)
