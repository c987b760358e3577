"""The networks by name, as rows of data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from edgehrnet.errors import InputError, nearest

Family = Literal["edgehrnet", "hrnet", "litehrnet"]
NOTHING: Mapping[str, Any] = MappingProxyType({})
# How the published networks were trained: RGB alone, ImageNet's scaling, heights from a linear layer, cell c at input
# pixel 4c, a quarter of a cell towards the higher neighbor.
PUBLISHED: Mapping[str, Any] = MappingProxyType(
    {
        "channels": 3,
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        "heatmap_values": "linear",
        "cell_offset": 0.0,
        "decode": "quarter",
        "input_size": (256, 192),
        "outputs": (("heatmaps", "NCHW"), ("hf", "NHWC")),
    }
)
LANDMARKS: Mapping[str, Any] = MappingProxyType({**PUBLISHED, "input_size": (256, 256)})


@dataclass(frozen=True)
class Variant:
    """One named network.

    Attributes:
        name: what `edgehrnet.models.create` is called with.
        summary: one line for tables.
        family: which class builds it.
        options: what differs from the family's default options; the caller's options go over these.
        spec: what differs from the defaults of ModelSpec for a network of this name.
    """

    name: str
    summary: str
    family: Family = "edgehrnet"
    options: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    spec: Mapping[str, Any] = field(default_factory=lambda: NOTHING)


HARDSWISH: Mapping[str, Any] = MappingProxyType({"activation": "hardswish"})

VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        variant.name: variant
        for variant in (
            Variant("edgehrnet18", "four resolutions, LiteFPN, heatmaps and offsets; SiLU"),
            Variant("edgehrnet18_hs", "the same with hardswish, which INT8 engines run faster", options=HARDSWISH),
            Variant("hrnet_w16", "HRNet at full depth, 16 channels wide", "hrnet", spec=PUBLISHED),
            Variant("hrnet_w18", "HRNet, 18 channels wide; no pose weights published", "hrnet", spec=PUBLISHED),
            Variant("hrnet_w32", "HRNet, 32 channels wide", "hrnet", spec=PUBLISHED),
            Variant("hrnet_w48", "HRNet, 48 channels wide", "hrnet", spec=PUBLISHED),
            Variant("hrnet_w18_small_v1", "HRNet of few and short modules, 16 wide", "hrnet", spec=PUBLISHED),
            Variant("hrnet_w18_small_v2", "HRNet of short modules, 18 wide", "hrnet", spec=PUBLISHED),
            Variant("hrnetv2_w18", "HRNetV2 for faces and hands: all branches to 1/4", "hrnet", spec=LANDMARKS),
            Variant("litehrnet18", "weights that depend on the picture, 18 layers deep", "litehrnet", spec=PUBLISHED),
            Variant("litehrnet30", "the same, 30 layers deep", "litehrnet", spec=PUBLISHED),
            Variant("naive_litehrnet18", "shuffle units in HRNet's plan, 30 wide", "litehrnet", spec=PUBLISHED),
            Variant("naive_litehrnet30", "the same, deeper; no weights published", "litehrnet", spec=PUBLISHED),
            Variant("wider_naive_litehrnet18", "shuffle units, 40 wide", "litehrnet", spec=PUBLISHED),
            Variant("wider_naive_litehrnet30", "the same, deeper; no weights published", "litehrnet", spec=PUBLISHED),
        )
    }
)


def find_variant(name: str) -> Variant:
    """Return the network of this name; InputError, naming the nearest, if there is none."""
    if name not in VARIANTS:
        raise InputError(f"unknown network {name!r}: {nearest(str(name), VARIANTS)}")
    return VARIANTS[name]
