"""How often a drawn picture has what makes it hard: usually, in training, and where a network is scored."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difficulty:
    """Shares 0..1 of the pictures, of those that it can happen to, in which something is drawn.

    ``empty``: no document. Where it lies: ``outside`` (a corner beyond the picture), ``touching`` (a side along the
    picture's border), ``small`` (at most 30 % of the picture's width or height), ``large`` (93 % and more),
    ``tilted`` (more than 0.5 rad). What it is: ``curled``, ``graphic`` (covered by bold shapes). Around it:
    ``clutter``, ``devices`` (clutter that is rectangular: a laptop, a tray), ``sheets`` (others beside it), ``stack``
    (others under it), ``hand``, ``covered`` (by a thing), ``held`` (before a room out of focus), ``scene`` (a
    landscape, a street, people or a meal for the ground), ``edge`` (two surfaces meet), ``low_contrast``. The camera:
    ``lens`` (distortion), ``shadow``, ``glare``, ``flash``, ``dark``, ``white_balance``, ``defocus``, ``motion``,
    ``noise``, ``jpeg`` (quality below 60), ``sharpened``.
    """

    empty: float
    outside: float
    touching: float
    small: float
    large: float
    tilted: float
    curled: float
    clutter: float
    devices: float
    sheets: float
    stack: float
    graphic: float
    hand: float
    covered: float
    held: float
    scene: float
    edge: float
    low_contrast: float
    lens: float
    shadow: float
    glare: float
    flash: float
    dark: float
    white_balance: float
    defocus: float
    motion: float
    noise: float
    jpeg: float
    sharpened: float


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

# More of what networks fail at: no document, large ones, bold shapes, things and hands over one, other sheets, scenes.
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

# Each condition in at least a tenth of all pictures, the empty ones and those that leave no room for it counted in.
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
