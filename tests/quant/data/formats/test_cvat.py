"""CVAT's exports: skeletons, points and boxes of 'CVAT for images 1.1', and its COCO keypoints."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgehrnet.errors import InputError
from quant.data.annotations import Annotations
from quant.data.formats.recognition import has_labels, read_labels
from quant.data.opening import open_annotations
from quant.data.remarks import Level

# The elements and attributes, in the order in which CVAT writes them. Labels are listed with skeletons first.
HEAD = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>7</id>
      <name>birds</name>
      <size>2</size>
      <mode>annotation</mode>
      <labels>
{labels}      </labels>
    </task>
    <dumped>2026-01-02 03:04:05.678901+00:00</dumped>
  </meta>
"""
LABEL = """        <label>
          <name>{name}</name>
          <color>#33ddff</color>
          <type>{type}</type>
          <attributes>
          </attributes>
{rest}        </label>
"""
SVG = (
    '          <svg>&lt;line x1="1" y1="2" data-type="edge" data-node-from="2" data-node-to="1"&gt;&lt;/line&gt;'
    '&lt;circle r="1.5" data-type="element node" data-element-id="1" data-node-id="1" data-label-name="tail"&gt;'
    '&lt;/circle&gt;&lt;circle r="1.5" data-type="element node" data-element-id="2" data-node-id="2" '
    'data-label-name="nose"&gt;&lt;/circle&gt;</svg>\n'
)
PARENT = "          <parent>bird</parent>\n"
BIRD = [("bird", "skeleton", SVG), ("wing", "points", PARENT), ("nose", "points", PARENT), ("tail", "points", PARENT)]


def point(name: str, place: str, outside: int = 0, occluded: int = 0) -> str:
    flags = f'outside="{outside}" occluded="{occluded}"'
    return f'      <points label="{name}" source="manual" {flags} points="{place}">\n      </points>\n'


def plain(name: str, place: str, rest: str = "") -> str:
    return (
        f'    <points label="{name}" source="manual" occluded="0" points="{place}" z_order="0"{rest}>\n    </points>\n'
    )


def skeleton(*points: str, rest: str = "", label: str = "bird") -> str:
    inner = "".join(points)
    return f'    <skeleton label="{label}" source="manual" z_order="0"{rest}>\n{inner}    </skeleton>\n'


def box(corners: str, rest: str = "") -> str:
    sides = " ".join(
        f'{side}="{value}"' for side, value in zip(("xtl", "ytl", "xbr", "ybr"), corners.split(","), strict=True)
    )
    return f'    <box label="body" source="manual" occluded="0" {sides} z_order="0"{rest}>\n    </box>\n'


def image(name: str, *shapes: str, number: int = 0, subset: str = "") -> str:
    task = f' subset="{subset}" task_id="1"' if subset else ""
    return f'  <image id="{number}" name="{name}"{task} width="60" height="40">\n{"".join(shapes)}  </image>\n'


def write(folder: Path, *images: str, labels: Any = BIRD) -> Path:
    listed = "".join(LABEL.format(name=name, type=kind, rest=rest) for name, kind, rest in labels)
    path = folder / "annotations.xml"
    path.write_text(HEAD.format(labels=listed) + "".join(images) + "</annotations>\n", "utf-8")
    return path


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(path)
    return path


def close(found: np.ndarray, expected: Sequence[Any]) -> bool:
    """Whether points differ by at most 0.01 px."""
    return np.allclose(found, np.array(expected, float), rtol=0, atol=0.01)


def remarks(annotations: Annotations, level: Level) -> str:
    return "; ".join(remark.text() for remark in annotations.remarks.of(level))


BOTH = image(
    "a.png",
    skeleton(point("tail", "10.50,20.25"), point("nose", "30.00,4.75", occluded=1),
             point("wing", "1.00,2.00", outside=1), rest=' group_id="3"'),
    skeleton(point("nose", "41.00,31.00"), point("tail", "40.00,30.00"), point("wing", "45.12,39.99")),
    box("5.00,2.00,35.00,25.00", ' group_id="3"'),
    box("0.00,0.00,9.00,9.00"),
)  # fmt: skip


def test_skeletons_are_read_in_the_order_of_meta(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    picture(tmp_path / "images" / "b.png")
    write(tmp_path, BOTH, image("b.png", number=1))
    assert has_labels(tmp_path)
    data = read_labels(tmp_path)
    assert data.name == tmp_path.name
    assert data.keypoints == ("wing", "nose", "tail")
    assert data.skeleton == ((1, 2),)
    assert data.categories == {1: (1, "bird")}
    assert [found.path.name for found in data.pictures] == ["a.png", "b.png"]
    assert data.pictures[0].size == (40, 60)
    first, second = data.instances
    assert close(first.points, [[0, 0], [30, 4.75], [10.5, 20.25]])
    assert first.visibility.tolist() == [0, 1, 2]
    assert first.box == pytest.approx((5, 2, 30, 23))
    assert close(second.points, [[45.12, 39.99], [41, 31], [40, 30]])
    assert second.visibility.tolist() == [2, 2, 2]
    assert second.box is None
    assert len(open_annotations(str(data.source)).instances) == 2
    assert "boxes" in remarks(data, "dropped")
    assert "order" not in remarks(data, "derived")


def test_without_listed_labels_the_order_is_that_of_appearance_and_said(tmp_path: Path) -> None:
    data = read_labels(write(tmp_path, BOTH, labels=[]))
    assert data.keypoints == ("tail", "nose", "wing")
    assert "tail, nose, wing" in remarks(data, "derived")


def test_points_of_a_picture_or_of_a_group_are_an_instance(tmp_path: Path) -> None:
    group = ' group_id="2"'
    labels = [(name, "points", "") for name in ("nose", "tail", "unused")]
    path = write(tmp_path,
                 image("a.png", plain("tail", "3.00,4.00"), plain("nose", "1.50,2.00")),
                 image("b.png", plain("nose", "5.00,6.00"), plain("nose", "7.00,8.00", group),
                       box("1.00,1.00,9.00,9.00", group), number=1), labels=labels)  # fmt: skip
    data = read_labels(path)
    assert data.keypoints == ("nose", "tail", "unused")
    assert [one.points[0].tolist() for one in data.instances] == [[1.5, 2], [5, 6], [7, 8]]
    assert [one.picture.path.name for one in data.instances] == ["a.png", "b.png", "b.png"]
    assert data.instances[0].visibility.tolist() == [2, 2, 0]
    assert [one.box for one in data.instances] == [None, None, pytest.approx((1, 1, 8, 8))]


def test_points_beside_skeletons_are_left_out(tmp_path: Path) -> None:
    data = read_labels(write(tmp_path, image("a.png", skeleton(point("nose", "1,2")), plain("other", "5.00,6.00"))))
    assert [one.points[1].tolist() for one in data.instances] == [[1, 2]]
    assert "other" not in data.keypoints
    assert "outside of skeletons" in remarks(data, "dropped")


def test_the_box_around_a_turned_one_is_upright(tmp_path: Path) -> None:
    group = ' group_id="1"'
    turned = box("10.00,10.00,30.00,20.00", f' rotation="90.00"{group}')
    data = read_labels(write(tmp_path, image("a.png", skeleton(point("nose", "20,15"), rest=group), turned)))
    assert data.instances[0].box == pytest.approx((15, 5, 10, 20))


@pytest.mark.parametrize(
    ("shapes", "place"),
    [
        ([plain("nose", "1.00,2.00"), plain("nose", "3.00,4.00")], "nose"),
        ([plain("nose", "1.00,2.00;3.00,4.00")], "1.00,2.00;3.00,4.00"),
        ([plain("nose", "1.00,many")], "1.00,many"),
        ([plain("nose", "1.00,1e300")], "1e300"),
        ([skeleton(point("nose", "1,nan"))], "skeleton 1"),
        ([skeleton(point("nose", "1,2"), point("nose", "1,2"))], "nose"),
        ([plain("nose", "1.00,2.00"), box("1,2,3,x")], "'x'"),
    ],
)
def test_spoiled_shapes_are_errors_with_their_place(tmp_path: Path, shapes: list[str], place: str) -> None:
    picture(tmp_path / "bird 1.png")
    path = write(tmp_path, image("bird 1.png", *shapes))
    with pytest.raises(InputError, match="bird 1") as caught:
        open_annotations(str(path))
    assert place in str(caught.value)
    assert path.name in str(caught.value)


def test_skeletons_with_other_keypoints_are_refused(tmp_path: Path) -> None:
    other = skeleton(point("claw", "1,2"), label="crab")
    with pytest.raises(InputError, match="claw"):
        read_labels(write(tmp_path, image("a.png", skeleton(point("nose", "1,2")), other)))


def test_skeletons_with_the_same_keypoints_are_categories(tmp_path: Path) -> None:
    crab = skeleton(point("tail", "5,6"), point("nose", "3,4"), point("wing", "7,8"), label="crab")
    data = read_labels(write(tmp_path, image("a.png", skeleton(point("nose", "1,2")), crab)))
    assert data.categories == {1: (1, "bird"), 2: (2, "crab")}
    assert [(one.category, one.points[1].tolist()) for one in data.instances] == [(1, [1, 2]), (2, [3, 4])]


def test_pictures_lie_in_subsets_and_frames_lack_a_suffix(tmp_path: Path) -> None:
    bird = skeleton(point("nose", "1,2"))
    frame = picture(tmp_path / "images" / "Train" / "frame_000000.png")
    twin = picture(tmp_path / "images" / "default" / "frame_000000.png")
    path = write(tmp_path, image("frame_000000", bird, subset="Train"), image("frame_000000", bird, subset="default"))
    assert [found.path for found in read_labels(path).pictures] == [frame, twin]
    elsewhere = picture(tmp_path / "flat" / "frame_000000.png")
    assert [found.path for found in read_labels(path, tmp_path / "flat").pictures] == [elsewhere] * 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<annotation><object/></annotation>", "<annotation>"),
        ('<annotations><version>1.1</version><track id="0" label="bird"/></annotations>', "CVAT for video 1.1"),
        ("<annotations><version>1.1</version></annotations>", "<image>"),
        ('<annotations><image id="0" name="a.png"/></annotations>', "<skeleton>"),
        ("<annotations>", "annotations.xml"),
        ('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///b">]><annotations>&b;</annotations>', "DOCTYPE"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, value: str) -> None:
    path = tmp_path / "annotations.xml"
    path.write_text(text)
    with pytest.raises(InputError, match=value):
        read_labels(path)


def test_an_entity_is_not_expanded_before_the_file_is_refused(tmp_path: Path) -> None:
    bomb = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "x" * 10}">' for n in range(20))
    path = tmp_path / "bomb.xml"
    path.write_text(f"<!DOCTYPE annotations [{bomb}]><annotations>&e19;</annotations>", "utf-16")
    with pytest.raises(InputError, match="DOCTYPE"):
        read_labels(path)


@pytest.mark.parametrize("part", ["default", "Train", "birds of May"])
def test_pictures_of_its_coco_keypoints_are_found(tmp_path: Path, part: str) -> None:
    found = picture(tmp_path / "images" / part / "sub" / "a.png")
    picture(tmp_path / "images" / "other" / "sub" / "a.png")
    content = {
        "images": [{"id": 1, "width": 60, "height": 40, "file_name": "sub/a.png", "license": 0, "date_captured": 0}],
        "categories": [{"id": 1, "name": "bird", "supercategory": "", "keypoints": ["wing", "nose"], "skeleton": []}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [], "area": 15.0, "iscrowd": 0,
                         "bbox": [20.0, 10.0, 5.0, 3.0], "keypoints": [0.0, 0.0, 0, 21.5, 11.25, 1],
                         "num_keypoints": 1}],
    }  # fmt: skip
    path = tmp_path / "annotations" / f"person_keypoints_{part}.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    data = open_annotations(str(path))
    assert [one.path for one in data.pictures] == [found]
    assert data.instances[0].visibility.tolist() == [0, 1]
    assert close(data.instances[0].points[1], [21.5, 11.25])
