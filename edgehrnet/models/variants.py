"""The networks by name, as rows of data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class Variant:
    """One named network.

    Attributes:
        name: what `edgehrnet.models.create` is called with.
        summary: one line for tables.
        options: what differs from the default `Options`; the caller's options go over these.
    """

    name: str
    summary: str
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        variant.name: variant
        for variant in (
            Variant("edgehrnet18", "four resolutions, LiteFPN, heatmaps and offsets; SiLU"),
            Variant(
                "edgehrnet18_hs",
                "the same with hardswish, which INT8 engines run faster",
                MappingProxyType({"activation": "hardswish"}),
            ),
        )
    }
)
