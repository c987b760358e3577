"""In a video the detector runs when it has to: at first, when keypoints are lost, and every some frames."""

import numpy as np
import pytest

from edgehrnet.clock import Clock
from edgehrnet.detectors.detector import Detector
from edgehrnet.detectors.following import Following
from edgehrnet.picture.picture import Picture
from edgehrnet.reading import Job

BODY = np.array([[20.0, 20.0], [40.0, 30.0], [30.0, 60.0]])
BOX = (15.0, 15.0, 30.0, 50.0)  # 5 px beyond the points
FRAMES = 12


class Counted:
    """A detector that counts its calls, and always finds `BOX`."""

    def __init__(self, boxes=(BOX,)):
        self.calls = 0
        self.boxes = list(boxes)

    def __call__(self, picture):
        self.calls += 1
        return self.boxes


def job(frame, *, time=True, source="a.mp4", boxes=None):
    picture = Picture.of(np.zeros((90, 90, 3), np.uint8))
    return Job(picture, boxes, None, Clock(), source, frame, frame / 30 if time else None)


def follow(run, detector=None, *, refresh=100, **kinds):
    counted = detector or Counted()
    following = Following(Detector(counted, refresh=refresh), run)
    return counted, [following(job(frame, **kinds)) for frame in range(FRAMES)]


def test_boxes_follow_the_keypoints_with_their_margin(make_run):
    counted, results = follow(make_run([BODY + np.array([3.0 * t, 0]) for t in range(FRAMES)]))
    assert counted.calls == 1
    assert results[5].boxes is not None
    expected = [27.0, 15.0, 30.0, 50.0]  # around the points of frame 4, 12 px to the right
    np.testing.assert_allclose(results[5].boxes[0], expected)


def test_the_detector_runs_every_so_many_frames(make_run):
    assert follow(make_run([BODY] * FRAMES), refresh=5)[0].calls == 3


def test_the_detector_looks_again_when_keypoints_are_lost_or_grow(make_run):
    conf = np.ones((FRAMES, 3))
    conf[6, 1:] = 0.1
    assert follow(make_run([BODY] * FRAMES, conf))[0].calls == 2
    away = [BODY * (1 if t < 6 else 2) for t in range(FRAMES)]
    assert follow(make_run(away))[0].calls == 1 + 5  # its box, of the old size, never fits again


@pytest.mark.parametrize("boxes", [(), (BOX, BOX)], ids=["none", "two"])
def test_pictures_are_not_a_video(make_run, boxes):
    counted, results = follow(make_run([BODY] * FRAMES), Counted(boxes), time=False)
    assert counted.calls == FRAMES
    assert {len(result.keypoints) for result in results} == {len(boxes)}


def test_boxes_that_come_together_are_searched_again(make_run):
    assert follow(make_run([BODY] * FRAMES), Counted((BOX, BOX)))[0].calls == FRAMES


def test_without_instances_every_frame_is_searched(make_run):
    assert follow(make_run([BODY] * FRAMES), Counted(()))[0].calls == FRAMES


def test_given_boxes_are_used_and_another_video_is_searched(make_run):
    counted = Counted()
    following = Following(Detector(counted), make_run([BODY] * FRAMES))
    given = np.array([[1.0, 2.0, 3.0, 4.0]])
    boxes = following(job(0, boxes=given)).boxes
    assert boxes is given
    assert counted.calls == 0
    for source in ("a.mp4", "a.mp4", "b.mp4"):
        following(job(0, source=source))
    assert counted.calls == 2
