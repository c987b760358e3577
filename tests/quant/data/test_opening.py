"""``--data``: the data sets and folders that it opens, and what it refuses."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgehrnet.errors import InputError, MissingImageError
from quant.data.documents.corners import DocumentCorners
from quant.data.opening import ACCEPTED, open_annotations, open_data, open_pictures, parse_fold

SHARED = Path(__file__).parents[4] / "shared" / "data"


def save(path: Path, gray: int) -> None:
    Image.fromarray(np.full((16, 24), gray, np.uint8)).save(path)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Six labeled pictures, as gray as their index, and one without a label."""
    folder = tmp_path / "table"
    folder.mkdir()
    for number in range(7):
        save(folder / f"{number}.png", number)
    rows = [f"{number}.png,{number},{number}" for number in range(6)]
    text = "\n".join(["scorer,me,me", "bodyparts,nose,nose", "coords,x,y", *rows])
    (folder / "CollectedData.csv").write_text(text)
    return folder


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    save(tmp_path / "a.png", 9)
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [5, 5, 2], "bbox": [2, 2, 10, 8], "area": 9}
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 1, "keypoints": ["nose"]}],
        "annotations": [{**annotation, "num_keypoints": 1}],
    }
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(content))
    return path


def test_each_kind_of_data_set_is_opened(table: Path, coco: Path) -> None:
    assert isinstance(open_data("synthetic:document-corners"), DocumentCorners)
    assert open_data(str(table)).spec.name == "table"
    assert len(list(open_data(str(table), (1, 3)).validation())) == 2
    assert open_data(str(coco)).spec.keypoints == ("nose",)


@pytest.mark.parametrize("name", ["nowhere", "nowhere.json", "document-corners"])
def test_a_data_set_that_does_not_exist_is_refused_with_what_is_accepted(name: str) -> None:
    with pytest.raises(InputError, match=name) as error:
        open_data(name)
    assert ACCEPTED in str(error.value)


def test_pictures_without_labels_are_refused_with_what_is_accepted(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 1)
    for path in (tmp_path, tmp_path / "a.png"):
        with pytest.raises(InputError, match=path.name) as error:
            open_data(str(path))
        assert ACCEPTED in str(error.value)


def test_labels_in_a_folder_or_an_archive_are_named(coco: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=coco.name):
        open_data(str(tmp_path))
    (tmp_path / "set.ZIP").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"set\.ZIP.*unpack"):
        open_data(str(tmp_path / "set.ZIP"))


def test_a_misspelled_synthetic_data_set_names_the_nearest() -> None:
    with pytest.raises(InputError, match="'synthetic:document-corners'"):
        open_data("synthetic:document-corner")


def test_synthetic_pictures_have_no_folds() -> None:
    with pytest.raises(InputError, match="--fold"):
        open_data("synthetic:document-corners", (0, 5))


def test_synthetic_documents_have_four_corners_in_cyclic_order() -> None:
    spec = open_data("synthetic:document-corners").spec
    assert spec.cyclic
    assert spec.keypoints == ("top-left", "top-right", "bottom-right", "bottom-left")


def grays(data: Path, count: int, fold: tuple[int, int] | None = None, seed: int = 0) -> list[int]:
    return [int(picture[0, 0, 0]) for picture in open_pictures(str(data), count, fold, seed)]


def test_calibration_pictures_of_a_table_are_from_the_training_part(table: Path) -> None:
    assert grays(table, 99) == [0, 1, 2, 3, 4, 5]  # the picture without a label is not used
    for k in range(3):
        chosen = grays(table, 99, (k, 3))
        validation = [int(example.image[0, 0, 0]) for example in open_data(str(table), (k, 3)).validation()]
        assert sorted(chosen + validation) == [0, 1, 2, 3, 4, 5]
    draws = [grays(table, 2, (0, 3), seed) for seed in range(9)]
    assert len(set(map(tuple, draws))) > 2
    assert all(len(set(draw) & {1, 2, 4, 5}) == 2 for draw in draws)


def test_calibration_pictures_of_any_folder_are_chosen_by_the_seed(tmp_path: Path) -> None:
    for number in range(9):
        save(tmp_path / f"{number}.png", number)
    (tmp_path / "notes.txt").write_text("no picture")
    draws = [grays(tmp_path, 3, seed=seed) for seed in range(6)]
    assert all(len(set(draw) & set(range(9))) == 3 for draw in draws)
    assert draws == [grays(tmp_path, 3, seed=seed) for seed in range(6)]
    assert len(set(map(tuple, draws))) > 3
    assert grays(tmp_path, 99) == list(range(9))
    (picture,) = open_pictures(str(tmp_path), 1)
    assert picture.shape == (16, 24, 3)
    assert picture.dtype == np.uint8


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingImageError, match=tmp_path.name):
        list(open_pictures(str(tmp_path), 3))


def test_synthetic_calibration_pictures_are_not_validation_pictures() -> None:
    first, second = (next(open_pictures("synthetic:document-corners", 1, seed=seed)) for seed in range(2))
    (scored,) = open_data("synthetic:document-corners").validation(1)
    assert first.shape[2] == 3
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, scored.image)


@pytest.mark.parametrize(("text", "fold"), [("0/5", (0, 5)), ("4/5", (4, 5)), ("1/2", (1, 2))])
def test_folds_are_parsed(text: str, fold: tuple[int, int]) -> None:
    assert parse_fold(text) == fold


@pytest.mark.parametrize("text", ["", "1", "5/5", "0/1", "-1/5", "a/b", "1/2/3", "0/0", "1.0/3"])
def test_other_folds_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=repr(text)):
        parse_fold(text)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data is not here: ../shared/data")
def test_real_data_sets_open() -> None:
    assert len(open_data(str(SHARED / "mirror-mouse")).spec.keypoints) == 17
    assert len(open_data(str(SHARED / "coco-sample" / "test_coco.json")).spec.keypoints) == 17
    assert next(open_pictures(str(SHARED / "coco-sample"), 4)).shape == (425, 640, 3)


def two_names(folder: Path, pictures: list[str], *names: str) -> Path:
    """Write a table with two or more keypoints for pictures that lie in ``folder``."""
    head = [["scorer", *["m"] * 2 * len(names)], ["bodyparts", *(n for n in names for _ in "xy")]]
    head.append(["coords", *["x", "y"] * len(names)])
    rows = [[picture, *map(str, range(3, 3 + 2 * len(names)))] for picture in pictures]
    folder.mkdir(exist_ok=True)
    path = folder / "CollectedData.csv"
    path.write_text("\n".join(",".join(row) for row in (*head, *rows)))
    return path


def test_pairs_that_are_given_go_before_those_of_the_names(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 1)
    names = ("paw1LH", "left_ear", "right_ear", "paw4RH", "left_eye")
    path = str(two_names(tmp_path, ["a.png"], *names))
    plain = open_annotations(path)
    assert (plain.flip_pairs, plain.unpaired) == (((1, 2),), ("paw1LH", "paw4RH", "left_eye"))
    given = open_annotations(path, flip_pairs=[("paw1LH", "paw4RH")])
    assert (given.flip_pairs, given.unpaired) == (((0, 3), (1, 2)), ("left_eye",))
    other = open_annotations(path, flip_pairs=[("left_eye", "right_ear")])
    assert other.flip_pairs == ((4, 2),)
    for pairs in ([("nose", "left_ear")], [("left_ear", "right_ear"), ("left_ear", "left_eye")]):
        with pytest.raises(InputError, match=pairs[-1][0]):
            open_annotations(path, flip_pairs=pairs)


def test_pictures_of_the_validation_set_lie_beside_it_first(tmp_path: Path) -> None:
    for folder, gray in (("train", 1), ("val", 2), ("elsewhere", 3)):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / "a.png", gray)
    train, val = (str(two_names(tmp_path / name, ["a.png"], "nose", "tail")) for name in ("train", "val"))
    elsewhere = str(tmp_path / "elsewhere")

    def opened() -> list[int]:
        data = open_data(train, images=elsewhere, validation=val)
        return [int(example.image[0, 0, 0]) for example in (data.training(0, 0), *data.validation())][1:]

    assert opened() == [2]
    (tmp_path / "val" / "a.png").unlink()
    assert opened() == [3]
