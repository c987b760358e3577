"""Say in one line whether something was found in a picture, and at the end in how many."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from edgehrnet.cli.printable import printable_name
from edgehrnet.cli.progress import duration
from edgehrnet.result import Result
from edgehrnet.spec import ModelSpec


def thing(spec: ModelSpec) -> str:
    """Return what a model finds: ``document``, or ``keypoints``.

    >>> thing(ModelSpec("document-corners", ("a",))), thing(ModelSpec("mouse", ("a",)))
    ('document', 'keypoints')
    """
    return "document" if spec.name.startswith("document") else "keypoints"


def found(result: Result, min_score: float) -> int:
    """Return the number of instances whose score is high enough."""
    return int((result.score >= min_score).sum())


def verdict(result: Result, min_score: float) -> str:
    """Return the line about a picture, such as ``photo.jpg  score 0.007: no document``."""
    name, what = printable_name(result.source), thing(result.spec)
    if result.frame is not None:
        name += f" {'page' if result.time is None else 'frame'} {result.frame}"
    if result.time is not None:
        name += f" at {result.time:.2f} s"
    count = found(result, min_score)
    if len(result.keypoints) == 1:
        return f"{name}  score {result.score[0]:.3f}: {what if count else f'no {what}'}"
    return f"{name}  {count} of {len(result.keypoints)} instances"


@dataclass
class Totals:
    """Counts of a run."""

    predicted: int = 0
    """Pictures that were predicted."""
    found: int = 0
    """Pictures in which something was found."""
    errors: int = 0
    """Pictures that could not be read, and files that could not be written."""
    what: str = "keypoints"
    """What the model finds."""

    def line(self, seconds: float, *, dropped: int, left_out: Counter[str], earlier: int) -> str:
        """Return the line at the end.

        >>> Totals(120, 97, 2, "document").line(10.0, dropped=0, left_out=Counter({".mp4": 2}), earlier=0)
        '120 pictures, 97 with a document; 2 errors; 2 files left out: 2 .mp4; 0:10, 12.0/s'
        """
        what = "a document" if self.what == "document" else self.what
        parts = [f"{_count(self.predicted, 'picture')}, {self.found} with {what}"]
        if earlier:
            parts.append(f"{earlier} done before")
        if self.errors:
            parts.append(_count(self.errors, "error"))
        if dropped:
            parts.append(f"{_count(dropped, 'frame')} dropped, so as not to fall behind")
        if left_out:
            kinds = ", ".join(f"{number} {printable_name(suffix)}" for suffix, number in left_out.most_common())
            parts.append(f"{_count(left_out.total(), 'file')} left out: {kinds}")
        return "; ".join([*parts, f"{duration(seconds)}, {self.predicted / max(seconds, 1e-9):.1f}/s"])


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
