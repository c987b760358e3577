"""Print rows of text in columns."""

from __future__ import annotations

from collections.abc import Sequence

from edgehrnet.cli.printable import printable
from edgehrnet.result import Result


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay rows out in columns, numbers aligned to the right and words to the left.

    >>> print(table(("name", "ms"), [("read", "1.50"), ("inference", "20.25")]))
    name          ms
    read        1.50
    inference  20.25
    """
    head, *rows = ([printable(cell) for cell in row] for row in (head, *rows))
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [all(_is_number(cell) for cell in column[1:]) for column in columns]
    lines = [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in (head, *rows)
    ]
    return "\n".join(lines)


def rows_table(rows: Sequence[Sequence[str]]) -> str:
    """Lay rows out in columns without a head.

    >>> print(rows_table([("read", "1.50"), ("inference", "20.25")]))
    read        1.50
    inference  20.25
    """
    return table([""] * len(rows[0]), rows).partition("\n")[2] if rows else ""


def result_tables(result: Result) -> str:
    """Lay out the keypoints of a result, with the number of the instance if there are several, and the times."""
    points = result.keypoints
    first = 0 if len(points) > 1 else 1  # the column to begin with
    rows = [
        (str(n), name, f"{x:.2f}", f"{y:.2f}", f"{conf:.3f}")[first:]
        for n in range(len(points))
        for name, (x, y), conf in zip(points.names, points.xy[n], points.conf[n], strict=True)
    ]
    head = ("instance", "keypoint", "x px", "y px", "confidence")[first:]
    stages = [*result.speed.items(), ("total", sum(result.speed.values()))]
    if result.compile_ms:
        stages.append(("compiling, once for this size", result.compile_ms))
    times = table(("stage", "ms"), [(stage, f"{ms:.2f}") for stage, ms in stages])
    return f"{table(head, rows)}\n\n{times}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
