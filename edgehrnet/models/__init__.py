"""The torch networks of the package, by name.

>>> available()[:4]
['edgehrnet18', 'edgehrnet18_hs', 'hrnet_w16', 'hrnet_w18']
"""

from __future__ import annotations

from edgehrnet.models.building import available, create
from edgehrnet.models.checkpoints import load_checkpoint
from edgehrnet.models.edgehrnet18 import EdgeHRNet
from edgehrnet.models.network import KeypointNetwork
from edgehrnet.models.options import Options
from edgehrnet.models.output import Output

__all__ = ["EdgeHRNet", "KeypointNetwork", "Options", "Output", "available", "create", "load_checkpoint"]
