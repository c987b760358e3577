"""Boxes of a JSON file, and the pictures they belong to."""

import json
from pathlib import Path

import pytest

from edgehrnet.errors import InputError, MissingFileError
from edgehrnet.picture.boxes import read_boxes

BOX, OTHER = [1, 2, 3, 4], [5.5, 6, 7, 8]
ROW, OTHER_ROW = (1.0, 2.0, 3.0, 4.0), (5.5, 6.0, 7.0, 8.0)


def written(folder, content):
    path = folder / "boxes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def boxes_of(folder, content, *names, **options):
    return read_boxes(written(folder, content), **options).of_each(names)


IMAGES = [{"id": 7, "file_name": "photo.jpg"}, {"id": 8, "file_name": "sub/8.jpg"}]
CONTENTS = {
    "mapping": {"photo.jpg": [BOX, OTHER], "c.jpg": [BOX]},
    "names": [{"file_name": "photo.jpg", "bbox": BOX}, {"file_name": "photo.jpg", "bbox": OTHER, "score": 0.1}],
    "name before id": [{"file_name": "x/photo.jpg", "image_id": 1, "bbox": box} for box in (BOX, OTHER)],
    "coco": {"images": IMAGES, "annotations": [{"image_id": 7, "bbox": BOX}, {"image_id": 7, "bbox": OTHER}]},
    "crowds": {
        "images": IMAGES,
        "annotations": [
            {"image_id": 7, "bbox": BOX, "iscrowd": "0"},
            {"image_id": 7, "bbox": [0, 0, 9, 9], "iscrowd": 1},
            {"image_id": 7, "bbox": OTHER},
        ],
    },
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_file_names(tmp_path, kind):
    assert boxes_of(tmp_path, CONTENTS[kind], "d.jpg", "in/photo.jpg") == [[], [ROW, OTHER_ROW]]


@pytest.mark.parametrize("as_annotations", [False, True])
def test_ids_are_the_last_digits_of_a_name(tmp_path, as_annotations):
    rows = [{"image_id": 785, "bbox": BOX}, {"image_id": 2014, "bbox": OTHER}, {"image_id": "785", "bbox": OTHER}]
    content = {"annotations": rows} if as_annotations else rows
    assert boxes_of(tmp_path, content, "COCO_val2014_000000000785.jpg") == [[ROW, OTHER_ROW]]
    assert boxes_of(tmp_path, content, "785.png", "2014.jpg", "none.jpg") == [[ROW, OTHER_ROW], [OTHER_ROW], []]


def test_an_id_of_letters_is_the_name_without_the_suffix(tmp_path):
    content = [{"image_id": "00a1", "bbox": BOX}, {"image_id": 1, "bbox": OTHER}]
    assert boxes_of(tmp_path, content, "00a1.jpg", "b1.jpg") == [[ROW], [OTHER_ROW]]


def test_ids_with_names_match_by_name_only(tmp_path):
    content = {"images": IMAGES, "annotations": [{"image_id": 7, "bbox": BOX}, {"image_id": 8, "bbox": OTHER}]}
    assert boxes_of(tmp_path, content, "7.jpg", "8.jpg") == [[], [OTHER_ROW]]


def test_folders_tell_equal_names_apart(tmp_path):
    content = {"a/1.jpg": [BOX], "b\\1.jpg": [OTHER]}
    assert boxes_of(tmp_path, content, "in/b/1.jpg", "in/a/1.jpg") == [[OTHER_ROW], [ROW]]
    with pytest.raises(InputError, match=r"'a/1\.jpg' and 'b/1\.jpg'"):
        boxes_of(tmp_path, content, "c/1.jpg")


@pytest.mark.parametrize("content", [{"1.jpg": [BOX]}, [{"image_id": 1, "bbox": BOX}]])
def test_two_pictures_never_share_boxes(tmp_path, content):
    with pytest.raises(InputError, match=r"b/1\.jpg"):
        boxes_of(tmp_path, content, "a/1.jpg", "b/1.jpg")
    assert boxes_of(tmp_path, content, "a/1.jpg", Path("a/1.jpg").absolute()) == [[ROW], [ROW]]


def test_scores_and_categories_leave_boxes_out(tmp_path):
    rows = [
        {"image_id": 1, "bbox": box, "score": score, "category_id": category}
        for box, score, category in ((BOX, 0.5, 1), (OTHER, 0.4, 1), (OTHER, 0.9, 2))
    ]
    assert boxes_of(tmp_path, rows, "1.jpg", min_score=0.5, category=1) == [[ROW]]
    assert boxes_of(tmp_path, rows, "1.jpg") == [[ROW, OTHER_ROW, OTHER_ROW]]
    plain = [{"image_id": 1, "bbox": BOX}]
    assert boxes_of(tmp_path, plain, "1.jpg", min_score=0.5, category=1) == [[ROW]]


def test_corners_become_width_and_height(tmp_path):
    assert boxes_of(tmp_path, {"a.jpg": [[1, 2, 4, 6]]}, "a.jpg", box_format="xyxy") == [[ROW]]


@pytest.mark.parametrize("content", [{"b9.jpg": [BOX]}, [{"image_id": 9, "bbox": BOX}], [], {}, {"a7.jpg": []}])
def test_no_match_says_what_was_looked_for_and_what_is_there(tmp_path, content):
    with pytest.raises(InputError, match=r"boxes\.json.*'a7\.jpg'.* 7") as caught:
        boxes_of(tmp_path, content, "in/a7.jpg", "in/a8.jpg")
    found = str(caught.value).replace(str(tmp_path), "")
    assert ("9" in found) == ("9" in json.dumps(content))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("", "not JSON"),
        ("[{", "not JSON"),
        ("[" * 200_000, "deep"),
        ('[{"image_id": 1, "bbox": [1, 2, 3, ' + "9" * 5000 + "]}]", "digits"),
        ("3", "3"),
        ('"a"', "a"),
        ("null", "None"),
        ([BOX], r"\[0\]"),
        ([{"image_id": 1, "bbox": BOX}, {"bbox": BOX}], r"\[1\].*image_id"),
        ([{"image_id": 1}], r"\[0\].*bbox"),
        ([{"image_id": 1, "bbox": "all"}], r"\[0\].*'all'"),
        ([{"image_id": 1, "bbox": [1, 2, 3]}], r"\[0\].*\[1, 2, 3\]"),
        ([{"image_id": 1, "bbox": [1, 2, 3, "4"]}], r"\[0\].*'4'"),
        ([{"image_id": 1, "bbox": [1, 2, 3, True]}], r"\[0\].*True"),
        ([{"image_id": 1, "bbox": [1, 2, 3, None]}], r"\[0\].*None"),
        ([{"image_id": 1, "bbox": [1, 2, 3, float("nan")]}], r"\[0\].*nan"),
        ([{"image_id": 1, "bbox": [1, float("-inf"), 3, 4]}], r"\[0\].*inf"),
        ('[{"image_id": 1, "bbox": [1, 2, 3, 1e999]}]', r"\[0\].*inf"),
        ([{"image_id": 1, "bbox": [10**400, 2, 3, 4]}], r"\[0\].*1000"),
        ([{"image_id": 1, "bbox": [1, 2, 1e8, 4]}], r"\[0\].*1e\+08|100000000"),
        ([{"image_id": 1, "bbox": [1, 2, 0, 4]}], r"\[0\].*\[1, 2, 0, 4\]"),
        ([{"image_id": 1, "bbox": [1, 2, 3, -4]}], r"\[0\].*-4"),
        ([{"image_id": True, "bbox": BOX}], r"\[0\].*image_id.*True"),
        ([{"image_id": [1], "bbox": BOX}], r"\[0\].*image_id.*\[1\]"),
        ([{"image_id": 1.5, "bbox": BOX}], r"\[0\].*image_id.*1\.5"),
        ([{"image_id": float("inf"), "bbox": BOX}], r"\[0\].*image_id.*inf"),
        ([{"file_name": 3, "bbox": BOX}], r"\[0\].*file_name.*3"),
        ([{"file_name": "", "bbox": BOX}], r"\[0\].*file_name.*''"),
        ({"a.jpg": 3}, r"'a\.jpg'.*3"),
        ({"a.jpg": [BOX, BOX[:3]]}, r"'a\.jpg'\[1\]"),
        ({"a.jpg": BOX}, r"'a\.jpg'\[0\].*1"),
        ({"images": IMAGES, "annotations": [{"image_id": 9, "bbox": BOX}]}, r"annotations\[0\].*9"),
        ({"images": IMAGES, "annotations": [{"image_id": 7}]}, r"annotations\[0\].*bbox"),
        ({"images": IMAGES, "annotations": 3}, "annotations.*3"),
        ({"images": 3, "annotations": []}, "images.*3"),
        ({"images": [{"file_name": "a.jpg"}], "annotations": []}, r"images\[0\].*'id'"),
        ({"images": [{"id": 1}], "annotations": []}, r"images\[0\].*'file_name'"),
        ({"images": ["a.jpg"], "annotations": []}, r"images\[0\].*'a\.jpg'"),
    ],
)
def test_a_malformed_entry_is_named(tmp_path, content, named):
    with pytest.raises(InputError, match=rf"boxes\.json.*{named}"):
        read_boxes(written(tmp_path, content))


@pytest.mark.parametrize("score", ["0.9", None, float("nan")])
def test_a_score_that_is_no_number(tmp_path, score):
    rows = [{"image_id": 1, "bbox": BOX}, {"image_id": 1, "bbox": BOX, "score": score}]
    with pytest.raises(InputError, match=r"boxes\.json.*\[1\]"):
        read_boxes(written(tmp_path, rows), min_score=0.5)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(MissingFileError, match=r"none\.json"):
        read_boxes(tmp_path / "none.json")
    with pytest.raises(InputError, match=tmp_path.name):
        read_boxes(tmp_path)
    (tmp_path / "boxes.json").write_bytes(b"\xff\xfe[")
    with pytest.raises(InputError, match=r"boxes\.json"):
        read_boxes(tmp_path / "boxes.json")
    with pytest.raises(InputError, match="cxcywh"):
        read_boxes(written(tmp_path, []), "cxcywh")
