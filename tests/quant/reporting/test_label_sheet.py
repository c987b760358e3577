"""The sheet of labels: how many instances it shows, its legend, and the mark on the strangest keypoint."""

import csv

import numpy as np
import pytest
from PIL import Image

from edgehrnet.drawing.overlay import PALETTE
from quant.data.opening import open_annotations
from quant.reporting.label_sheet import CAPTION, CELL, COLUMNS, GAP, HEADING, LINE_HEIGHT, RING, label_sheet


def labels(folder, pictures, names=("a", "b", "c"), odd=None):
    """Write black pictures with keypoints on a diagonal, in picture ``odd`` with the last one elsewhere."""
    rows = [["scorer"], ["bodyparts"], ["coords"]]
    for k, name in enumerate(names):
        rows[0] += ["m", "m"]
        rows[1] += [name, name]
        rows[2] += ["x", "y"]
        for index in range(pictures):
            if k == 0:
                Image.fromarray(np.zeros((90, 90, 3), np.uint8)).save(folder / f"{index}.png")
                rows.append([f"{index}.png"])
            away = 25 if index == odd and k == len(names) - 1 else 0
            rows[3 + index] += [str(20 + 20 * k + index % 3), str(20 + 20 * k - away + index % 2)]
    with (folder / "CollectedData.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return open_annotations(str(folder))


def colors_of(picture):
    return {tuple(color) for color in np.asarray(picture).reshape(-1, 3).tolist()}


@pytest.mark.parametrize(("pictures", "rows"), [(3, 1), (9, 2), (30, 2)])
def test_both_parts_have_at_most_two_rows(tmp_path, pictures, rows):
    sheet = label_sheet(labels(tmp_path, pictures))
    part = HEADING + rows * (CELL + CAPTION + GAP)
    assert sheet.size == (COLUMNS * (CELL + GAP) + GAP, GAP + LINE_HEIGHT + 2 * part + GAP)


def test_the_legend_has_the_color_of_each_keypoint(tmp_path):
    sheet = label_sheet(labels(tmp_path, 2))
    assert set(PALETTE[:3]) <= colors_of(sheet.crop((0, 0, sheet.width, GAP + LINE_HEIGHT)))


def test_a_long_legend_has_several_lines(tmp_path):
    names = [f"a keypoint with a long name {k}" for k in range(12)]
    (tmp_path / "short").mkdir()
    short = label_sheet(labels(tmp_path / "short", 2, names=[f"{k}" for k in range(12)]))
    sheet = label_sheet(labels(tmp_path, 2, names=names))
    assert sheet.height == short.height + LINE_HEIGHT


def test_the_strangest_instance_comes_first_with_a_ring(tmp_path):
    sheet = label_sheet(labels(tmp_path, 8, odd=5))
    middle = GAP + LINE_HEIGHT + HEADING + CELL + CAPTION + GAP
    assert RING not in colors_of(sheet.crop((0, 0, sheet.width, middle)))
    first = sheet.crop((GAP, middle + HEADING, GAP + CELL, middle + HEADING + CELL))
    at = np.argwhere((np.asarray(first) == RING).all(axis=-1))
    assert len(at) > 20
