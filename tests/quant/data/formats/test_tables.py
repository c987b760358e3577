"""Tables of keypoints as other programs write the same cells."""

import numpy as np
import pytest

from edgehrnet.errors import InputError
from quant.data.formats.projects import tables_of
from quant.data.formats.tables import read_table
from quant.data.remarks import Remarks

HEAD = [
    ["scorer", "me", "me", "me", "me"],
    ["bodyparts", "nose", "nose", "tail", "tail"],
    ["coords", "x", "y", "x", "y"],
]
ROWS = [["a.png", "1.5", "2.25", "-3", "4"], ["b.png", "5", "6", "", ""]]
POINTS = [[[1.5, 2.25], [-3, 4]], [[5, 6], [np.nan, np.nan]]]


def text(separator=",", end="\n", change=str):
    lines = [*HEAD, *([name, *map(change, cells)] for name, *cells in ROWS)]
    return "".join(separator.join(cells) + end for cells in lines)


def comma(cell):
    return cell.replace(".", ",")


@pytest.mark.parametrize(
    "content",
    [
        text(),
        text(end="\r\n"),
        text(end="\r"),
        "\ufeff" + text(),
        text(";"),
        text(";", change=comma),
        text("\t", "\r\n", comma),
        text(end=",\n"),
        text().replace("\n", "\n\n , , \n"),
        text(change=lambda cell: f' "{cell}"'.strip()),
        text(change=lambda cell: f"  {cell} "),
    ],
)
def test_the_same_cells_give_the_same_points(tmp_path, content):
    path = tmp_path / "labels.csv"
    path.write_text(content, encoding="utf-8", newline="")
    table = read_table(path, Remarks())
    assert table.keypoints == ("nose", "tail")
    assert [row.picture for row in table.rows] == ["a.png", "b.png"]
    assert np.array_equal(np.stack([row.points[0] for row in table.rows]), np.array(POINTS), equal_nan=True)
    assert tables_of(path) == [path]


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (text(change=comma).replace("1,5", '"1,5"'), "line 4"),
        (text().replace("-3,4", "-3"), "line 4 has 3 cells"),
        (text().replace("-3,4", "-3,4,7"), "line 4 has 5 cells"),
        (text().replace("tail", "nose"), "'x' of 'nose'"),
        (text(";").replace("1.5", "1,5,5"), "'1,5,5'"),
        ("", "labels.csv"),
        ("\n \n", "labels.csv"),
        (text().split("coords")[0], "labels.csv"),
        ("x" * 200_000, "labels.csv"),
    ],
)
def test_other_cells_are_named(tmp_path, content, value):
    path = tmp_path / "labels.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=value):
        read_table(path, Remarks())


@pytest.mark.parametrize("data", [text().encode("utf-16"), "n\u00e9".encode("latin-1"), bytes(range(256))])
def test_other_encodings_are_refused(tmp_path, data):
    path = tmp_path / "labels.csv"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"labels\.csv"):
        read_table(path, Remarks())
