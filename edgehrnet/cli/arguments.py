"""Parse command-line values that several commands share."""

from __future__ import annotations

import argparse


def parse_size(text: str) -> tuple[int, int]:
    """Read an input size, height first, for argparse.

    >>> parse_size("256x512")
    (256, 512)
    """
    height, _, width = text.partition("x")
    try:
        return int(height), int(width)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write HEIGHTxWIDTH, such as 256x512") from None
