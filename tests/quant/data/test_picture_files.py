"""Where pictures are looked for, and what their headers are compared with."""

from pathlib import Path

import pytest
from PIL import Image

from edgehrnet.errors import InputError
from quant.data.annotations import Picture
from quant.data.picture_files import ORIENTATION, PictureFinder, check_pictures, header
from quant.data.remarks import Remarks


def save(path: Path, size=(12, 8), orientation=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.new("RGB", size).save(path, exif=exif)
    return path


@pytest.mark.parametrize(
    ("labels", "folder"),
    [
        ("labels.json", "."),
        ("labels.json", "images"),
        ("labels.json", "data"),
        ("labels/a.json", "."),
        ("labels/a.json", "images"),
        ("annotations/person_keypoints_val2017.json", "val2017"),
        ("annotations/person_keypoints_val2017.json", "images/val2017"),
        ("annotations/my_train.json", "train"),
        ("annotations/instances_default.json", "images/default"),
        ("train/_annotations.coco.json", "train"),
    ],
)
def test_pictures_are_found_in_the_usual_layouts(tmp_path, labels, folder):
    path = save(tmp_path / folder / "a.png")
    assert PictureFinder(tmp_path / labels).find("a.png").samefile(path)


def test_only_the_folder_of_the_user_is_searched(tmp_path):
    save(tmp_path / "a.png")
    path = save(tmp_path / "mine" / "b.png")
    finder = PictureFinder(tmp_path / "labels.json", tmp_path / "mine")
    assert finder.find("b.png") == path
    assert finder.find("a.png") == tmp_path / "mine" / "a.png"  # where it would be
    for folder in ("none", "a.png"):
        with pytest.raises(InputError, match=f"--images .*{folder}"):
            PictureFinder(tmp_path / "labels.json", tmp_path / folder)


@pytest.mark.parametrize(
    "name",
    ["b/a 1.png", "b\\a 1.png", "C:\\users\\b\\a 1.png", "/home/me/b/a 1.png", "B/A 1.PNG", "./b/a 1.png",
     "b/../b/a 1.png", "https://host.org/x/b/a%201.png?key=c/d&e", "b/a%201.png", "file:///b/a 1.png"],
)  # fmt: skip
def test_a_name_is_understood_however_it_is_written(tmp_path, name):
    path = save(tmp_path / "b" / "a 1.png")
    found = PictureFinder(tmp_path / "labels.json", tmp_path / "b" if name.startswith("B/") else None).find(name)
    assert found.samefile(path)


def test_the_longest_part_of_a_path_wins_and_a_name_as_it_is_before_all(tmp_path):
    one, two, plain = (save(tmp_path / name) for name in ("one/a.png", "two/a.png", "a.png"))
    odd = save(tmp_path / "odd.png").rename(tmp_path / "a.png?x")
    finder = PictureFinder(tmp_path / "labels.json")
    assert finder.find("/home/me/one/a.png") == one
    assert finder.find("/home/me/two/a.png") == two
    assert finder.find("a.png?x") == odd
    assert finder.find("a.png?y") == plain


def test_letter_case_matters_if_two_files_fit(tmp_path):
    upper, lower = save(tmp_path / "A.png"), save(tmp_path / "a.png")
    if upper.samefile(lower):
        pytest.skip("the file system does not tell upper from lower case")
    finder = PictureFinder(tmp_path / "labels.json")
    assert finder.find("A.png") == upper
    assert finder.find("a.png") == lower
    assert not finder.find("a.PNG").exists()


@pytest.mark.parametrize("name", ["../../out/a.png", "/etc/passwd", "{out}/a.png", "%2e%2e/%2e%2e/out/a.png"])
def test_names_that_lead_outside_are_refused(tmp_path, name):
    save(tmp_path / "out" / "a.png")
    name = name.format(out=tmp_path / "out")
    finder = PictureFinder(tmp_path / "deep" / "set" / "labels.json")
    (tmp_path / "deep" / "set").mkdir(parents=True)
    with pytest.raises(InputError, match=r"--images"):
        finder.find(name)


def test_links_of_the_user_are_followed(tmp_path):
    path = save(tmp_path / "disk" / "far" / "a.png")
    (tmp_path / "deep" / "set").mkdir(parents=True)
    (tmp_path / "deep" / "set" / "images").symlink_to(path.parent)
    (tmp_path / "deep" / "set" / "b.png").symlink_to(path)
    finder = PictureFinder(tmp_path / "deep" / "set" / "labels.json")
    assert finder.find("a.png").samefile(path)
    assert finder.find("b.png").samefile(path)
    assert finder.find(str(path)).samefile(path)


@pytest.mark.parametrize("name", ["a\0b.png", "a" * 5000, "\ud800.png", ".", "", "loop.png"])
def test_names_that_no_file_can_have_are_not_found(tmp_path, name):
    (tmp_path / "loop.png").symlink_to("loop.png")
    remarks = Remarks()
    found = PictureFinder(tmp_path / "labels.json").find(name)
    assert check_pictures([Picture(found, 1, "labels.json, image 1")], remarks) == {}
    assert len(remarks.of("error")) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_header_has_the_size_of_the_stored_picture_and_its_orientation(tmp_path, orientation):
    assert header(save(tmp_path / "a.jpg", orientation=orientation)) == (8, 12, orientation)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_other_orientations_are_none(tmp_path, orientation):
    assert header(save(tmp_path / "a.jpg", orientation=orientation)) == (8, 12, 1)


STORED, TURNED, UNKNOWN = (8, 12), (12, 8), None


@pytest.mark.parametrize(
    ("orientation", "stated", "level"),
    [
        (1, STORED, None),
        (1, UNKNOWN, None),
        (1, TURNED, "error"),
        *((orientation, STORED, "warning") for orientation in (2, 3, 4)),
        *((orientation, UNKNOWN, "warning") for orientation in range(2, 9)),
        *((orientation, TURNED, "error") for orientation in (2, 3, 4)),
        *((orientation, STORED, "error") for orientation in (5, 6, 7, 8)),
        *((orientation, TURNED, None) for orientation in (5, 6, 7, 8)),
        (6, (16, 24), "error"),
    ],
)
def test_stated_sizes_are_compared_with_the_picture_as_it_is_shown(tmp_path, orientation, stated, level):
    picture = Picture(save(tmp_path / "a.jpg", orientation=orientation), 1, "labels.json, image 1", stated)
    remarks = Remarks()
    sizes = check_pictures([picture], remarks)
    assert sizes == {picture: TURNED if orientation >= 5 else STORED}
    assert [remark.level for remark in remarks] == ([] if level is None else [level])
    assert all("a.jpg" in remark.text() for remark in remarks)
    if level == "error" and stated == STORED:
        assert f"orientation {orientation}" in remarks.of("error")[0].text()


def test_turned_square_pictures_are_noted(tmp_path):
    picture = Picture(save(tmp_path / "a.jpg", (8, 8), 6), 1, "image 1", (8, 8))
    remarks = Remarks()
    assert check_pictures([picture], remarks) == {picture: (8, 8)}
    assert "orientation 6" in remarks.of("warning")[0].text()


@pytest.mark.parametrize(("mode", "size"), [("RGB", (7, 50)), ("I;16", (12, 8)), ("L", (20_000, 8))])
def test_pictures_that_training_would_refuse_are_errors(tmp_path, mode, size):
    Image.new(mode, size).save(tmp_path / "a.png")
    remarks = Remarks()
    assert check_pictures([Picture(tmp_path / "a.png", 1, "image 1")], remarks) == {}
    assert "a.png" in remarks.of("error")[0].text()


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_file_that_is_cut_off_is_an_error_and_one_with_more_behind_it_is_none(tmp_path, suffix):
    path = save(tmp_path / f"a.{suffix}", (300, 200))
    whole = path.read_bytes()
    for content, errors in ((whole, 0), (whole + b"more", 0), (whole + bytes(100_000), 0), (whole[:-100], 1)):
        path.write_bytes(content)
        remarks = Remarks()
        check_pictures([Picture(path, 1, "image 1")], remarks)
        assert len(remarks.of("error")) == errors


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n"])
def test_files_that_are_no_pictures_are_errors(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    remarks = Remarks()
    assert check_pictures([Picture(tmp_path / "a.png", 1, "image 1")], remarks) == {}
    assert "a.png" in remarks.of("error")[0].text()
