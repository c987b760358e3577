"""Seeing inside a network: feature maps and pictures of them, BN statistics, costs part by part, shapes.

>>> from edgehrnet.models import create
>>> net = create("litehrnet18")
>>> bn_findings(net)[0].statistic
'means are 0 and variances 1'
"""

from __future__ import annotations

from edgehrnet.models.inspection.bn_statistics import Finding, bn_findings
from edgehrnet.models.inspection.costs import Costs, CostTable, cost_table
from edgehrnet.models.inspection.dimensions import check_dimensions
from edgehrnet.models.inspection.feature_pictures import layer_picture, overview_picture
from edgehrnet.models.inspection.features import feature_maps, overview
from edgehrnet.models.inspection.parts import Part, part_of

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
