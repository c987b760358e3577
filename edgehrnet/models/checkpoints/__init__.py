"""Save and load checkpoints, which hold tensors and JSON values only, so that loading one never runs code."""

from __future__ import annotations

import copy
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgehrnet.errors import EdgeHRNetError, InputError, ModelFileError
from edgehrnet.models.checkpoints.damage import sound
from edgehrnet.models.checkpoints.published import read_published
from edgehrnet.models.checkpoints.ranges import RangeTable
from edgehrnet.models.checkpoints.state_dicts import (
    ENTRIES,
    beginnings,
    mixed_beginnings,
    read_file,
    shorten,
    tensors_of,
)
from edgehrnet.models.factory import create
from edgehrnet.models.layers.base import KeypointNetwork
from runtimes.writing import write_file

FORMAT = "edgehrnet-checkpoint"
MOST = 4096  # of the numbers in a network's options, modules and channels, if there are no weights
VERSION = 2
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
    """Content of a checkpoint file."""

    variant: str
    """Name of the network, see `edgehrnet.models.create`."""

    keypoints: int
    """Number K of keypoints."""

    options: dict[str, Any]
    """Other keyword arguments of ``create``, JSON values."""

    state: dict[str, Tensor]
    """State dict: tensors on the CPU, in the dtype in which they were stored."""

    spec: dict[str, Any]
    """The ModelSpec, JSON values."""

    training: dict[str, Any]
    """Record of how the weights were trained, JSON values."""

    quantization: dict[str, RangeTable] = field(default_factory=dict)
    """Quantization ranges by target engine, for each engine that the network was calibrated for."""

    network: KeypointNetwork | None = None
    """Network that the state belongs to if no variant builds it. Not stored in a file."""

    def table(self, target: str) -> RangeTable:
        """Return the quantization ranges for a target engine.

        Raises:
            InputError: The network was not calibrated for this target.
        """
        if target not in self.quantization:
            known = ", ".join(self.quantization) or "none"
            raise InputError(
                f"the checkpoint has no INT8 ranges for {target!r} (it has: {known}); "
                "make them with python -m quant.ptq or python -m quant.qat"
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
    """Write a checkpoint. An existing file is replaced only after the new one is complete.

    Args:
        path: File to write.
        model_name: A name that `edgehrnet.models.create` accepts.
        options: Keyword arguments that ``create`` was called with, including ``keypoints`` unless it is 17.
        state_dict: State dict of the network.
        spec: The ModelSpec, JSON values.
        extra: Record of the training, JSON values, read back as `Checkpoint.training`.
        dtype: Dtype in which to store floating tensors, such as ``torch.float16``. None keeps their dtypes.
        quantization: Range tables by target.

    Raises:
        InputError: A value is not JSON, is not a tensor, or overflows in ``dtype``.
        WriteError: The file cannot be written.
    """
    chosen = dict(options)
    content = {
        "format": FORMAT,
        "version": VERSION,
        "variant": model_name,
        "keypoints": int(chosen.pop("keypoints", 17)),
        "options": _plain("options", chosen),
        "state": _pack({name: _stored(name, value, dtype) for name, value in state_dict.items()}),
        "spec": _plain("spec", spec),
        "training": _plain("extra", extra),
        "quantization": {target: table.to_plain() for target, table in (quantization or {}).items()},
    }
    write_file(Path(path), partial(torch.save, content))


def load_checkpoint(path: str | os.PathLike[str], *, verify: bool = True) -> Checkpoint:
    """Read a checkpoint of this package, or a published one of HRNet or Lite-HRNet.

    Only tensors, on the CPU, and plain values are unpickled. NumPy arrays of numbers become lists. A published file is
    recognized by its weights, see `checkpoints.published`. They are renamed, and the spec is the one that the network
    was published with. `state_dicts` says where in a file the weights may be.

    Args:
        path: The file: ``.safetensors``, or any other suffix for a file of ``torch.save``.
        verify: Whether to compare a file of ``torch.save`` with its checksums. Only its zip format has them.

    Returns:
        The content of the file. `build_model` makes a network of it.

    Raises:
        MissingFileError: The file does not exist.
        MissingExtraError: A ``.safetensors`` file needs the package safetensors.
        ModelFileError: The file is damaged, incomplete, of a newer format, of another kind, or contains Python objects.
    """
    file = Path(path)
    content = read_file(file, verify=verify)
    with sound(file):
        return _read(file, content)


def _read(file: Path, content: Any) -> Checkpoint:
    """Return the checkpoint in the content of a file, of either kind."""
    if isinstance(content, dict) and content.get("format") == FORMAT:
        return _read_own_format(file, content)
    state = tensors_of(content)
    try:
        found = None if state is None else read_published(state, content.get("meta"))
    except ModelFileError as error:
        raise ModelFileError(f"{file}: {error}{mixed_beginnings(state or {})}") from None
    if found is None:
        raise ModelFileError(
            f"{file} is neither a checkpoint of this package (it has no format {FORMAT!r}) nor one of HRNet or "
            f"Lite-HRNet: {beginnings(content)}; accepted are the names of the two papers' repositories and of mmpose, "
            "such as conv1.weight or backbone.conv1.weight, with one common beginning or none, "
            f"in the file itself or in one of its entries {', '.join(ENTRIES)}{mixed_beginnings(state or {})}"
        )
    spec = _plain("spec", found.spec)
    return Checkpoint(found.variant, found.keypoints, found.options, found.state, spec, {"published": file.name})


def _read_own_format(file: Path, content: dict[str, Any]) -> Checkpoint:
    """Validate what `save_checkpoint` wrote, in the current version of the format or an older one."""
    version = content.get("version")
    if isinstance(version, int) and version > VERSION:
        raise ModelFileError(
            f"{file} was written by a newer EdgeHRNet: its checkpoint format is version {version}, and this one reads "
            f"versions up to {VERSION}; update EdgeHRNet"
        )
    if version not in (1, VERSION):
        raise ModelFileError(f"{file} has checkpoint format version {version!r}, which does not exist")
    if version == 1:  # The first version had no range tables.
        content |= {"quantization": {}}
    missing = [name for name in _FIELDS if name not in content]
    unexpected = [name for name in content if name not in (*_FIELDS, "format", "version")]
    if missing or unexpected:
        raise ModelFileError(f"{file}: missing entries {missing}, unexpected entries {unexpected}")
    for name, kind in _FIELDS.items():
        if not isinstance(content[name], kind):
            raise ModelFileError(f"{file}: {name} is of type {type(content[name]).__name__}, not {kind.__name__}")
    try:
        content["state"] = _unpack(content["state"])
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"{file}: the state cannot be unpacked: {error!r}") from None
    tables = content["quantization"].items()
    content["quantization"] = {target: RangeTable.from_plain(target, values) for target, values in tables}
    return Checkpoint(**{name: content[name] for name in _FIELDS})


def build_model(checkpoint: Checkpoint) -> KeypointNetwork:
    """Build the network of a checkpoint with its weights, in float32, on the CPU, in eval mode.

    Raises:
        ModelFileError: The variant or an option is unknown, or the weights do not fit the network. The message lists
            weights that are missing, unexpected, or of another shape.
    """
    _check_numbers(checkpoint)
    try:
        with sound("the checkpoint"):
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
    # Copying into float32 parameters converts float16 weights.
    net.load_state_dict(given)
    return net.eval()


def _check_numbers(checkpoint: Checkpoint) -> None:
    """Raise ModelFileError if a number in the file asks for a network that its weights cannot be of."""
    widest = max((value.shape[0] for value in checkpoint.state.values() if value.dim()), default=MOST)
    if not 1 <= checkpoint.keypoints <= widest:
        raise ModelFileError(f"the checkpoint has {checkpoint.keypoints} keypoints, but weights for at most {widest}")
    # Names such as stage4.hr_modules.2.branches.0.weight tell how often modules are repeated.
    indices = re.findall(r"\.(\d{1,4})(?=\.)", " ".join(map(str, checkpoint.state)))
    repeated = 1 + max(map(int, indices), default=0)
    for name, value in checkpoint.options.items():
        numbers = value if isinstance(value, list | tuple) else (value,)
        most = (repeated if name == "modules" else widest) if checkpoint.state else MOST
        if any(isinstance(number, int | float) and number > most for number in numbers):
            raise ModelFileError(f"the checkpoint's network cannot be built: {name}={value!r:.100} is too large")


def _pack(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Pack the tensors into one flat tensor per dtype and a table of names, shapes and dtypes.

    Each tensor adds 300 bytes of overhead to a file, and a network has hundreds of small tensors.
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
        raise ValueError("more values than the table lists")
    return state


def _plain(what: str, values: Mapping[str, Any]) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(values), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} has a value that JSON cannot represent: {error}") from error
    return plain


def _stored(name: str, value: Tensor, dtype: torch.dtype | None) -> Tensor:
    if not isinstance(value, Tensor):
        raise InputError(f"{name} in the state dict is of type {type(value).__name__}, not a tensor")
    # A copy, because torch.save writes the whole storage of a view.
    plain = value.detach().to("cpu", copy=True).contiguous()
    if dtype is None or not plain.is_floating_point():
        return plain
    narrow = plain.to(dtype)
    if not torch.equal(plain.isfinite(), narrow.isfinite()):
        raise InputError(f"{name} overflows in {dtype}")
    return narrow
