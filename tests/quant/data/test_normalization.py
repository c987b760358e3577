"""What is derived, dropped or noted when labels are completed."""

import json

import numpy as np
import pytest
from PIL import Image

from edgehrnet.errors import InputError
from edgehrnet.picture.crops import Crop
from quant.data.normalization import points_box, usual_crop
from quant.data.opening import open_annotations, open_data, read_annotations
from quant.data.plausibility import AXES, CENTERS, CORNERS, EXCHANGED
from quant.data.same_pictures import note_duplicates, note_repeated


def opened(people, **changes):
    people.annotations[0].update(changes)
    return read_annotations(str(people.write()))


def places(labels, *levels):
    """The first places of all remarks of these levels, joined."""
    return " | ".join(place for remark in labels.remarks.of(*levels) for place in remark.places)


def first(labels):
    return next(instance for instance in labels.instances if "annotation 1" in instance.source)


def test_clean_labels_have_no_remarks(people):
    labels = opened(people)
    assert list(labels.remarks) == []
    assert set(labels.sizes.values()) == {(80, 120)}
    assert usual_crop(labels) == "hrnet"


def test_a_picture_with_one_object_is_used_as_a_whole(people):
    del people.annotations[1::3]  # the second person of each odd picture
    assert usual_crop(opened(people)) is None


@pytest.mark.parametrize("box", [None, [], [0, 0, 0, 0], [55, 8, -50, 62], [500, 8, 50, 62]])
def test_a_box_without_an_area_in_the_picture_is_that_of_the_points(people, box):
    labels = opened(people, bbox=box, keypoints=[20, 10, 2, 40, 10, 2, 20, 50, 2, 0, 0, 0, 0, 0, 0])
    assert first(labels).box == (16, 6, 28, 48)
    assert "annotation 1" in places(labels, "derived")


def test_the_box_of_points_at_one_place_is_the_whole_picture():
    assert points_box(np.array([[30.0, 20.0], [30.0, 20.0]]), (80, 120)) == (0, 0, 120, 80)
    assert points_box(np.array([[0.0, 20.0], [100.0, 79.0]]), (80, 120)) == (0, 10, 110, 70)


@pytest.mark.parametrize(
    ("box", "points"),
    [
        ([10, 10, 1 + 1e-9, 50], [(20, 10), (40, 50)]),  # one pixel shorter in HRNet's training
        ([10, 10, 1e-300, 1e-300], [(20, 10), (40, 50)]),
        (None, [(20, 10), (20, 10 + 1e-9)]),
        (None, [(-0.4, 10), (-0.4, 10.5)]),
        (None, [(10, -0.4), (10.5, -0.4)]),
        (None, [(119.4, 79.4), (119.4, 79.4)]),
        (None, [(-500, -500), (0, 0)]),
    ],
)
def test_every_box_can_be_cropped(people, box, points):
    del people.annotations[1:]
    people.annotations[0].update(bbox=box, keypoints=[*(v for x, y in points for v in (x, y, 2)), *[0] * 9])
    (instance,) = read_annotations(str(people.write())).instances
    assert instance.box is not None
    assert Crop.fit(instance.box, (120, 80), (64, 64), "hrnet")
    (picture,) = open_data(str(people.folder / "labels.json"), crop="hrnet").calibration(1)
    assert picture.shape[2] == 3


@pytest.mark.parametrize("area", [0, -5, None, float("nan"), 1e400, 10**400])
def test_an_area_that_is_none_is_that_of_the_box(people, area):
    labels = opened(people, area=area)
    assert first(labels).area == 50 * 62
    assert "annotation 1" in places(labels, "derived")


@pytest.mark.parametrize("area", [0.5, 1e9])
def test_an_area_that_does_not_fit_the_box_is_noted(people, area):
    assert f"annotation 1: {area:g} in 50x62 px" in places(opened(people, area=area), "warning")


def test_boxes_of_two_corners_are_an_error(people):
    people.each(lambda entry: entry.update(bbox=[*entry["bbox"][:2], entry["bbox"][0] + 50, 70]))
    with pytest.raises(InputError, match=r"right, bottom.*annotation 1"):
        open_annotations(str(people.write()))


@pytest.mark.parametrize("boxes", [[[0, 0, 120, 80]], [[60, 40, 60, 40]], [[-20, -10, 160, 100]], [[1, 1, 3, 3]]])
def test_large_small_and_padded_boxes_are_no_corners(people, boxes):
    people.each(lambda entry: entry.update(bbox=boxes[0]))
    assert opened(people).remarks.of("error") == []


def test_a_box_beside_its_points_is_noted(people):
    people.annotations[0]["bbox"] = [80, 50, 20, 20]
    assert "annotation 1: 0 of 5" in places(opened(people), "warning")


def test_boxes_of_two_corners_that_stay_in_their_pictures_are_an_error(people):
    people.each(lambda entry: entry.update(bbox=[*entry["bbox"][:2], entry["bbox"][0] + 50, 70]))
    for image in people.images:
        image.update(width=400, height=300)
    path = people.write()
    for number in range(1, 7):
        Image.new("L", (400, 300), number).save(people.folder / f"p{number}.png")
    # For those on the left, both readings are nearly the same.
    people.annotations[:] = [entry for entry in people.annotations if entry["bbox"][0] > 50]
    path.write_text(json.dumps(people.content))
    (remark,) = read_annotations(str(path)).remarks.of("error")
    assert remark.kind == CORNERS


def test_boxes_given_by_their_centers_are_noted_once(people):
    people.each(lambda entry: entry.update(bbox=[entry["bbox"][0] + 25, 39, 50, 62]))
    (remark,) = opened(people).remarks.of("warning")
    assert (remark.kind, remark.places) == (CENTERS, ["labels.json, annotation 1 and others"])


def exchange(entry):
    x, y, visibility = (entry["keypoints"][part::3] for part in range(3))
    entry["keypoints"] = [value for point in zip(y, x, visibility, strict=True) for value in point]


@pytest.mark.parametrize("boxes", [True, False])
def test_exchanged_x_and_y_are_noted(people, boxes):
    people.each(exchange)
    if not boxes:
        people.each(lambda entry: entry.update(bbox=None))
    kinds = {remark.kind for remark in opened(people).remarks.of("warning")}
    assert AXES in kinds
    assert (EXCHANGED in kinds) == boxes


def test_points_outside_the_picture_are_noted_and_an_instance_without_others_is_dropped(people):
    labels = opened(people, keypoints=[9000, -500, 2, *people.annotations[0]["keypoints"][3:]])
    assert "annotation 1: 1 outside 120x80 px" in places(labels, "warning")
    assert len(labels.instances) == 9
    labels = opened(people, keypoints=[9000, -500, 2] * 5)
    assert "annotation 1" in places(labels, "dropped")
    assert len(labels.instances) == 8


@pytest.mark.parametrize("points", [[0, 0, 2] + [20, 20, 2] * 2 + [40, 40, 2] * 2, [30, 30, 2] * 5, [0.2, 0.7, 2] * 5])
def test_points_that_stand_for_missing_ones_or_lie_in_one_place_are_noted(people, points):
    assert "annotation 1" in places(opened(people, keypoints=points), "warning")


def test_shares_in_0_to_1_are_an_error_if_all_are(people):
    shares = [value for x, y in [(0.2, 0.9), (0.7, 0.1)] * 2 + [(0.5, 0.5)] for value in (x, y, 2)]
    assert opened(people, keypoints=shares).remarks.of("error") == []
    people.each(lambda entry: entry.update(keypoints=shares))
    with pytest.raises(InputError, match=r"0\.\.1.*annotation 1"):
        open_annotations(str(people.write()))


@pytest.mark.parametrize(("share", "count"), [(2, 0), (1, 1)])
def test_percent_are_noted_in_large_pictures(people, share, count):
    for image in people.images:
        image.update(width=400, height=300)
    people.each(lambda e: e.update(keypoints=[v * share if v > 2 else v for v in e["keypoints"]], bbox=None, area=None))
    path = people.write()
    for number in range(1, 7):
        Image.new("L", (400, 300), number).save(people.folder / f"p{number}.png")
    assert len([remark for remark in read_annotations(str(path)).remarks if "percent" in remark.kind]) == count


def test_an_instance_that_is_there_twice_is_noted(people):
    people.annotations.append({**people.annotations[0], "id": 99})
    assert "annotation 99 and labels.json, annotation 1" in places(opened(people), "warning")


def test_keypoints_that_are_labeled_nowhere_are_noted(people):
    people.each(lambda entry: entry["keypoints"].__setitem__(slice(3, 6), [0, 0, 0]))
    assert places(opened(people), "warning") == "left_eye"


def test_labels_without_an_instance_are_an_error(people):
    people.each(lambda entry: entry.update(keypoints=[0] * 15))
    with pytest.raises(InputError, match=r"labels\.json"):
        open_annotations(str(people.write()))


def test_one_picture_cannot_be_split(people):
    del people.annotations[2:]
    with pytest.raises(InputError, match="0/2"):
        open_data(str(people.write()), (0, 2))


def test_pictures_of_the_validation_set_are_found_under_any_name(people):
    ours = opened(people)
    for number, image in enumerate(people.images, start=1):
        (people.folder / f"p{number}.png").rename(people.folder / f"other{number}.png")
        image["file_name"] = f"other{number}.png"
    people.draw(people.folder, [1, 2])
    del people.images[2:], people.annotations[3:]
    others = read_annotations(str(people.write("val.json", pictures="elsewhere")))
    people.draw(people.folder)
    note_duplicates(ours, others)
    (remark,) = ours.remarks.of("warning")
    assert remark.count == 2
    assert "p1.png and " in remark.places[0]
    assert remark.places[0].endswith("other1.png")


def test_pictures_that_are_there_twice_under_other_names_are_noted(people):
    path = people.write()
    (people.folder / "p5.png").write_bytes((people.folder / "p2.png").read_bytes())
    labels = read_annotations(str(path))
    note_repeated(labels)
    ((text,),) = (remark.places for remark in labels.remarks)
    assert text == f"{people.folder / 'p5.png'} and {people.folder / 'p2.png'}"
    note_duplicates(labels, labels)
    assert labels.remarks.of("warning")[1].count == 6
