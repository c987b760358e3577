"""COCO files as converters and people spoil them: where the meaning is clear, the AP is that of the clean file."""

import copy
import json

import numpy as np
import pytest

from edgehrnet.errors import InputError
from quant.data.formats.coco import read_coco
from quant.data.formats.coco_categories import image_key
from quant.data.opening import open_annotations, read_annotations
from quant.scoring.average_precision import coco_scores

pytest.importorskip("pycocotools")


def answers(people):
    """Points that are farther from the labeled ones for each next person, by the picture's name in lower case."""
    found: dict[str, list[np.ndarray]] = {}
    for entry in people.annotations:
        points = np.array(entry["keypoints"]).reshape(-1, 3)[:, :2] + (0.8 * entry["id"], 0.3 * entry["id"])
        found.setdefault(f"p{entry['image_id']}.png", []).append(points)
    return found


def average_precision(path, found):
    labels = open_annotations(str(path))
    ((category, _), *_) = labels.categories.values()
    results = [
        {
            "image_id": picture.id,
            "category_id": category,
            "keypoints": np.c_[points, np.ones(5)].ravel(),
            "score": score,
        }
        for picture in labels.pictures
        for score, points in zip((0.9, 0.8), found[picture.path.name.lower()], strict=False)
    ]
    return coco_scores(labels, results, labels.sigmas)["AP"]


def triplets(values):
    return [values[index : index + 3] for index in range(0, len(values), 3)]


def ids(change):
    return lambda people: people.each(lambda entry: entry.update(id=change(entry["id"])))


def every(**values):
    return lambda people: people.each(lambda entry: entry.update(copy.deepcopy(values)))


def one(**values):
    return lambda people: people.annotations[0].update(values)


def without(*names):
    return lambda people: people.each(lambda entry: [entry.pop(name) for name in names])


def category(**values):
    return lambda people: people.category.update(values)


def picture_names(change):
    return lambda people: [image.update(file_name=change(image["file_name"])) for image in people.images]


def picture_ids(stored, named):
    def spoil(people):
        for image in people.images:
            image["id"] = stored(image["id"])
        people.each(lambda entry: entry.update(image_id=named(entry["image_id"])))

    return spoil


def nested(people):
    people.each(lambda entry: entry.update(keypoints=triplets(entry["keypoints"])))


def listed_twice(people):
    people.images.append({**people.images[0], "id": 50, "file_name": "./p1.png"})
    people.annotations[1]["image_id"] = 50


def keypoints_second(people):
    people.content["categories"].insert(0, {"id": 0, "name": "objects"})


def two_alike(people):
    people.content["categories"].append({**people.category, "id": 2, "name": "other"})


SAME = {
    "ids 0": every(id=0),
    "ids negative": ids(lambda n: -n),
    "ids float": ids(float),
    "ids beyond 64 bits": ids(lambda n: 10**30 + n),
    "ids missing": without("id"),
    "ids null": every(id=None),
    "picture ids text": picture_ids(int, str),
    "picture ids negative text": picture_ids(lambda n: -n, lambda n: f"-{n}"),
    "picture ids with zeros": picture_ids("{:012}".format, "{:012}".format),
    "picture ids of 400 digits": picture_ids(lambda n: 10**400 + n, lambda n: 10**400 + n),
    "category second": keypoints_second,
    "categories alike": two_alike,
    "category unused": lambda people: people.content["categories"].append({"id": 7, "keypoints": ["paw", "tail"]}),
    "category without id": lambda people: people.category.pop("id"),
    "category without names": lambda people: people.category.pop("keypoints"),
    "category 0": lambda people: (category(id=0)(people), every(category_id=0)(people)),
    "category of annotations missing": without("category_id"),
    "fields missing": without("iscrowd", "num_keypoints"),
    "crowd text": every(iscrowd="0"),
    "crowd null": every(iscrowd=None),
    "keypoints nested": nested,
    "info junk": lambda people: people.content.update(info=[1, {"a": None}], licenses="no"),
    "names with query": picture_names(lambda name: f"{name}?t=1&x=2"),
    "names of the web": picture_names(lambda name: f"https://host.org/a/{name}?sig=a/b"),
    "names of another machine": picture_names(lambda name: f"C:\\data\\{name}"),
    "names in a folder": picture_names(lambda name: f"train/{name}"),
    "names in capitals": picture_names(str.upper),
    "names encoded": picture_names(lambda name: name.replace("p", "%70", 1)),
    "sizes float": lambda people: people.images[0].update(width=120.0, height=80.0),
    "sizes text": lambda people: people.images[0].update(width="120", height="80"),
    "sizes unknown": lambda people: people.images[0].update(width=-1, height=0),
    "a picture twice": listed_twice,
    "skeleton null": category(skeleton=None),
    "skeleton junk": category(skeleton=[[1, 1, 1], [[1], 2], [10**30, 1], {"a": 1}, 7]),
}  # fmt: skip


@pytest.mark.parametrize("spoil", SAME.values(), ids=SAME)
def test_a_file_with_a_clear_meaning_scores_as_the_clean_one(people, spoil):
    found = answers(people)
    clean = average_precision(people.write(), found)
    assert 0.1 < clean < 0.9
    spoil(people)
    assert average_precision(people.write(), found) == pytest.approx(clean)


REFUSED = {
    "picture id": (lambda people: people.images[1].update(id=[2]), r"images\[1\] has \[2\]"),
    "picture name": (lambda people: people.images[1].update(file_name=None), r"images\[1\] has None"),
    "picture of the system": (picture_names(lambda name: "../../../../../../../etc/passwd"), r"etc/passwd.*--images"),
    "picture that is a folder": (picture_names(lambda name: "labels.json/.."), "--images"),
    "control characters": (picture_names(lambda name: "\x1b[31m.png"), r"\\x1b\[31m\.png"),
    "half a character": (picture_names(lambda name: "\ud800.png"), r"\\ud800\.png"),
    "long name": (picture_names(lambda name: "a" * 5000), r"a\.\.\.a"),
    "one file for two": (lambda people: people.images[1].update(file_name="val/p1.png"), r"images\[1\]: val/p1\.png"),
    "same picture ids": (lambda people: people.images[1].update(id=1), r"id 1 of p2\.png"),
    "unknown picture": (one(image_id=999), "annotation 1 has image_id 999"),
    "crowd": (one(iscrowd="perhaps"), "annotation 1 has 'perhaps'"),
    "area text": (one(area="1500.0"), "annotation 1 has '1500.0'"),
    "box object": (one(bbox={"x": 5}), "annotation 1 has {'x': 5}"),
    "box infinite": (one(bbox=[5, 8, 1e400, 9]), "annotation 1 has .*inf"),
    "box huge": (one(bbox=[5, 8, 10**400, 9]), "annotation 1 has .*1000"),
    "pairs": (one(keypoints=[1, 2] * 5), "annotation 1 has 10 values"),
    "keypoints text": (one(keypoints="1 2 3"), "annotation 1 has '1 2 3'"),
    "keypoints object": (one(keypoints={"nose": [1]}), "annotation 1 has {'nose'"),
    "keypoints 7": (one(keypoints=7), "annotation 1 has 7"),
    "keypoints points": (one(keypoints=[{"x": 1, "y": 2}] * 5), "annotation 1 has {'x': 1, 'y': 2}"),
    "visibility true": (one(keypoints=[20, 30, True] * 5), "annotation 1 has True"),
    "visibility text": (one(keypoints=[20, 30, "2"] * 5), "annotation 1 has '2'"),
    "several animals": (lambda people: [
        people.content["categories"].append({"id": 2, "name": "dog", "keypoints": ["paw"]}),
        people.annotations[1].update(category_id=2, keypoints=[1, 2, 2]),
    ], "dog: paw"),
    "visibility 0": (lambda people: people.each(
        lambda entry: entry.update(keypoints=[value for x, y, _ in triplets(entry["keypoints"]) for value in (x, y, 0)])
    ), r"labels\.json"),
    "no annotations": (lambda people: people.annotations.clear(), r"labels\.json"),
    "names object": (category(keypoints={"0": "nose"}), "'nose'"),
    "names numbers": (category(keypoints=[1, 2, 3, 4, 5]), r"\[1, 2, 3, 4, 5\]"),
    "names twice": (category(keypoints=["nose"] * 5), "'nose'"),
    "no object": (lambda people: people.annotations.append(5), r"annotations\[9\] is 5"),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "value"), REFUSED.values(), ids=REFUSED)
def test_a_file_without_a_clear_meaning_is_refused(people, spoil, value):
    spoil(people)
    with pytest.raises(InputError, match=value):
        open_annotations(str(people.write()))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_the_encodings_of_json_are_read(people, encoding):
    path = people.write()
    path.write_text(json.dumps(people.content), encoding=encoding)
    assert len(read_coco(path).instances) == 9


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"7", b'"x"', b"{}", b'{"a":' * 50_000, b'{"images": [{"id": ' + b"9" * 5000 + b"}]}", b"\x1f\x8b",
     b'{"images": [], "annotations": [', b'{"images": [], "annotations": null, "categories": []}'],
)  # fmt: skip
def test_other_content_is_refused(tmp_path, data):
    (tmp_path / "labels.json").write_bytes(data)
    with pytest.raises(InputError, match=r"labels\.json"):
        open_annotations(str(tmp_path / "labels.json"))


def test_a_box_of_a_thousand_levels_is_shown_in_short(people):
    people.annotations[0]["bbox"] = "deep"
    path = people.write()
    path.write_text(path.read_text().replace('"deep"', "[" * 500 + "]" * 500))
    with pytest.raises(InputError, match=r"annotation 1 has \[\[\["):
        open_annotations(str(path))


def remarks(people, level):
    return [remark.text() for remark in read_annotations(str(people.write())).remarks.of(level)]


@pytest.mark.parametrize("crowd", [True, 1, 1.0, "1", 2])
def test_crowds_are_ignored_in_ap(people, crowd):
    people.annotations[0]["iscrowd"] = crowd
    labels = open_annotations(str(people.write()))
    assert [instance.crowd for instance in labels.instances] == [True] + [False] * 8
    assert len(list(labels.trained())) == 8


@pytest.mark.parametrize("point", [[float("nan"), 4, 2], [None, None, 2], [1e400, 4, 2], [-1, -1, 2], [20, 30, 0]])
def test_points_without_a_place_are_not_labeled_and_noted(people, point):
    people.annotations[0]["keypoints"][:3] = point
    labels = open_annotations(str(people.write()))
    assert labels.instances[0].labeled.tolist() == [False, True, True, True, True]
    assert (labels.instances[0].points[0] == 0).all()
    (text,) = remarks(people, "dropped")
    assert "annotation 1" in text


@pytest.mark.parametrize("visibility", [None, float("nan"), 3, 0.8])
def test_points_with_another_visibility_are_taken_as_visible_and_noted(people, visibility):
    people.annotations[0]["keypoints"][2] = visibility
    labels = open_annotations(str(people.write()))
    assert labels.instances[0].visibility.tolist() == [2, 2, 2, 2, 2]
    (text,) = remarks(people, "warning")
    assert "annotation 1" in text


def test_invented_names_are_noted(people):
    people.category.pop("keypoints")
    (text,) = remarks(people, "derived")
    assert "keypoint-0" in text


def test_a_crowd_without_a_box_is_dropped_with_a_remark(people):
    people.annotations[0] = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 1}
    (text,) = remarks(people, "dropped")
    assert "annotation 1" in text


@pytest.mark.parametrize("sigmas", [["a"], 0.05, [0.05] * 4, [0.05, 0.05, 0.05, 0.05, 0], [1e400] * 5])
def test_sigmas_that_are_no_numbers_are_not_used(people, sigmas):
    people.category["sigmas"] = sigmas
    (text,) = remarks(people, "warning")
    assert "'sigmas'" in text
    assert open_annotations(str(people.write())).sigmas == ()


def test_a_refused_picture_is_one_error_and_not_one_for_each_person(people):
    people.images[0]["file_name"] = "/etc/passwd"
    (text,) = remarks(people, "error")
    assert "/etc/passwd" in text


def test_the_end_of_the_name_may_be_in_capitals(people):
    path = people.write()
    assert len(read_annotations(str(path.rename(people.folder / "LABELS.JSON"))).instances) == 9


def test_a_folder_of_pictures_may_be_a_link(people):
    path = people.write("set/labels.json", pictures="disk/far/away")
    (people.folder / "set" / "images").symlink_to(people.folder / "disk" / "far" / "away")
    assert len(open_annotations(str(path)).instances) == 9


@pytest.mark.parametrize(
    ("value", "key"),
    [(7, 7), ("7", 7), (7.0, 7), ("-7", -7), ("0", 0), ("007", "007"), ("-0", "-0"), (7.5, None), (True, None),
     (None, None), ([7], None), (float("inf"), None), ("9" * 30, 10**30 - 1), ("\u0667", "\u0667")],
)  # fmt: skip
def test_ids_are_the_same_however_they_are_written(value, key):
    found = image_key(value)
    assert found == key
    assert type(found) is type(key)
