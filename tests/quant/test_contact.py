"""The contact sheet: every picture in its place, keypoints where they are, bad arguments refused."""

import numpy as np
import pytest
from PIL import Image

from edgehrnet.drawing.overlay import PALETTE
from edgehrnet.errors import InputError
from edgehrnet.spec import ModelSpec
from quant import contact
from quant.data.examples import Example


class Flat:
    """Gray pictures, each number a level of its own, with one keypoint that is seen and one that is not."""

    spec = ModelSpec("flat", ("a", "b"), skeleton=((0, 1),))

    def training(self, seed: int, number: int) -> Example:
        image = np.full((60, 120, 3), 100 + number, np.uint8)
        return Example(image, np.array([[59.5, 29.5], [20.0, 10.0]]), np.array([True, False]))


def pixels(sheet: Image.Image) -> np.ndarray:
    return np.asarray(sheet).astype(int)


def test_pictures_lie_in_reading_order_from_the_start():
    sheet = contact.contact_sheet(Flat(), 5, start=7, cell=60)
    assert sheet.size == (3 * 64 + 4, 2 * 64 + 4)
    levels = [pixels(sheet)[4 + row * 64 + 20, 4 + column * 64 + 3, 0] for row in range(2) for column in range(3)]
    assert levels == [107, 108, 109, 110, 111, contact.GROUND[0]]


def test_visible_keypoints_alone_are_marked_where_they_are():
    # 120x60 shrunk to 60x30, centerd in a cell of 60: the point's pixel center, 60 of 120, is at 30 of 60.
    sheet = pixels(contact.contact_sheet(Flat(), 1, cell=60))
    marked = np.argwhere((sheet == PALETTE[0]).all(axis=2))
    np.testing.assert_allclose(marked.mean(axis=0), [4 + 15 + 15, 4 + 30], atol=0.5)
    assert not (sheet == PALETTE[1]).all(axis=2).any()
    assert not (sheet == contact.MARK).all(axis=2).any()  # no line to a point that is not seen


def test_the_command_writes_a_sheet_of_drawn_documents(tmp_path, capsys):
    assert contact.main(["--out", str(tmp_path / "sheet.png"), "--count", "4", "--cell", "80"]) == 0
    assert capsys.readouterr().out.endswith("sheet.png: 4 pictures of synthetic:document-corners, 172x172 px\n")
    assert pixels(Image.open(tmp_path / "sheet.png")).std() > 20


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--count", "0"], "count=0"), (["--data", "nothing"], "no data set 'nothing'"), (["--cell", "0"], "cell=0")],
)
def test_bad_arguments_are_refused(tmp_path, capsys, arguments, said):
    with pytest.raises(SystemExit):
        contact.main(["--out", str(tmp_path / "sheet.png"), *arguments])
    assert said in capsys.readouterr().err


def test_an_unknown_suffix_names_what_to_write(tmp_path, capsys):
    with pytest.raises(SystemExit):
        contact.main(["--out", str(tmp_path / "sheet.nothing"), "--count", "1"])
    assert "use .png or .jpg" in capsys.readouterr().err
    with pytest.raises(InputError):
        contact.contact_sheet(Flat(), -1)
