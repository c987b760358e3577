import numpy as np
import pytest
from PIL import Image

from edgehrnet import Predictor
from edgehrnet.errors import CorruptImageError, SkippedPictureWarning
from edgehrnet.sources import Source

PAGES = [Image.fromarray(np.full((40, 60, 3), value, np.uint8)) for value in (0, 100, 200)]


def save(path, pages=PAGES, **options):
    pages[0].save(path, save_all=True, append_images=pages[1:], **options)
    return path


@pytest.mark.parametrize("name", ["a.tif", "a.gif", "a.webp"])
def test_every_page_is_a_picture(tmp_path, null_model, name):
    path = save(tmp_path / name, duration=40)
    with Predictor(null_model.path) as predictor:
        results = list(predictor.stream(path))
    assert [(result.source, result.frame) for result in results] == [(str(path), number) for number in range(3)]
    assert [round(float(result.image.mean()), -1) for result in results] == [0, 100, 200]
    times = [None] * 3 if name == "a.tif" else pytest.approx([0, 0.04, 0.08])
    assert [result.time for result in results] == times
    assert Source(path).count() == 3


@pytest.mark.parametrize("name", ["a.tif", "a.gif", "a.webp"])
def test_a_file_of_one_page_has_no_page_numbers(tmp_path, name):
    path = save(tmp_path / name, PAGES[:1])
    (frame,) = Source(path)
    assert (frame.picture, frame.frame, frame.time) == (path, None, None)


def test_the_pages_of_files_in_a_folder_and_an_iterable(tmp_path):
    save(tmp_path / "a.tif")
    save(tmp_path / "b.png", PAGES[:1])
    expected = [0, 1, 2, None]
    assert [frame.frame for frame in Source(tmp_path)] == expected
    assert [frame.frame for frame in Source(iter([tmp_path / "a.tif", str(tmp_path / "b.png")]))] == expected


def test_a_damaged_page_ends_its_file_and_the_next_file_follows(tmp_path, null_model):
    noise = [Image.fromarray(np.random.default_rng(n).integers(0, 256, (40, 60, 3), dtype=np.uint8)) for n in range(3)]
    data = bytearray(save(tmp_path / "a.tif", noise, compression="tiff_lzw").read_bytes())
    middle = data.find(b"\x80", len(data) // 3)
    data[middle : middle + 3000] = bytes(3000)
    (tmp_path / "a.tif").write_bytes(data)
    save(tmp_path / "b.png", PAGES[:1])
    with Predictor(null_model.path) as predictor:
        with pytest.raises(CorruptImageError, match=r"a\.tif"):
            list(predictor.stream(tmp_path))
        with pytest.warns(SkippedPictureWarning, match=r"a\.tif"):
            names = [result.source for result in predictor.stream(tmp_path, on_error="skip")]
    assert names[-1] == str(tmp_path / "b.png")


def test_a_page_that_is_too_small_is_skipped(tmp_path, null_model):
    path = save(tmp_path / "a.tif", [PAGES[0], Image.new("RGB", (4, 4))])
    stream = Predictor(null_model.path).stream(path, on_error="skip")
    with pytest.warns(SkippedPictureWarning, match="4x4"):
        assert len(list(stream)) == 1
    assert stream.skipped == 1
