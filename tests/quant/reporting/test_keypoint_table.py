"""The table of keypoints: which rows, which columns, and how pictures are named."""

import numpy as np
import pytest

from quant.reporting.keypoint_table import MOST, WORST, keypoint_table
from quant.reporting.picture_names import picture_names
from quant.scoring.by_keypoint import by_keypoint, object_percent, worst_of
from quant.scoring.evaluation import Evaluation

NAN = float("nan")


def evaluation(errors, name="m.pt", paths=(), boxes=None, areas=None):
    """An Evaluation with these errors ``(N, K)`` in px, of pictures with a diagonal of 200 px."""
    errors = np.array(errors, np.float64)
    n, k = errors.shape
    return Evaluation(
        name=name,
        errors=errors,
        diagonals=np.full(n, 200.0),
        areas=np.array([100.0] * n if areas is None else areas),
        xy=np.zeros((n, k, 2)),
        conf=np.ones((n, k), np.float32),
        empty=np.zeros(n, bool),
        truth=np.zeros((n, k, 2)),
        visible=np.isfinite(errors),
        boxes=boxes,
        paths=paths,
    )


def rows(text):
    """Words of the rows of a table, without its head and the lines below it."""
    return [line.split() for line in text.partition("\n\n")[0].splitlines()[1:]]


def test_each_keypoint_has_its_statistics_and_its_worst_picture(tmp_path):
    paths = (tmp_path / "a.png", tmp_path / "b.png")
    text = keypoint_table([evaluation([[1, 2, NAN], [3, NAN, NAN]], paths=paths)], ("eye", "ear", "tail"))
    assert rows(text) == [
        ["eye", "*", "2", "2.00", "2.00", "2.90", "1.00", "b.png"],
        ["ear", "1", "2.00", "2.00", "2.00", "1.00", "a.png"],
        ["tail", "0", "nan", "nan", "nan", "nan"],
    ]
    assert "size %" not in text


def test_models_for_crops_get_errors_relative_to_the_object():
    found = evaluation([[1.0], [5.0]], boxes=np.zeros((2, 4)), areas=[100.0, 0.0])
    assert object_percent(found).tolist() == [[10.0], pytest.approx([NAN], nan_ok=True)]
    assert "size %" in keypoint_table([found], ("eye",))
    assert np.isnan(object_percent(evaluation([[1.0]]))).all()


@pytest.mark.parametrize(
    ("count", "complete", "shown"), [(MOST, False, MOST), (MOST + 1, False, WORST), (68, True, 68)]
)
def test_of_very_many_keypoints_only_the_worst_are_listed(count, complete, shown):
    errors = np.arange(count, dtype=float)[None]
    errors[0, 0] = NAN
    names = [f"k{number}" for number in range(count)]
    text = keypoint_table([evaluation(errors)], names, complete=complete)
    first = [row[0] for row in rows(text)]
    assert first == (names if shown == count else names[: -WORST - 1 : -1])
    assert ("--per-keypoint" in text) == (shown < count)


def test_the_star_is_for_the_worst_keypoint_of_the_first_model():
    text = keypoint_table([evaluation([[1, 2]], "a.pt"), evaluation([[4, 3]], "b.pt")], ("eye", "ear"))
    assert rows(text) == [["eye", "1", "1.00", "4.00"], ["ear", "*", "1", "2.00", "3.00"]]
    assert worst_of(by_keypoint(evaluation([[NAN, NAN]]), ("eye", "ear"))) is None


def test_models_with_the_same_file_name_are_told_apart_by_their_folders():
    text = keypoint_table([evaluation([[1]], "a/m.pt"), evaluation([[1]], "b/m.pt")], ("eye",))
    assert text.splitlines()[0].split() == ["keypoint", "scored", "a/m.pt", "b/m.pt"]


def test_pictures_are_named_by_what_tells_them_apart(tmp_path):
    first, second, third = tmp_path / "1" / "x.png", tmp_path / "2" / "x.png", tmp_path / "2" / "y.png"
    found = evaluation([[1]] * 5, paths=(first, second, third, third, None))
    assert picture_names(found) == ["1/x.png", "2/x.png", "y.png, instance 1", "y.png, instance 2", "picture 4"]
    assert picture_names(evaluation([[1]] * 2)) == ["picture 0", "picture 1"]
