"""Label Studio's exports: JSON and JSON-MIN are read, COCO keypoints are refused."""

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

WIDTH, HEIGHT = 200, 100
TIME = "2026-01-02T03:04:05.678901Z"


def region(number: str, kind: str, name: str, value: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0, "value": value, "id": number,
            "from_name": name, "to_name": "image", "type": kind, "origin": "manual", **rest}  # fmt: skip


def point(number: str, label: str, x: float, y: float, **rest: Any) -> dict[str, Any]:
    value = {"x": x, "y": y, "width": 0.3, "keypointlabels": [label]}
    return region(number, "keypointlabels", "kp", value, **rest)


def rectangle(
    number: str, x: float, y: float, w: float, h: float, turn: float = 0, label: str = "bird"
) -> dict[str, Any]:
    value = {"x": x, "y": y, "width": w, "height": h, "rotation": turn, "rectanglelabels": [label]}
    return region(number, "rectanglelabels", "box", value)


def choice(number: str, word: str) -> dict[str, Any]:
    return region(number, "choices", "seen", {"x": 1, "y": 1, "width": 0.3, "choices": [word]})


def annotation(number: int, *results: Any, **rest: Any) -> dict[str, Any]:
    return {"id": number, "completed_by": 1, "result": list(results), "was_cancelled": False, "ground_truth": False,
            "created_at": TIME, "updated_at": TIME, "draft_created_at": None, "lead_time": 3.2, "prediction": {},
            "result_count": len(results), "unique_id": "0", "task": 1, "project": 1, **rest}  # fmt: skip


def task(number: int, *annotations: Any, image: str = "/data/upload/1/0123abcd-a.png", **rest: Any) -> dict[str, Any]:
    return {"id": number, "annotations": list(annotations), "file_upload": "0123abcd-a.png", "drafts": [],
            "predictions": [], "data": {"image": image}, "meta": {}, "created_at": TIME, "updated_at": TIME,
            "inner_id": number, "total_annotations": len(annotations), "cancelled_annotations": 0, "project": 1,
            **rest}  # fmt: skip


def minimal(number: int, annotation: int | None, *results: Any, image: str = "/data/upload/1/0123abcd-a.png",
            **rest: Any) -> dict[str, Any]:  # fmt: skip
    """The entry that JSON-MIN has for an annotation: regions lose their ids, parents and the rotation."""
    lists: dict[str, Any] = {}
    for result in results:
        sizes = {key: result[key] for key in ("original_width", "original_height")}
        lists.setdefault(result["from_name"], []).append({**result["value"], **sizes})
    return {"image": image, "id": number, **lists, "annotator": 1, "annotation_id": annotation, "created_at": TIME,
            "updated_at": TIME, "lead_time": 3.2, **rest}  # fmt: skip


def write(folder: Path, *tasks: Any) -> Path:
    path = folder / "project-1-at-2026-01-02-03-04-0123abcd.json"
    path.write_text(json.dumps(tasks))
    return path


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(path)
    return path


def close(found: np.ndarray, expected: Sequence[Any]) -> bool:
    """Whether points differ by at most 0.01 px."""
    return np.allclose(found, np.array(expected, float), rtol=0, atol=0.01)


def remarks(annotations: Annotations, level: Level) -> str:
    return "; ".join(remark.text() for remark in annotations.remarks.of(level))


TWO = annotation(
    10,
    rectangle("r1", 10, 10, 40, 60),
    point("k1", "tail", 20.123, 30.5, parentID="r1"),
    choice("k1", "Occluded"),
    rectangle("r2", 50, 0, 50, 100),
    point("k2", "nose", 60, 50, parentID="r2"),
    point("k3", "nose", 12.5, 25, parentID="r1"),
    point("k4", "tail", 99.99, 0.01),
    choice("k3", "absent"),
    {"from_id": "k4", "to_id": "r2", "type": "relation", "direction": "right"},
)


def test_keypoints_belong_to_the_rectangle_that_holds_them_or_is_related(tmp_path: Path) -> None:
    found = picture(tmp_path / "images" / "a.png")
    path = write(tmp_path, task(1, TWO))
    assert has_labels(path)
    data = read_labels(path)
    assert data.keypoints == ("tail", "nose")
    assert "tail, nose" in remarks(data, "derived")
    assert data.categories == {1: (1, "bird")}
    assert [(one.path, one.id, one.size) for one in data.pictures] == [(found, 1, (HEIGHT, WIDTH))]
    first, second = data.instances
    assert close(first.points, [[40.246, 30.5], [0, 0]])
    assert first.visibility.tolist() == [1, 0]
    assert first.box == pytest.approx((20, 10, 80, 60))
    assert close(second.points, [[199.98, 0.01], [120, 50]])
    assert second.visibility.tolist() == [2, 2]
    assert second.box == pytest.approx((100, 0, 100, 100))
    assert len(open_annotations(str(data.source)).instances) == 2


def test_without_a_parent_all_keypoints_of_a_task_are_one_instance(tmp_path: Path) -> None:
    path = write(tmp_path, task(1, annotation(1, point("a", "nose", 5, 10), point("b", "tail", 1, 2))),
                 task(2, annotation(2, rectangle("r", 0, 0, 10, 20), point("c", "tail", 3, 4)), image="/data/b.png"),
                 task(3, annotation(3), image="/data/c.png"))  # fmt: skip
    data = read_labels(path)
    assert [one.points.tolist() for one in data.instances] == [[[10, 10], [2, 2]], [[0, 0], [6, 4]]]
    assert [one.box for one in data.instances] == [None, pytest.approx((0, 0, 20, 20))]
    assert [one.path.name for one in data.pictures] == ["0123abcd-a.png", "b.png", "c.png"]
    assert "task 2" in remarks(data, "derived")


@pytest.mark.parametrize("indices", [("", ""), ('model_index="1"', 'model_index="0"')])
def test_the_configuration_gives_the_order(tmp_path: Path, indices: tuple[str, str]) -> None:
    first, second = indices
    (tmp_path / "config.xml").write_text(
        '<View><Image name="image" value="$image"/><KeyPointLabels name="kp" toName="image">'
        f'<Label value="nose" {first}/><Label value="The tail" alias="tail" {second}/></KeyPointLabels></View>'
    )
    data = read_labels(write(tmp_path, task(1, TWO)))
    assert data.keypoints == (("tail", "nose") if first else ("nose", "tail"))
    assert data.instances[1].points[data.keypoints.index("nose")].tolist() == [120, 50]
    assert "order" not in remarks(data, "derived")
    with pytest.raises(InputError, match="claw"):
        read_labels(write(tmp_path, task(1, annotation(1, point("a", "claw", 5, 10)))))


def test_one_annotation_of_a_task_is_used_and_predictions_are_not(tmp_path: Path) -> None:
    def at(number: int, x: float, **rest: Any) -> dict[str, Any]:
        return annotation(number, point("k", "nose", x, 1), **rest)

    late, last = "2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z"
    tasks = [
        task(1, at(1, 1, updated_at=late), at(2, 2), at(3, 3, was_cancelled=True, updated_at=last)),
        task(2, at(4, 4, ground_truth=True), at(5, 5, updated_at=late), image="b.png"),
        task(3, at(6, 6), at(7, 7), image="c.png", predictions=[{"id": 1, "result": [point("k", "nose", 9, 9)]}]),
        task(4, at(8, 8, was_cancelled=True), image="d.png"),
    ]
    data = read_labels(write(tmp_path, *tasks))
    assert [one.points[0, 0] for one in data.instances] == [2, 8, 14]
    assert [one.source.rpartition(" ")[2] for one in data.instances] == ["1", "4", "7"]
    assert [one.path.name for one in data.pictures] == ["0123abcd-a.png", "b.png", "c.png"]
    for words in ("canceled annotations", "predictions", "further annotations", "task 4"):
        assert words in remarks(data, "dropped")


def test_a_turned_rectangle_gives_the_upright_box_around_it(tmp_path: Path) -> None:
    turned = annotation(1, rectangle("r", 50, 20, 10, 40, turn=90), point("k", "nose", 45, 30, parentID="r"))
    (only,) = read_labels(write(tmp_path, task(1, turned))).instances
    assert only.box == pytest.approx((60, 20, 40, 20))  # 20 x 40 px, turned clockwise about (100, 20)


def test_rectangles_of_another_kind_and_texts_for_regions_are_left_out(tmp_path: Path) -> None:
    text = region("r", "textarea", "note", {"x": 0, "y": 0, "width": 1, "height": 1, "text": ["good"]})
    results = [rectangle("r", 0, 0, 50, 50), text, point("k", "nose", 9, 9, parentID="r"), rectangle("o", 0, 0, 9, 9),
               rectangle("n", 1, 1, 9, 9, label="nest")]  # fmt: skip
    data = read_labels(write(tmp_path, task(1, annotation(1, *results))))
    assert [one.box for one in data.instances] == [pytest.approx((0, 0, 100, 50)), pytest.approx((0, 0, 18, 9))]
    assert [one.trained for one in data.instances] == [True, False]
    assert "nest" in remarks(data, "dropped")


@pytest.mark.parametrize(
    ("address", "file"),
    [
        ("/data/upload/1/0123abcd-photo.png", "0123abcd-photo.png"),
        ("/data/upload/1/0123abcd-photo.png", "images/photo.png"),
        ("/data/upload/1/0123abcd-%C3%A4_photo.png", "ä_photo.png"),
        ("/data/upload/1/0123abcd-my_photo_1.png", "my photo (1).png"),
        ("/data/local-files/?d=set/deep%20er/photo.png", "images/deep er/photo.png"),
        ("/data/local-files/?d=set%5Cphoto.png", "photo.png"),
        ("s3://bucket/set/photo%25.png", "set/photo%25.png"),
        ("https://host:8080/set/photo.png?X-Amz-Date=1&b=/c", "photo.png"),
        ("gs://bucket/PHOTO.PNG", "PHOTO.PNG"),
    ],
)
def test_pictures_are_found_by_the_last_part_of_their_address(tmp_path: Path, address: str, file: str) -> None:
    found = picture(tmp_path / file)
    picture(tmp_path / "images" / "other.png")
    data = open_annotations(str(write(tmp_path, task(1, TWO, image=address))))
    assert [one.path.resolve() for one in data.pictures] == [found.resolve()]


def test_only_the_beginning_of_a_name_is_taken_for_that_of_an_upload(tmp_path: Path) -> None:
    picture(tmp_path / "x-photo.png")
    data = read_labels(write(tmp_path, task(1, TWO, image="/data/upload/1/x-0123abcd-photo.png")))
    assert [one.path.name for one in data.pictures] == ["x-0123abcd-photo.png"]


def test_a_task_may_have_other_texts_than_the_address(tmp_path: Path) -> None:
    data = {"thumbnail": "/data/small.png", "photo": "/data/photo.png", "note": "good", "image": 5}
    at_photo = annotation(1, point("k", "nose", 9, 9, to_name="photo"))
    path = write(tmp_path, task(1, at_photo, data=data))
    assert [one.path.name for one in read_labels(path).pictures] == ["photo.png"]


def test_the_same_file_for_two_uploads_is_an_error(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    path = write(tmp_path, task(1, TWO), task(2, TWO, image="/data/upload/1/89abcdef-a.png"))
    with pytest.raises(InputError, match="89abcdef-a"):
        open_annotations(str(path))


def test_json_min_is_read_unless_it_lacks_the_owners(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    one = [rectangle("r", 10, 10, 40, 60), point("k", "nose", 20.123, 30.5), point("l", "tail", 1, 2)]
    path = write(tmp_path, minimal(1, 5, *one, updated_at="2026-01-01T00:00:00Z"), minimal(1, 6, *one, seen="hidden"),
                 minimal(2, None, image="b.png"))  # fmt: skip
    data = open_annotations(str(path))
    assert data.keypoints == ("nose", "tail")
    (only,) = data.instances
    assert close(only.points, [[40.246, 30.5], [2, 2]])
    assert "annotation 6" in only.source
    assert "further annotations" in remarks(data, "dropped")
    assert "seen" in remarks(data, "warning")
    with pytest.raises(InputError, match="JSON-MIN"):
        open_annotations(str(write(tmp_path, minimal(1, 5, *one, rectangle("s", 0, 0, 9, 9)))))


@pytest.mark.parametrize("order", [1, -1])
def test_shape_and_label_may_be_two_results(tmp_path: Path, order: int) -> None:
    def two(one: dict[str, Any], kind: str) -> list[dict[str, Any]]:
        place = {key: value for key, value in one["value"].items() if not key.endswith("labels")}
        name = one["value"][f"{kind}labels"]
        return [{**one, "type": kind, "value": place}, {**one, "type": "labels", "value": {**place, "labels": name}}]

    results = [*two(rectangle("r", 10, 10, 40, 60), "rectangle"),
               *two(point("k", "nose", 20, 30, parentID="r"), "keypoint")][::order]  # fmt: skip
    data = read_labels(write(tmp_path, task(1, annotation(1, *results))))
    assert data.keypoints == ("nose",)
    assert data.categories == {1: (1, "bird")}
    (only,) = data.instances
    assert close(only.points, [[40, 30]])
    assert only.box == pytest.approx((20, 10, 80, 60))


@pytest.mark.parametrize(
    ("results", "value"),
    [
        ([point("a", "nose", 1, 2), point("b", "nose", 3, 4)], "'nose'"),
        ([rectangle("r", 0, 0, 9, 9), rectangle("s", 0, 0, 9, 9), point("a", "nose", 1, 2)], "'nose'"),
        ([rectangle("r", 0, 0, 9, 9), point("a", "tail", 1, 2, parentID="r"), point("b", "nose", 1, 2)], "'nose'"),
        ([point("a", "nose", 1, 2, image_rotation=90)], "90"),
        ([point("region7", "nose", 1, 2, original_width=None)], "region7"),
        ([point("region7", "nose", 1, float("nan"))], "region7"),
        ([point("region7", "nose", 1, 640)], "640"),
        ([point("a", "nose", 1, 2), point("b", "tail", 1, 2, original_width=400)], "(100, 400)"),
        ([point("a", "nose", 1, 2, to_name="left"), point("b", "tail", 1, 2, to_name="right")], "several pictures"),
    ],
)
def test_spoiled_regions_are_errors_with_task_and_annotation(tmp_path: Path, results: list[Any], value: str) -> None:
    picture(tmp_path / "a.png")
    path = write(tmp_path, task(31, annotation(47, *results)))
    with pytest.raises(InputError, match="task 31, annotation 47") as caught:
        open_annotations(str(path))
    assert value in str(caught.value)
    assert path.name in str(caught.value)


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ([{"image_id": 1, "keypoints": []}], "entry 0.*COCO"),
        ([{"text": "good"}], "entry 0"),
        ([5], "list of tasks"),
        ([task(1, annotation(1))], "KeyPointLabels"),
        ([task(1, {"id": 47})], "result"),
        ([task(1, TWO, image="data:image/png;base64,AAAA")], "task 1"),
        ([task(1, TWO, data={"note": "good"})], "good"),
    ],
)
def test_other_lists_are_refused(tmp_path: Path, content: list[Any], value: str) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=value):
        open_annotations(str(path))


def test_its_coco_export_of_keypoints_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    keypoints = {"id": 0, "image_id": 0, "category_id": 1, "keypoints": [80, 50, 2, 40, 30, 2], "num_keypoints": 2,
                 "bbox": [40, 30, 40, 20], "iscrowd": 0}  # fmt: skip
    names = {"id": 1, "name": "default", "supercategory": "default", "keypoints": ["nose", "tail"], "skeleton": []}
    info = {"year": 2026, "version": "1.0", "description": "", "contributor": "Label Studio", "url": ""}
    content = {"images": [{"width": WIDTH, "height": HEIGHT, "id": 0, "file_name": "a.png"}],
               "categories": [{"id": 0, "name": "bird"}, names], "annotations": [keypoints], "info": info}  # fmt: skip
    path = tmp_path / "result.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="Label Studio"):
        read_labels(path)
    path.write_text(json.dumps({**content, "info": {"contributor": "me"}}))
    assert len(read_labels(path).instances) == 1
