"""Follow instances through a video, and smooth their keypoints."""

from __future__ import annotations

from edgehrnet.tracking.filters import Kalman, OneEuro
from edgehrnet.tracking.offline import Offline
from edgehrnet.tracking.smoothing import METHODS, smooth
from edgehrnet.tracking.tracks import track
from edgehrnet.tracking.trails import Trails

__all__ = ["METHODS", "Kalman", "Offline", "OneEuro", "Trails", "smooth", "track"]
