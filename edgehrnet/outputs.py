"""What a file answers, under the names that are decoded, and whether that is what its spec says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from edgehrnet.decoding import OFFSET_METHODS
from edgehrnet.errors import SpecError
from edgehrnet.spec import ModelSpec

T = TypeVar("T")


def heatmaps_name(outputs: Mapping[str, Any], spec: ModelSpec) -> str:
    """Return what the file calls its heatmaps: another project's only output may have any name."""
    only = next(iter(outputs)) if len(outputs) == 1 else "heatmaps"
    return "heatmaps" if only in dict(spec.outputs) else only


def renamed(outputs: Mapping[str, T], heatmaps: str) -> dict[str, T]:
    """Return the same with the heatmaps under their usual name."""
    return {"heatmaps" if name == heatmaps else name: value for name, value in outputs.items()}


def check_outputs(path: Path, spec: ModelSpec, decode: str, outputs: Mapping[str, tuple[int, ...]]) -> None:
    """Raise SpecError if the file does not give what the spec says, which would be decoded into nonsense."""
    cells = tuple(side // spec.stride for side in spec.input_size)
    count = len(spec.keypoints)
    if decode in OFFSET_METHODS and "offsets" not in outputs:
        raise SpecError(f"{path} has no offsets, which decode={decode!r} needs; pass another decode=")
    if "hf" in outputs and (spec.layout("hf") is None or len(outputs["hf"]) != 4):
        raise SpecError(f"{path} has features hf of shape {outputs['hf']}, and its spec no layout for them")
    read = [("heatmaps", count, True), ("offsets", 2 * count, False), *([("sdf", 1, False)] if spec.cyclic else [])]
    for name, channels, needed in read:
        found = outputs.get(name)
        if found is None and not needed:
            continue
        if found != (1, channels, *cells):
            raise SpecError(
                f"{path} does not fit its spec: {name} must be {(1, channels, *cells)} for {count} keypoints at "
                f"stride {spec.stride}, the file gives {found or f'only {sorted(outputs)}'}"
            )
