"""Files with trained weights: plain tensors and JSON values, nothing that could run code when read."""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgehrnet.errors import EdgeHRNetError, InputError, MissingFileError, ModelFileError
from edgehrnet.models.checkpoints.plain_arrays import plain_arrays
from edgehrnet.models.checkpoints.published import read_published, shorten, tensors_of
from edgehrnet.models.checkpoints.ranges import RangeTable
from edgehrnet.models.factory import create
from edgehrnet.models.layers.base import KeypointNetwork

FORMAT = "edgehrnet-checkpoint"
VERSION = 2
# What torch says of a file that holds more than tensors and plain values, and what helps.
MORE_THAN_PLAIN = ("Unsupported global", "unsupported GLOBAL", "unrecognized function", "Unsupported class")
WAY_OUT = (
    "holds Python objects beside its tensors, and to read those is to run code. Where you trust it, keep its tensors "
    "and what it says of itself alone, and use the file that this writes:\n"
    """python -c "import torch; c = torch.load('{0}', map_location='cpu', weights_only=False); """
    """k = ('meta', 'state_dict'); torch.save({{n: c[n] for n in k if n in c}} or c, '{1}-tensors.pth')\""""
)
_FIELDS: dict[str, type] = {
    "variant": str,
    "keypoints": int,
    "options": dict,
    "state": dict,
    "spec": dict,
    "training": dict,
    "quantization": dict,
}


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint.

    Attributes:
        variant: the name for `edgehrnet.models.create`.
        keypoints: K.
        options: the other keyword arguments of ``create``, JSON values.
        state: the state dict: CPU tensors, the floating ones in the dtype they were stored in.
        spec: the ModelSpec as JSON values.
        training: how the weights came about, JSON values.
        quantization: the ranges of activations for each target that the network was calibrated for, by target.
        network: in memory alone: the network that the state is of, where no variant builds it.
    """

    variant: str
    keypoints: int
    options: dict[str, Any]
    state: dict[str, Tensor]
    spec: dict[str, Any]
    training: dict[str, Any]
    quantization: dict[str, RangeTable] = field(default_factory=dict)
    network: KeypointNetwork | None = None

    def table(self, target: str) -> RangeTable:
        """The ranges for ``target``.

        Raises:
            InputError: the network was not calibrated for it.
        """
        if target not in self.quantization:
            known = ", ".join(self.quantization) or "none"
            raise InputError(
                f"the checkpoint has no INT8 ranges for {target!r} (it has: {known}); "
                "make them with python -m quant.ptq, or quant.qat"
            )
        return self.quantization[target]


def save_checkpoint(
    path: str | os.PathLike[str],
    model_name: str,
    options: Mapping[str, Any],
    state_dict: Mapping[str, Tensor],
    spec: Mapping[str, Any],
    extra: Mapping[str, Any],
    *,
    dtype: torch.dtype | None = None,
    quantization: Mapping[str, RangeTable] | None = None,
) -> None:
    """Write a checkpoint; an existing file is replaced only once the new one is complete.

    Args:
        path: the file to write.
        model_name: a name that `edgehrnet.models.create` accepts.
        options: the keyword arguments ``create`` was called with, ``keypoints`` among them unless it was
            left at 17.
        state_dict: of the network; copied to the CPU.
        spec: the ModelSpec, JSON values.
        extra: becomes `Checkpoint.training`, JSON values.
        dtype: store floating tensors in this dtype (``torch.float16`` halves the file); None keeps theirs.
        quantization: range tables by target.

    Raises:
        InputError: a value is not JSON, not a tensor, or overflows in ``dtype``.
    """
    chosen = dict(options)
    keypoints = chosen.pop("keypoints", 17)
    content = {
        "format": FORMAT,
        "version": VERSION,
        "variant": model_name,
        "keypoints": int(keypoints),
        "options": _plain("options", chosen),
        "state": _pack({name: _stored(name, value, dtype) for name, value in state_dict.items()}),
        "spec": _plain("spec", spec),
        "training": _plain("extra", extra),
        "quantization": {target: table.to_plain() for target, table in (quantization or {}).items()},
    }
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    try:
        torch.save(content, partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint of this package, or a published one of HRNet or Lite-HRNet, see `models.published`.

    Only tensors and plain values are unpacked, on the CPU; numpy's arrays of numbers become lists. A published file
    becomes a checkpoint of the network it was recognized as, its weights under our names, and the spec that the network
    was published with.

    Raises:
        MissingFileError: there is no such file.
        ModelFileError: the file is damaged, is something else, lacks a part, or holds more than plain values.
    """
    file = Path(path)
    content = _read(file)
    if isinstance(content, dict) and content.get("format") == FORMAT:
        return _own(file, content)
    state = tensors_of(content)
    try:
        found = None if state is None else read_published(state, content.get("meta"))
    except ModelFileError as error:
        raise ModelFileError(f"{file}: {error}") from None
    if found is None:
        raise ModelFileError(
            f"{file} is not a checkpoint of this package (no format {FORMAT!r}), nor a published one of HRNet or "
            "Lite-HRNet"
        )
    spec = _plain("spec", found.spec)
    return Checkpoint(found.variant, found.keypoints, found.options, found.state, spec, {"published": file.name})


def _read(file: Path) -> Any:
    if not file.is_file():
        raise MissingFileError(f"no such checkpoint: {file}")
    try:
        with plain_arrays():
            return torch.load(file, weights_only=True, map_location="cpu")
    except Exception as error:  # Damage surfaces as a dozen types, from zip, pickle and tensor code.
        if any(hint in str(error) for hint in MORE_THAN_PLAIN):
            raise ModelFileError(f"{file} {WAY_OUT.format(file.name, file.stem)}") from None
        raise ModelFileError(f"{file} is damaged or no checkpoint: {type(error).__name__}") from error


def _own(file: Path, content: dict[str, Any]) -> Checkpoint:
    """Check what `save_checkpoint` wrote, of this version or an older one."""
    if content.get("version") == 1:  # before there were range tables
        content |= {"version": VERSION, "quantization": {}}
    if content.get("version") != VERSION:
        raise ModelFileError(f"{file} has format version {content.get('version')!r}; this code reads 1 and {VERSION}")
    missing = [name for name in _FIELDS if name not in content]
    unexpected = [name for name in content if name not in (*_FIELDS, "format", "version")]
    if missing or unexpected:
        raise ModelFileError(f"{file}: missing parts {missing}, unexpected parts {unexpected}")
    for name, kind in _FIELDS.items():
        if not isinstance(content[name], kind):
            raise ModelFileError(f"{file}: {name} is {type(content[name]).__name__}, not {kind.__name__}")
    try:
        content["state"] = _unpack(content["state"])
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"{file}: the state cannot be unpacked: {error!r}") from None
    tables = content["quantization"].items()
    content["quantization"] = {target: RangeTable.from_plain(target, values) for target, values in tables}
    return Checkpoint(**{name: content[name] for name in _FIELDS})


def build_model(checkpoint: Checkpoint) -> KeypointNetwork:
    """The network of a checkpoint with its weights, in float32, on the CPU, in eval mode.

    Raises:
        ModelFileError: the variant or an option is not known, or the state does not fit the network;
            names what is missing, unexpected, or of another shape.
    """
    try:
        net = copy.deepcopy(checkpoint.network) or create(
            checkpoint.variant, keypoints=checkpoint.keypoints, **checkpoint.options
        )
    except EdgeHRNetError as error:
        raise ModelFileError(f"the checkpoint's network cannot be built: {error}") from error
    expected = net.state_dict()
    given = checkpoint.state
    problems = {
        "missing": [name for name in expected if name not in given],
        "unexpected": [name for name in given if name not in expected],
        "of another shape": [n for n in expected if n in given and expected[n].shape != given[n].shape],
    }
    if any(problems.values()):
        listed = "; ".join(f"{what}: {shorten(names)}" for what, names in problems.items() if names)
        raise ModelFileError(f"the weights do not fit {checkpoint.variant}: {listed}")
    # Copying into the float32 parameters is what widens float16 weights.
    net.load_state_dict(given)
    return net.eval()


def _pack(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """One flat tensor for each dtype and a table of names and shapes.

    A file spends 300 bytes on each tensor it holds, whatever its size, and a network has hundreds of small ones.
    """
    table = [[name, list(value.shape), str(value.dtype)] for name, value in state.items()]
    kinds = dict.fromkeys(kind for _, _, kind in table)
    flat = {k: torch.cat([v.flatten() for v in state.values() if str(v.dtype) == k]) for k in kinds}
    return {"table": table, "values": flat}


def _unpack(packed: Mapping[str, Any]) -> dict[str, Tensor]:
    rest = dict(packed["values"])
    state = {}
    for name, shape, kind in packed["table"]:
        count = math.prod(shape)
        state[name] = rest[kind][:count].reshape(shape)
        rest[kind] = rest[kind][count:]
    if any(len(left) for left in rest.values()):
        raise ValueError("more values than the table names")
    return state


def _plain(what: str, values: Mapping[str, Any]) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(values), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} holds something that JSON cannot: {error}") from error
    return plain


def _stored(name: str, value: Tensor, dtype: torch.dtype | None) -> Tensor:
    if not isinstance(value, Tensor):
        raise InputError(f"{name} of the state dict is {type(value).__name__}, not a tensor")
    # Cloned: a view would drag its whole storage into the file.
    plain = value.detach().to("cpu", copy=True).contiguous()
    if dtype is None or not plain.is_floating_point():
        return plain
    narrow = plain.to(dtype)
    if not torch.equal(plain.isfinite(), narrow.isfinite()):
        raise InputError(f"{name} overflows in {dtype}")
    return narrow
