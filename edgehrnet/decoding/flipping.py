"""Average the outputs for a picture and its mirror image, the flip test (Newell, ECCV 2016).

The mirrored outputs have to be flipped back. How well they align then depends on where the cells lie in the input:

- In the published HRNets, cell u lies at input pixel 4 u. In a mirrored map that was flipped back it lies at pixel
  4 u + 3, three quarters of a cell to the right. The published code therefore shifts these maps by one column, which
  leaves a quarter of a cell.
- Cells in the middle of the pixels that they cover stay aligned, as do UDP's, which reach from the first to the last
  pixel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from edgehrnet.errors import InputError
from edgehrnet.sides import unpaired
from edgehrnet.spec import ModelSpec

Array = NDArray[np.float32]
Pairs = Iterable[tuple[int, int]]


def check_flip_pairs(spec: ModelSpec) -> None:
    """Check that it is known which keypoints a mirrored picture exchanges.

    Raises:
        InputError: A keypoint has a side in its name but no partner, or the names say nothing about sides. Or the file
            gives no heatmaps to average.
    """
    if not spec.has_heatmaps:
        raise InputError(f"flip_test=True averages heatmaps, which {spec.name} does not give; leave out flip_test")
    alone = unpaired(spec.keypoints, spec.flip_pairs)
    if not alone and not spec.flip_pairs and len(spec.keypoints) > 1:
        alone = tuple(name for name in spec.keypoints if name.startswith("keypoint-"))
    if alone:
        raise InputError(
            f"flip_test=True needs the partner of each keypoint with a side, and {spec.name} has none for "
            f"{', '.join(alone)}; pass spec= with flip_pairs=, pairs of indices (left, right), or leave out flip_test"
        )


def mirror(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Flip network inputs ``(..., H, W, C)`` u8 left to right. The result is contiguous."""
    return np.ascontiguousarray(pixels[..., ::-1, :])


def unmirror(heatmaps: Array, flip_pairs: Pairs, *, shift: bool) -> Array:
    """Flip the heatmaps of a mirrored input back: reverse the columns and swap left and right keypoints.

    Args:
        heatmaps: Maps ``(..., K, h, w)`` of the mirrored input.
        flip_pairs: Index pairs of the keypoints that swap.
        shift: Shift all columns right by one, and leave the first as it is.

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
    """Flip the offsets of a mirrored input back, and negate dx (UDP, Huang, CVPR 2020).

    Args:
        offsets: Offsets ``(..., 2K, h, w)``, dx in channel 2k and dy in channel 2k + 1.
        flip_pairs: Index pairs of the keypoints that swap.

    >>> unmirror_offsets(np.array([[[1.0, 2.0]], [[3.0, 4.0]]], np.float32), []).tolist()
    [[[-2.0, -1.0]], [[4.0, 3.0]]]
    """
    order = _swapped(offsets.shape[-3] // 2, flip_pairs)
    back = offsets[..., np.stack([2 * order, 2 * order + 1], axis=1).ravel(), :, ::-1]
    back[..., ::2, :, :] *= -1
    return back


def average(outputs: Mapping[str, Array], mirrored: Mapping[str, Array], spec: ModelSpec) -> dict[str, Array]:
    """Average the outputs for inputs and for mirrored inputs.

    Args:
        outputs: ``heatmaps (N, K, h, w)`` as activations, not logits, and if there are any, ``offsets`` and ``sdf``.
        mirrored: The same outputs for the mirrored inputs, as the network returned them.
        spec: Keypoint pairs and geometry of the network.

    Returns:
        The mean of those three outputs that the network has, by name.
    """
    flipped = {"heatmaps": unmirror(mirrored["heatmaps"], spec.flip_pairs, shift=needs_shift(spec))}
    if "offsets" in outputs:
        flipped["offsets"] = unmirror_offsets(mirrored["offsets"], spec.flip_pairs)
    if "sdf" in outputs:
        flipped["sdf"] = unmirror(mirrored["sdf"], (), shift=needs_shift(spec))
    return {name: np.float32(0.5) * (outputs[name] + back) for name, back in flipped.items()}


def needs_shift(spec: ModelSpec) -> bool:
    """Return True if a mirrored map that was flipped back is more than half a cell off.

    >>> needs_shift(ModelSpec("published", ("nose",), crop="hrnet", cell_offset=0.0))
    True
    """
    return spec.crop != "udp" and spec.stride - 1 - 2 * spec.cell_offset > spec.stride / 2


def _swapped(count: int, flip_pairs: Pairs) -> NDArray[np.intp]:
    """Return the indices 0..count-1 with the given pairs swapped."""
    order = np.arange(count)
    for a, b in flip_pairs:
        order[a], order[b] = b, a
    return order
