"""Read the file of a checkpoint without running code, and find the state dict in it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgehrnet.errors import MissingExtraError, MissingFileError, ModelFileError
from edgehrnet.models.checkpoints.damage import ChecksumError, check_zip
from edgehrnet.models.checkpoints.plain_arrays import plain_arrays
from runtimes.writing import finish_writing

# Entries that may hold a state dict, best first. Averaged weights come before others, except that mmengine stores its
# averaged weights as "state_dict", and those of the last step as "ema_state_dict".
ENTRIES = (
    "state_dict_ema", "model_ema", "ema", "params_ema",
    "state_dict", "ema_state_dict", "model_state_dict", "model_state", "model", "network", "net", "weights", "params",
    "module",
)  # fmt: skip
WRAPPERS = ("model", "module", "_orig_mod", "net")  # first parts of names that a training tool adds
DEPTH = 3  # to which nested entries are searched, as in {"ema": {"module": {...}}}
# Last parts of names that profilers (thop) and averaging (torch, mmengine) add.
COUNTERS = ("total_ops", "total_params", "n_averaged", "steps")
PREPROCESSOR = re.compile(r"(.*\.)?data_preprocessor\.")  # mean and standard deviation in mmpose 1.x
# Parts of torch's error messages for files that contain other objects than tensors and plain values.
MORE_THAN_PLAIN = ("Unsupported global", "unsupported GLOBAL", "unrecognized function", "Unsupported class")
# {} are the file and the one to write, quoted for a shell.
CONVERSION = (
    "contains Python objects, and loading these runs code. If you trust the file, type the command below. It writes a "
    "file with the tensors and the metadata only, which you can use instead:\n"
    """python -c "import sys, torch; c = torch.load(sys.argv[1], map_location='cpu', weights_only=False); """
    "s = lambda v: v.state_dict() if hasattr(v, 'state_dict') else v; c = {{n: s(v) for n, v in s(c).items()}}; "
    "t = lambda v: torch.is_tensor(v) or isinstance(v, dict) and all(map(t, v.values())); "
    """torch.save({{n: v for n, v in c.items() if n == 'meta' or t(v)}}, sys.argv[2])" {} {}"""
)


def read_file(file: Path, *, verify: bool = True) -> Any:
    """Read the tensors and plain values in a file of torch or safetensors, on the CPU.

    Args:
        file: The file.
        verify: Whether to compare a zip file of torch with its checksums, which ``torch.load`` does not do.

    Raises:
        MissingFileError: The file does not exist.
        MissingExtraError: The file needs the package safetensors, which is not installed.
        ModelFileError: The file is damaged, or contains Python objects.
    """
    with suppress(OSError):  # a folder that cannot be written to
        finish_writing(file.parent)
    if not file.is_file():
        raise MissingFileError(
            f"the checkpoint {file} does not exist; pass the path of a .pt, .pth, .ckpt or .safetensors file"
        )
    try:
        if file.suffix.lower() == ".safetensors":
            return _read_safetensors(file)
        with file.open("rb") as stream, plain_arrays():
            if verify:
                check_zip(stream)
            return torch.load(stream, weights_only=True, map_location="cpu")
    except MissingExtraError:
        raise
    except ChecksumError as error:
        raise ModelFileError(
            f"{file} is damaged: {error}; copy or make it again; verify=False loads it as it is"
        ) from None
    except Exception as error:  # A damaged file raises many types of errors, from zip, pickle and tensor code.
        if any(hint in str(error) for hint in MORE_THAN_PLAIN):
            names = (shlex.quote(name) for name in (file.name, f"{file.stem}-tensors.pth"))
            raise ModelFileError(f"{file} {CONVERSION.format(*names)}") from None
        raise ModelFileError(f"{file} is damaged or not a checkpoint: {type(error).__name__}") from error


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise MissingExtraError(f"{file} needs safetensors; type: pip install 'edgehrnet[train]'") from None
    state: dict[str, Tensor] = load_file(file)
    return state


def tensors_of(content: object) -> dict[str, Tensor] | None:
    """Return the state dict in a file's content, or None if it has none.

    The state dict is the content itself, or the first of `ENTRIES` that is a state dict or contains one. Counters are
    left out, and so are the mean and standard deviation that mmpose 1.x stores. Then the beginning that all names have
    in common is removed, such as ``module.model.``.
    """
    state = next(_state_dicts(content, DEPTH), None)
    if state is None:
        return None
    kept = {name: value for name, value in state.items() if name.rpartition(".")[2] not in COUNTERS}
    kept = {name: value for name, value in kept.items() if not PREPROCESSOR.match(name)}
    start = len(common_prefix(kept))
    return {name[start:]: value for name, value in kept.items()}


def _state_dicts(content: object, depth: int) -> Iterator[Mapping[str, Tensor]]:
    """Yield every state dict in a value, best first."""
    if not isinstance(content, Mapping) or not content:
        return
    if all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()):
        yield content
    elif depth:
        for entry in ENTRIES:
            yield from _state_dicts(content.get(entry), depth - 1)


def common_prefix(names: Iterable[str]) -> str:
    """Return the beginning that all names have in common, up to a dot.

    >>> common_prefix(["module.net.conv1.weight", "module.net.conv1.bias", "module.net.bn1.weight"])
    'module.net.'
    >>> common_prefix(["backbone.conv1.weight", "head.final_layer.weight"])
    ''
    """
    paths = [name.split(".")[:-1] for name in names]
    same: list[str] = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        same.append(parts[0])
    return "".join(f"{part}." for part in same)


def mixed_beginnings(state: Mapping[str, Tensor]) -> str:
    """Return the end of an error message if only some names begin with a word that a training tool adds.

    >>> mixed_beginnings({"conv1.weight": torch.ones(1), "model.bn1.bias": torch.ones(1)})
    '; only some names begin with model., such as model.bn1.bias, and others do not, such as conv1.weight'
    >>> mixed_beginnings({"conv1.weight": torch.ones(1)})
    ''
    """
    some = [name for name in state if name.partition(".")[0] in WRAPPERS]
    others = [name for name in state if name not in some]
    if not some or not others:
        return ""
    start = some[0].partition(".")[0]
    return f"; only some names begin with {start}., such as {some[0]}, and others do not, such as {others[0]}"


def shorten(names: Sequence[object], most: int = 5) -> str:
    """Join the first ``most`` names, and add how many more there are.

    >>> shorten(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + rest


def beginnings(content: object) -> str:
    """List the first three names in a file's content, for the end of an error message.

    >>> beginnings({"epoch": 3, "models": [], "optimizer": {}, "seed": 0})
    "it has no state dict, but 'epoch', 'models', 'optimizer' and 1 more"
    """
    state = next(_state_dicts(content, DEPTH), None)
    if state is not None:
        return "its weights are " + shorten([repr(name) for name in state], 3)
    what = (
        shorten([repr(name) for name in content], 3) if isinstance(content, Mapping) else f"a {type(content).__name__}"
    )
    return f"it has no state dict, but {what or 'nothing'}"
