"""Scores of poses agree with numbers worked out by hand and with pycocotools."""

import numpy as np
import pytest

from edgehrnet.errors import InputError
from quant.scoring.pose_metrics import box_pck, nme, oks, oks_nms, pckh, rescore

SIGMAS = np.array([0.026, 0.079, 0.107])


def test_pckh_is_in_head_sizes_and_leaves_out_pelvis_and_thorax():
    true = np.zeros((2, 16, 2))
    predicted = true.copy()
    predicted[0, :, 0] = 14.9  # the head: 0.6 x 50 = 30, half of it is 15
    predicted[1, :, 0] = 15.1
    visible = np.ones((2, 16), bool)
    visible[1, 5] = False
    predicted[0, 6] = 100
    score = pckh(predicted, true, visible, [[10, 10, 40, 50]] * 2)
    assert score.each[0] == 50
    assert score.each[5] == 100
    assert score.each[6] == 0
    # 14 keypoints count, each right in the first person; the second has 13 of them, all wrong.
    assert score.mean == pytest.approx(100 * 14 / 27)


def test_the_mean_of_pckh_is_weighted_by_visibility():
    true = np.zeros((3, 2, 2))
    predicted = true.copy()
    predicted[:, 1] = 1000
    visible = np.array([[True, True], [True, False], [True, False]])
    score = pckh(predicted, true, visible, [[0, 0, 30, 40]] * 3)
    assert list(score.each) == [100, 0]
    assert score.mean == 75


def test_one_based_labels_are_one_pixel_further():
    boxes = [[0, 0, 3, 4]]  # 0.6 x 5 = 3: half of it is 1.5
    true = np.full((1, 1, 2), 11.0)
    exact = true - 1
    assert pckh(exact, true, [[True]], boxes, share=0.01, one_based=True).mean == 100
    assert pckh(exact, true, [[True]], boxes, share=0.01).mean == 0


def test_an_error_of_exactly_the_accepted_distance_is_correct():
    assert pckh([[[15.0, 0.0]]], [[[0.0, 0.0]]], [[True]], [[0, 0, 30, 40]]).mean == 100
    assert box_pck([[[5.0, 0.0]]], [[[0.0, 0.0]]], [[True]], [[7, 7, 25, 10]]).mean == 100
    assert box_pck([[[5.1, 0.0]]], [[[0.0, 0.0]]], [[True]], [[7, 7, 25, 10]]).mean == 0
    assert box_pck([[[5.1, 0.0]]], [[[0.0, 0.0]]], [[True]], [[7, 7, 25, 10]], share=0.5).mean == 100


def test_scores_without_visible_keypoints_are_nan():
    hidden = box_pck(np.zeros((2, 3, 2)), np.zeros((2, 3, 2)), np.zeros((2, 3), bool), [[0, 0, 1, 1]] * 2)
    assert np.isnan([*hidden.each, hidden.mean]).all()
    assert np.isnan(nme(np.zeros((1, 1, 2)), np.zeros((1, 1, 2)), [[False]], boxes=[[0, 0, 1, 1]]))


def test_nme_weighs_every_face_the_same():
    true = np.array([[[0, 0], [40, 0], [20, 30]], [[0, 0], [80, 0], [40, 60]]], float)
    predicted = true + np.array([[[4, 0]], [[0, 4]]])
    visible = np.array([[True, True, True], [True, False, False]])
    # 4 of 40 px and 4 of 80 px: 10 and 5 percent, however many keypoints are visible in each face.
    assert nme(predicted, true, visible, pair=(0, 1)) == pytest.approx(7.5)
    # sqrt(20 x 80) = 40 both times.
    assert nme(predicted, true, visible, boxes=[[0, 0, 20, 80]] * 2) == pytest.approx(10)
    with pytest.raises(InputError, match="pair"):
        nme(predicted, true, visible)
    with pytest.raises(InputError, match="pair"):
        nme(predicted, true, visible, pair=(0, 1), boxes=[[0, 0, 20, 80]] * 2)
    with pytest.raises(InputError, match="got 0"):
        nme(predicted, true, visible, pair=(1, 1))


def test_oks_equals_its_definition():
    first, second = np.zeros((3, 2)), np.array([[3.0, 4.0], [0.0, 0.0], [6.0, 8.0]])
    each = np.exp([-25 / (2 * 900 * (2 * 0.026) ** 2), 0, -100 / (2 * 900 * (2 * 0.107) ** 2)])
    assert oks(first, second, 900, SIGMAS) == pytest.approx(each.mean())
    assert oks(first, second, 900, SIGMAS, [True, False, True]) == pytest.approx(each[[0, 2]].mean())
    assert oks(first, second, 900, SIGMAS, [False] * 3) == 0


def test_oks_equals_pycocotools():
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    rng = np.random.default_rng(0)
    true, found = rng.uniform(0, 100, (2, 3, 2))
    found = true + 0.1 * (found - true)
    flat = [np.column_stack([points, np.full(3, 2)]).ravel().tolist() for points in (true, found)]
    label = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": flat[0], "num_keypoints": 3, "area": 2500.0,
             "iscrowd": 0, "bbox": [0, 0, 50, 50]}  # fmt: skip
    data = coco.COCO()
    data.dataset = {"images": [{"id": 1}], "categories": [{"id": 1}], "annotations": [label]}
    data.createIndex()
    results = data.loadRes([{"image_id": 1, "category_id": 1, "keypoints": flat[1], "score": 1.0}])
    evaluation = cocoeval.COCOeval(data, results, "keypoints")
    evaluation.params.kpt_oks_sigmas = SIGMAS
    evaluation._prepare()
    assert oks(true, found, 2500.0, SIGMAS) == pytest.approx(float(evaluation.computeOks(1, 1)[0, 0]), rel=1e-9)


POSE = np.array([[10.0, 10.0], [50.0, 20.0], [30.0, 90.0]])


def kept(poses, scores, areas, sigmas, keypoint_scores=None, **options):
    poses = np.asarray(poses, float)
    sure = np.ones(poses.shape[:2]) if keypoint_scores is None else keypoint_scores
    return oks_nms(poses, sure, scores, areas, sigmas, **options)


def test_a_duplicate_of_a_better_pose_is_suppressed():
    poses = [POSE, POSE + 0.1, POSE + 200]
    assert kept(poses, [0.6, 0.9, 0.3], [5000] * 3, SIGMAS) == [1, 2]
    assert kept(poses, [0.6, 0.9, 0.3], [5000] * 3, SIGMAS, threshold=1.0) == [1, 0, 2]
    assert kept(np.zeros((0, 3, 2)), [], [], SIGMAS) == []


def test_a_suppressed_pose_suppresses_nothing():
    # On a line: the middle pose is similar to both ends, which are not similar to each other.
    poses = [[[0, 0]], [[4, 0]], [[8, 0]]]
    # exp(-16 / (8 x 1000 x 0.01)) = 0.82; exp(-64 / 80) = 0.45
    assert kept(poses, [0.9, 0.8, 0.7], [1000] * 3, [0.1], threshold=0.8) == [0, 2]
    assert kept(poses, [0.8, 0.9, 0.7], [1000] * 3, [0.1], threshold=0.8) == [1]


@pytest.mark.parametrize("areas", [(1900, 100), (100, 1900)])
def test_similarity_uses_the_mean_of_both_areas(areas):
    # exp(-16 / (8 x 1000 x 0.01)) = 0.82 at the mean of the areas; with the smaller area it would be 0.14.
    assert kept([[[0, 0]], [[4, 0]]], [0.9, 0.8], areas, [0.1], threshold=0.8) == [0]


@pytest.mark.parametrize(("hidden_in", "indices"), [(0, [0]), (1, [0]), (None, [0, 1])])
def test_only_keypoints_found_in_both_poses_are_compared(hidden_in, indices):
    # All keypoints agree except the last, which is far off and was found in only one of the poses, or in both.
    other = POSE.copy()
    other[2] += 500
    sure = np.full((2, 3), 0.9)
    if hidden_in is not None:
        sure[hidden_in, 2] = 0.1
    assert kept([POSE, other], [0.9, 0.8], [5000] * 2, SIGMAS, sure) == indices


def test_poses_without_a_common_keypoint_are_kept():
    assert kept([POSE, POSE], [0.9, 0.8], [5000] * 2, SIGMAS, np.zeros((2, 3))) == [0, 1]


def test_a_pose_score_ignores_keypoints_below_the_threshold():
    assert rescore(0.9, [0.8, 0.6, 0.2]) == pytest.approx(0.9 * 0.7)
    assert rescore(0.5, [1.0, 0.1, 0.0]) == 0.5
    assert rescore(1.0, [0.2, 0.1, 0.0]) == 0
