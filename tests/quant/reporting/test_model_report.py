"""A report shows the worst and the best pictures."""

import numpy as np

from quant.reporting.model_report import extremes
from quant.scoring.evaluation import Evaluation


def evaluation(percent):
    """Return an Evaluation with errors ``(N, K)`` in px, of pictures with a diagonal of 100 px."""
    errors = np.array(percent, np.float64)
    n, k = errors.shape
    points, visible = np.zeros((n, k, 2)), np.isfinite(errors)
    diagonals, empty = np.full(n, 100.0), np.zeros(n, bool)
    return Evaluation("e", errors, diagonals, diagonals, points, np.ones((n, k), np.float32), empty, points, visible)


def test_extremes_are_ordered_by_the_worst_keypoint():
    nan = np.nan
    found = evaluation([[1, 9], [nan, nan], [5, 5], [nan, 7], *([[0, 2 + n / 100] for n in range(20)])])
    worst, best = extremes(found)
    assert worst[:3] == [0, 3, 2]
    assert worst[3:] == list(range(23, 14, -1))
    assert best == [4, 5, 6, 7, 8, 9]


def test_no_picture_is_in_both_lists():
    assert extremes(evaluation([[1.0], [2.0]])) == ([1, 0], [])
    worst, best = extremes(evaluation([[float(n)] for n in range(14)]))
    assert (worst, best) == (list(range(13, 3, -1)), [0, 1, 2, 3])
    assert extremes(evaluation([[np.nan]])) == ([], [])
