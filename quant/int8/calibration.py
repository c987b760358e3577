"""Ranges of activations: pictures pass the float network, observers watch, a method turns what they saw into a scale.

``histogram`` takes the range with the least squared error of rounding and clipping together, ``percentile`` cuts the
same share off either end, ``minmax`` everything that was seen, ``moving-average`` a mean over batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from edgehrnet.errors import InputError, nearest
from edgehrnet.models.checkpoints.ranges import RangeTable
from edgehrnet.models.deploy.export_module import network_input
from edgehrnet.models.deploy.folding import fold_batchnorm
from edgehrnet.models.deploy.frozen import attach
from edgehrnet.preparation import prepare
from edgehrnet.spec import ModelSpec
from quant.int8.placement import Placement
from quant.int8.scheme import Int8Scheme
from quant.int8.torch_ao import HistogramObserver, MinMaxObserver, MovingAverageMinMaxObserver

PICTURES = 300
BATCH = 4
CUT = 1e-4  # share that `percentile` cuts off at each end
WIDER = 1 + 2**-8
STEPS = 64  # candidates for either end of a range
OBSERVERS: Mapping[str, type[nn.Module]] = {
    "histogram": HistogramObserver,
    "percentile": HistogramObserver,
    "minmax": MinMaxObserver,
    "moving-average": MovingAverageMinMaxObserver,
}
METHODS = tuple(OBSERVERS)


@dataclass(frozen=True)
class Seen:
    """What one tensor held: smallest and largest value, and counts of equal bins between them, maybe none."""

    low: float
    high: float
    counts: NDArray[np.float64]


def network_inputs(pictures: Iterable[NDArray[np.uint8]], spec: ModelSpec) -> list[Tensor]:
    """Prepare pictures ``(H, W, 3)`` u8 as the runtime does; a list of u8 ``[1, H, W, C]``."""
    return [torch.from_numpy(prepare(picture, spec)[0][..., : spec.channels]) for picture in pictures]


@torch.no_grad()
def observe(
    network: nn.Module,
    sites: Iterable[str],
    images: list[Tensor],
    spec: ModelSpec,
    method: str = "histogram",
    *,
    progress: bool = False,
) -> dict[str, Seen]:
    """Run the float network on letterboxed pictures and watch the tensors of ``sites``.

    The same pictures in the same order give the same result. Raises InputError for an unknown method or no pictures.
    """
    if method not in OBSERVERS:
        raise InputError(f"unknown method {method!r}; {nearest(method, METHODS)}")
    if not images:
        raise InputError("there is no picture to calibrate with")
    watched = fold_batchnorm(network)
    observers = {site: OBSERVERS[method](dtype=torch.uint8) for site in sites}
    for site, observer in observers.items():
        attach(watched, site, observer)
    for batch in tqdm(list(_batches(images)), disable=not progress, desc="calibrating", unit="batch"):
        watched(network_input(batch, spec.mean, spec.std))
    return {site: _seen(observer) for site, observer in observers.items()}


def range_table(
    seen: Mapping[str, Seen], placement: Placement, scheme: Int8Scheme, spec: ModelSpec, method: str = "histogram"
) -> RangeTable:
    """Turn what was seen into the scales and zero points of one target."""
    sites = {}
    for site in placement.sites:
        ends = input_range(spec) if site in placement.inputs else choose_range(seen[site], scheme, method)
        sites[site] = quantization(*ends, scheme)
    kinds = scheme.activations, scheme.weight_bits, scheme.adds
    return RangeTable(scheme.target, *kinds, sites, placement.convolutions)


def input_range(spec: ModelSpec) -> tuple[float, float]:
    """Smallest and largest value that the network's input can hold, the mask included if it reads one.

    Without mean and std that is 0..1: a byte then is its own whole number, and nothing is rounded. With a mean it is a
    little wider than need be: with a mean of 0.5, every byte would lie in the middle between two whole numbers, and
    engines round such a tie either way.

    >>> input_range(ModelSpec("corners", ("a",)))
    (0.0, 1.0)
    """
    ends = [(value - m) / s for m, s in zip(spec.mean, spec.std, strict=True) for value in (0.0, 1.0)]
    mask = (0.0, 1.0) if spec.channels == 4 else ()
    low, high = min(*mask, *ends), max(*mask, *ends)
    wider = WIDER if any(spec.mean) else 1.0
    return low * wider, high * wider


def quantization(low: float, high: float, scheme: Int8Scheme) -> tuple[float, int]:
    """Scale and zero point of a range, which is widened to hold 0: the padding of a convolution must be exact.

    Without a zero point, the larger end is the largest whole number, 127 and not 127.5: with that, every odd gray level
    of a picture would lie on a tie, which engines round either way.

    >>> scale, zero = quantization(-1.0, 1.55, Int8Scheme("openvino", "uint8"))
    >>> round(scale, 6), zero
    (0.01, 100)
    """
    low, high = min(low, 0.0), max(high, 0.0)
    first, last = scheme.limits
    smallest = float(np.finfo(np.float32).eps)
    if scheme.symmetric:
        return max(max(-low, high) / last, smallest), 0
    scale = max((high - low) / (last - first), smallest)
    return scale, int(np.clip(round(first - low / scale), first, last))


def choose_range(seen: Seen, scheme: Int8Scheme, method: str) -> tuple[float, float]:
    """The ends of the range that ``method`` gives a tensor; 0 always lies between them."""
    if method == "histogram" and seen.high > seen.low:
        return _least_error(seen, scheme)
    if method == "percentile" and seen.high > seen.low:
        total = seen.counts.cumsum() / seen.counts.sum()
        edges = np.linspace(seen.low, seen.high, len(seen.counts) + 1)
        first, last = np.searchsorted(total, [CUT, 1 - CUT])
        return min(0.0, float(edges[first])), max(0.0, float(edges[last + 1]))
    return min(0.0, seen.low), max(0.0, seen.high)


def _least_error(seen: Seen, scheme: Int8Scheme) -> tuple[float, float]:
    """Search the ends: rounding costs step^2 / 12 everywhere, clipping its own square."""
    middle = seen.low + (np.arange(len(seen.counts)) + 0.5) * (seen.high - seen.low) / len(seen.counts)
    shares = np.arange(1, STEPS + 1) / STEPS
    highs, lows = shares * max(seen.high, 0.0), shares * min(seen.low, 0.0)
    first, last = scheme.limits
    if scheme.symmetric:
        ends = shares * max(seen.high, -seen.low)
        cost = _clipping(middle, seen.counts, ends) + _clipping(-middle, seen.counts, ends)
        cost += seen.counts.sum() * (ends / last) ** 2 / 12
        best = float(ends[cost.argmin()])
        return -best, best
    above, below = _clipping(middle, seen.counts, highs), _clipping(-middle, seen.counts, -lows)
    step = (highs[:, None] - lows[None, :]) / (last - first)
    cost = above[:, None] + below[None, :] + seen.counts.sum() * step**2 / 12
    i, j = np.unravel_index(cost.argmin(), cost.shape)
    return float(lows[j]), float(highs[i])


def _clipping(
    values: NDArray[np.float64], counts: NDArray[np.float64], ends: NDArray[np.float64]
) -> NDArray[np.float64]:
    """For each end: the summed square of what lies beyond it."""
    over = np.maximum(values[None, :] - ends[:, None], 0.0)
    return np.asarray((over**2) @ counts)


def _seen(observer: nn.Module) -> Seen:
    counts = getattr(observer, "histogram", torch.zeros(0))
    low, high = float(observer.min_val), float(observer.max_val)  # type: ignore[arg-type]
    return Seen(low, high, counts.double().numpy())


def _batches(images: list[Tensor]) -> Iterator[Tensor]:
    for start in range(0, len(images), BATCH):
        yield torch.cat(images[start : start + BATCH])
