"""Pose data sets of Ultralytics: one written by sleap-io, others by hand as Ultralytics' documentation describes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgehrnet.errors import InputError, MissingExtraError
from edgehrnet.keypoint_sets import COCO_PERSON
from quant.data.annotations import Annotations
from quant.data.formats.ultralytics import read_ultralytics
from quant.data.opening import open_annotations, open_data

yaml = pytest.importorskip("yaml")

WIDTH, HEIGHT = 200, 100
ROW = "0 0.5 0.4 0.2 0.6 0.25 0.5 2 0.5 0.125 1 0 0 0"
"""A row with three keypoints."""


def describe(folder: Path, name: str = "data.yaml", **changes: Any) -> Path:
    """Write a description. A key whose value is ... is left out."""
    content = {
        "path": ".",
        "train": "images/train",
        "val": "images/val",
        "kpt_shape": [3, 3],
        "flip_idx": [0, 2, 1],
        "names": {0: "mouse", 1: "rat"},
        "kpt_names": {0: ["nose", "eye_right", "eye_left"]},
        **changes,
    }
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not ...}))
    return file


def picture(file: Path, **options: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(file, **options)
    return file


def add(folder: Path, name: str, text: str | None = ROW, part: str = "train") -> Path:
    """Write a picture and, unless it is None, its label file."""
    if text is not None:
        file = folder / "labels" / part / Path(name).with_suffix(".txt")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return picture(folder / "images" / part / name)


def names_of(found: Annotations) -> list[str]:
    return [picture.path.name for picture in found.pictures]


def remarks(found: Annotations, *levels: Any) -> str:
    return " | ".join(remark.text() for remark in found.remarks.of(*levels))


def test_a_row_is_a_box_and_keypoints_in_shares_of_the_picture(tmp_path: Path) -> None:
    describe(tmp_path / "mice")
    file = add(tmp_path / "mice", "7.png", f"{ROW}\n\n1 0.5 0.5 1 1 0.1 0.2 2 0.3 0.4 2 1 1 2\n")
    found = open_annotations(str(tmp_path / "mice" / "data.yaml"))
    assert (found.name, found.keypoints) == ("mice", ("nose", "eye_right", "eye_left"))
    assert found.flip_pairs == ((2, 1),)  # left, right
    assert found.categories == {1: (0, "mouse"), 2: (1, "rat")}
    assert [(picture.path, picture.id) for picture in found.pictures] == [(file, 7)]
    first, second = found.instances
    assert first.points.tolist() == pytest.approx(np.array([[50, 50], [100, 12.5], [0, 0]]))
    assert first.visibility.tolist() == [2, 1, 0]
    assert first.area == pytest.approx(2400)
    assert read_ultralytics(tmp_path / "mice").instances[0].box == pytest.approx((80, 10, 40, 60))
    assert [instance.category for instance in found.instances] == [1, 2]
    assert second.points[2].tolist() == [WIDTH, HEIGHT]
    assert second.source.endswith("7.txt, line 3")


def test_shares_are_of_the_picture_as_it_is_shown(tmp_path: Path) -> None:
    describe(tmp_path)
    add(tmp_path, "a.jpg")
    turned = Image.Exif()
    turned[0x0112] = 6
    picture(tmp_path / "images" / "train" / "a.jpg", exif=turned)
    (instance,) = open_annotations(str(tmp_path)).instances
    assert instance.points[0].tolist() == [0.25 * HEIGHT, 0.5 * WIDTH]


@pytest.mark.parametrize("text", ["", "\n \n", None])
def test_a_picture_may_have_no_object(tmp_path: Path, text: str | None) -> None:
    describe(tmp_path)
    add(tmp_path, "a.png")
    add(tmp_path, "b.png", text)
    found = open_annotations(str(tmp_path))
    assert names_of(found) == ["a.png", "b.png"]
    assert [instance.picture.path.name for instance in found.instances] == ["a.png"]
    assert ("b.png" in remarks(found, "warning")) == (text is None)


def test_without_any_label_file_the_place_is_named(tmp_path: Path) -> None:
    describe(tmp_path)
    add(tmp_path, "a.png", None)
    with pytest.raises(InputError, match=r"labels.train.a\.txt"):
        read_ultralytics(tmp_path)


def test_label_files_without_a_picture_are_named(tmp_path: Path) -> None:
    describe(tmp_path)
    add(tmp_path, "a.png")
    add(tmp_path, "gone.png").unlink()
    (tmp_path / "labels" / "train" / "classes.txt").write_text("mouse\n")
    found = read_ultralytics(tmp_path)
    assert names_of(found) == ["a.png"]
    assert "gone.txt" in remarks(found, "warning")
    assert "classes.txt" not in remarks(found, "warning")


def test_pictures_in_hidden_folders_are_left_out(tmp_path: Path) -> None:
    describe(tmp_path)
    add(tmp_path, "a.png")
    add(tmp_path, ".edgehrnet-writing/x/b.png")
    assert names_of(read_ultralytics(tmp_path)) == ["a.png"]


def test_two_columns_have_no_visibility(tmp_path: Path) -> None:
    describe(tmp_path, kpt_shape=[3, 2])
    add(tmp_path, "a.png", "0 0.5 0.5 1 1 0.25 0.5 0 0 -0.001 0.5")
    found = read_ultralytics(tmp_path)
    assert found.instances[0].visibility.tolist() == [2, 0, 0]
    assert found.instances[0].points.tolist() == [[50, 50], [0, 0], [0, 0]]
    assert "a.txt, line 1" in remarks(found, "dropped")


def test_a_point_at_the_corner_is_labeled_if_its_visibility_says_so(tmp_path: Path) -> None:
    describe(tmp_path)
    add(tmp_path, "a.png", ROW.replace("0 0 0", "0 0 2"))
    assert read_ultralytics(tmp_path).instances[0].visibility.tolist() == [2, 1, 2]


@pytest.mark.parametrize(
    ("row", "value"),
    [
        ("0 0.5 0.4 0.2 0.6 0.25 0.5 2", r"14 values.*a\.txt, line 2 has 8"),
        ("0 0.5 0.4 0.2 0.6", r"14 values.*a\.txt, line 2 has 5"),
        (ROW.replace("0.125", "x"), r"a\.txt, line 2 has 'x'"),
        (ROW.replace("0.125", "nan"), r"a\.txt, line 2 has 'nan'"),
        (ROW.replace("0.4", "inf"), r"a\.txt, line 2 has 'inf'"),
        ("2" + ROW[1:], r"\[0, 1\].*a\.txt, line 2 has 2"),
        ("0.5" + ROW[1:], r"a\.txt, line 2 has 0\.5"),
        (ROW.replace("0.125", "12.5"), r"0\.\.1.*a\.txt, line 2"),
        (ROW.replace("0.4", "40"), r"0\.\.1.*a\.txt, line 2"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, row: str, value: str) -> None:
    describe(tmp_path)
    add(tmp_path, "a.png", f"{ROW}\n{row}\n")
    with pytest.raises(InputError, match=value):
        open_annotations(str(tmp_path))


def test_a_label_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    describe(tmp_path)
    add(tmp_path, "a.png")
    (tmp_path / "labels" / "train" / "a.txt").write_bytes(b"\xff\xfe0")
    with pytest.raises(InputError, match=r"a\.txt"):
        open_annotations(str(tmp_path))


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    describe(tmp_path)
    add(tmp_path, "a.png").write_bytes(b"none")
    with pytest.raises(InputError, match=r"a\.png"):
        open_annotations(str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({"kpt_shape": ...}, "kpt_shape is None"),
        ({"kpt_shape": [3]}, r"kpt_shape is \[3\]"),
        ({"kpt_shape": [3, 4]}, r"kpt_shape is \[3, 4\]"),
        ({"kpt_shape": [0, 3]}, r"kpt_shape is \[0, 3\]"),
        ({"kpt_shape": [10**40, 3]}, r"kpt_shape is \[10000"),
        ({"names": None, "nc": 10**40}, "names is None"),
        ({"flip_idx": [1, 2, 0]}, r"flip_idx is \[1, 2, 0\]"),
        ({"flip_idx": [0, 1]}, r"flip_idx is \[0, 1\]"),
        ({"flip_idx": [0, 3, 1]}, r"flip_idx is \[0, 3, 1\]"),
        ({"flip_idx": 5}, "flip_idx is 5"),
        ({"kpt_names": ["a", "b"]}, r"kpt_names is \['a', 'b'\].*3"),
        ({"kpt_names": ["a", "b", "a"]}, "kpt_names .*'a'"),
        ({"kpt_names": {0: ["a", "b", "c"], 1: ["a", "c", "b"]}}, "kpt_names .*'c', 'b'"),
        ({"kpt_oks_sigmas": [0.1, 0.1]}, r"kpt_oks_sigmas is \[0\.1, 0\.1\]"),
        ({"names": {}}, r"names is \{\}"),
        ({"names": {"x": "y"}}, "names is .*'x'"),
        ({"train": ...}, "'train' is None"),
        ({"train": []}, r"'train' is \[\]"),
        ({"train": [4]}, r"'train' is \[4\]"),
        ({"train": "images/other"}, "'images/other'.*--images"),
    ],
)
def test_a_bad_description_is_refused(tmp_path: Path, changes: Any, value: str) -> None:
    describe(tmp_path, **changes)
    add(tmp_path, "a.png")
    with pytest.raises(InputError, match=rf"data\.yaml.*{value}"):
        read_ultralytics(tmp_path / "data.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "kpt_shape: [3",
        "kpt_shape: &a [*a",
        "'kpt_shape' : x: y",
    ],
)
def test_broken_yaml_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(InputError, match=r"data\.yaml"):
        read_ultralytics(tmp_path / "data.yaml")


def test_aliases_which_stand_for_lists_of_any_length_are_refused(tmp_path: Path) -> None:
    levels = "".join(f"a{level + 1}: &a{level + 1} [*a{level}, *a{level}]\n" for level in range(60))
    (tmp_path / "data.yaml").write_text(f"a0: &a0 [a, b]\n{levels}kpt_shape: [2, 3]\nkpt_names: *a60\n")
    with pytest.raises(InputError, match="aliases"):
        read_ultralytics(tmp_path / "data.yaml")


def test_names_and_pairs_may_be_missing(tmp_path: Path) -> None:
    describe(tmp_path, kpt_names=..., flip_idx=...)
    add(tmp_path, "a.png")
    found = read_ultralytics(tmp_path)
    assert found.keypoints == ("keypoint-0", "keypoint-1", "keypoint-2")
    assert (found.flip_pairs, found.sigmas) == ((), ())


def test_names_tell_the_pairs_if_flip_idx_exchanges_nothing(tmp_path: Path) -> None:
    describe(tmp_path, flip_idx=[0, 1, 2])
    add(tmp_path, "a.png")
    found = read_ultralytics(tmp_path)
    assert found.flip_pairs == ((2, 1),)
    assert "flip_idx" in remarks(found, "warning")


def test_names_tell_the_pairs_that_flip_idx_leaves_out(tmp_path: Path) -> None:
    names = ["nose", "eye_right", "eye_left", "ear_left", "ear_right"]
    describe(tmp_path, kpt_shape=[5, 2], flip_idx=[0, 2, 1, 3, 4], kpt_names=names)
    add(tmp_path, "a.png", "0 0.5 0.5 1 1" + " 0.5 0.4" * 5)
    found = open_annotations(str(tmp_path))
    assert (found.flip_pairs, found.unpaired) == (((2, 1), (3, 4)), ())


def test_points_with_a_place_that_are_not_labeled_are_noted(tmp_path: Path) -> None:
    describe(tmp_path)
    add(tmp_path, "a.png", ROW.replace(" 2 ", " 0 "))
    found = read_ultralytics(tmp_path)
    assert found.instances[0].visibility.tolist() == [0, 1, 0]
    assert "a.txt, line 1" in remarks(found, "dropped")


def test_flip_idx_counts_more_than_the_names(tmp_path: Path) -> None:
    describe(tmp_path, flip_idx=[1, 0, 2])
    add(tmp_path, "a.png")
    assert read_ultralytics(tmp_path).flip_pairs == ((0, 1),)


def test_persons_have_coco_s_sigmas_unless_the_file_has_others(tmp_path: Path) -> None:
    add(tmp_path, "a.png", "0 0.5 0.5 1 1" + " 0.5 0.5 2" * 17)
    options: dict[str, Any] = {"kpt_shape": [17, 3], "flip_idx": ..., "kpt_names": list(COCO_PERSON.names)}
    describe(tmp_path, **options)
    assert read_ultralytics(tmp_path).sigmas == COCO_PERSON.sigmas
    assert read_ultralytics(tmp_path).flip_pairs == COCO_PERSON.flip_pairs
    describe(tmp_path, **options, kpt_oks_sigmas=[0.5] * 17)
    assert read_ultralytics(tmp_path).sigmas == (0.5,) * 17


@pytest.mark.parametrize("path", [".", "..", "mice", "/of/another/machine", ...])
def test_paths_are_relative_to_path_or_to_the_description(tmp_path: Path, path: Any) -> None:
    describe(tmp_path / "mice", path=path)
    add(tmp_path / "mice", "a.png")
    assert names_of(read_ultralytics(tmp_path / "mice")) == ["a.png"]


def test_the_description_may_lie_beside_the_folder(tmp_path: Path) -> None:
    file = describe(tmp_path, "coco8-pose.yaml", path="mice")
    add(tmp_path / "mice", "a.png")
    found = open_annotations(str(file))
    assert (found.name, names_of(found)) == ("coco8-pose", ["a.png"])


def test_a_part_may_be_one_folder_up_of_nothing(tmp_path: Path) -> None:
    """Roboflow writes ../train/images for a folder beside data.yaml."""
    describe(tmp_path, path=..., train="../train/images")
    picture(tmp_path / "train" / "images" / "a.png")
    (tmp_path / "train" / "labels").mkdir()
    (tmp_path / "train" / "labels" / "a.txt").write_text(ROW)
    assert len(open_annotations(str(tmp_path)).instances) == 1


def test_a_part_may_be_several_folders(tmp_path: Path) -> None:
    describe(tmp_path, train=["images/train", "images/more"])
    add(tmp_path, "b.png")
    add(tmp_path, "deeper/a.png", part="more")
    assert names_of(read_ultralytics(tmp_path)) == ["b.png", "a.png"]


def test_a_part_may_be_a_list_of_pictures(tmp_path: Path) -> None:
    describe(tmp_path, train="train.txt")
    for name in ("a.png", "b.png", "c.png"):
        file = add(tmp_path, name)
    (tmp_path / "train.txt").write_text(f"./images/train/b.png\n\n{file}\n")
    found = open_annotations(str(tmp_path))
    assert names_of(found) == ["b.png", "c.png"]
    assert len(found.instances) == 2
    (tmp_path / "images" / "train" / "b.png").unlink()
    with pytest.raises(InputError, match=r"b\.png"):
        open_annotations(str(tmp_path))


def test_a_folder_of_label_files_is_a_part_of_its_own(tmp_path: Path) -> None:
    describe(tmp_path)
    add(tmp_path, "a.png")
    add(tmp_path, "b.png", part="val")
    val = tmp_path / "labels" / "val"
    assert names_of(open_annotations(str(val))) == ["b.png"]
    assert names_of(read_ultralytics(tmp_path, split="val")) == ["b.png"]
    data = open_data(str(tmp_path), validation=str(val))
    assert [example.image_id for example in data.validation()] == ["b"]


def test_a_folder_of_pictures_is_no_labels(tmp_path: Path) -> None:
    describe(tmp_path)
    add(tmp_path, "a.png")
    with pytest.raises(InputError, match=r"images.train"):
        open_annotations(str(tmp_path / "images" / "train"))


def test_other_yaml_is_no_labels(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("Task: x\nbodyparts:\n- a\n")
    for path in (tmp_path, tmp_path / "config.yaml"):
        with pytest.raises(InputError, match="no labels of a known format"):
            open_annotations(str(path))


def test_two_descriptions_in_a_folder_are_listed(tmp_path: Path) -> None:
    add(tmp_path, "a.png")
    for name in ("mice.yaml", "rats.yml"):
        describe(tmp_path, name)
    with pytest.raises(InputError, match=r"mice\.yaml, rats\.yml"):
        open_annotations(str(tmp_path))
    describe(tmp_path)
    assert names_of(open_annotations(str(tmp_path))) == ["a.png"]


def test_with_images_the_label_files_say_which_pictures_are_read(tmp_path: Path) -> None:
    describe(tmp_path / "mice")
    add(tmp_path / "mice", "a.png").unlink()
    add(tmp_path / "mice", "sub/b.png").unlink()
    for name in ("a.jpg", "deep/b.png", "c.png"):
        picture(tmp_path / "elsewhere" / name)
    for path in ("data.yaml", "labels/train"):
        found = open_annotations(str(tmp_path / "mice" / path), str(tmp_path / "elsewhere"))
        assert names_of(found) == ["a.jpg", "b.png"]
        assert len(found.instances) == 2
    (tmp_path / "elsewhere" / "a.jpg").unlink()
    with pytest.raises(InputError, match=r"elsewhere.a\."):
        open_annotations(str(tmp_path / "mice"), str(tmp_path / "elsewhere"))
    with pytest.raises(InputError, match="nowhere"):
        open_annotations(str(tmp_path / "mice"), str(tmp_path / "nowhere"))


def test_a_list_is_found_below_images(tmp_path: Path) -> None:
    describe(tmp_path, train="train.txt")
    add(tmp_path, "a.png").unlink()
    (tmp_path / "train.txt").write_text("images/train/a.png\n")
    picture(tmp_path / "elsewhere" / "train" / "a.png")
    found = open_annotations(str(tmp_path), str(tmp_path / "elsewhere"))
    assert len(found.instances) == 1


def test_ids_are_numbers_if_two_pictures_share_a_name(tmp_path: Path) -> None:
    describe(tmp_path)
    for name in ("000007.png", "left-3.png"):
        add(tmp_path, name)
    assert [picture.id for picture in read_ultralytics(tmp_path).pictures] == [7, "left-3"]
    add(tmp_path, "sub/000007.png")
    assert [picture.id for picture in read_ultralytics(tmp_path).pictures] == [1, 2, 3]


def test_without_pyyaml_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    describe(tmp_path)
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtraError, match=r"edgehrnet\[formats\]"):
        open_annotations(str(tmp_path))


def test_what_sleap_io_writes_is_read(tmp_path: Path) -> None:
    sio = pytest.importorskip("sleap_io")
    files = [str(picture(tmp_path / "frames" / f"{number}.png")) for number in range(3)]
    video = sio.Video.from_filename(files)
    nodes = ("tail", "ear_R", "nose", "ear_L")
    skeleton = sio.Skeleton(list(nodes), edges=[("nose", "tail")], symmetries=[("ear_R", "ear_L")])
    points = np.array([[20.5, 30.25], [100, 40.125], [np.nan, np.nan], [180, 60]])
    frames = [
        sio.LabeledFrame(video=video, frame_idx=k, instances=[sio.Instance.from_numpy(points + k, skeleton=skeleton)])
        for k in range(3)
    ]
    out = tmp_path / "out"
    sio.save_ultralytics(sio.Labels(frames), str(out), split_ratios={"train": 1.0}, verbose=False)
    found = read_ultralytics(out)
    assert found.keypoints == nodes
    assert found.skeleton == ((2, 0),)
    assert found.flip_pairs == ((3, 1),)
    assert len(found.instances) == 3
    for k, instance in enumerate(found.instances):
        assert instance.visibility.tolist() == [2, 2, 0, 2]
        assert np.abs(instance.points - np.nan_to_num(points + k)).max() < 0.01
        assert instance.box == pytest.approx((10.5 + k, 20.25 + k, 179.5, 49.75), abs=0.01)
