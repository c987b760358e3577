"""Name the scored pictures in tables and on pages."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from quant.scoring.evaluation import Evaluation


def picture_names(evaluation: Evaluation) -> list[str]:
    """Return a name for each of the N pictures or boxes.

    It is the name of the file, with as many folders as it takes to tell it from the other files. Where a file comes
    several times, once for each object in it, the number of the instance follows, counted from 1. A picture without a
    file is called by its index, such as ``picture 21``.
    """
    paths = evaluation.paths or (None,) * len(evaluation.errors)
    counts = Counter(paths)
    names = short_names(path for path in counts if path is not None)
    seen: Counter[Path] = Counter()
    found = []
    for index, path in enumerate(paths):
        if path is None:
            found.append(f"picture {index}")
            continue
        seen[path] += 1
        found.append(names[path] + (f", instance {seen[path]}" if counts[path] > 1 else ""))
    return found


def short_names(paths: Iterable[Path]) -> dict[Path, str]:
    """Return the shortest ends of paths that differ from each other.

    >>> list(short_names([Path("a/1/x.png"), Path("a/2/x.png"), Path("a/2/y.png")]).values())
    ['y.png', '1/x.png', '2/x.png']
    """
    found: dict[Path, str] = {}
    waiting, parts = list(dict.fromkeys(paths)), 1
    while waiting:
        groups: defaultdict[str, list[Path]] = defaultdict(list)
        for path in waiting:
            groups["/".join(path.parts[-parts:])].append(path)
        for name, group in groups.items():
            if len(group) == 1:
                found[group[0]] = name
        waiting, parts = [path for path in waiting if path not in found], parts + 1
    return found
