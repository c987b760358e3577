"""Scores of models whose predictions are known, and the reference numbers of COCO."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgehrnet.errors import InputError
from edgehrnet.keypoint_sets import COCO_PERSON
from edgehrnet.spec import ModelSpec
from quant.data.examples import Example
from quant.scoring.average_precision import coco_ap
from quant.scoring.evaluation import evaluate
from quant.scoring.metrics import best_cyclic_shift, paired_bootstrap
from runtimes.errors import MissingExtraError

COCO = Path(__file__).parents[4] / "shared" / "data" / "coco-sample"
SQUARE = np.array([[10.0, 10], [70, 10], [70, 50], [10, 50]])
ALL = np.ones(4, bool)
SIZE = (60, 80)  # height, width: the diagonal is 100 px, so that px equal percent
AREA = 2400.0
SIGMAS = (0.05,) * 4


class Fixed:
    """A data set of given examples."""

    def __init__(self, examples: list[Example], **spec: Any) -> None:
        self.examples = examples
        self.spec = ModelSpec("fixed", ("a", "b", "c", "d"), **{"oks_sigmas": SIGMAS, **spec})

    def training(self, seed: int, number: int) -> Example:
        raise AssertionError("nothing is trained here")

    def __len__(self) -> int:
        return 0

    def calibration(self, count: int, seed: int = 0) -> Iterator[np.ndarray]:
        raise AssertionError("nothing is calibrated here")

    def validation(self, count: int | None = None) -> Iterator[Example]:
        yield from self.examples[:count]


def example(number: int, points=SQUARE, visible=ALL, **rest) -> Example:
    """A picture whose gray level is its number."""
    return Example(np.full((*SIZE, 3), number, np.uint8), points, visible, **{"area": AREA, **rest})


def moved(dx: float, dy: float) -> np.ndarray:
    return np.asarray(SQUARE + np.array([dx, dy]))


def model(answers):
    """A model with one stored prediction, xy and confidence, for each gray level."""

    def predict(image):
        xy, conf = answers[int(image[0, 0, 0])]
        return np.asarray(xy, np.float64), np.full(4, conf, np.float32)

    return predict


@pytest.fixture
def three():
    """Predictions 3 px to the right, 4 px below with one corner hidden, and for an empty picture."""
    hidden = np.array([True, True, True, False])
    empty = example(2, np.full((4, 2), 40.0), ~ALL, empty=True, area=0.0)
    data = Fixed([example(0), example(1, visible=hidden), empty])
    answers = {0: (moved(3, 0), 0.9), 1: (moved(0, 4), 0.8), 2: (SQUARE, 0.1)}
    return evaluate("three", model(answers), data)


def test_errors_are_distances_in_pixels_of_the_picture(three):
    assert three.errors[0].tolist() == [3, 3, 3, 3]
    assert three.errors[1, :3].tolist() == [4, 4, 4]
    assert np.isnan(three.errors[1, 3])
    assert np.isnan(three.errors[2]).all()
    assert three.diagonals.tolist() == [100, 100, 100]
    assert three.areas.tolist() == [AREA, AREA, 0]
    assert three.empty.tolist() == [False, False, True]
    assert three.picture_px[:2].tolist() == [3, 4]
    assert np.isnan(three.picture_px[2])
    assert (three.xy.shape, three.conf.shape, three.conf.dtype) == ((3, 4, 2), (3, 4), np.float32)
    assert np.array_equal(three.truth[0], SQUARE)


def test_the_summary_of_known_errors(three):
    found = three.summary(radii=(3.5, 5))
    assert (found["pictures"], found["keypoints"]) == (3, 7)
    assert found["mean_px"] == pytest.approx(24 / 7, abs=1e-4)
    assert found["mean_percent"] == found["mean_px"]  # of a diagonal of 100 px
    assert (found["median_px"], found["p95_px"]) == (3, 4)
    assert found["pck@3.5px"] == found["pck3"] == pytest.approx(400 / 7, abs=1e-4)
    assert (found["pck@5px"], found["pck2"]) == (100, 0)
    assert found["presence_auroc"] == 1
    assert "pck@2px" not in found
    with pytest.raises(InputError, match="radii"):
        three.summary(radii=(0,))


def test_keypoints_within_one_percent_are_correct(three):
    assert not three.correct.any()
    answers = {0: (moved(0.99, 0), 0.9), 1: (moved(0, 1.01), 0.8), 2: (SQUARE, 0.1)}
    hidden = np.array([True, False, True, True])
    empty = example(2, SQUARE, ~ALL, empty=True, area=0.0)
    found = evaluate("near", model(answers), Fixed([example(0, visible=hidden), example(1), empty]))
    assert found.correct.tolist() == [hidden.tolist(), [False] * 4, [False] * 4]
    # One bin for each confidence: 3 of 4 correct at 0.9, none of 4 at 0.8 and at 0.1.
    assert found.score().ece == pytest.approx((0.15 + 0.8 + 0.1) / 3)
    assert found.summary()["ece"] == pytest.approx(0.35, abs=1e-4)
    assert list(found.score().as_dict())[-1] == "ece"


def test_scores_by_condition():
    dark, both, neither = frozenset({"dark"}), frozenset({"dark", "blur"}), frozenset[str]()
    pictures = [example(n, conditions=has) for n, has in enumerate((dark, both, neither))]
    answers = model({0: (SQUARE, 0.9), 1: (moved(0, 2), 0.8), 2: (moved(50, 0), 0.7)})
    found = evaluate("conditions", answers, Fixed(pictures))
    assert found.conditions == (dark, both, neither)
    scores = found.by_condition()
    assert list(scores) == ["blur", "dark"]
    assert (scores["dark"].pictures, scores["dark"].keypoints) == (2, 8)
    assert (scores["dark"].mean_percent, scores["dark"].pck1, scores["dark"].pck3) == (1, 50, 100)
    assert (scores["blur"].pictures, scores["blur"].mean_percent, scores["blur"].pck1) == (1, 2, 0)


def test_part_keeps_the_chosen_pictures(three):
    part = three.part(np.array([True, False, True]))
    assert part.errors.shape == (2, 4)
    assert part.empty.tolist() == [False, True]
    assert part.conditions == (frozenset(), frozenset())
    assert part.score().mean_percent == 3
    assert three.by_condition() == {}


def test_count_limits_the_pictures():
    data = Fixed([example(0), example(1)])
    answers = model({0: (SQUARE, 0.9), 1: (SQUARE, 0.9)})
    assert evaluate("one", answers, data, 1).summary()["pictures"] == 1
    assert evaluate("all", answers, data, 9).summary()["pictures"] == 2
    with pytest.raises(InputError, match="fixed"):
        evaluate("none", answers, Fixed([]))


def test_cyclic_data_is_scored_and_stored_in_the_best_shift():
    answers = model({0: (np.roll(moved(1, 0), 1, axis=0), 0.9)})
    found = evaluate("rolled", answers, Fixed([example(0)], cyclic=True))
    assert found.errors[0].tolist() == [1, 1, 1, 1]
    assert np.array_equal(found.xy[0], moved(1, 0))
    assert found.oks_ap()[1] == pytest.approx(1)
    strict = evaluate("rolled", answers, Fixed([example(0)]))
    assert strict.errors.min() > 30
    assert strict.oks_ap()[1] == 0


def test_confidence_is_shifted_with_its_point():
    def predict(image):
        return np.roll(SQUARE, 1, axis=0), np.array([0.4, 0.1, 0.2, 0.3], np.float32)

    found = evaluate("rolled", predict, Fixed([example(0)], cyclic=True))
    assert found.conf[0] == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_hidden_points_do_not_influence_the_shift():
    seen = np.array([True, True, False, False])
    assert best_cyclic_shift(np.roll(SQUARE, -1, axis=0), SQUARE, seen) == 1
    assert best_cyclic_shift(np.roll(SQUARE, -1, axis=0), SQUARE, ~ALL) == 0


def test_predictions_that_do_not_fit_are_refused():
    data = Fixed([example(0)])
    with pytest.raises(InputError, match="3 keypoints"):
        evaluate("short", lambda image: (SQUARE[:3], np.ones(3, np.float32)), data)
    with pytest.raises(InputError, match="NaN"):
        evaluate("broken", model({0: (SQUARE * np.nan, 0.9)}), data)


def test_scores_of_nothing_are_none():
    data = Fixed([example(0, area=0.0), example(1, visible=~ALL, area=0.0)])
    found = evaluate("bare", model({0: (SQUARE, 0.9), 1: (SQUARE, 0.9)}), data).summary()
    assert found["mean_px"] == 0
    assert [found[key] for key in ("presence_auroc", "oks_ap", "oks_ap50", "oks_ap75")] == [None] * 4
    nothing = evaluate("nothing", model({1: (SQUARE, 0.9)}), Fixed([data.examples[1]])).summary()
    assert [nothing[key] for key in ("mean_px", "p95_px", "pck@2px", "pck1", "mean_percent")] == [None] * 5


def test_without_stated_sigmas_there_is_no_ap():
    found = evaluate("exact", model({0: (SQUARE, 0.9)}), Fixed([example(0)], oks_sigmas=()))
    assert np.isnan(found.oks_ap()).all()
    assert found.summary()["oks_ap"] is None


@pytest.mark.parametrize("sigmas", [SIGMAS, (0.1, 0.1, 0.1, 0.1)])
def test_oks_follows_the_formula_of_coco(sigmas):
    # exp(-d^2 / (2 area (2 sigma)^2)) of one picture. AP is the share of the thresholds 0.50, 0.55 .. 0.95 it reaches.
    away, sigma = 4.0, sigmas[0]
    oks = np.exp(-(away**2) / (2 * AREA * (2 * sigma) ** 2))
    reached = np.mean(np.linspace(0.5, 0.95, 10) <= oks)
    assert 0 < reached < 1
    found = evaluate("near", model({0: (moved(away, 0), 0.9)}), Fixed([example(0)], oks_sigmas=sigmas))
    assert found.oks_ap()[0] == pytest.approx(reached)


def test_a_confident_detection_in_an_empty_picture_lowers_ap():
    empty = example(1, visible=~ALL, empty=True, area=0.0)
    data = Fixed([example(0), empty])
    sure = evaluate("sure", model({0: (SQUARE, 0.5), 1: (SQUARE, 0.9)}), data)
    unsure = evaluate("unsure", model({0: (SQUARE, 0.5), 1: (SQUARE, 0.1)}), data)
    assert unsure.oks_ap()[0] == pytest.approx(1)
    assert sure.oks_ap()[0] == pytest.approx(0.5)  # precision at every recall: one of two is right


def test_hidden_points_do_not_count_in_oks():
    far = SQUARE + np.array([[0], [0], [0], [500]])
    found = evaluate("far", model({0: (far, 0.9)}), Fixed([example(0, visible=np.array([True, True, True, False]))]))
    assert found.oks_ap()[0] == pytest.approx(1)


def test_pictures_without_area_are_left_out_of_oks():
    data = Fixed([example(0), example(1, area=0.0), example(2, visible=~ALL)])
    answers = {0: (SQUARE, 0.5), 1: (SQUARE + 30, 0.9), 2: (SQUARE + 30, 0.9)}
    assert evaluate("some", model(answers), data).oks_ap()[0] == pytest.approx(1)


def test_coco_ap_equals_the_published_numbers():
    if not COCO.is_dir():
        pytest.skip("the COCO sample is not here: ../shared/data/coco-sample")
    truths = json.loads((COCO / "test_coco.json").read_text())["annotations"]
    detections = json.loads((COCO / "example_coco_preds.json").read_text())
    before = json.dumps([truths, detections])
    assert coco_ap(truths, detections, COCO_PERSON.sigmas) == pytest.approx((0.86089, 0.993145, 0.910891), abs=1e-6)
    assert json.dumps([truths, detections]) == before  # pycocotools would modify them


def test_coco_ap_without_detections_or_labels(three, capsys):
    truth = three._coco_truth(0)
    assert coco_ap([truth], [], (0.05,) * 4) == (0, 0, 0)
    assert np.isnan(coco_ap([], [three._coco_detection(0)], (0.05,) * 4)).all()
    assert capsys.readouterr().out == ""


def test_without_pycocotools_the_error_names_the_install(three, monkeypatch, capsys):
    three.oks_ap()
    assert capsys.readouterr().out == ""
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(MissingExtraError, match="pycocotools"):
        three.summary()
    assert three.score().keypoints == 7


def test_paired_bootstrap_of_a_known_difference():
    rng = np.random.default_rng(0)
    hard = rng.exponential(10, 400)  # the difficulty of each picture, for both models
    better, worse = hard + rng.normal(0, 1, 400), hard + 0.5 + rng.normal(0, 1, 400)
    difference, low, high = paired_bootstrap(worse, better, rounds=2000)
    assert difference == pytest.approx(float((worse - better).mean()))
    assert 0 < low < difference < high
    # 1.96 standard errors to either side, within the accuracy of 2000 rounds.
    assert (high - low) / 2 == pytest.approx(1.96 * (worse - better).std() / 20, rel=0.1)
    assert paired_bootstrap(worse, better, rounds=2000) == (difference, low, high)
    assert paired_bootstrap(worse, better, rounds=2000, seed=1) != (difference, low, high)
    assert paired_bootstrap(better, worse, rounds=2000)[0] == -difference


def test_the_interval_contains_the_truth_in_95_percent_of_the_cases():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        _, low, high = paired_bootstrap(rng.normal(1, 1, 50), np.zeros(50), rounds=200)
        covered += low <= 1 <= high
    assert 0.88 <= covered / 200 <= 0.98  # 95 %, slightly less for 50 pictures and 200 rounds; 3 sigma of 200 trials


def test_paired_bootstrap_leaves_out_pictures_that_one_side_lacks():
    a, b = [1.0, 2.0, np.nan, 9.0], [0.0, 1.0, 5.0, np.nan]
    assert paired_bootstrap(a, b, rounds=50) == (1, 1, 1)
    with pytest.raises(InputError, match="no picture"):
        paired_bootstrap([np.nan], [1.0])
    with pytest.raises(InputError, match=r"\(2,\).*\(3,\)"):
        paired_bootstrap([1.0, 2.0], [1.0, 2.0, 3.0])


def test_nme_is_in_percent_of_a_distance_between_keypoints():
    data = Fixed([example(0), example(1, visible=np.array([False, True, True, True]))])
    found = evaluate("off", model({0: (SQUARE + np.array([3.0, 4.0]), 0.9), 1: (SQUARE + 50.0, 0.9)}), data)
    names = ("a", "b", "c", "d")
    side = float(np.linalg.norm(SQUARE[0] - SQUARE[1]))
    assert found.nme(("a", "b"), names) == pytest.approx(100 * 5 / side)  # the second picture does not show a
    assert np.isnan(found.part(np.array([False, True])).nme(("a", "b"), names))
    with pytest.raises(InputError, match="'e'"):
        found.nme(("a", "e"), names)


def test_data_with_boxes_keeps_predictions_by_image_and_box():
    boxes = [(1.0, 2.0, 30.0, 40.0), (5.0, 6.0, 30.0, 40.0)]
    data = Fixed([example(0, box=box, image_id=7) for box in boxes], crop="hrnet")
    found = evaluate("crops", lambda image, box: (SQUARE + box[0], np.full(4, 0.5, np.float32)), data)
    part = found.part(np.array([False, True]))
    assert found.boxes is not None
    assert part.boxes is not None
    assert found.image_ids == (7, 7)
    assert found.boxes.tolist() == [list(box) for box in boxes]
    by_box = found.by_box()
    assert list(by_box) == [(7, box) for box in boxes]
    assert np.array_equal(by_box[7, boxes[1]][0], SQUARE + 5)
    assert np.isnan(found.oks_ap()).all()
    assert part.boxes.tolist() == [list(boxes[1])]


def test_data_without_boxes_has_no_predictions_by_box(three):
    assert three.by_box() == {}
    assert three.boxes is None
