"""Left and right: exchanged labels are found, and real poses are not reported."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from quant.data.annotations import Annotations, Instance, Picture
from quant.data.exchanged_sides import check_sides, exchanged_instances, exchanged_pairs, opposed_trunks
from quant.data.opening import read_annotations
from quant.data.remarks import Remarks

SHARED = Path(__file__).parents[4] / "shared" / "data"
PAIRS = np.array([(1, 2), (3, 4), (5, 6), (7, 8), (9, 10)])
BODY = np.array([(0, 0), (3, -2), (-3, -2), (12, 20), (-12, 20), (16, 40), (-16, 40), (10, 60), (-10, 60), (11, 100),
                 (-11, 100)], float)  # fmt: skip


def bodies(count, *, turned, seed=0):
    """Bodies ``(N, 11, 2)`` of the same shape but for a pixel, each turned and scaled by itself."""
    rng = np.random.default_rng(seed)
    angles = rng.uniform(0, 2 * np.pi, count) if turned else np.zeros(count)
    turns = np.array([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]]).transpose(2, 0, 1)
    shapes = BODY + rng.normal(0, 0.5, (count, len(BODY), 2))
    return rng.uniform(0.5, 3, (count, 1, 1)) * shapes @ turns.transpose(0, 2, 1) + rng.uniform(0, 500, (count, 1, 2))


def swapped(points, index, pairs):
    points = points.copy()
    for left, right in pairs:
        points[index, [left, right]] = points[index, [right, left]]
    return points


def labeled(points):
    return np.ones(points.shape[:2], bool)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("pairs", [[1], [2], [4], [1, 2]])
def test_exchanged_pairs_are_found_in_objects_in_any_direction(turned, pairs):
    points = swapped(bodies(20, turned=turned), 7, PAIRS[pairs])
    found = exchanged_pairs(points, labeled(points), PAIRS)
    assert np.argwhere(found).tolist() == [[7, pair] for pair in pairs]


@pytest.mark.parametrize("turned", [False, True])
def test_an_instance_with_all_pairs_exchanged_is_found_where_the_others_agree(turned):
    points = swapped(bodies(30, turned=turned), 7, PAIRS)
    assert np.flatnonzero(exchanged_instances(points, labeled(points), PAIRS)).tolist() == [7]
    assert not exchanged_pairs(points, labeled(points), PAIRS).any()


@pytest.mark.parametrize("turned", [False, True])
def test_an_exchanged_half_of_the_body_is_found(turned):
    points = swapped(bodies(4, turned=turned), 2, PAIRS[[3, 4]])
    assert np.flatnonzero(opposed_trunks(points, labeled(points), PAIRS[1], PAIRS[3])).tolist() == [2]
    unknown = labeled(points)
    unknown[2, PAIRS[3, 1]] = False
    assert not opposed_trunks(points, unknown, PAIRS[1], PAIRS[3]).any()
    assert not opposed_trunks(points, ~labeled(points), PAIRS[1], PAIRS[3]).any()


def test_a_twisted_body_seen_from_the_side_is_not_reported():
    points = swapped(bodies(8, turned=False), 2, PAIRS[[3, 4]])
    middle = points[2, PAIRS[1]].mean(axis=0)
    points[2, PAIRS[1]] = middle + 0.3 * (points[2, PAIRS[1]] - middle)
    assert not opposed_trunks(points, labeled(points), PAIRS[1], PAIRS[3]).any()


def test_people_seen_from_behind_are_not_reported():
    points = bodies(30, turned=False)
    for index in range(0, 30, 4):
        points = swapped(points, index, PAIRS)
    assert not exchanged_instances(points, labeled(points), PAIRS).any()


def test_few_instances_show_nothing_about_the_usual_side():
    points = swapped(bodies(5, turned=False), 2, PAIRS)
    assert not exchanged_instances(points, labeled(points), PAIRS).any()


def test_crossed_hands_are_not_reported():
    points = bodies(20, turned=False)
    points[3, [5, 6]] = points[3, [6, 5]] * 0.2 + points[3, [5, 6]].mean(axis=0) * 0.8
    assert not exchanged_pairs(points, labeled(points), PAIRS).any()


def test_points_that_are_not_labeled_do_not_matter():
    points = swapped(bodies(20, turned=True), 7, PAIRS[[3]])
    known = labeled(points)
    known[:, 10] = False
    known[7, 8] = False
    points[~known] = 0
    assert not exchanged_pairs(points, known, PAIRS).any()
    known[:] = False
    known[:, 0] = True
    assert not exchanged_pairs(points, known, PAIRS).any()
    assert not exchanged_instances(points, known, PAIRS).any()


def test_points_at_one_place_have_no_side():
    points = np.zeros((12, 11, 2))
    assert not exchanged_pairs(points, labeled(points), PAIRS).any()
    assert not exchanged_instances(points, labeled(points), PAIRS).any()


@pytest.mark.skipif(not (SHARED / "coco-sample").is_dir(), reason="not here: ../shared/data/coco-sample")
def test_the_people_of_the_coco_sample_have_no_remark():
    labels = read_annotations(str(SHARED / "coco-sample" / "test_coco.json"))
    assert [remark.text() for remark in labels.remarks.of("warning", "error")] == []


def test_remarks_name_the_instance_and_the_pairs():
    points = swapped(bodies(20, turned=False), 7, PAIRS[[2]])
    picture, names = Picture(Path("a.png"), 1, "a"), ("nose", *(f"{side}-{n}" for n in range(5) for side in "lr"))
    instances = [Instance(picture, each, np.full(11, 2, np.uint8), f"body {n}") for n, each in enumerate(points)]
    pairs = tuple((int(left), int(right)) for left, right in PAIRS)
    labels = Annotations("a", Path("a"), names, [picture], instances, flip_pairs=pairs)
    check_sides(labels)
    (remark,) = labels.remarks
    assert (remark.level, remark.places) == ("warning", ["body 7: l-2 and r-2"])


@pytest.mark.skipif(not (SHARED / "coco-sample").is_dir(), reason="not here: ../shared/data/coco-sample")
def test_nine_of_ten_people_with_exchanged_legs_are_named():
    labels = read_annotations(str(SHARED / "coco-sample" / "test_coco.json"))
    hits = 0
    for number, instance in enumerate(labels.instances):
        if instance.labeled[11:].all():
            order = [*range(11), 12, 11, 14, 13, 16, 15]
            spoiled = dataclasses.replace(
                instance, points=instance.points[order], visibility=instance.visibility[order]
            )
            instances = [*labels.instances[:number], spoiled, *labels.instances[number + 1 :]]
            found = dataclasses.replace(labels, instances=instances, remarks=Remarks())
            check_sides(found)
            places = [place for remark in found.remarks for place in remark.places]
            assert all(place.startswith(f"{instance.source}: ") for place in places)
            hits += len(places)
    assert hits == 9


def test_an_exchanged_person_is_named(people):
    for number in range(10, 22):
        people.annotations.append({**people.annotations[number % 9], "id": number, "image_id": number % 6 + 1})
    one = people.annotations[4]["keypoints"]
    people.annotations[4]["keypoints"] = [one[3 * k + part] for k in (0, 2, 1, 4, 3) for part in range(3)]
    people.annotations[4]["id"] = 500
    labels = read_annotations(str(people.write()))
    (text,) = (remark.text() for remark in labels.remarks.of("warning") if "left" in remark.kind)
    assert text.endswith("annotation 500")
