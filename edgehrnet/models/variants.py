"""Table of the networks: one `Variant` for each name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from edgehrnet.errors import InputError, nearest

Family = Literal["edgehrnet", "hrnet", "litehrnet"]
NOTHING: Mapping[str, Any] = MappingProxyType({})
# Preprocessing and decoding that the published networks were trained for: RGB without a mask, ImageNet's mean and
# standard deviation, peak values from a linear layer, heatmap cell c at input pixel 4c, and refinement by a quarter of
# a cell towards the higher neighbor.
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
    """One named network."""

    name: str
    """Name to pass to `edgehrnet.models.create`."""

    summary: str
    """One line for tables."""

    family: Family = "edgehrnet"
    """Family of the network, which determines its class and its options."""

    options: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    """Options that differ from the family's defaults. The caller's options take precedence over these."""

    spec: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    """`ModelSpec` fields that differ from the defaults of ModelSpec."""


HARDSWISH: Mapping[str, Any] = MappingProxyType({"activation": "hardswish"})

VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        variant.name: variant
        for variant in (
            Variant("edgehrnet18", "four resolutions, LiteFPN, heatmaps and offsets, SiLU"),
            Variant("edgehrnet18_hs", "edgehrnet18 with hardswish, which INT8 engines run faster", options=HARDSWISH),
            Variant("hrnet_w16", "HRNet at full depth, 16 channels wide", "hrnet", spec=PUBLISHED),
            Variant("hrnet_w18", "HRNet, 18 channels wide, no pose weights published", "hrnet", spec=PUBLISHED),
            Variant("hrnet_w32", "HRNet, 32 channels wide", "hrnet", spec=PUBLISHED),
            Variant("hrnet_w48", "HRNet, 48 channels wide", "hrnet", spec=PUBLISHED),
            Variant(
                "hrnet_w18_small_v1", "HRNet with fewer and shorter modules, 16 channels wide", "hrnet", spec=PUBLISHED
            ),
            Variant("hrnet_w18_small_v2", "HRNet with shorter modules, 18 channels wide", "hrnet", spec=PUBLISHED),
            Variant("hrnetv2_w18", "HRNetV2 for faces and hands, heatmaps from all branches", "hrnet", spec=LANDMARKS),
            Variant("litehrnet18", "Lite-HRNet, conditional channel weighting, 18 layers", "litehrnet", spec=PUBLISHED),
            Variant("litehrnet30", "Lite-HRNet, 30 layers", "litehrnet", spec=PUBLISHED),
            Variant(
                "naive_litehrnet18", "Lite-HRNet with shuffle units, 30 channels wide", "litehrnet", spec=PUBLISHED
            ),
            Variant("naive_litehrnet30", "the same, 30 layers, no weights published", "litehrnet", spec=PUBLISHED),
            Variant(
                "wider_naive_litehrnet18",
                "Lite-HRNet with shuffle units, 40 channels wide",
                "litehrnet",
                spec=PUBLISHED,
            ),
            Variant(
                "wider_naive_litehrnet30", "the same, 30 layers, no weights published", "litehrnet", spec=PUBLISHED
            ),
        )
    }
)


def find_variant(name: str) -> Variant:
    """Return the variant with this name.

    Raises:
        InputError: No network has this name. The message suggests the nearest one.
    """
    if name not in VARIANTS:
        raise InputError(f"unknown network {name!r}: {nearest(str(name), VARIANTS)}")
    return VARIANTS[name]
