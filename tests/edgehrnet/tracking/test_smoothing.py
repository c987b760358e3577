"""Smoothed points shake less and follow; what is not confident is predicted, marked, and soon given up."""

import numpy as np
import pytest

from edgehrnet import Kalman, Offline, OneEuro, Trails, smooth
from edgehrnet.errors import InputError, UnknownKeywordError
from edgehrnet.tracking.smoothing import METHODS

BODY = np.array([[20.0, 20.0], [40.0, 40.0], [20.0, 80.0]])
FRAMES = 60


def points(results):
    return np.array([result.keypoints.xy[0] for result in results])


def marks(result):
    assert result.predicted is not None
    return result.predicted


def still(make_result, conf=1.0):
    rng = np.random.default_rng(0)
    confs = np.broadcast_to(conf, (FRAMES, 3))
    return [make_result([BODY + rng.normal(0, 1, (3, 2))], row) for row in confs]


@pytest.mark.parametrize("method", METHODS)
def test_a_body_at_rest_shakes_less(make_result, method):
    frames = still(make_result)
    raw, smoothed = points(frames), points(smooth(frames, method))
    ratio = np.diff(smoothed, 2, axis=0).std() / np.diff(raw, 2, axis=0).std()
    assert ratio < 0.4
    assert np.abs(smoothed.mean(axis=0) - BODY).max() < 0.6


@pytest.mark.parametrize(("method", "most"), [(OneEuro(beta=1.0), 6.0), ("kalman", 0.1), ("offline", 1e-6)])
def test_steady_motion_is_followed(make_result, method, most):
    frames = [make_result([BODY + t * np.array([4.0, 0.0])]) for t in range(FRAMES)]
    error = points(smooth(frames, method)) - points(frames)
    assert np.abs(error[30:]).max() < most


@pytest.mark.parametrize("method", METHODS)
def test_an_outlier_without_confidence_is_not_followed(make_result, method):
    conf = np.ones((FRAMES, 3))
    conf[30:34, 1] = 0.1
    frames = still(make_result, conf)
    for frame in frames[30:34]:
        frame.keypoints.xy[0, 1] = 500.0
    results = list(smooth(frames, method))
    assert np.abs(points(results)[:, 1] - BODY[1]).max() < 5
    predicted = np.array([marks(result)[0] for result in results])
    assert (predicted == (conf < 0.25)).all()
    assert results[31].keypoints.conf[0, 1] == np.float32(0.1)


@pytest.mark.parametrize("method", METHODS)
def test_a_long_gap_is_given_up(make_result, method):
    conf = np.ones((FRAMES, 3))
    conf[20:50, 1] = 0.1  # 1 s, more than half a second
    frames = still(make_result, conf)
    frames[45].keypoints.xy[0, 1] = 77.0
    results = list(smooth(frames, method))
    assert results[45].keypoints.xy[0, 1].tolist() == [77.0, 77.0]
    assert not marks(results[45]).any()


@pytest.mark.parametrize("method", [OneEuro(), Kalman()])
def test_prediction_goes_on_and_slows_down(make_result, method):
    conf = np.ones((FRAMES, 3))
    conf[40:50, 2] = 0.0
    frames = [make_result([BODY + t * np.array([2.0, 0.0])], conf[t]) for t in range(FRAMES)]
    way = np.diff(points(smooth(frames, method))[39:50, 2, 0])
    assert 1.0 < way[0] < 2.1
    assert (np.diff(way) < 0).all()


def test_offline_fits_a_polynomial_to_each_window(make_result):
    frames = still(make_result)
    raw, smoothed = points(frames).reshape(FRAMES, -1), points(smooth(frames, Offline(11, 2)))
    for t, start in ((0, 0), (2, 0), (30, 25), (FRAMES - 1, FRAMES - 11)):
        fitted = np.polyfit(np.arange(11), raw[start : start + 11], 2)
        expected = [np.polyval(coefficients, t - start) for coefficients in fitted.T]
        np.testing.assert_allclose(smoothed[t].ravel(), expected)


def test_offline_keeps_a_limited_number_of_pictures(make_result):
    taken = 0

    def frames():
        nonlocal taken
        for frame in still(make_result):
            taken += 1
            yield frame

    next(iter(smooth(frames(), Offline(5), max_gap=0.1, fps=30)))
    assert taken == 5 + 3 + 1


def test_offline_of_videos_shorter_than_a_window(make_result):
    frames = [make_result([BODY]), make_result([BODY + 2])]
    np.testing.assert_allclose(points(smooth(frames, "offline")), points(frames))


def test_people_who_change_places_are_smoothed_on_their_own(make_result):
    pytest.importorskip("scipy")
    frames = [make_result([BODY, BODY + 60][:: 1 if t % 2 else -1]) for t in range(10)]
    for given, result in zip(frames, smooth(frames), strict=True):
        np.testing.assert_allclose(result.keypoints.xy, given.keypoints.xy)


def test_an_empty_video_and_a_frame_without_instances(make_result):
    assert list(smooth([])) == []
    (result,) = smooth([make_result([])])
    assert marks(result).shape == (0, 3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: smooth([], "one-eruo"),
        lambda: smooth([], max_gap=-1),
        lambda: OneEuro(min_cutoff=0),
        lambda: Kalman(float("inf")),
        lambda: Offline(4),
        lambda: Offline(order=7),
        lambda: Trails(0),
    ],
)
def test_settings_are_checked_at_once(make):
    with pytest.raises(InputError, match=r"one-eruo|-1|min_cutoff=0|inf|window=4|order=7|length=0"):
        make()
    with pytest.raises(UnknownKeywordError, match="max_gap"):
        smooth([], maxgap=1)  # type: ignore[call-arg]


def test_trails_follow_each_keypoint(make_result):
    trails = Trails(5)
    frames = [make_result([BODY + np.array([8.0 * t, 0])], [1, 1, t < 3]) for t in range(7)]
    for frame in smooth(frames, Kalman(1e6), max_gap=0.0):
        picture = np.asarray(trails.plot(frame)).astype(int)
    colored = np.abs(picture - 90).max(axis=2) > 40
    before = round(BODY[0, 0] + 8 * 3.5), round(BODY[0, 1])
    assert colored[before[1], before[0]]  # between two places of the head
    assert not colored[round(BODY[2, 1]), round(BODY[2, 0] + 8 * 5.5)]  # where the foot was lost
    assert not colored[before[1], 24]  # six frames ago


def test_a_predicted_keypoint_is_drawn(make_result):
    frames = [make_result([BODY], [1, 1, t != 5]) for t in range(6)]
    last = list(smooth(frames))[-1]
    with_it, without = (np.asarray(r.plot()) for r in (last, frames[-1]))
    x, y = BODY[2].astype(int)
    assert (with_it[y, x] != without[y, x]).any()
