"""Classical document detection: exact on plain sheets, and explicit if it finds nothing."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from benchmarks import classical
from quant.data.documents.corners import DocumentCorners
from quant.data.examples import Example
from quant.scoring.evaluation import Evaluation
from quant.scoring.metrics import best_cyclic_shift

QUAD = np.array([[61.3, 40.8], [250.6, 62.2], [228.4, 190.7], [40.2, 171.9]])
SHARP = 16  # a sheet is drawn this many times larger and then shrunk
# Pillow draws at integer px, so a side may be off by 1/16 px and a corner by 0.09 px. Twice that allows for the fit.
CLOSE = 0.2


def sheet(quad, size=(320, 240), light=220, ground=70):
    """Draw a plain sheet with its corners at ``quad``, in px with pixel centers at integers."""
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


def test_corners_are_clockwise():
    found = classical.find_quadrilateral(sheet(QUAD))
    assert found is not None
    edge = np.roll(found, -1, axis=0)
    assert (found[:, 0] * edge[:, 1] - edge[:, 0] * found[:, 1]).sum() > 0  # clockwise with y down


def test_corners_of_a_large_picture_are_in_its_own_pixels():
    found = classical.find_quadrilateral(sheet(QUAD * 4 + 1.5, (1280, 960)))
    assert errors(found, QUAD * 4 + 1.5).max() < CLOSE


def test_noise_changes_corners_by_less_than_half_a_pixel():
    rng = np.random.default_rng(0)
    noisy = np.clip(sheet(QUAD) + rng.normal(0, 8, (240, 320, 3)), 0, 255).astype(np.uint8)
    assert errors(classical.find_quadrilateral(noisy), QUAD).max() < 0.5


def test_the_sheet_is_preferred_to_a_rectangle_printed_on_it():
    picture = np.minimum(sheet(QUAD), sheet(QUAD.mean(axis=0) + (QUAD - QUAD.mean(axis=0)) * 0.4, light=20, ground=255))
    assert errors(classical.find_quadrilateral(picture), QUAD).max() < 0.5


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_picture_gives_its_center_without_confidence(level):
    blank = np.full((120, 161, 3), level, np.uint8)
    assert classical.find_quadrilateral(blank) is None
    xy, conf = classical.predict(blank)
    assert xy.tolist() == [[80.0, 59.5]] * 4
    assert conf.dtype == np.float32
    assert conf.tolist() == [0.0] * 4


def test_a_found_sheet_has_full_confidence():
    xy, conf = classical.predict(sheet(QUAD))
    assert errors(xy, QUAD).max() < 0.5
    assert conf.tolist() == [1.0] * 4


def test_pictures_are_lost_if_nothing_is_found_or_a_corner_is_far_off():
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
    monkeypatch.setattr(DocumentCorners, "validation", lambda self, count: iter(scenes[:count]))
    assert classical.main(["--count", "2"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0][:3] == ["model", "mean", "px"]
    assert rows[1][:2] == classical.NAME.split()
    assert rows[-1][2:5] == ["1", "1", "2"]
    assert rows[-1][-2:] == ["50.0", "50.0"]  # PCK: the four corners of one of the two sheets
    with pytest.raises(SystemExit):
        classical.main(["--count", "0"])
    assert "--count 0" in capsys.readouterr().err


def test_a_labeled_folder_is_scored_too(tmp_path, capsys):
    Image.fromarray(sheet(QUAD)).save(tmp_path / "sheet.png")
    header = ["scorer" + ",me" * 8, "bodyparts,a,a,b,b,c,c,d,d", "coords" + ",x,y" * 4]
    values = ",".join(map(str, QUAD.ravel()))
    (tmp_path / "CollectedData.csv").write_text("\n".join([*header, f"sheet.png,{values}"]))
    assert classical.main(["--data", str(tmp_path)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert float(rows[1][2]) < 0.5  # px; the corners have the order of the labels
    assert rows[-1][2:5] == ["0", "0", "1"]


def test_a_fitted_line_follows_the_steeper_points():
    x = np.arange(20.0)
    points = np.c_[x, np.where(x < 8, -1.5, 0.0)]  # 8 of 20 points are off to one side, and weak
    a, b, c = classical._line(points, np.where(x < 8, 1.0, 10.0))
    assert (a * x + b * 0 - c) == pytest.approx(np.zeros(20), abs=1e-6)
