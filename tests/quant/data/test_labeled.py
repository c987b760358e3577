"""Labeled pictures: reading tables and COCO files, refusing others, and the split into parts."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgehrnet.errors import InputError
from edgehrnet.keypoint_sets import COCO_PERSON
from quant.data import labeled
from quant.data.examples import Example
from quant.data.labeled import Labeled
from quant.data.opening import open_data

SHARED = Path(__file__).parents[4] / "shared" / "data"
HEAD = "scorer,me,me,me,me\nbodyparts,nose,nose,tail,tail\ncoords,x,y,x,y\n"
WIDTH, HEIGHT = 100, 60


def write_picture(path: Path, blue: int = 0) -> None:
    """Save a picture whose red is x and green is y."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    Image.fromarray(np.stack([columns, rows, np.full_like(rows, blue)], axis=-1).astype(np.uint8)).save(path)


def write_table(folder: Path, count: int) -> Path:
    """Write a table of pictures whose blue is their index."""
    for number in range(count):
        write_picture(folder / f"{number}.png", blue=number)
    lines = [f"{number}.png,{number + 0.25},10,50.5,{number}" for number in range(count)]
    (folder / "CollectedData.csv").write_text(HEAD + "\n".join(lines) + "\n")
    return folder


def annotation(number: int, picture: int, **changes: Any) -> dict[str, Any]:
    content = {
        "id": number,
        "image_id": picture,
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": [30.5, 20.25, 2, 50, 40, 1, 0, 0, 0],
        "num_keypoints": 2,
        "bbox": [24, 16, 40, 32],
        "area": 640.0,
    }
    return {**content, **changes}


def write_coco(folder: Path, annotations: Sequence[dict[str, Any]], **category: Any) -> Path:
    pictures = sorted({a["image_id"] for a in annotations})
    for picture in pictures:
        write_picture(folder / f"{picture}.png", blue=picture)
    names = ["nose", "left_eye", "right_eye"]
    content = {
        "images": [{"id": picture, "file_name": f"{picture}.png"} for picture in pictures],
        "categories": [{"id": 1, "name": "thing", "keypoints": names, "skeleton": [[1, 2], [1, 3]], **category}],
        "annotations": list(annotations),
    }
    path = folder / "labels.json"
    path.write_text(json.dumps(content))
    return path


def read_table(folder: Path, fold: tuple[int, int] | None = None) -> Labeled:
    data = open_data(str(folder), fold)
    assert isinstance(data, Labeled)
    return data


def read_coco(path: Path, fold: tuple[int, int] | None = None, **options: Any) -> Labeled:
    data = open_data(str(path), fold, **{"crop": "hrnet", **options})
    assert isinstance(data, Labeled)
    return data


def blues(examples: Iterable[Example]) -> list[int]:
    """The indices of the pictures."""
    return [int(example.image[0, 0, 2]) for example in examples]


def bare(image: Any) -> Example:
    """An example without keypoints."""
    return Example(image, np.zeros((1, 2)), np.zeros(1, bool))


def epoch(data: Labeled, count: int, number: int = 0, seed: int = 0) -> list[Example]:
    return [data.training(seed, number * count + place) for place in range(count)]


@pytest.fixture
def not_augmented(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch augmentation off, so that the indices of training pictures can be read."""
    monkeypatch.setattr(labeled, "augment", lambda example, rng: example)
    monkeypatch.setattr(labeled, "augment_person", lambda example, spec, rng, mirror: example)
    monkeypatch.setattr(labeled, "mirrored", lambda example, flip_pairs: example)


def test_a_table_with_empty_cells_is_read(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_picture(tmp_path / name)
    (tmp_path / "CollectedData.csv").write_text("\ufeff" + HEAD + "a.png,1.5,2.25,11.5,22.25\nb.png,,,7,\n\n", "utf-8")
    data = read_table(tmp_path)
    assert data.spec.keypoints == ("nose", "tail")
    assert data.spec.name == tmp_path.name
    assert not data.spec.cyclic
    (first,) = data.validation()
    assert first.points.tolist() == [[1.5, 2.25], [11.5, 22.25]]
    assert first.visible.tolist() == [True, True]
    # The box of 10 x 20 px, 2 px wider on each side, but cut on the left and at the top, 1.5 and 2.25 px away.
    assert first.area == pytest.approx((1.5 + 10 + 2) * (2 + 20 + 2))
    assert first.image.shape == (HEIGHT, WIDTH, 3)
    assert not first.empty
    assert first.outlined
    unlabeled = data.annotations.instances
    assert len(unlabeled) == 1  # x without y is not a point, and the row has no other
    assert [picture.path.name for picture in data.annotations.pictures] == ["a.png", "b.png"]


def test_a_keypoint_outside_the_picture_is_not_visible(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    (tmp_path / "CollectedData.csv").write_text(HEAD + f"a.png,{WIDTH},10,{WIDTH - 1},10\n")
    (example,) = read_table(tmp_path).validation()
    assert example.visible.tolist() == [False, True]
    assert example.outlined


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ("a.png,1,2,3,4\nb.png,1,2,x,4\n", "line 5"),
        ("a.png,1,2,3,4\nb.png,1,2,3,4\nc.png,1,2,3\n", "line 6"),
        ("a.png,1,2,3,4,5\n", "line 4"),
        ("a.png,1,2,3,4\n\nb.png,1,2,3,\xa0\n", "line 6"),
        ("", r"without an instance.*CollectedData\.csv"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, rows: str, line: str) -> None:
    (tmp_path / "CollectedData.csv").write_text(HEAD + rows)
    with pytest.raises(InputError, match=line):
        read_table(tmp_path)


@pytest.mark.parametrize(
    "head",
    [
        "",
        "\n\n\n\n",
        "name,x,y\na.png,1,2\nb.png,1,2\nc.png,1,2\n",
        "scorer,m,m\nindividuals,a,a\nbodyparts,p,p\ncoords,x,y\na.png,1,2\n",
        "scorer,m,m,m\nbodyparts,p,p,p\ncoords,x,y,likelihood\na.png,1,2,0.5\n",
        "scorer,m,m\nbodyparts,p,p\ncoords,y,x\na.png,1,2\n",
        "scorer,m,m\nbodyparts,p,q\ncoords,x,y\na.png,1,2\n",
        "scorer\nbodyparts\ncoords\na.png\n",
    ],
)
def test_tables_with_other_header_rows_are_refused(tmp_path: Path, head: str) -> None:
    (tmp_path / "CollectedData.csv").write_text(head)
    with pytest.raises(InputError, match=r"CollectedData\.csv"):
        read_table(tmp_path)


def test_a_table_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "CollectedData.csv").write_bytes(b"\xff\xfe\x00scorer")
    with pytest.raises(InputError, match=r"CollectedData\.csv"):
        read_table(tmp_path)


def test_a_missing_picture_is_named_before_any_is_used(tmp_path: Path) -> None:
    (tmp_path / "CollectedData.csv").write_text(HEAD + "gone.png,1,2,3,4\n")
    with pytest.raises(InputError, match=r"gone\.png"):
        read_table(tmp_path)


@pytest.mark.usefixtures("not_augmented")
@pytest.mark.parametrize("n", [2, 3, 5])
def test_folds_validate_on_every_picture_once_and_never_train_on_it(tmp_path: Path, n: int) -> None:
    write_table(tmp_path, 11)
    seen = []
    for k in range(n):
        data = read_table(tmp_path, (k, n))
        validation = blues(data.validation())
        assert validation == list(range(k, 11, n))
        assert data.counts() == (11, 11, len(validation))
        kept = 11 - len(validation)
        for number in range(2):
            assert sorted(blues(epoch(data, kept, number)) + validation) == list(range(11))
        assert not set(blues(map(bare, data.calibration(99)))) & set(validation)
        seen += validation
    assert sorted(seen) == list(range(11))


def test_without_a_fold_all_pictures_are_in_both_parts(tmp_path: Path) -> None:
    data = read_table(write_table(tmp_path, 4))
    assert data.counts() == (4, 4, 4)
    assert blues(data.validation()) == [0, 1, 2, 3]
    assert blues(data.validation(2)) == [0, 1]
    assert blues(data.validation(99)) == [0, 1, 2, 3]


def test_a_fold_without_pictures_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path, 3)
    with pytest.raises(InputError, match=r"3 .*4/5"):
        read_table(tmp_path, (4, 5))


@pytest.mark.usefixtures("not_augmented")
def test_each_epoch_has_a_different_order(tmp_path: Path) -> None:
    data = read_table(write_table(tmp_path, 9))
    orders = [blues(epoch(data, 9, number, seed)) for number, seed in ((0, 0), (1, 0), (0, 1))]
    assert [sorted(order) for order in orders] == [list(range(9))] * 3
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_seed_and_number_determine_a_training_picture(tmp_path: Path) -> None:
    write_table(tmp_path, 5)
    first, again = (read_table(tmp_path).training(3, 17) for _ in range(2))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.points, again.points)
    epochs = [read_table(tmp_path).training(3, number).image for number in range(15, 20)]
    assert [np.array_equal(first.image, image) for image in epochs] == [False, False, True, False, False]
    assert not np.array_equal(first.image, read_table(tmp_path).training(4, 17).image)


def test_calibration_pictures_come_once_each_and_not_augmented(tmp_path: Path) -> None:
    data = read_table(write_table(tmp_path, 10), (0, 5))
    training = {1, 2, 3, 4, 6, 7, 8, 9}
    assert len(data) == 8
    draws = []
    for seed in range(6):
        pictures = list(data.calibration(3, seed))
        assert all((picture[..., 0] == np.arange(WIDTH)).all() for picture in pictures)
        draws.append(blues(map(bare, pictures)))
        assert len(set(draws[-1]) & training) == 3
        assert draws[-1] == blues(map(bare, data.calibration(3, seed)))
    assert len(set(map(tuple, draws))) > 3
    assert set(blues(map(bare, data.calibration(99)))) == training
    assert list(data.calibration(0)) == []


def test_an_example_is_the_whole_picture_and_the_box_of_an_instance(tmp_path: Path) -> None:
    data = read_coco(write_coco(tmp_path, [annotation(1, 7)]))
    (example,) = data.validation()
    assert example.image.shape == (HEIGHT, WIDTH, 3)
    assert example.box == (24.0, 16.0, 39.0, 31.0)  # one pixel smaller, as in HRNet's training
    assert example.points[:2].tolist() == [[30.5, 20.25], [50, 40]]
    assert example.visible.tolist() == [True, True, False]
    assert (example.area, example.image_id) == (640, 7)
    assert (data.spec.crop, data.spec.input_size) == ("hrnet", (256, 192))


def test_a_missing_area_is_that_of_the_box(tmp_path: Path) -> None:
    plain = {name: value for name, value in annotation(1, 7).items() if name != "area"}
    (example,) = read_coco(write_coco(tmp_path, [plain])).validation()
    assert example.area == 40 * 32


def test_a_calibration_picture_is_cut_to_its_box(tmp_path: Path) -> None:
    (picture,) = read_coco(write_coco(tmp_path, [annotation(1, 7)])).calibration(1)
    # The box 24..63 x 16..47, an eighth more on each side: 19.125..67.875 x 12.125..50.875.
    assert picture.shape == (39, 49, 3)
    assert picture[0, 0].tolist() == [19, 12, 7]


def test_a_box_at_the_border_is_cut_to_the_picture(tmp_path: Path) -> None:
    (picture,) = read_coco(write_coco(tmp_path, [annotation(1, 7, bbox=[0, 1, 99, 58])])).calibration(1)
    assert picture.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("box", [[24, 16, 0, 0], [500, 16, 20, 20], [24, 16, -9, 10]])
def test_a_box_without_pixels_is_replaced_by_that_of_the_points(tmp_path: Path, box: list[int]) -> None:
    data = read_coco(write_coco(tmp_path, [annotation(1, 7, bbox=box)]))
    (example,) = data.validation()
    # The points are 19.5 x 19.75 px apart. The box is a tenth of the longer side wider on each side.
    assert example.box == pytest.approx((30.5 - 1.975, 20.25 - 1.975, 19.5 + 3.95, 19.75 + 3.95))
    assert any("annotation 1" in remark.text() for remark in data.annotations.remarks.of("derived"))


def test_persons_are_augmented_unless_switched_off(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [annotation(1, 7)])
    augmented = [read_coco(path).training(0, number) for number in range(8)]
    assert len({(example.scale, example.rotation) for example in augmented}) == 8
    (example,) = read_coco(path).validation()
    plain = read_coco(path, augmented=False).training(0, 3)
    assert np.array_equal(plain.points, example.points)
    assert (plain.scale, plain.rotation, plain.box) == (1, 0, example.box)


def test_instances_without_points_and_crowds_are_left_out(tmp_path: Path) -> None:
    blank = {"keypoints": [0] * 9, "num_keypoints": 0}
    several = [annotation(1, 7), annotation(2, 7, **blank), annotation(3, 8, iscrowd=1), annotation(4, 9)]
    assert blues(read_coco(write_coco(tmp_path, several)).validation()) == [7, 9]


def test_the_spec_has_coco_s_keypoints_skeleton_and_flip_pairs(tmp_path: Path) -> None:
    spec = read_coco(write_coco(tmp_path, [annotation(1, 7)])).spec
    assert spec.keypoints == ("nose", "left_eye", "right_eye")
    assert spec.skeleton == ((0, 1), (0, 2))
    assert spec.flip_pairs == ((1, 2),)
    assert spec.oks_sigmas == ()


def test_only_persons_have_oks_sigmas(tmp_path: Path) -> None:
    points = [annotation(1, 7, keypoints=[30, 20, 2] * 17)]
    assert read_coco(write_coco(tmp_path, points, keypoints=COCO_PERSON.names)).spec.oks_sigmas == COCO_PERSON.sigmas
    animal = [f"part-{index}" for index in range(17)]
    assert read_coco(write_coco(tmp_path, points, keypoints=animal)).spec.oks_sigmas == ()


@pytest.mark.usefixtures("not_augmented")
def test_instances_of_one_picture_stay_in_one_part(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [annotation(index, index // 3) for index in range(12)])
    seen = []
    for k in range(2):
        data = read_coco(path, (k, 2))
        validation = blues(data.validation())
        assert len(validation) == 6
        assert data.counts() == (4, 12, 6)
        assert not set(validation) & set(blues(epoch(data, 6)))
        seen += validation
    assert sorted(seen) == sorted([0, 1, 2, 3] * 3)


def test_categories_that_agree_are_read_together(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [annotation(1, 7), annotation(2, 8, category_id=2), annotation(3, 9, category_id=3)])
    content = json.loads(path.read_text())
    (first,) = content["categories"]
    content["categories"] += [{**first, "id": 2}, {"id": 3, "name": "without"}]
    path.write_text(json.dumps(content))
    assert blues(read_coco(path).validation()) == [7, 8]
    content["categories"][1]["keypoints"] = ["other"]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="2"):
        read_coco(path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"images": [], "categories": [], "annotations": []}', '{"images": 1, "categories": 2}', "\x00"],
)
def test_other_json_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"labels\.json"):
        read_coco(path)


def test_an_annotation_with_too_few_numbers_is_refused(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [annotation(5, 7, keypoints=[30, 20, 2])])
    with pytest.raises(InputError, match=r"9 .*annotation 5 .*3"):
        read_coco(path)


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ({"image_id": 999}, "annotation 5 .*999"),
        ({"bbox": [1, 2, 3]}, r"annotation 5 .*\[1, 2, 3\]"),
        ({"bbox": [float("nan"), 2, 3, 4]}, "annotation 5 .*nan"),
        ({"keypoints": ["30", "20", "2"] * 3}, "annotation 5 .*9"),
        ({"category_id": 4, "image_id": [7]}, r"annotation 5 .*\[7\]"),
    ],
)
def test_a_wrong_field_of_an_annotation_is_named(tmp_path: Path, change: Any, value: str) -> None:
    path = write_coco(tmp_path, [annotation(5, 7)])
    content = json.loads(path.read_text())
    content["annotations"][0] |= change
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=value):
        read_coco(path)


def test_missing_pictures_are_listed(tmp_path: Path) -> None:
    write_table(tmp_path, 9)
    for index in range(1, 8):
        (tmp_path / f"{index}.png").unlink()
    with pytest.raises(InputError, match=r"1\.png.*3\.png and 4 more"):
        read_table(tmp_path)


def test_pictures_may_be_in_a_folder_called_images(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [annotation(1, 7)])
    (tmp_path / "images").mkdir()
    (tmp_path / "7.png").rename(tmp_path / "images" / "7.png")
    assert blues(read_coco(path).validation()) == [7]


@pytest.mark.skipif(not (SHARED / "mirror-mouse").is_dir(), reason="not here: ../shared/data/mirror-mouse")
def test_the_mirror_mouse_data_set_is_read() -> None:
    data = read_table(SHARED / "mirror-mouse", (0, 5))
    assert len(data.spec.keypoints) == 17
    assert data.spec.oks_sigmas == ()
    validation = list(data.validation())
    assert len(validation) == 18
    assert all(example.image.shape == (406, 396, 3) for example in validation)
    assert all(example.visible.any() and example.area > 0 for example in validation)
    # The first row of the table.
    assert validation[0].points[0].tolist() == [77.25, 36.25]
    assert validation[0].visible.tolist() == [True] * 4 + [False] * 2 + [True] * 11
    assert data.training(0, 71).image.shape == (406, 396, 3)


@pytest.mark.skipif(not (SHARED / "coco-sample").is_dir(), reason="not here: ../shared/data/coco-sample")
def test_the_persons_of_a_coco_sample_are_read() -> None:
    data = read_coco(SHARED / "coco-sample" / "test_coco.json")
    examples = list(data.validation())
    assert len(examples) == 12
    assert sum(int(example.visible.sum()) for example in examples) == 181
    assert data.spec.oks_sigmas == COCO_PERSON.sigmas
    assert data.spec.keypoints == COCO_PERSON.names
    assert data.spec.flip_pairs == COCO_PERSON.flip_pairs
    assert sorted(map(sorted, data.spec.skeleton)) == sorted(map(sorted, COCO_PERSON.skeleton))
    assert examples[0].points[0].tolist() == [367, 81]
    # Counted from first to last pixel, as HRNet's training clips boxes.
    assert examples[0].box == pytest.approx((280.79, 44.73, 217.7, 345.68))
