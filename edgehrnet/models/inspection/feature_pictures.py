"""Draw feature maps with matplotlib: all branches of all stages, or the channels of one layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from edgehrnet.models.inspection.features import maps_by_layer, overview
from edgehrnet.models.layers.base import KeypointNetwork

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

Pixels: TypeAlias = NDArray[np.uint8]

TILE = 2.7  # inches, width of a tile and its greatest height
COLUMNS = 4
HEADING, CAPTION = 0.45, 0.45  # inches, above a row and above each tile
NOT_FINITE = "magenta"
STYLE = {
    "figure.facecolor": "#11131a",
    "axes.edgecolor": "#343948",
    "figure.titlesize": "medium",
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.1,
}
LOW, HIGH = 1.0, 99.0  # percentiles of a map that become the darkest and the brightest color
CHANNELS = 15
LEGEND = "dark to bright: 1st to 99th percentile of each tile, padding ignored; magenta: not finite"


@dataclass(frozen=True)
class Tile:
    """A map and the text above it."""

    caption: str
    """First line of the text above the tile."""

    note: str
    """Second line of the text above the tile."""

    cells: NDArray[np.floating]
    """Values ``(h, w)``, any real numbers."""

    inside: NDArray[np.bool_]
    """True ``(h, w)`` for cells inside the picture, False for padding."""

    def limits(self) -> tuple[float, float]:
        """Return the values of the darkest and the brightest color: percentiles of the finite cells in the picture."""
        cells = self.cells[self.inside & np.isfinite(self.cells)]
        low, high = np.percentile(cells, (LOW, HIGH)) if cells.size else (0.0, 0.0)
        return float(low), float(high)


TileRow: TypeAlias = tuple[str, list[Tile]]


def overview_picture(net: KeypointNetwork, x: Tensor, pixels: Pixels, title: str = "") -> Figure:
    """Draw the output of each branch for one picture, in each stage before its last fusion and after it.

    Every tile is the mean over the channels of a map. A row with only one map also has its strongest channels. Captions
    are the layer, channels x height x width, and the range of the whole map.

    Args:
        net: The network, not changed.
        x: Input ``[1, C, H, W]`` of the network.
        pixels: The same picture ``(H, W, 3)`` or ``(H, W, 4)``, uint8. The fourth channel is 0 in the padding.
        title: Title of the figure.

    Raises:
        InputError: The network does not accept this input.
    """
    layers_by_heading = overview(net)
    found = maps_by_layer(net, x, [layer for layers in layers_by_heading.values() for layer in layers])
    rows = []
    for heading, layers in layers_by_heading.items():
        maps = {name: values for layer in layers for name, values in found[layer].items()}
        tiles = [mean_tile(name, values, pixels) for name, values in maps.items()]
        if len(maps) == 1:
            [(name, values)] = maps.items()
            tiles += channel_tiles(name, values, pixels, COLUMNS - 1)
        rows.append((heading, tiles))
    return _figure(title, f"mean over the channels of each map\n{LEGEND}", pixels, rows)


def layer_picture(
    net: KeypointNetwork, x: Tensor, pixels: Pixels, layer: str, title: str = "", channels: int = CHANNELS
) -> Figure:
    """Draw the maps of one layer: for each, the mean over its channels and its strongest channels.

    The strongest channels have the largest standard deviation inside the picture.

    Args:
        net: The network, not changed.
        x: Input ``[1, C, H, W]`` of the network.
        pixels: The same picture ``(H, W, 3)`` or ``(H, W, 4)``, uint8. The fourth channel is 0 in the padding.
        layer: Name of a module, as in ``net.named_modules()``.
        title: Title of the figure.
        channels: Number of channels to draw.

    Raises:
        InputError: The network does not accept this input or has no such layer.
    """
    rows = [
        (name, [mean_tile("mean over the channels", values, pixels), *channel_tiles("", values, pixels, channels)])
        for name, values in maps_by_layer(net, x, [layer])[layer].items()
    ]
    text = f"channels of {layer} with the largest standard deviation\n{LEGEND}"
    return _figure(title, text, pixels, rows)


def mean_tile(caption: str, values: Tensor, pixels: Pixels) -> Tile:
    """Return a tile with the mean over the channels of ``[1, C, h, w]``. Its note has the range of all channels."""
    maps = _maps(values)
    with np.errstate(invalid="ignore"):  # Values that are not finite are drawn as such.
        mean = maps.mean(axis=0)
    return Tile(caption, f"{' x '.join(map(str, maps.shape))}    {_range(maps)}", mean, _inside(pixels, mean.shape))


def channel_tiles(name: str, values: Tensor, pixels: Pixels, count: int) -> list[Tile]:
    """Return tiles of at most ``count`` channels of ``[1, C, h, w]``, the largest standard deviation first.

    Channels with values that are not finite come before all others.
    """
    maps = _maps(values)
    inside = _inside(pixels, maps.shape[1:])
    deviations = [float(one[inside].std()) if np.isfinite(one).all() else np.inf for one in maps]
    order = np.argsort(deviations, kind="stable")[::-1][:count]
    return [Tile(f"{name} channel {index}".strip(), _range(maps[index]), maps[index], inside) for index in order]


def _inside(pixels: Pixels, cells: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which of ``(h, w)`` cells lie at least half inside the picture. If none does, all count as inside."""
    if pixels.shape[2] < 4:
        return np.ones(cells, np.bool_)
    height, width = cells
    mask = Image.fromarray(pixels[..., 3]).resize((width, height), Image.Resampling.BOX)
    inside = np.asarray(mask) >= 128
    return inside if inside.any() else np.ones(cells, np.bool_)


def _maps(values: Tensor) -> NDArray[np.float32]:
    """Return the first map of ``[B, C, h, w]`` as ``(C, h, w)``. A tensor with fewer axes becomes ``(C, 1, 1)``."""
    array: NDArray[np.float32] = values.detach().cpu().float().numpy()
    return array[0] if array.ndim == 4 else array.reshape(-1, 1, 1)


def _range(values: NDArray[np.float32]) -> str:
    wrong = int((~np.isfinite(values)).sum())
    return f"{wrong} values not finite" if wrong else f"{values.min():.3g} to {values.max():.3g}"


def _figure(title: str, text: str, pixels: Pixels, rows: list[TileRow]) -> Figure:
    """Draw the network's input with a title and a text, then the rows of tiles, each under its heading."""
    from matplotlib import style
    from matplotlib.figure import Figure

    ratio = pixels.shape[0] / pixels.shape[1]
    tile = TILE * min(1, ratio)
    lines = [-(-len(tiles) // COLUMNS) for _, tiles in rows]
    heights = [tile + HEADING, *(HEADING + count * (tile + CAPTION) for count in lines)]
    with style.context(["dark_background", STYLE]):
        figure = Figure(figsize=(COLUMNS * TILE, sum(heights)), layout="constrained")
        parts = figure.subfigures(len(heights), squeeze=False, height_ratios=heights)[:, 0]
        axes = _axes(parts[0], COLUMNS, ratio)
        axes[0].imshow(pixels[..., :3], aspect="auto")
        axes[1].text(0, 1, title, fontsize=16, verticalalignment="top").set_in_layout(False)
        axes[1].text(0, 0.8, text, fontsize=9, verticalalignment="top").set_in_layout(False)
        for extra in axes[1:]:
            extra.set_axis_off()
        for part, (heading, tiles), count in zip(parts[1:], rows, lines, strict=True):
            part.suptitle(heading, x=0.01, horizontalalignment="left")
            axes = _axes(part, count * COLUMNS, ratio)
            for one, place in zip(tiles, axes, strict=False):
                _draw(place, one)
            for unused in axes[len(tiles) :]:
                unused.set_axis_off()
    return figure


def _axes(part: SubFigure, count: int, ratio: float) -> list[Axes]:
    """Add ``count`` axes without ticks to a part of a figure, with this ratio of height to width."""
    grid = part.subplots(count // COLUMNS, COLUMNS, squeeze=False)
    axes: list[Axes] = list(grid.flat)
    for one in axes:
        one.set(xticks=[], yticks=[], box_aspect=ratio, anchor="NW")
    return axes


def _draw(axes: Axes, tile: Tile) -> None:
    from matplotlib import colormaps

    low, high = tile.limits()
    colors = colormaps["inferno"].with_extremes(bad=NOT_FINITE)
    cells = np.ma.masked_invalid(tile.cells)
    axes.imshow(cells, cmap=colors, vmin=low, vmax=high, interpolation="nearest", aspect="auto")
    axes.set_title(f"{tile.caption}\n{tile.note}", loc="left", fontsize="x-small")
