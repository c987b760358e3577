"""Build the PyTorch networks by name, and load and save their checkpoints.

These names are public. Everything else in this package may change.

>>> available()[:4]
['edgehrnet18', 'edgehrnet18_hs', 'hrnet_w16', 'hrnet_w18']
"""

from __future__ import annotations

from edgehrnet.models.checkpoints import Checkpoint, build_model, load_checkpoint, save_checkpoint
from edgehrnet.models.factory import available, create
from edgehrnet.models.layers.base import KeypointNetwork
from edgehrnet.models.layers.output import Output
from edgehrnet.models.networks.edgehrnet18 import EdgeHRNet
from edgehrnet.models.networks.options import Options

__all__ = [
    "Checkpoint",
    "EdgeHRNet",
    "KeypointNetwork",
    "Options",
    "Output",
    "available",
    "build_model",
    "create",
    "load_checkpoint",
    "save_checkpoint",
]
