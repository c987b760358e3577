"""The torch networks of the package, by name.

>>> available()[:4]
['edgehrnet18', 'edgehrnet18_hs', 'hrnet_w16', 'hrnet_w18']
"""

from __future__ import annotations

from edgehrnet.models.checkpoints import load_checkpoint
from edgehrnet.models.factory import available, create
from edgehrnet.models.layers.base import KeypointNetwork
from edgehrnet.models.layers.output import Output
from edgehrnet.models.networks.edgehrnet18 import EdgeHRNet
from edgehrnet.models.networks.options import Options

__all__ = ["EdgeHRNet", "KeypointNetwork", "Options", "Output", "available", "create", "load_checkpoint"]
