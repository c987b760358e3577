"""The report page: it needs no other file, shows the right pictures with the right marks, and refuses bad input."""

import base64
import re
from functools import partial
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import torch

from edgehrnet.models import create
from edgehrnet.models.checkpoints import save_checkpoint
from edgehrnet.spec import ModelSpec
from quant import report
from quant.data.examples import Example
from quant.reporting import model_report
from quant.reporting.report_charts import (
    DARK,
    LIGHT,
    both,
    error_histogram,
    pck_curve,
    presence_histogram,
    reliability_curve,
)
from quant.scoring.evaluation import Evaluation, evaluate
from quant.scoring.metrics import Bin
from quant.scoring.model import OpenModel, open_model

SQUARE = np.array([[10.0, 10], [70, 10], [70, 50], [10, 50]])
SIZE = (60, 80)  # the diagonal is 100 px, so that px equal percent
NAMES = ("a", "b", "c", "<d>")
VOID = {"meta", "img", "source"}


class Fixed:
    """A data set of given examples."""

    def __init__(self, examples, **spec):
        self.examples = examples
        self.spec = ModelSpec("fixed", NAMES, **spec)

    def validation(self, count=None):
        yield from self.examples[:count]


class Balance(HTMLParser):
    """A parser that fails where a closing tag does not match the last open one."""

    def __init__(self, text):
        super().__init__()
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def example(number, **rest):
    """A picture whose gray level is its number."""
    fields = {"points": SQUARE, "visible": np.ones(4, bool), "area": 2400.0, **rest}
    return Example(np.full((*SIZE, 3), number, np.uint8), **fields)


def model(tmp_path, spec):
    """A model whose keypoints are off to the right by the picture's gray level, in px."""

    def observe(image, _box=None):
        return SQUARE + np.array([image[0, 0, 0], 0]), np.full(4, 0.5, np.float32), np.zeros((4, 16, 24), np.float32)

    path = tmp_path / "stored.onnx"
    path.write_bytes(bytes(2_500_000))
    info: dict[str, Any] = {"file": str(path), "engine": "none", "version": "1", "device": "<cpu>", "certificate": None}
    unused: Any = None
    return OpenModel("stored", spec.replace(input_size=(64, 96)), observe, unused, lambda: info)


def page(tmp_path, examples, **spec):
    data: Any = Fixed(examples, **spec)
    text = model_report.make_report(model(tmp_path, data.spec), data)
    Balance(text)
    return text


def indices(text):
    """Indices of the pictures on a page, in its order."""
    return [int(index) for index in re.findall(r"<em>picture (\d+)</em>", text)]


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
    worst, best = model_report.extremes(found)
    assert worst[:3] == [0, 3, 2]
    assert worst[3:] == list(range(23, 14, -1))
    assert best == [4, 5, 6, 7, 8, 9]


def test_no_picture_is_in_both_lists():
    assert model_report.extremes(evaluation([[1.0], [2.0]])) == ([1, 0], [])
    worst, best = model_report.extremes(evaluation([[float(n)] for n in range(14)]))
    assert (worst, best) == (list(range(13, 1, -1)), [0, 1])
    assert model_report.extremes(evaluation([[np.nan]])) == ([], [])


def test_the_page_shows_the_pictures_with_their_scores(tmp_path):
    order = [3, 0, 14, 7, 1, 9, 2, 11, 5, 13, 4, 12, 8, 6, 10]
    text = page(tmp_path, [example(level, conditions=frozenset({f"c{level}"})) for level in order], cyclic=True)
    shown = [order[index] for index in indices(text)]
    assert shown == [14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 0, 1, 2]
    assert [f"<b>{level:.2f} %</b>" in text for level in shown] == [True] * 15
    assert text.count("<span>c14</span>") == 1
    assert text.count("data:image/jpeg;base64,") == 30


def test_a_card_shows_its_own_picture_and_marks(tmp_path):
    text = page(tmp_path, [example(0), example(40)], cyclic=True)
    card = text[text.index('class="card"') :]
    assert indices(card)[0] == 1
    # Pixel centers are integers, SVG counts from a pixel's corner: half a pixel more.
    assert '<polygon class="found" points="50.5,10.5 110.5,10.5 110.5,50.5 50.5,50.5"/>' in card
    assert '<polygon class="true" points="10.5,10.5 70.5,10.5 70.5,50.5 10.5,50.5"/>' in card
    assert '<line class="miss" x1="50.5" y1="10.5" x2="10.5" y2="10.5"/>' in card
    assert "&lt;d&gt;, confidence 0.50" in card


def test_keypoints_without_an_outline_are_drawn_as_points(tmp_path):
    text = page(tmp_path, [example(5, visible=np.array([True, True, True, False]))])
    assert "<polygon" not in text
    assert text.count('<circle class="found"') == 4
    assert text.count('<circle class="true"') == text.count('<line class="miss"') == 3


def test_the_page_is_one_file_without_scripts(tmp_path):
    text = page(tmp_path, [example(5)])
    assert set(re.findall(r"(?:href|src|srcset)=['\"]([^'\"]{5})", text)) == {"data:"}
    assert "<script" not in text
    assert "url(" not in text
    assert "@import" not in text
    assert "&lt;cpu&gt;" in text
    assert "2.5 MB" in text


def test_the_tiles_show_the_scores_of_the_evaluation(tmp_path):
    examples = [example(3), example(4)]
    data: Any = Fixed(examples)
    found = evaluate("stored", model(tmp_path, data.spec).predict, data).summary()
    tiles = {
        label: value
        for value, label in re.findall(r"<div><b>([^<]+)</b><span>([^<]+)</span></div>", page(tmp_path, examples))
    }
    assert tiles["of keypoints within 3 %"] == f"{found['pck3']:.1f} %" == "50.0 %"
    assert tiles["median error"] == f"{found['median_px']:.2f} px" == "3.50 px"
    assert tiles["OKS AP"] == f"{found['oks_ap']:.3f}"
    assert tiles["calibration error"] == f"{found['ece']:.3f}" == "0.500"


def test_conditions_come_hardest_first_and_those_without_a_score_last(tmp_path):
    blank = np.zeros(4, bool)
    text = page(
        tmp_path,
        [
            example(0, conditions=frozenset({"easy", "half"})),
            example(9, conditions=frozenset({"hard", "half"})),
            example(1, visible=blank, empty=True, conditions=frozenset({"<empty>"})),
        ],
    )
    names = re.findall(r"<tr><th>([^<]*)</th><td", text)
    assert names == ["all pictures", "hard", "half", "easy", "&lt;empty&gt;"]
    rows = dict(re.findall(r"<tr><th>([^<]*)</th>(<td.*?)</tr>", text))
    assert re.findall(r">([^<>]+)<", rows["half"]) == ["2", "50.0", "50.0", "4.50", "4.50", "9.00"]
    assert "--share:0.500" in rows["half"]
    assert "nan" not in rows["&lt;empty&gt;"]
    assert "<h3>Presence</h3>" in text


def test_sections_without_content_are_left_out(tmp_path):
    text = page(tmp_path, [example(5)])
    assert "<h2>Conditions</h2>" not in text
    assert "<h3>Presence</h3>" not in text
    assert "AUROC" not in text
    assert "<h2>Best pictures</h2>" not in text
    nothing = page(tmp_path, [example(5, visible=np.zeros(4, bool), empty=True)])
    assert "<h2>Worst pictures</h2>" not in nothing
    assert "None" not in nothing


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


def test_the_command_writes_a_page_about_the_shipped_model(tmp_path, capsys):
    out = tmp_path / "page.html"
    assert report.main(["document-corners", "--count", "2", "--out", str(out)]) == 0
    text = out.read_text()
    Balance(text)
    assert capsys.readouterr().out == f"{out}: {out.stat().st_size / 1e6:.1f} MB\n"
    assert "<h1>document-corners on document-corners</h1>" in text
    assert "126 of 129 convolutions" in text
    assert "int8" in text


def test_the_facts_of_a_checkpoint_name_torch(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "random.pt"
    spec = ModelSpec("corners", NAMES, input_size=(64, 96))
    state = create("edgehrnet18", keypoints=4).state_dict()
    save_checkpoint(path, "edgehrnet18", {"keypoints": 4}, state, spec.to_dict(), {})
    with open_model(str(path)) as opened:
        known = model_report.facts(opened)
        _, _, heatmaps = opened.observe(np.zeros((*SIZE, 3), np.uint8))
    assert known["engine"] == f"torch {torch.__version__} on cpu"
    assert known["size"] == f"{path.stat().st_size / 1e6:.1f} MB"
    assert "certificate" not in known
    assert heatmaps.shape == (4, 16, 24)


def test_the_certificate_of_a_float_file_names_no_integers():
    values = {"drift_mean_px": 0.5, "convolutions_expected": 0, "convolutions": 3, "convolutions_int8": 0}
    assert model_report._certified(values) == "keypoints on average 0.500 px from the float network's"
    assert "0.000" not in model_report._certified({**values, "drift_mean_px": None})


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["document-corners", "--count", "0"], "--count 0"),
        (["document-corners", "--out", "no/such/page.html"], "no/such"),
        (["document-corners", "--data", "nowhere"], "nowhere"),
        (["document-corner"], "document-corners"),
    ],
)
def test_bad_input_gives_one_line_that_names_it(arguments, named, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        report.main(arguments)
    assert stop.value.code == 2
    text = capsys.readouterr().err
    assert text.startswith("error: ")
    assert text.count("\n") == 1
    assert named in text
    assert not list(tmp_path.iterdir())
