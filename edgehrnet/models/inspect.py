"""Seeing inside a network: feature maps and pictures of them, BN statistics, costs part by part, shapes.

>>> from edgehrnet.models import create
>>> net = create("litehrnet18")
>>> bn_findings(net)[0].statistic
'means are 0 and variances 1'
"""

from __future__ import annotations

from edgehrnet.models.bn_statistics import Finding, bn_findings
from edgehrnet.models.costs import Costs, CostTable, cost_table
from edgehrnet.models.dimensions import check_dimensions
from edgehrnet.models.feature_pictures import layer_picture, overview_picture
from edgehrnet.models.features import feature_maps, overview
from edgehrnet.models.parts import Part, part_of

__all__ = [
    "CostTable",
    "Costs",
    "Finding",
    "Part",
    "bn_findings",
    "check_dimensions",
    "cost_table",
    "feature_maps",
    "layer_picture",
    "overview",
    "overview_picture",
    "part_of",
]
