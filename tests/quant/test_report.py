"""The report page: it needs no other file, shows the right pictures with the right marks, and refuses bad input."""

import base64
import io
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from edgehrnet.models import create
from edgehrnet.models.checkpoints import save_checkpoint
from edgehrnet.spec import ModelSpec
from quant import report
from quant.data.examples import Example
from quant.reporting import model_report
from quant.scoring.evaluation import evaluate
from quant.scoring.model import OpenModel, open_model

SQUARE = np.array([[10.0, 10], [70, 10], [70, 50], [10, 50]])
SIZE = (60, 80)  # the diagonal is 100 px, so that px equal percent
NAMES = ("a", "b", "c", "<d>")
TILE = r"<div><b>([^<]+)</b><span>([^<]+)</span></div>"
VOID = {"meta", "img", "source", "br"}


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


def test_the_page_shows_the_pictures_with_their_scores(tmp_path):
    order = [3, 0, 14, 7, 1, 9, 2, 11, 5, 13, 4, 12, 8, 6, 10]
    text = page(tmp_path, [example(level, conditions=frozenset({f"c{level}"})) for level in order], cyclic=True)
    shown = [order[index] for index in indices(text)]
    assert shown == [14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 0, 1, 2, 3, 4]
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
    sigmas = {"oks_sigmas": (0.05,) * 4}
    data: Any = Fixed(examples, **sigmas)
    found = evaluate("stored", model(tmp_path, data.spec).predict, data).summary()
    tiles = {label: value for value, label in re.findall(TILE, page(tmp_path, examples, **sigmas))}
    assert tiles["of keypoints within 3 %"] == f"{found['pck3']:.1f} %" == "50.0 %"
    assert tiles["median error"] == f"{found['median_px']:.2f} px" == "3.50 px"
    assert tiles["OKS AP"] == f"{found['oks_ap']:.3f}"
    assert "OKS AP" not in page(tmp_path, examples)  # without sigmas
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
    names = re.findall(r"<tr><th>([^<]*)</th><td", text)  # the rows of keypoints have other heads
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


def test_the_keypoints_have_a_chart_and_a_table(tmp_path):
    text = page(tmp_path, [example(3, visible=np.array([True, True, True, False])), example(4)])
    assert text.count('alt="Errors of each keypoint"') == 1
    rows = re.findall(r'<tr[^>]*><th scope="row">([^<]*)</th>(<td.*?)</tr>', text)
    assert [name for name, _ in rows] == ["a", "b", "c", "&lt;d&gt;"]
    cells = [re.findall(r">([^<>]+)<", row) for _, row in rows]
    assert cells[0] == ["2", "3.50", "3.50", "3.95", "3.50", "picture 1"]
    assert cells[3] == ["1", "4.00", "4.00", "4.00", "4.00", "picture 1"]
    assert re.findall(r'<tr class="worst"><th scope="row">([^<]*)<', text) == ["&lt;d&gt;"]


def test_pictures_are_named_by_their_files(tmp_path):
    text = page(tmp_path, [example(3, path=tmp_path / "<first>.png"), example(4, path=tmp_path / "second.png")])
    assert re.findall(r"<em>([^<]*)</em>", text) == ["second.png", "&lt;first&gt;.png"]
    assert "trained" not in visible_text(text)


def visible_text(text):
    """Return a page without its style sheet."""
    return text.partition("</style>")[2]


def test_a_card_of_a_model_for_crops_shows_the_crop(tmp_path):
    """The points keep their place in the crop, which fills an input of 96x64 px."""
    box = (30.0, 20.0, 24.0, 16.0)  # grown by 1.25 to 30x20 px, around (42, 28): 3.2 px of the input for each
    text = page(tmp_path, [example(5, box=box, path=tmp_path / "a.png")] * 2, crop="hrnet")
    card = text[text.index('class="card"') :]
    assert '<svg viewBox="0 0 96 64">' in card
    assert "--shape: 96 / 64" in text
    first = (SQUARE[0] - (42, 28)) * 3.2 + (48, 32) + 0.5
    assert f'<circle class="true" cx="{first[0]:.1f}" cy="{first[1]:.1f}"' in card
    assert "<em>a.png, instance 1</em>" in card
    assert "size %" in text
    assert "2 boxes in 1 picture, 8 keypoints" in text
    jpeg = re.search(r"data:image/jpeg;base64,([^\"]+)", card)
    assert jpeg is not None
    with Image.open(io.BytesIO(base64.b64decode(jpeg[1]))) as picture:
        assert picture.size == (96, 64)


def test_the_page_tells_which_pictures_were_trained_on(tmp_path):
    torch.manual_seed(0)
    names = [f"{number}.png" for number in range(4)]
    head = "scorer,me,me\nbodyparts,a,a\ncoords,x,y\n"
    (tmp_path / "CollectedData.csv").write_text(head + "".join(f"{name},10,20\n" for name in names))
    for name in names:
        Image.new("RGB", (40, 30)).save(tmp_path / name)
    spec = ModelSpec("points", ("a",), input_size=(32, 32))
    state, settings = create("edgehrnet18", keypoints=1).state_dict(), {"data": str(tmp_path), "fold": [1, 2]}
    path = tmp_path / "model.pt"
    save_checkpoint(path, "edgehrnet18", {"keypoints": 1}, state, spec.to_dict(), {"settings": settings})
    out = tmp_path / "page.html"
    assert report.main([str(path), "--data", str(tmp_path), "--out", str(out)]) == 0
    text = out.read_text()
    assert "on 2 of these 4 " in text
    cards = re.findall(r"<em>([^<]*)</em>(.*?)</figcaption>", text, re.DOTALL)
    assert sorted(name for name, rest in cards if "trained on" in rest) == ["0.png", "2.png"]


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
