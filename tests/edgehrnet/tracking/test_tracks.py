"""Instances keep their ids: when they cross, leave for a while, or turn, and when another video begins."""

import builtins
from dataclasses import replace

import numpy as np
import pytest

from edgehrnet import track
from edgehrnet.errors import InputError, MissingExtraError

SQUARE = np.array([[30.0, 20.0], [60.0, 20.0], [60.0, 60.0], [30.0, 60.0]])
PERSON = np.array([[0.0, 0.0], [10.0, 20.0], [0.0, 40.0]])


def person(x, y=0.0):
    return PERSON + np.array([x, y])


def numbers(result):
    assert result.ids is not None
    return result.ids


def ids(results, **settings):
    return [numbers(result).tolist() for result in track(results, **settings)]


def test_two_that_cross_keep_their_ids(make_result):
    pytest.importorskip("scipy")
    ways = [(10 + 3 * t, 70 - 3 * t) for t in range(21)]  # in rows of their own
    frames = [[person(a, 10), person(b, 40)][:: 1 if t % 2 else -1] for t, (a, b) in enumerate(ways)]
    found = list(track(make_result(frame) for frame in frames))
    rows = [{int(key): xy[0, 1] for key, xy in zip(numbers(r), r.keypoints.xy, strict=True)} for r in found]
    assert all(row == {0: 40, 1: 10} for row in rows)


def test_an_instance_that_returns_soon_has_its_id_and_later_a_new_one(make_result):
    frames = [make_result([PERSON]), *[make_result([])] * 5, make_result([PERSON])]
    assert ids(frames, max_gap=0.5, fps=10)[-1] == [1]
    assert ids(frames, max_gap=0.7, fps=10)[-1] == [0]


def test_one_that_moves_on_while_unseen_is_expected_there(make_result):
    at = [*range(0, 20, 4), 40]  # px; five frames are missing
    seen = [make_result([person(x)]) for x in at[:-1]]
    assert ids([*seen, *[make_result([])] * 5, make_result([person(at[-1])])])[-1] == [0]


def test_an_instance_without_a_confident_keypoint_has_no_id(make_result):
    pytest.importorskip("scipy")
    assert ids([make_result([PERSON, PERSON + 60], [[0.9] * 3, [0.1] * 3])]) == [[0, -1]]


def test_another_video_has_other_ids(make_result):
    frames = [replace(make_result([PERSON], source=name), time=t) for name, t in (("a", 0.0), ("a", 0.1), ("b", 0.2))]
    assert ids(frames) == [[0], [0], [1]]


def test_a_turning_outline_keeps_its_first_corner(make_result):
    middle, results = SQUARE.mean(axis=0), []
    for angle in np.linspace(0, np.pi, 12):
        turned = (SQUARE - middle) @ [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]] + middle
        first = int(turned.sum(axis=1).argmin())
        results.append((turned, make_result([np.roll(turned, -first, axis=0)], outline=True)))
    for (turned, given), result in zip(results, track(given for _, given in results), strict=True):
        np.testing.assert_allclose(result.keypoints.xy[0], turned)
        shift = int(result.heatmaps[0, 0, 0, 0])  # number of the channel that is first now
        np.testing.assert_allclose(given.keypoints.xy[0, shift], turned[0])
        assert result.offsets is not None
        assert result.offsets[0, :2, 0, 0].tolist() == [2 * shift, 2 * shift + 1]


def test_several_instances_need_scipy_from_the_first_frame_on(make_result, monkeypatch):
    real = builtins.__import__

    def without_scipy(name, *args, **kwargs):
        if name.startswith("scipy"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_scipy)
    assert ids([make_result([PERSON])]) == [[0]]
    with pytest.raises(MissingExtraError, match=r"edgehrnet\[video\]"):
        ids([make_result([PERSON], crop="udp")])


@pytest.mark.parametrize("setting", [{"max_gap": -1}, {"fps": 0}, {"threshold": float("nan")}, {"fps": "30"}])
def test_settings_are_checked_at_once(setting):
    with pytest.raises(InputError, match=str(*setting.values())):
        track([], **setting)
