import numpy as np
import pytest
from PIL import Image

from edgehrnet.drawing.files import save_picture
from edgehrnet.errors import WriteError

# Thin lines of saturated color, as in an overlay.
LINES = np.zeros((64, 64, 3), np.uint8)
LINES[::8] = (213, 94, 0)
LINES[:, ::8] = (0, 114, 178)


def test_png_keeps_every_pixel(tmp_path):
    save_picture(Image.fromarray(LINES), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        np.testing.assert_array_equal(np.array(picture), LINES)


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG"])
def test_jpeg_keeps_the_colors_of_thin_lines(tmp_path, name):
    save_picture(Image.fromarray(LINES), tmp_path / name)
    Image.fromarray(LINES).save(tmp_path / "plain.jpg")
    errors = []
    for path in (tmp_path / name, tmp_path / "plain.jpg"):
        with Image.open(path) as picture:
            assert picture.format == "JPEG"
            errors.append(np.abs(np.array(picture).astype(int) - LINES).mean())
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp"])
def test_a_disk_that_takes_a_part_is_full(tmp_path, name, full_disk):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    save_picture(noise, tmp_path / name)
    before = (tmp_path / name).read_bytes()
    with full_disk(), pytest.raises(WriteError, match=name):
        save_picture(noise.rotate(90), tmp_path / name)
    assert (tmp_path / name).read_bytes() == before
