"""Define the keypoint sets of published networks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KeypointSet:
    """Keypoints of a data set. The fields have the meaning of those of ModelSpec."""

    names: tuple[str, ...]
    """Keypoint names in channel order."""
    skeleton: tuple[tuple[int, int], ...]
    """Pairs of keypoint indices to connect in drawings."""
    flip_pairs: tuple[tuple[int, int], ...]
    """Pairs of keypoint indices to swap in a mirrored picture."""
    sigmas: tuple[float, ...] = ()
    """COCO's per-keypoint constants. Empty if there are none."""


COCO_PERSON = KeypointSet(
    names=(
        "nose",
        *(f"{side}_{part}" for part in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
          for side in ("left", "right")),
    ),
    skeleton=(
        *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8)),
        *((7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
    ),
    flip_pairs=((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)),
    # Standard deviation between annotators, per square root of area (COCO keypoint evaluation).
    sigmas=(
        *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
        *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
    ),
)  # fmt: skip

MPII_PERSON = KeypointSet(
    names=(
        *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
        *("pelvis", "thorax", "upper_neck", "head_top"),
        *("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist"),
    ),
    skeleton=(
        *((0, 1), (1, 2), (2, 6), (6, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9)),
        *((7, 12), (12, 11), (11, 10), (7, 13), (13, 14), (14, 15)),
    ),
    flip_pairs=((0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13)),
)

BY_COUNT = {len(keypoint_set.names): keypoint_set for keypoint_set in (COCO_PERSON, MPII_PERSON)}
