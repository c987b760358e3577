"""Calibrate activation ranges by running the float network on pictures and observing its tensors.

A method turns the observed values of a tensor into a range:

- ``histogram`` takes the range with the smallest squared error, which is the sum of rounding and clipping errors.
- ``percentile`` cuts off the same share of values at each end.
- ``minmax`` takes the smallest and the largest value.
- ``moving-average`` takes a moving average of each batch's smallest and largest value.
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
from edgehrnet.preparation import channels_of, prepare
from edgehrnet.spec import ModelSpec
from quant.int8.placement import Placement
from quant.int8.scheme import Int8Scheme
from quant.int8.torch_ao import HistogramObserver, MinMaxObserver, MovingAverageMinMaxObserver

PICTURES = 300
BATCH = 4
CUT = 1e-4  # share of the values that `percentile` cuts off at each end
WIDER = 1 + 2**-8  # factor on the input range of networks with a mean, see `input_range`
STEPS = 64  # candidates that `histogram` tries for each end of a range
OBSERVERS: Mapping[str, type[nn.Module]] = {
    "histogram": HistogramObserver,
    "percentile": HistogramObserver,
    "minmax": MinMaxObserver,
    "moving-average": MovingAverageMinMaxObserver,
}
METHODS = tuple(OBSERVERS)


@dataclass(frozen=True)
class Seen:
    """Observed values of one tensor."""

    low: float
    """Smallest value."""

    high: float
    """Largest value."""

    counts: NDArray[np.float64]
    """Histogram with bins of equal width from ``low`` to ``high``. Empty if the method needs no histogram."""


def network_inputs(pictures: Iterable[NDArray[np.uint8]], spec: ModelSpec) -> list[Tensor]:
    """Prepare pictures, u8 ``(H, W, 3)``, as at run time and return one u8 ``[1, H, W, C]`` input for each."""
    return [torch.from_numpy(channels_of(prepare(picture, spec)[0], spec)) for picture in pictures]


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
    """Run the float network on letterboxed pictures and observe the tensors at ``sites``.

    The same pictures in the same order give the same result.

    Args:
        network: The float network.
        sites: The sites to observe, as `place` names them.
        images: Letterboxed pictures, u8 ``[1, H, W, C]``, as `network_inputs` makes them.
        spec: The model's spec, for its mean and std.
        method: One of `METHODS`, which decides what is observed.
        progress: Show a progress bar.

    Raises:
        InputError: The method is unknown, or there are no pictures.
    """
    if method not in OBSERVERS:
        raise InputError(f"unknown method {method!r}; {nearest(method, METHODS)}")
    if not images:
        raise InputError("there are no pictures to calibrate with; give at least one")
    watched = fold_batchnorm(network)
    observers = {site: OBSERVERS[method](dtype=torch.uint8) for site in sites}
    for site, observer in observers.items():
        attach(watched, site, observer)
    for batch in tqdm(list(_batches(images)), disable=not progress, desc="calibrating", unit="batch"):
        watched(network_input(batch, spec.mean, spec.std))
    return {site: _seen(observer) for site, observer in observers.items()}


def range_table(
    seen: Mapping[str, Seen],
    placement: Placement,
    scheme: Int8Scheme,
    spec: ModelSpec,
    method: str = "histogram",
    known: RangeTable | None = None,
) -> RangeTable:
    """Turn observed values into the scales and zero points for one target. Ranges in ``known`` stay as they are."""
    sites = dict(known.sites) if known else {}
    for site in placement.sites:
        if site not in sites:
            ends = input_range(spec) if site in placement.inputs else choose_range(seen[site], scheme, method)
            sites[site] = before_hardswish(ends[1]) if site in placement.hardswish else quantization(*ends, scheme)
    kinds = scheme.activations, scheme.weight_bits, scheme.adds
    return RangeTable(scheme.target, *kinds, sites, placement.convolutions)


def input_range(spec: ModelSpec) -> tuple[float, float]:
    """Return the smallest and largest value of the network's input, including its mask channel if it has one.

    Without mean and std, the range is 0..1. Each byte then maps to the integer of the same value, and nothing is
    rounded. With a mean, the range is widened by the factor `WIDER`. Otherwise a mean of 0.5 would put every byte
    halfway between two integers, and engines differ in how they round such ties.

    >>> input_range(ModelSpec("corners", ("a",)))
    (0.0, 1.0)
    """
    ends = [(value - m) / s for m, s in zip(spec.mean, spec.std, strict=True) for value in (0.0, 1.0)]
    mask = (0.0, 1.0) if spec.channels == 4 else ()
    low, high = min(*mask, *ends), max(*mask, *ends)
    wider = WIDER if any(spec.mean) else 1.0
    return low * wider, high * wider


def quantization(low: float, high: float, scheme: Int8Scheme) -> tuple[float, int]:
    """Return the scale and zero point for a range.

    The range is widened to include 0, because the zero padding of a convolution must be exact. In a symmetric scheme
    the larger end maps to the largest integer, 127. With 127.5 instead, every odd gray level of a picture would lie
    halfway between two integers, and engines differ in how they round such ties.

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


def before_hardswish(high: float) -> tuple[float, int]:
    """Return the scale and zero point of unsigned integers from -3 to at least ``high``, with 3 as an integer.

    A Hardswish ``x * min(x + 3, 6) / 6`` of these needs only integers: ``x + 3`` is the integer times the scale.

    >>> scale, zero = before_hardswish(4.6)
    >>> zero, scale * -zero, scale * (2 * zero - zero) == 3, scale * (255 - zero) >= 4.6
    (100, -3.0, True, True)
    """
    zero = int(np.clip(np.floor(3 * 255 / (max(high, 0.0) + 3)), 1, 254))
    return 3 / zero, zero


def choose_range(seen: Seen, scheme: Int8Scheme, method: str) -> tuple[float, float]:
    """Return the ends of the range that ``method`` chooses for a tensor. The range always includes 0."""
    if method == "histogram" and seen.high > seen.low:
        return _least_error(seen, scheme)
    if method == "percentile" and seen.high > seen.low:
        total = seen.counts.cumsum() / seen.counts.sum()
        edges = np.linspace(seen.low, seen.high, len(seen.counts) + 1)
        first, last = np.searchsorted(total, [CUT, 1 - CUT])
        return min(0.0, float(edges[first])), max(0.0, float(edges[last + 1]))
    return min(0.0, seen.low), max(0.0, seen.high)


def _least_error(seen: Seen, scheme: Int8Scheme) -> tuple[float, float]:
    """Return the range with the least error: step^2 / 12 per value for rounding plus the squared clipping error."""
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
    """Sum, for each end, the squared distances of the values beyond it."""
    over = np.maximum(values[None, :] - ends[:, None], 0.0)
    return np.asarray((over**2) @ counts)


def _seen(observer: nn.Module) -> Seen:
    counts = getattr(observer, "histogram", torch.zeros(0))
    low, high = float(observer.min_val), float(observer.max_val)  # type: ignore[arg-type]
    return Seen(low, high, counts.double().numpy())


def _batches(images: list[Tensor]) -> Iterator[Tensor]:
    for start in range(0, len(images), BATCH):
        yield torch.cat(images[start : start + BATCH])
