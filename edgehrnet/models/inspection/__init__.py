"""Inspect a network: feature maps and pictures of them, BN statistics, costs by component, shapes.

>>> from edgehrnet.models import create
>>> net = create("litehrnet18")
>>> bn_anomalies(net)[0].statistic
'means are 0 and variances 1'
"""

from __future__ import annotations

from edgehrnet.models.inspection.bn_statistics import BNAnomaly, bn_anomalies
from edgehrnet.models.inspection.components import Component, component_of
from edgehrnet.models.inspection.costs import Costs, CostTable, cost_table
from edgehrnet.models.inspection.dimensions import check_dimensions
from edgehrnet.models.inspection.feature_pictures import layer_picture, overview_picture
from edgehrnet.models.inspection.features import feature_maps, overview

__all__ = [
    "BNAnomaly",
    "Component",
    "CostTable",
    "Costs",
    "bn_anomalies",
    "check_dimensions",
    "component_of",
    "cost_table",
    "feature_maps",
    "layer_picture",
    "overview",
    "overview_picture",
]
