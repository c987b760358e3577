"""Find the boxes of the instances in a picture with a detector of another project."""

from __future__ import annotations

from edgehrnet.detectors.detector import Detector
from edgehrnet.detectors.layouts import Detections

__all__ = ["Detections", "Detector"]
