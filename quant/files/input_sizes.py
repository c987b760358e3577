"""Compare a built file with torch at the input sizes that pictures have without padding."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import runtimes
from edgehrnet.picture.letterbox import Letterbox
from edgehrnet.spec import ModelSpec
from quant.files.proof import LEAST_SQNR, CertificateError, Reference, compare

MEASURED = ("sqnr_db", "drift_median_px", "drift_mean_px", "drift_max_px")


def at_other_sizes(
    file: Path, reference: Reference, spec: ModelSpec, pictures: Sequence[NDArray[np.uint8]]
) -> tuple[dict[str, Any], ...]:
    """Measure a file at the smallest and at the largest input of some pictures without padding.

    Only files for whole pictures run at other sizes than their own: OpenVINO's, unless the network states sides, and
    ONNX Runtime's with an open input.

    Returns:
        For each size other than the file's: ``input_size`` [height, width], the number of ``pictures`` that have it,
        and `MEASURED` as in a Certificate.

    Raises:
        CertificateError: An INT8 file is below `LEAST_SQNR` at a size where the float network finds keypoints.
    """
    if spec.crop is not None or not _resizes(file):
        return ()
    by_size: defaultdict[tuple[int, int], list[NDArray[np.uint8]]] = defaultdict(list)
    for picture in pictures:
        height, width = picture.shape[:2]
        by_size[Letterbox.fit(width, height, spec.input_size).trimmed().input_size].append(picture)
    ordered = sorted(by_size, key=math.prod)
    found = []
    for size in dict.fromkeys((ordered[0], ordered[-1])):
        if size == spec.input_size:
            continue
        measured = compare(file, reference, spec.replace(input_size=size), by_size[size])
        sqnr, seen = measured["sqnr_db"], measured["drift_median_px"] is not None
        # Without a keypoint there is no signal, and the ratio says nothing.
        if reference.quantized is not None and seen and isinstance(sqnr, float) and sqnr < LEAST_SQNR:
            raise CertificateError(
                f"{file.name}: at {size[0]}x{size[1]}, its heatmaps have {sqnr:.1f} dB, below {LEAST_SQNR:g}"
            )
        values = {name: measured[name] for name in MEASURED}
        found.append({"input_size": list(size), "pictures": len(by_size[size]), **values})
    return tuple(found)


def _resizes(file: Path) -> bool:
    runtime = runtimes.load(file, "cpu", shapes=2)
    try:
        return runtime.describe().resizes
    finally:
        runtime.close()
