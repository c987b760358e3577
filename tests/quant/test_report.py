"""The page: that it stands alone, shows the right pictures, marks the right places, and refuses what it must."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from edgehrnet.models import create
from edgehrnet.models.checkpoints import save_checkpoint
from edgehrnet.spec import ModelSpec
from quant import report
from quant.data.examples import Example
from quant.reporting.report_charts import LEFT, WIDTH, Axis, Chart, error_histogram, pck_curve, reliability_curve
from quant.scoring.evaluation import Evaluation
from quant.scoring.metrics import Bin
from quant.scoring.model import OpenModel, open_model

SQUARE = np.array([[10.0, 10], [70, 10], [70, 50], [10, 50]])
SIZE = (60, 80)  # a diagonal of 100 px, so that px are percent
NAMES = ("a", "b", "c", "<d>")
VOID = {"meta", "image", "line", "rect", "polyline", "polygon"}


class Fixed:
    """A data set of given examples."""

    def __init__(self, examples, **spec):
        self.examples = examples
        self.spec = ModelSpec("fixed", NAMES, **spec)

    def held_back(self, count=None):
        yield from self.examples[:count]


class Balance(HTMLParser):
    """Raises where a tag is closed that is not the one open."""

    def __init__(self, text):
        super().__init__()
        self.open = []
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
    """A model that is as many px off as the picture's gray level, to the right."""

    def observe(image, _box=None):
        return SQUARE + np.array([image[0, 0, 0], 0]), np.full(4, 0.5, np.float32), np.zeros((4, 16, 24), np.float32)

    path = tmp_path / "stored.onnx"
    path.write_bytes(bytes(2_500_000))
    info = {"file": str(path), "engine": "none", "version": "1", "device": "<cpu>", "certificate": None}
    return OpenModel("stored", spec.replace(input_size=(64, 96)), observe, None, lambda: info)


def page(tmp_path, examples, **spec):
    data = Fixed(examples, **spec)
    text = report.make_report(model(tmp_path, data.spec), data)
    Balance(text)
    return text


def numbers(text):
    return [int(number) for number in re.findall(r"<em>picture (\d+)</em>", text)]


def evaluation(percent):
    """An Evaluation of pictures 100 px across with these errors ``(N, K)``, of which only the errors matter."""
    errors = np.array(percent, np.float64)
    n, k = errors.shape
    points, visible = np.zeros((n, k, 2)), np.isfinite(errors)
    diagonals, empty = np.full(n, 100.0), np.zeros(n, bool)
    return Evaluation("e", errors, diagonals, diagonals, points, np.ones((n, k), np.float32), empty, points, visible)


def test_extremes_go_by_the_worst_keypoint():
    nan = np.nan
    found = evaluation([[1, 9], [nan, nan], [5, 5], [nan, 7], *([[0, 2 + n / 100] for n in range(20)])])
    worst, best = report.extremes(found)
    assert worst[:3] == [0, 3, 2]
    assert worst[3:] == list(range(23, 14, -1))
    assert best == [4, 5, 6, 7, 8, 9]


def test_no_picture_is_among_the_worst_and_the_best():
    assert report.extremes(evaluation([[1.0], [2.0]])) == ([1, 0], [])
    worst, best = report.extremes(evaluation([[float(n)] for n in range(14)]))
    assert (worst, best) == (list(range(13, 1, -1)), [0, 1])
    assert report.extremes(evaluation([[np.nan]])) == ([], [])


def test_the_page_shows_the_pictures_with_their_scores(tmp_path):
    order = [3, 0, 14, 7, 1, 9, 2, 11, 5, 13, 4, 12, 8, 6, 10]
    text = page(tmp_path, [example(level, conditions=frozenset({f"c{level}"})) for level in order], cyclic=True)
    shown = [order[number] for number in numbers(text)]
    assert shown == [14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 0, 1, 2]
    assert [f"<b>{level:.2f} %</b>" in text for level in shown] == [True] * 15
    assert text.count("<span>c14</span>") == 1
    assert text.count("data:image/jpeg;base64,") == 30


def test_a_card_shows_its_own_picture_and_marks(tmp_path):
    text = page(tmp_path, [example(0), example(40)], cyclic=True)
    card = text[text.index("class='card'") :]
    assert numbers(card)[0] == 1
    # Pixel centers are integers, SVG counts from a pixel's corner: half a pixel more.
    assert "<polygon class='found' points='50.5,10.5 110.5,10.5 110.5,50.5 50.5,50.5'/>" in card
    assert "<polygon class='true' points='10.5,10.5 70.5,10.5 70.5,50.5 10.5,50.5'/>" in card
    assert "<polygon class='miss' points='50.5,10.5 10.5,10.5'/>" in card
    assert "&lt;d&gt;, confidence 0.50" in card


def test_points_that_are_no_outline_are_drawn_as_points(tmp_path):
    text = page(tmp_path, [example(5, visible=np.array([True, True, True, False]))])
    assert "<polygon class='found'" not in text
    assert "<polygon class='true'" not in text
    assert text.count("<circle class='found'") == 4
    assert text.count("<circle class='true'") == text.count("<polygon class='miss'") == 3


def test_the_page_needs_nothing_else(tmp_path):
    text = page(tmp_path, [example(5)])
    assert set(re.findall(r"(?:href|src)=['\"]([^'\"]{5})", text)) == {"data:"}
    assert "<script" not in text
    assert "url(" not in text
    assert "@import" not in text
    assert "&lt;cpu&gt;" in text
    assert "2.5 MB" in text


def test_conditions_come_hardest_first_and_unscored_ones_last(tmp_path):
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
    assert "width:50.0%" in rows["half"]
    assert "nan" not in rows["&lt;empty&gt;"]
    assert "<h3>Presence</h3>" in text


def test_parts_without_anything_to_say_are_left_out(tmp_path):
    text = page(tmp_path, [example(5)])
    assert "<h2>Conditions</h2>" not in text
    assert "<h3>Presence</h3>" not in text
    assert "AUROC" not in text
    assert "<h2>Best pictures</h2>" not in text
    nothing = page(tmp_path, [example(5, visible=np.zeros(4, bool), empty=True)])
    assert "<h2>Worst pictures</h2>" not in nothing
    assert "None" not in nothing


def test_charts_put_values_where_their_axes_say():
    chart = Chart(Axis("x", 1, 100, (1, 10, 100), log=True), Axis("y", 0, 4, (0, 4)))
    (a, b), (c, d), (e, f) = chart.places([1, 10, 1000], [0, 2, 4])
    assert a == LEFT
    assert c == pytest.approx((a + e) / 2)
    assert d == pytest.approx((b + f) / 2)
    assert f < b
    assert e < WIDTH
    assert chart.bars([1, 10, 100], [0, 4], "bar").count("<rect") == 1  # a bar of nothing is none
    assert "&lt;" in chart.mark(10, "<")


def test_curves_draw_the_scores():
    percent = np.array([[0.001, 0.5], [3.0, np.nan]])
    assert error_histogram(percent).count("<rect") == 3
    points = re.search(r'class="curve" points="([^"]*)"', pck_curve(percent))[1].split()
    heights = [float(point.split(",")[1]) for point in points]
    low, third, two_thirds, all_of_them = heights[0], heights[10], heights[30], heights[-1]
    assert low > third > two_thirds > all_of_them
    assert low - third == pytest.approx(two_thirds - all_of_them, abs=0.11)  # printed to 0.1
    dots = reliability_curve([Bin(0.2, 0.0, 9), Bin(0.9, 1.0, 8)])
    assert dots.count("<circle") == 2
    assert "8 keypoints: confidence 0.900, 100.0% correct" in dots


@pytest.mark.parametrize("charted", [error_histogram, pck_curve])
def test_curves_of_nothing_are_empty_charts(charted):
    assert "nan" not in charted(np.full((2, 4), np.nan))


def test_the_command_writes_a_page_about_the_shipped_model(tmp_path, capsys):
    out = tmp_path / "page.html"
    assert report.main(["document-corners", "--count", "3", "--out", str(out)]) == 0
    text = out.read_text()
    Balance(text)
    assert capsys.readouterr().out == f"{out}: {out.stat().st_size / 1e6:.1f} MB\n"
    assert "<h1>document-corners on document-corners</h1>" in text
    assert "126 of 129 convolutions" in text
    assert "int8" in text


def test_a_checkpoint_says_what_runs_it(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "random.pt"
    spec = ModelSpec("corners", NAMES, input_size=(64, 96))
    state = create("edgehrnet18", keypoints=4).state_dict()
    save_checkpoint(path, "edgehrnet18", {"keypoints": 4}, state, spec.to_dict(), {})
    with open_model(str(path)) as opened:
        known = report.facts(opened)
        _, _, heatmaps = opened.observe(np.zeros((*SIZE, 3), np.uint8))
    assert known["engine"] == f"torch {torch.__version__} on cpu"
    assert known["size"] == f"{path.stat().st_size / 1e6:.1f} MB"
    assert "certificate" not in known
    assert heatmaps.shape == (4, 16, 24)


def test_a_float_file_is_certified_without_integers():
    values = {"drift_mean_px": 0.5, "convolutions_expected": 0, "convolutions": 3, "convolutions_int8": 0}
    assert report._certified(values) == "keypoints 0.500 px from the float network's on average"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["document-corners", "--count", "0"], "--count 0: at least 1"),
        (["document-corners", "--out", "no/such/page.html"], "no folder no/such"),
        (["document-corners", "--data", "nowhere"], "no data set 'nowhere'"),
        (["document-corner"], "did you mean 'document-corners'"),
    ],
)
def test_bad_input_ends_with_one_line(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        report.main(arguments)
    assert stop.value.code == 2
    text = capsys.readouterr().err
    assert text.startswith("error: ")
    assert text.count("\n") == 1
    assert said in text
    assert not list(tmp_path.iterdir())
