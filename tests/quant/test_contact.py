"""The contact sheet: the order of its pictures, the marks of keypoints, and the arguments it refuses."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgehrnet.drawing.overlay import PALETTE
from edgehrnet.errors import InputError
from edgehrnet.spec import ModelSpec
from quant import contact
from quant.data.examples import Example
from quant.reporting.contact_sheet import BACKGROUND, LINE, contact_sheet


class Flat:
    """Gray pictures with a level for each index, one visible keypoint, and one hidden keypoint."""

    spec = ModelSpec("flat", ("a", "b"), skeleton=((0, 1),))

    def training(self, seed: int, number: int) -> Example:
        image = np.full((60, 120, 3), 100 + number, np.uint8)
        return Example(image, np.array([[59.5, 29.5], [20.0, 10.0]]), np.array([True, False]))


FLAT: Any = Flat()


class Boxes:
    """A gray picture whose right half is brighter, with a box of 30 x 40 px in that half."""

    spec = ModelSpec("boxes", ("a",), crop="hrnet", input_size=(64, 64))

    def training(self, seed: int, number: int) -> Example:
        image = np.full((60, 120, 3), 50, np.uint8)
        image[:, 60:] = 150
        return Example(image, np.array([[95.0, 30.0]]), np.array([True]), box=(80.0, 10.0, 30.0, 40.0))


BOXES: Any = Boxes()


def pixels(sheet: Image.Image) -> np.ndarray:
    return np.asarray(sheet).astype(int)


def test_data_for_crops_are_shown_as_crops():
    picture = pixels(contact_sheet(BOXES, 1, cell=64))[4:-4, 4:-4]
    assert (picture[8:-8, 8:-8].max(axis=-1) != 50).all()  # the left half is not in the crop
    color = pixels(contact_sheet(BOXES, 1, cell=64))[4 + 32, 4 + 32].tolist()
    assert color == list(PALETTE[0])  # the center of the box is that of the crop


def test_the_crops_have_the_input_size_of_a_given_spec():
    wide = contact_sheet(BOXES, 1, cell=64, spec=BOXES.spec.replace(input_size=(32, 64)))
    assert (pixels(wide)[:20] == BACKGROUND[0]).all()


def test_pictures_are_in_reading_order_from_the_start():
    sheet = contact_sheet(FLAT, 5, start=7, cell=60)
    assert sheet.size == (3 * 64 + 4, 2 * 64 + 4)
    levels = [pixels(sheet)[4 + row * 64 + 20, 4 + column * 64 + 3, 0] for row in range(2) for column in range(3)]
    assert levels == [107, 108, 109, 110, 111, BACKGROUND[0]]


def test_visible_keypoints_are_marked_and_hidden_ones_are_not():
    # 120x60 px shrunk to 60x30 and centered in a cell of 60: a point at the middle stays at the middle.
    sheet = pixels(contact_sheet(FLAT, 1, cell=60))
    marked = np.argwhere((sheet == PALETTE[0]).all(axis=2))
    np.testing.assert_allclose(marked.mean(axis=0), [4 + 15 + 15, 4 + 30], atol=0.5)
    assert not (sheet == PALETTE[1]).all(axis=2).any()
    assert not (sheet == LINE).all(axis=2).any()  # no line to a hidden point


def test_the_command_writes_a_sheet_of_synthetic_documents(tmp_path, capsys):
    assert contact.main(["--out", str(tmp_path / "sheet.png"), "--count", "4", "--cell", "80"]) == 0
    assert "sheet.png: 4 pictures of synthetic:document-corners, 172x172 px" in capsys.readouterr().out
    assert pixels(Image.open(tmp_path / "sheet.png")).std() > 20


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["--count", "0"], "count=0"), (["--data", "nothing"], "nothing"), (["--cell", "0"], "cell=0")],
)
def test_bad_arguments_are_refused(tmp_path, capsys, arguments, named):
    with pytest.raises(SystemExit):
        contact.main(["--out", str(tmp_path / "sheet.png"), *arguments])
    assert named in capsys.readouterr().err


def test_an_unknown_suffix_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        contact.main(["--out", str(tmp_path / "sheet.nothing"), "--count", "1"])
    assert "sheet.nothing" in capsys.readouterr().err


def test_a_negative_count_is_refused():
    with pytest.raises(InputError, match="count=-1"):
        contact_sheet(FLAT, -1)
