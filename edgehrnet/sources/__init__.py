"""Pictures of every kind of source, one after the other: folders, patterns, lists, videos, cameras and iterables."""

from __future__ import annotations

from edgehrnet.sources.frame import Frame
from edgehrnet.sources.opening import Source

__all__ = ["Frame", "Source"]
