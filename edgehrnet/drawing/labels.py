"""Place names next to keypoints, where they cover neither a keypoint nor another name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

Rectangle: TypeAlias = tuple[float, float, float, float]  # xyxy in picture pixels

FONT_SIZE, SMALLEST_FONT = 7.0, 10  # in dots, and in px
RADIUS, GAP = 4.0, 6.0  # dots: radius of a mark, and distance from its center to its name
TEXT, PLATE = (255, 255, 255), (20, 20, 20, 170)  # white on a dark, translucent plate


@dataclass(frozen=True)
class Label:
    """Text for one keypoint."""

    x: float
    """Horizontal position of the keypoint in picture pixels."""
    y: float
    """Vertical position of the keypoint in picture pixels."""
    texts: tuple[str, str]
    """Text to draw, and a shorter one to use where there is little room."""
    above: bool
    """True if the place above the keypoint is better than the one below."""


def draw_labels(canvas: Image.Image, labels: Sequence[Label], dot: float) -> None:
    """Draw labels into a picture: all texts in full, or all short ones where the full ones do not fit.

    A short one that does not fit either is left out.

    Args:
        canvas: RGB picture, changed in place.
        labels: One label for each keypoint that is drawn.
        dot: Size of a dot in picture pixels.
    """
    font = ImageFont.load_default(size=max(SMALLEST_FONT, round(FONT_SIZE * dot)))
    pen = ImageDraw.Draw(canvas, "RGBA")
    margin = max(1.0, dot)
    full, short = ([pen.textbbox((0, 0), label.texts[k], font=font) for label in labels] for k in (0, 1))
    chosen, boxes = 0, full
    places = place_labels(labels, [_padded(box, margin) for box in full], canvas.size, dot)
    if None in places:
        chosen, boxes = 1, short
        places = place_labels(labels, [_padded(box, margin) for box in short], canvas.size, dot)
    for label, (left, top, *_), place in zip(labels, boxes, places, strict=True):
        if place is not None:
            pen.rectangle(place, fill=PLATE)
            pen.text((place[0] + margin - left, place[1] + margin - top), label.texts[chosen], font=font, fill=TEXT)


def place_labels(
    labels: Sequence[Label], sizes: Sequence[tuple[float, float]], canvas: tuple[int, int], dot: float
) -> list[Rectangle | None]:
    """Return a place for each label, xyxy, that overlaps no mark and no other label, or None if there is none.

    Args:
        labels: The labels, of which the first ones have priority.
        sizes: (width, height) of each label in picture pixels.
        canvas: (width, height) of the picture in pixels.
        dot: Size of a dot in picture pixels.
    """
    taken = [_around(label.x, label.y, RADIUS * dot) for label in labels]
    places = []
    for label, size in zip(labels, sizes, strict=True):
        place = _free_place(label, size, canvas, GAP * dot, taken)
        places.append(place)
        taken += [] if place is None else [place]
    return places


def _padded(box: Rectangle, margin: float) -> tuple[float, float]:
    left, top, right, bottom = box
    return right - left + 2 * margin, bottom - top + 2 * margin


def _free_place(
    label: Label, size: tuple[float, float], canvas: tuple[int, int], gap: float, taken: Sequence[Rectangle]
) -> Rectangle | None:
    """Return the first place inside the canvas that overlaps nothing, or None."""
    for x, y in _candidates(label, size, canvas[0], gap):
        place = (x, y, x + size[0], y + size[1])
        inside = x >= 0 and y >= 0 and place[2] <= canvas[0] and place[3] <= canvas[1]
        if inside and not any(_overlap(place, other) for other in taken):
            return place
    return None


def _candidates(label: Label, size: tuple[float, float], width: int, gap: float) -> Iterator[tuple[float, float]]:
    """Yield top-left corners of a label: above and below its keypoint, then right and left of it."""
    x = max(0.0, min(label.x - size[0] / 2, width - size[0]))  # slides along the border
    rows = (label.y - gap - size[1], label.y + gap)
    yield from ((x, y) for y in (rows if label.above else rows[::-1]))
    yield from ((side, label.y - size[1] / 2) for side in (label.x + gap, label.x - gap - size[0]))


def _around(x: float, y: float, radius: float) -> Rectangle:
    return x - radius, y - radius, x + radius, y + radius


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
