"""Quantize a float file with NNCF, to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from runtimes.base import METADATA_KEY, Layer
from runtimes.openvino_graph import executed_layers


def quantized_by_nncf(source: Path, out: Path, images: list[NDArray[np.uint8]], tuned: bool) -> Sequence[Layer]:
    """Quantize a float file with NNCF.

    Args:
        source: Float file.
        out: INT8 file to write.
        images: Calibration batches.
        tuned: Whether to use the mixed preset, histogram ranges and float heads instead of the defaults.

    Returns:
        The operations that OpenVINO runs.
    """
    import nncf
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    model = ov.Core().read_model(source)
    options: dict[str, Any] = {"subset_size": len(images)}
    if tuned:
        heads = [op.get_friendly_name() for op in model.get_ordered_ops() if op.get_type_name() == "Convolution"][-2:]
        options |= {
            "preset": nncf.QuantizationPreset.MIXED,
            "ignored_scope": nncf.IgnoredScope(names=heads),
            "advanced_parameters": AdvancedQuantizationParameters(
                activations_range_estimator_params=RangeEstimatorParametersSet.HISTOGRAM
            ),
        }
    quantized = nncf.quantize(model, nncf.Dataset(images), **options)
    quantized.set_rt_info(model.get_rt_info([METADATA_KEY]).astype(str), [METADATA_KEY])
    ov.save_model(quantized, out)
    compiled = ov.Core().compile_model(out, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return executed_layers(compiled)
