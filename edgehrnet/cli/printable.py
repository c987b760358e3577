"""Print text of files without its control characters, which could change what a terminal shows."""

from __future__ import annotations

import re

# Control characters, line separators, marks that reverse the direction of text, and bytes that are not UTF-8.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: object) -> str:
    r"""Return text with control characters as escapes. Line ends and tabs stay.

    >>> print(printable("red: \x1b[31m"))
    red: \x1b[31m
    """
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), str(text))


def printable_name(name: object) -> str:
    r"""Return a name with control characters, line ends and tabs as escapes.

    >>> print(printable_name("two\nlines.jpg"))
    two\nlines.jpg
    """
    return printable(name).replace("\n", "\\n").replace("\t", "\\t")
