"""Define how often hard conditions occur in synthetic pictures: by default, in training and in validation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difficulty:
    """Probabilities 0..1 of the conditions that make a picture hard, among the pictures where each can happen."""

    empty: float
    """No document."""

    outside: float
    """A corner lies outside the picture."""

    touching: float
    """A corner lies on the border of the picture."""

    small: float
    """The document takes up at most 30 % of the width or height."""

    large: float
    """The document takes up 93 % or more of the width or height."""

    tilted: float
    """The tilt of the sheet is above 0.5 rad."""

    curled: float
    """The sheet is curled."""

    clutter: float
    """Objects lie around the document."""

    devices: float
    """Clutter contains a rectangular object, such as a laptop or tray."""

    sheets: float
    """Other sheets lie beside the document."""

    stack: float
    """Other sheets lie under the document."""

    graphic: float
    """Bold shapes cover the page."""

    hand: float
    """Fingers cover a part of the document."""

    covered: float
    """An object covers a part of the document."""

    held: float
    """The background is out of focus, as behind a sheet held up."""

    scene: float
    """The background is a landscape, street, people or meal instead of a surface."""

    edge: float
    """Two surfaces meet in a straight line."""

    low_contrast: float
    """The surface has nearly the color of the paper."""

    lens: float
    """The lens distorts the picture."""

    shadow: float
    """A shadow falls on the scene."""

    glare: float
    """A lamp or window is reflected."""

    flash: float
    """The flash lights the scene."""

    dark: float
    """The picture is underexposed."""

    white_balance: float
    """The light has a color cast."""

    defocus: float
    """The picture is out of focus."""

    motion: float
    """The picture has motion blur."""

    noise: float
    """The picture has strong noise."""

    jpeg: float
    """The JPEG quality is below 60."""

    sharpened: float
    """Sharpening leaves halos along edges."""


USUAL = Difficulty(
    empty=0.13,
    outside=0.11,
    touching=0.07,
    small=0.1,
    large=0.1,
    tilted=0.15,
    curled=0.2,
    clutter=0.4,
    devices=0.35,
    sheets=0.12,
    stack=0.1,
    graphic=0.0,
    hand=0.12,
    covered=0.1,
    held=0.06,
    scene=0.0,
    edge=0.18,
    low_contrast=0.12,
    lens=0.15,
    shadow=0.4,
    glare=0.12,
    flash=0.1,
    dark=0.1,
    white_balance=0.15,
    defocus=0.12,
    motion=0.12,
    noise=0.2,
    jpeg=0.25,
    sharpened=0.15,
)

# More of what networks fail at: no document, large documents, bold shapes, covered corners, other sheets, scenes.
TRAINING = Difficulty(
    empty=0.2,
    outside=0.12,
    touching=0.12,
    small=0.14,
    large=0.16,
    tilted=0.2,
    curled=0.2,
    clutter=0.45,
    devices=0.6,
    sheets=0.2,
    stack=0.26,
    graphic=0.12,
    hand=0.24,
    covered=0.22,
    held=0.12,
    scene=0.12,
    edge=0.2,
    low_contrast=0.2,
    lens=0.15,
    shadow=0.4,
    glare=0.13,
    flash=0.12,
    dark=0.15,
    white_balance=0.15,
    defocus=0.13,
    motion=0.13,
    noise=0.2,
    jpeg=0.25,
    sharpened=0.15,
)

# Each condition occurs in at least a tenth of all pictures, including those where it cannot happen.
HARD = Difficulty(
    empty=0.12,
    outside=0.14,
    touching=0.14,
    small=0.14,
    large=0.14,
    tilted=0.2,
    curled=0.2,
    clutter=0.45,
    devices=0.35,
    sheets=0.16,
    stack=0.14,
    graphic=0.0,
    hand=0.17,
    covered=0.15,
    held=0.14,
    scene=0.0,
    edge=0.2,
    low_contrast=0.16,
    lens=0.15,
    shadow=0.4,
    glare=0.15,
    flash=0.14,
    dark=0.14,
    white_balance=0.15,
    defocus=0.14,
    motion=0.14,
    noise=0.2,
    jpeg=0.25,
    sharpened=0.22,
)
