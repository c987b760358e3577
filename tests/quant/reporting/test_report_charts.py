"""The charts of a report show the numbers that they are given, in light and in dark colors."""

import base64
from functools import partial
from typing import Any

import numpy as np
import pytest

from quant.reporting.report_charts import (
    DARK,
    LIGHT,
    LONGEST_NAME,
    both,
    error_histogram,
    keypoint_spread,
    pck_curve,
    presence_histogram,
    reliability_curve,
)
from quant.scoring.metrics import Bin


def lines(figure):
    """Points ``(N, 2)`` of each line of a chart."""
    return [np.asarray(line.get_xydata()) for line in figure.axes[0].lines]


def heights(figure):
    """Heights of the bars of a chart, left to right."""
    return [bar.get_height() for bar in figure.axes[0].patches]


def test_the_histogram_counts_each_error_once():
    figure = error_histogram(np.array([[0.001, 0.5], [3.0, np.nan], [500.0, 3.1]]), LIGHT)
    counts = heights(figure)
    assert sum(counts) == 5
    assert max(counts) == 2
    assert counts[0] == counts[-1] == 1  # errors beyond the ends of the axis are in the outermost bars
    median, p95 = (points[0, 0] for points in lines(figure))
    assert median == 3.0
    assert p95 == pytest.approx(np.percentile([0.01, 0.5, 3.0, 3.1, 100.0], 95))


def test_the_pck_curve_is_the_share_within_each_distance():
    (points,) = lines(pck_curve(np.array([[0.001, 0.5], [3.0, np.nan]]), LIGHT))
    x, y = points.T
    assert (x[0], x[-1]) == (0, 5)
    assert [y[x >= distance][0] for distance in (0, 0.1, 0.5, 3, 5)] == pytest.approx([0, 100 / 3, 200 / 3, 100, 100])


def test_the_reliability_curve_goes_through_the_bins():
    ideal, curve = lines(reliability_curve([Bin(0.2, 0.0, 9), Bin(0.9, 1.0, 8)], LIGHT))
    assert ideal.tolist() == [[0, 0], [1, 1]]
    assert curve.tolist() == [[0.2, 0.0], [0.9, 1.0]]


def test_the_presence_histogram_is_in_percent_of_each_group():
    scores, empty = np.array([0.97, 0.98, 0.42, 0.01]), np.array([False, False, False, True])
    bars = heights(presence_histogram(scores, empty, LIGHT))
    full, without = bars[:20], bars[20:]
    assert (full[19], full[8], sum(full)) == pytest.approx((200 / 3, 100 / 3, 100))
    assert (without[0], sum(without)) == (100, 100)


@pytest.mark.parametrize("chart", [error_histogram, pck_curve])
def test_charts_without_values_are_empty(chart):
    axes = chart(np.full((2, 4), np.nan), LIGHT).axes[0]
    assert not any(bar.get_height() for bar in axes.patches)
    assert all(np.all(line.get_ydata() == 0) for line in axes.lines)


def test_a_chart_is_drawn_in_light_and_dark_colors_and_always_the_same():
    percent = np.array([[0.2, 0.5]])
    first, second = (both(partial(error_histogram, percent)) for _ in range(2))
    assert first == second
    light, dark = (base64.b64decode(text.partition(",")[2]).decode() for text in (first.light, first.dark))
    for text, theme, other in ((light, LIGHT, DARK), (dark, DARK, LIGHT)):
        assert "error, % of the diagonal" in text
        assert theme.main in text
        assert other.main not in text


def test_the_chart_of_keypoints_has_a_bar_for_each_that_was_scored():
    errors = np.array([np.arange(5.0), np.full(5, np.nan), np.arange(5.0) * 2]).T
    axes: Any = keypoint_spread(errors, ("eye", "ear", "a" * 99), "error, px", LIGHT).axes[0]
    bars = [(bar.get_y() + bar.get_height() / 2, bar.get_x(), bar.get_width()) for bar in axes.patches]
    assert bars == [(0, 1, 2), (2, 2, 4)]  # from the first to the third quartile
    assert [label.get_text() for label in axes.get_yticklabels()][:2] == ["eye", "ear"]
    assert len(axes.get_yticklabels()[2].get_text()) == LONGEST_NAME
    ranges, medians = axes.collections
    assert [segment[:, 0].tolist() for segment in ranges.get_segments()] == [[0.2, 3.8], [0.4, 7.6]]
    assert [segment[0, 0] for segment in medians.get_segments()] == [2, 4]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first keypoint is at the top


def test_the_chart_of_keypoints_grows_with_their_number_and_may_be_empty():
    heights = [keypoint_spread(np.full((2, k), np.nan), ["k"] * k, "", LIGHT).get_figheight() for k in (5, 68)]
    assert heights[1] > 8 * heights[0]
