"""The chart of training runs: it reads folders and logs, and its lines hold the numbers of the logs."""

import json

import numpy as np
import pytest
from PIL import Image

from edgehrnet.errors import InputError
from quant import curve
from quant.reporting.training_curve import draw, read_logs

SCORES = {"median_percent": 1.0, "mean_percent": 2.0, "pck1": 60.0, "pck2": 80.0}
LINE = {"loss": {"heatmaps": 0.1, "offsets": 0.01}, **SCORES}


def write_log(path, steps, line=LINE):
    path.write_text("".join(json.dumps({**line, "step": step}) + "\n" for step in steps))
    return path


def points(axes):
    """Points ``(N, 2)`` of each line of a panel."""
    return [np.asarray(line.get_xydata()) for line in axes.lines]


def labels(axes):
    return [line.get_label() for line in axes.lines]


def test_runs_follow_each_other_and_become_one_picture(tmp_path, capsys):
    (tmp_path / "a").mkdir()
    write_log(tmp_path / "a" / "log.jsonl", (10, 20))
    runs = [tmp_path / "a", write_log(tmp_path / "b.jsonl", (5, 15))]
    assert [line["step"] for line in read_logs(runs)] == [10, 20, 25, 35]
    assert curve.main([*map(str, runs), "--out", str(tmp_path / "curve.png")]) == 0
    assert "up to step 35" in capsys.readouterr().out
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.size == pytest.approx((1485, 462), abs=2)


def test_the_picture_has_a_default_name(tmp_path, monkeypatch):
    write_log(tmp_path / "log.jsonl", (1,))
    monkeypatch.chdir(tmp_path)
    assert curve.main(["."]) == 0
    assert (tmp_path / "curve.png").is_file()


def test_every_axis_is_labeled_and_pck_100_is_inside():
    figure = draw([{**LINE, "step": step, "pck2": 100.0} for step in (1, 2)])
    assert all(axes.get_xlabel() and axes.get_ylabel() for axes in figure.axes)
    assert "corner" not in " ".join(axes.get_ylabel() for axes in figure.axes)
    share = figure.axes[2]
    assert share.get_ylim()[1] > 100
    assert points(share)[1][:, 1].tolist() == [100, 100]


def test_the_sum_is_drawn_only_for_several_losses():
    assert labels(draw([{**LINE, "step": 1}]).axes[0]) == ["sum", "heatmaps", "offsets"]
    assert labels(draw([{**LINE, "loss": {"heatmaps": 0.1}, "step": 1}]).axes[0]) == ["heatmaps"]


def tick_texts(axes):
    return [text.get_text() for text in (*axes.get_yticklabels(), *axes.get_yticklabels(minor=True))]


@pytest.mark.parametrize(("values", "scale"), [((0.2, 0.22), "linear"), ((0.2, 30.0), "log")])
def test_ticks_are_plain_numbers(values, scale):
    lines = [{**LINE, "loss": {"heatmaps": value}, "step": step} for step, value in enumerate(values, 1)]
    figure = draw(lines)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    assert axes.get_yscale() == scale
    assert any(tick_texts(axes))
    assert not any("^" in text or "e" in text for text in tick_texts(axes))


def test_ticks_of_tiny_losses_are_all_powers_of_ten():
    figure = draw([{**LINE, "loss": {"heatmaps": value}, "step": step} for step, value in ((1, 2e-3), (2, 1e-5))])
    figure.draw_without_rendering()
    ticks = [text for text in tick_texts(figure.axes[0]) if text]
    assert len(ticks) > 4
    assert all("e" in text for text in ticks)


def test_all_panels_have_the_same_steps_from_zero():
    figure = draw([{"step": 5, "loss": {"heatmaps": 0.3}}, {**LINE, "step": 100}])
    assert {axes.get_xlim() for axes in figure.axes} == {(0, 103)}


def test_a_run_without_a_validation_says_so():
    figure = draw([{"step": 5, "loss": {"heatmaps": 0.3}}])
    assert [len(axes.texts) for axes in figure.axes] == [0, 1, 1]


def test_lines_between_validations_have_the_loss_only():
    figure = draw([{"step": 1, "loss": {"heatmaps": 0.3}}, {**LINE, "step": 2}])
    loss, error, share = figure.axes
    assert points(loss)[0][:, 0].tolist() == [1, 2]
    assert points(error)[0][:, 0].tolist() == points(share)[0][:, 0].tolist() == [2]


def test_a_validation_without_scores_leaves_a_gap():
    figure = draw([{**LINE, "step": 1, "mean_percent": None}, {**LINE, "step": 2}])
    median, mean = (line[:, 1] for line in points(figure.axes[1]))
    assert np.isnan(mean[0])
    assert (mean[1], *median) == (2, 1, 1)


@pytest.mark.parametrize("text", ["", "[1]\n", "{}\n", "no JSON"])
def test_a_file_that_is_not_a_log_is_refused(tmp_path, text):
    path = tmp_path / "other.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=r"other\.jsonl"):
        read_logs([path])


@pytest.mark.parametrize("name", ["nowhere.jsonl", "."])
def test_a_missing_log_ends_with_one_line(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        curve.main([name])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_unknown_suffix_is_refused(tmp_path, capsys):
    log = write_log(tmp_path / "log.jsonl", (1,))
    with pytest.raises(SystemExit):
        curve.main([str(log), "--out", str(tmp_path / "curve.nothing")])
    assert "curve.nothing" in capsys.readouterr().err
