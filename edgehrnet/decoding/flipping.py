"""The flip test: the mean of a network's maps and those of the mirrored input, turned back (Newell, ECCV 2016).

Cells u of a network whose cells lie at input pixels 4 u look at 4 u + 3 once mirrored and turned back, three quarters
of a cell further right. The published HRNets therefore move the columns of such maps by one, which leaves a quarter.
Cells in the middle of their pixels, and UDP's, which reach from first to last pixel, stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from edgehrnet.spec import ModelSpec

Array = NDArray[np.float32]
Pairs = Iterable[tuple[int, int]]


def mirror(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return network inputs ``(..., H, W, C)`` u8 flipped left to right, contiguous."""
    return np.ascontiguousarray(pixels[..., ::-1, :])


def unmirror(heatmaps: Array, flip_pairs: Pairs, *, shift: bool) -> Array:
    """Turn the heatmaps ``(..., K, h, w)`` of a mirrored input back: columns reversed, left and right swapped.

    ``flip_pairs``: indices of keypoints that swap. ``shift``: move all columns right by one; the first stays.

    >>> heat = np.array([[[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]]], np.float32)
    >>> unmirror(heat, [(0, 1)], shift=False).tolist()
    [[[6.0, 5.0, 4.0]], [[3.0, 2.0, 1.0]]]
    >>> unmirror(heat, [], shift=True).tolist()
    [[[3.0, 3.0, 2.0]], [[6.0, 6.0, 5.0]]]
    """
    back = heatmaps[..., _swapped(heatmaps.shape[-3], flip_pairs), :, ::-1]
    if shift:
        back[..., 1:] = back[..., :-1].copy()
    return back


def unmirror_offsets(offsets: Array, flip_pairs: Pairs) -> Array:
    """Turn offsets ``(..., 2K, h, w)``, channel 2k is dx and 2k + 1 is dy, of a mirrored input back.

    As unmirror does without a shift, and dx changes its sign (UDP, Huang, CVPR 2020).

    >>> unmirror_offsets(np.array([[[1.0, 2.0]], [[3.0, 4.0]]], np.float32), []).tolist()
    [[[-2.0, -1.0]], [[4.0, 3.0]]]
    """
    order = _swapped(offsets.shape[-3] // 2, flip_pairs)
    back = offsets[..., np.stack([2 * order, 2 * order + 1], axis=1).ravel(), :, ::-1]
    back[..., ::2, :, :] *= -1
    return back


def average(outputs: Mapping[str, Array], mirrored: Mapping[str, Array], spec: ModelSpec) -> dict[str, Array]:
    """Return the mean of ``heatmaps (N, K, h, w)``, of ``offsets`` and of ``sdf`` with those of mirrored inputs.

    The last two if there are any. ``outputs`` by name, ``mirrored`` as the network gave them for the mirrored inputs;
    both hold heights, not logits.
    """
    turned = {"heatmaps": unmirror(mirrored["heatmaps"], spec.flip_pairs, shift=needs_shift(spec))}
    if "offsets" in outputs:
        turned["offsets"] = unmirror_offsets(mirrored["offsets"], spec.flip_pairs)
    if "sdf" in outputs:
        turned["sdf"] = unmirror(mirrored["sdf"], (), shift=needs_shift(spec))
    return {name: np.float32(0.5) * (outputs[name] + back) for name, back in turned.items()}


def needs_shift(spec: ModelSpec) -> bool:
    """Whether a mirrored map, turned back, lies more than half a cell beside the other.

    >>> needs_shift(ModelSpec("published", ("nose",), crop="hrnet", cell_offset=0.0))
    True
    """
    return spec.crop != "udp" and spec.stride - 1 - 2 * spec.cell_offset > spec.stride / 2


def _swapped(count: int, flip_pairs: Pairs) -> NDArray[np.intp]:
    order = np.arange(count)
    for a, b in flip_pairs:
        order[a], order[b] = b, a
    return order
