"""The classical finder: exact where it can be, honest where it finds nothing."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from benchmarks import classical
from quant.data.documents.corners import DocumentCorners
from quant.data.examples import Example
from quant.scoring.evaluation import Evaluation
from quant.scoring.metrics import best_cyclic_shift

QUAD = np.array([[61.3, 40.8], [250.6, 62.2], [228.4, 190.7], [40.2, 171.9]])
SHARP = 16  # how much larger a sheet is drawn before it is shrunk
# Pillow draws at whole px, so a side may be off by a sixteenth, the corner of two by 0.09; as much again for the fit.
CLOSE = 0.2


def sheet(quad, size=(320, 240), light=220, ground=70):
    """A plain sheet with its corners at ``quad``, in px whose centers are integers."""
    large = Image.new("L", (size[0] * SHARP, size[1] * SHARP), ground)
    ImageDraw.Draw(large).polygon([tuple(point) for point in (quad + 0.5) * SHARP - 0.5], fill=light)
    return np.asarray(large.resize(size, Image.Resampling.BOX).convert("RGB"))


def errors(found, true):
    shift = best_cyclic_shift(found, true, np.ones(4, bool))
    return np.linalg.norm(np.roll(found, shift, axis=0) - true, axis=1)


@pytest.mark.parametrize("levels", [{}, {"light": 90, "ground": 120}])
def test_a_plain_sheet_is_found_to_a_fraction_of_a_pixel(levels):
    rng = np.random.default_rng(0)
    for quad in QUAD + rng.uniform(-3, 3, (10, 4, 2)):
        assert errors(classical.find_quadrilateral(sheet(quad, **levels)), quad).max() < CLOSE


def test_corners_come_clockwise():
    found = classical.find_quadrilateral(sheet(QUAD))
    edge = np.roll(found, -1, axis=0)
    assert (found[:, 0] * edge[:, 1] - edge[:, 0] * found[:, 1]).sum() > 0  # clockwise, y downwards


def test_a_large_picture_is_searched_small_and_answered_large():
    found = classical.find_quadrilateral(sheet(QUAD * 4 + 1.5, (1280, 960)))
    assert errors(found, QUAD * 4 + 1.5).max() < CLOSE


def test_noise_costs_little():
    rng = np.random.default_rng(0)
    noisy = np.clip(sheet(QUAD) + rng.normal(0, 8, (240, 320, 3)), 0, 255).astype(np.uint8)
    assert errors(classical.find_quadrilateral(noisy), QUAD).max() < 0.5


def test_the_sheet_wins_over_what_is_printed_on_it():
    picture = np.minimum(sheet(QUAD), sheet(QUAD.mean(axis=0) + (QUAD - QUAD.mean(axis=0)) * 0.4, light=20, ground=255))
    assert errors(classical.find_quadrilateral(picture), QUAD).max() < 0.5


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_picture_has_none_and_is_answered_with_its_center(level):
    blank = np.full((120, 161, 3), level, np.uint8)
    assert classical.find_quadrilateral(blank) is None
    xy, conf = classical.predict(blank)
    assert xy.tolist() == [[80.0, 59.5]] * 4
    assert (conf.tolist(), conf.dtype) == ([0.0] * 4, np.float32)


def test_what_is_found_is_certain():
    xy, conf = classical.predict(sheet(QUAD))
    assert errors(xy, QUAD).max() < 0.5
    assert conf.tolist() == [1.0] * 4


def test_lost_pictures_are_those_without_an_answer_and_those_far_off():
    percent = np.array([[1, 2.9, np.nan, 0], [0, 0, 3.1, 0], [1, 1, 1, 1], [np.nan] * 4])
    conf = np.array([[1] * 4, [1] * 4, [0] * 4, [0] * 4], np.float32)
    visible, points = np.isfinite(percent), np.zeros((4, 4, 2))
    sizes, empty = np.full(4, 100.0), np.array([False, False, False, True])
    found = Evaluation("some", percent, sizes, sizes, points, conf, empty, points, visible)
    assert classical.lost(found) == (2, 3)


def test_the_command_prints_both_tables(monkeypatch, capsys):
    scenes = [
        Example(sheet(QUAD), QUAD, np.ones(4, bool), area=1e4),
        Example(sheet(QUAD, light=70), QUAD, np.ones(4, bool)),
    ]
    monkeypatch.setattr(DocumentCorners, "held_back", lambda self, count: iter(scenes[:count]))
    assert classical.main(["--count", "2"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0][:3] == ["model", "mean", "px"]
    assert rows[1][:2] == classical.NAME.split()
    assert rows[-1][2:5] == ["1", "1", "2"]
    assert rows[-1][-2:] == ["50.0", "50.0"]  # PCK: the four corners of one of two sheets
    with pytest.raises(SystemExit):
        classical.main(["--count", "0"])
    assert "--count 0: at least 1" in capsys.readouterr().err


def test_a_labeled_folder_is_scored_too(tmp_path, capsys):
    Image.fromarray(sheet(QUAD)).save(tmp_path / "sheet.png")
    rows = ["scorer" + ",me" * 8, "bodyparts,a,a,b,b,c,c,d,d", "coords" + ",x,y" * 4]
    values = ",".join(map(str, QUAD.ravel()))
    (tmp_path / "CollectedData.csv").write_text("\n".join([*rows, f"sheet.png,{values}"]))
    assert classical.main(["--data", str(tmp_path)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert float(rows[1][2]) < 0.5  # px: the corners come in the order of the labels
    assert rows[-1][2:5] == ["0", "0", "1"]


def test_a_side_follows_its_steeper_places():
    x = np.arange(20.0)
    points = np.c_[x, np.where(x < 8, -1.5, 0.0)]  # 8 places of 20 are off, all to one hand, and weak
    a, b, c = classical._line(points, np.where(x < 8, 1.0, 10.0))
    assert (a * x + b * 0 - c) == pytest.approx(np.zeros(20), abs=1e-6)
