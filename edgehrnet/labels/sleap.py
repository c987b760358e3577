"""Write predicted instances for SLEAP."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgehrnet.errors import MissingExtraError
from edgehrnet.labels.candidates import Candidate
from edgehrnet.spec import ModelSpec
from runtimes.writing import place_of, write_file

FILE = "labels.slp"


def import_sleap_io() -> Any:
    """Return sleap-io.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import sleap_io
    except ImportError as error:
        raise MissingExtraError(
            f"files of SLEAP need sleap-io ({error}); type: pip install 'edgehrnet[formats]'"
        ) from None
    return sleap_io


def write(candidates: Sequence[Candidate], spec: ModelSpec, folder: Path, min_confidence: float) -> list[Path]:
    """Write `FILE`. Its instances are predicted: a double click in SLEAP makes one to be corrected."""
    sio = import_sleap_io()
    nodes = [sio.Node(name) for name in spec.keypoints]
    skeleton = sio.Skeleton(
        nodes=nodes,
        edges=[sio.Edge(nodes[a], nodes[b]) for a, b in spec.skeleton],
        symmetries=[sio.Symmetry({nodes[a], nodes[b]}) for a, b in spec.flip_pairs],
        name=spec.name,
    )
    images = place_of(folder.resolve() / "images")
    video = sio.Video.from_filename([str(images / one.name) for one in candidates])
    video.backend_metadata["shape"] = (len(candidates), *candidates[0].size, 3)
    video.backend_metadata["grayscale"] = False
    frames = []
    for index, one in enumerate(candidates):
        instances = []
        for points, confidence in zip(one.points, one.confidence, strict=True):
            shown = np.where(confidence[:, None] < min_confidence, np.nan, points)
            instances.append(sio.PredictedInstance.from_numpy(
                shown, skeleton=skeleton, point_scores=confidence.astype(float), score=float(confidence.mean())
            ))  # fmt: skip
        frames.append(sio.LabeledFrame(video=video, frame_idx=index, instances=instances))
    labels = sio.Labels(labeled_frames=frames, videos=[video], skeletons=[skeleton])
    write_file(folder / FILE, partial(_save, labels))
    return [folder / FILE]


def _save(labels: Any, path: Path) -> None:
    labels.save(str(path), embed=False, verbose=False)
