"""Find keypoints in pictures with one call for every model file, without torch.

>>> from edgehrnet import Predictor
>>> predictor = Predictor("document-corners")
>>> predictor.spec.keypoints
('top-left', 'top-right', 'bottom-right', 'bottom-left')
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from edgehrnet.predictor import Predictor
from edgehrnet.result import Keypoints, Result
from edgehrnet.selfcheck import SelfCheck
from edgehrnet.shipped import sample_picture, shipped_model
from edgehrnet.spec import ModelSpec
from runtimes.remote_address import RemoteModel

if TYPE_CHECKING:
    from edgehrnet.detectors.detector import Detector
    from edgehrnet.tracking.filters import Kalman, OneEuro
    from edgehrnet.tracking.offline import Offline
    from edgehrnet.tracking.smoothing import smooth
    from edgehrnet.tracking.tracks import track
    from edgehrnet.tracking.trails import Trails

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
# Imported on first use. Most programs need none of them, and a process that predicts once would wait for them.
_ON_DEMAND = {
    "Detector": "edgehrnet.detectors.detector",
    "Kalman": "edgehrnet.tracking.filters",
    "Offline": "edgehrnet.tracking.offline",
    "OneEuro": "edgehrnet.tracking.filters",
    "Trails": "edgehrnet.tracking.trails",
    "smooth": "edgehrnet.tracking.smoothing",
    "track": "edgehrnet.tracking.tracks",
}


def __getattr__(name: str) -> Any:
    if name not in _ON_DEMAND:
        raise AttributeError(f"module 'edgehrnet' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_ON_DEMAND[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
