"""Find keypoints in pictures with one call for every model file, without torch.

>>> from edgehrnet import Predictor
>>> predictor = Predictor("document-corners")
>>> predictor.spec.keypoints
('top-left', 'top-right', 'bottom-right', 'bottom-left')
"""

from __future__ import annotations

from edgehrnet.detectors import Detector
from edgehrnet.predictor import Predictor
from edgehrnet.result import Keypoints, Result
from edgehrnet.selfcheck import SelfCheck
from edgehrnet.shipped import sample_picture, shipped_model
from edgehrnet.spec import ModelSpec
from edgehrnet.tracking import Kalman, Offline, OneEuro, Trails, smooth, track
from runtimes.remote_address import RemoteModel

__version__ = "0.1.0"
__all__ = [
    "Detector",
    "Kalman",
    "Keypoints",
    "ModelSpec",
    "Offline",
    "OneEuro",
    "Predictor",
    "RemoteModel",
    "Result",
    "SelfCheck",
    "Trails",
    "__version__",
    "sample_picture",
    "shipped_model",
    "smooth",
    "track",
]
