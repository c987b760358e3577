"""Contact sheets of feature maps, with Pillow alone: all branches of all stages, or the channels of one layer."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from edgehrnet.models.inspection.features import maps_by_layer, overview
from edgehrnet.models.inspection.tiles import Row, Sheet, Tile
from edgehrnet.models.layers.base import KeypointNetwork

Pixels: TypeAlias = NDArray[np.uint8]

STRIDE = 4  # of the first branch, whose cells get a whole number of pixels each
TILE = 256  # px, the longer side of a tile at most, as long as a cell has a pixel
COLUMNS = 4
CHANNELS = 15
NOTE = "brightness: from the 1st to the 99th percentile of each tile, without the padding"


def overview_picture(net: KeypointNetwork, x: Tensor, pixels: Pixels, title: str = "") -> Image.Image:
    """Draw what each branch of each stage gives for one picture, each stage before its last fusion and after it.

    Every tile is the mean of a map's channels; a row that holds one map alone ends with its strongest channels.
    Captions: the layer, channels x height x width, and the range of the whole map.

    Args:
        net: stays as it is.
        x: ``[1, C, H, W]``, what it reads.
        pixels: ``(H, W, 3)`` or ``(H, W, 4)`` u8, the same for people; where the fourth channel is 0, there is padding.
        title: the first line.

    Raises:
        InputError: for an input that the network does not accept.
    """
    headings = overview(net)
    found = maps_by_layer(net, x, [layer for layers in headings.values() for layer in layers])
    rows = []
    for heading, layers in headings.items():
        maps = {name: values for layer in layers for name, values in found[layer].items()}
        tiles = [mean_tile(name, values, pixels) for name, values in maps.items()]
        if len(maps) == 1:
            [(name, values)] = maps.items()
            tiles += channel_tiles(name, values, pixels, COLUMNS - 1)
        rows.append(Row(heading, tuple(tiles)))
    text = (f"the mean of the channels of every map; {NOTE}", "a stage: its branches before the last fusion, and after")
    return _sheet(title, text, pixels, rows)


def layer_picture(
    net: KeypointNetwork, x: Tensor, pixels: Pixels, layer: str, title: str = "", channels: int = CHANNELS
) -> Image.Image:
    """Draw the maps of one layer: of each the mean of its channels, and its strongest ``channels``.

    See `overview_picture`; the strongest channels are those of the largest deviation, padding aside.

    Raises:
        InputError: for a layer that the network does not have, or an input that it does not accept.
    """
    maps = maps_by_layer(net, x, [layer])[layer]
    rows = [
        Row(name, (mean_tile("mean of the channels", values, pixels), *channel_tiles("", values, pixels, channels)))
        for name, values in maps.items()
    ]
    return _sheet(title, (f"the strongest channels of {layer}, which vary most", NOTE), pixels, rows)


def mean_tile(caption: str, values: Tensor, pixels: Pixels) -> Tile:
    """Show the mean over the channels of the first picture of ``[B, C, h, w]``; the range is that of all channels."""
    maps = _maps(values)
    with np.errstate(invalid="ignore"):  # of values that are not finite, and shown as such
        mean = maps.mean(axis=0)
    return Tile(caption, f"{' x '.join(map(str, maps.shape))}    {_range(maps)}", mean, _inside(pixels, mean.shape))


def channel_tiles(name: str, values: Tensor, pixels: Pixels, count: int) -> list[Tile]:
    """Show at most ``count`` channels of the first picture of ``[B, C, h, w]``, the one of the largest deviation first.

    Channels with values that are not finite come before all others.
    """
    maps = _maps(values)
    inside = _inside(pixels, maps.shape[1:])
    deviations = [float(one[inside].std()) if np.isfinite(one).all() else np.inf for one in maps]
    order = np.argsort(deviations, kind="stable")[::-1][:count]
    return [Tile(f"{name} channel {index}".strip(), _range(maps[index]), maps[index], inside) for index in order]


def _inside(pixels: Pixels, cells: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which of ``(h, w)`` cells lie at least half in the picture; all, if none do."""
    if pixels.shape[2] < 4:
        return np.ones(cells, np.bool_)
    height, width = cells
    mask = Image.fromarray(pixels[..., 3]).resize((width, height), Image.Resampling.BOX)
    inside = np.asarray(mask) >= 128
    return inside if inside.any() else np.ones(cells, np.bool_)


def _maps(values: Tensor) -> NDArray[np.float32]:
    """``[B, C, h, w]`` of any type -> ``(C, h, w)`` of the first picture; what has fewer axes is one channel wide."""
    array: NDArray[np.float32] = values.detach().cpu().float().numpy()
    return array[0] if array.ndim == 4 else array.reshape(-1, 1, 1)


def _range(values: NDArray[np.float32]) -> str:
    wrong = int((~np.isfinite(values)).sum())
    return f"{wrong} values not finite" if wrong else f"{values.min():.3g} to {values.max():.3g}"


def _sheet(title: str, text: tuple[str, ...], pixels: Pixels, rows: list[Row]) -> Image.Image:
    height, width = (side // STRIDE for side in pixels.shape[:2])
    factor = max(1, TILE // max(height, width))
    return Sheet((width * factor, height * factor), COLUMNS).draw(title, text, pixels, rows)
