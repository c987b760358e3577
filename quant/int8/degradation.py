"""Measure how far quantization moves the keypoints and heatmaps of a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from edgehrnet.decoding import CONFIDENCE_THRESHOLD, activations
from edgehrnet.errors import InputError
from edgehrnet.models import KeypointNetwork
from edgehrnet.models.checkpoints.ranges import RangeTable
from edgehrnet.models.deploy.folding import fold_batchnorm
from edgehrnet.models.deploy.frozen import freeze
from edgehrnet.spec import ModelSpec
from quant.scoring.torch_model import Maps, decode_outputs, prepare_input, run_network

WITHIN = 1.0  # input pixels; a keypoint that moved at most this far counts as unchanged
LOST = 2  # heatmap cells; a keypoint that moved farther is lost, and how far is chance


@dataclass(frozen=True)
class Degradation:
    """Degradation by quantization, measured on the keypoints that the float network is confident of.

    If there are none, all fields but the last are NaN.
    """

    drift_px: float
    """Mean distance in pixels of the network input that keypoints move."""

    median_px: float
    """Median of that distance."""

    p95_px: float
    """95th percentile of that distance."""

    capped_px: float
    """Mean of that distance, in which a keypoint that moved farther than `LOST` counts as if it had moved so far."""

    pck: float
    """Percentage of keypoints that move at most `WITHIN`."""

    sqnr_db: float
    """Signal-to-quantization-noise ratio of the heatmaps in dB. Infinite if they do not change."""


class Probe:
    """A float network's outputs on a few pictures, against which quantized networks are measured.

    Args:
        network: The float network.
        pictures: u8 RGB pictures ``(H, W, 3)``.
        spec: The model's spec.
        needs_keypoints: Refuse pictures in which the float network is not confident of any keypoint.

    Raises:
        InputError: The float network is not confident of any keypoint.
    """

    def __init__(
        self,
        network: KeypointNetwork,
        pictures: Sequence[NDArray[np.uint8]],
        spec: ModelSpec,
        *,
        needs_keypoints: bool = True,
    ) -> None:
        self.network, self.spec = fold_batchnorm(network), spec
        self._inputs = [prepare_input(picture, spec) for picture in pictures]
        self._float = [self.answer(self.network, index) for index in range(len(pictures))]
        if needs_keypoints and not self.keypoints:
            raise InputError(
                "the float network is not confident of any keypoint in these pictures; pass others, or train it longer"
            )

    @property
    def keypoints(self) -> int:
        """Number of keypoints that the float network is confident of."""
        return sum(int((conf >= CONFIDENCE_THRESHOLD).sum()) for _, _, conf in self._float)

    def degradation(self, table: RangeTable, corrected: KeypointNetwork | None = None) -> Degradation:
        """Measure the degradation of the network when quantized with the ranges of ``table``.

        Args:
            table: The ranges to quantize with.
            corrected: The float network with corrected weights, to quantize instead. None for the network itself.
        """
        return self.compare(freeze(self.network if corrected is None else corrected, table))

    def compare(self, quantized: nn.Module | Callable[[Tensor], Maps]) -> Degradation:
        """Measure the degradation of a quantized network, or of a function from u8 ``[1, H, W, C]`` to its outputs."""
        moved: list[float] = []
        signal = noise = 0.0
        for index, (heat, xy, conf) in enumerate(self._float):
            found, at, _ = self.answer(quantized, index)
            drift = np.linalg.norm((at - xy) * self._inputs[index][1].scale, axis=1)
            moved += drift[conf >= CONFIDENCE_THRESHOLD].tolist()
            signal += float((heat.astype(np.float64) ** 2).sum())
            noise += float(((found - heat).astype(np.float64) ** 2).sum())
        sqnr = 10 * math.log10(max(signal, 1e-30) / noise) if noise else math.inf
        if not moved:
            return Degradation(math.nan, math.nan, math.nan, math.nan, math.nan, sqnr)
        distance = np.array(moved)
        return Degradation(
            drift_px=float(distance.mean()),
            median_px=float(np.median(distance)),
            p95_px=float(np.percentile(distance, 95)),
            capped_px=float(distance.clip(max=LOST * self.spec.stride).mean()),
            pck=100 * float((distance <= WITHIN).mean()),
            sqnr_db=sqnr,
        )

    def answer(
        self, network: nn.Module | Callable[[Tensor], Maps], index: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float32]]:
        """Run a network on the picture at ``index``.

        Returns:
            Heatmaps ``(K, h, w)`` 0..1, keypoints ``(K, 2)`` xy in picture pixels and confidences ``(K,)``, all in
            channel order.
        """
        pixels, transform = self._inputs[index]
        outputs = run_network(network, pixels, self.spec) if isinstance(network, nn.Module) else network(pixels)
        xy, conf, order = decode_outputs(outputs, self.spec, transform)
        by_channel = order.argsort()
        return activations(outputs["heatmaps"][0], self.spec), xy[by_channel], conf[by_channel]
