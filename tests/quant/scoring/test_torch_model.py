"""The shipped network itself: as good as its card says, and without bias."""

from pathlib import Path

import numpy as np
import pytest
import torch

from edgehrnet.models.checkpoints import build_model, load_checkpoint
from quant.data.documents.corners import SPEC, DocumentCorners, validation_scene
from quant.scoring.metrics import auroc, keypoint_errors, score
from quant.scoring.torch_model import predict_torch, validate

CHECKPOINT = Path(__file__).parents[3] / "checkpoints" / "document-corners.pt"
CPU = torch.device("cpu")
SMALL = (128, 256)  # a quarter of the design size's cost


@pytest.fixture(scope="module")
def network():
    return build_model(load_checkpoint(CHECKPOINT))


def test_no_bias_through_the_trained_network(network):
    # In cells. A half-pixel slip of the convention is 0.125 cells, a stride-2 convolution's shift 0.125 to 0.9.
    spec = SPEC.replace(input_size=SMALL)
    signed = []
    for index in range(200):
        scene = validation_scene(5000 + index)
        height, width = scene.image.shape[:2]
        xy, conf, _ = predict_torch(network, scene.image, spec, CPU)
        shifts = [np.roll(xy, s, axis=0) for s in range(4)]
        best = min(shifts, key=lambda points: np.abs(points - scene.corners)[scene.visible].sum())
        cells = (best - scene.corners) * max(width / SMALL[1], height / SMALL[0]) ** -1 / spec.stride
        kept = scene.visible & (conf.min() > 0.5) & (np.abs(cells).max(axis=1) < 1)
        signed.append(cells[kept])
    errors = np.concatenate(signed)
    assert len(errors) > 250
    spread = errors.std(axis=0) / np.sqrt(len(errors))
    assert (3 * spread < 0.05).all()  # otherwise the next line could not tell
    assert (np.abs(errors.mean(axis=0)) < 0.05 + 3 * spread).all()


def test_score_of_the_shipped_checkpoint_is_what_its_card_says(network):
    # The first 40 of the pictures that the card's score was measured on; binomial spread of PCK with some 140
    # corners is 3 points, so 10 below the card is a broken network, not chance.
    card = load_checkpoint(CHECKPOINT).training["scores"]["fp16"]
    found = validate(network, DocumentCorners(), 40, SPEC, CPU)
    assert found.pck2 >= card["pck2"] - 10
    assert found.presence_auroc > 0.8


def test_errors_take_the_best_cyclic_shift_only_if_told():
    square = np.array([[0.0, 0], [10, 0], [10, 10], [0, 10]])
    rolled = np.roll(square, 2, axis=0)
    seen = np.array([True, True, False, True])
    assert np.nanmax(keypoint_errors(rolled, square, seen, cyclic=True)) == 0
    assert np.nanmin(keypoint_errors(rolled, square, seen)) > 10
    assert np.isnan(keypoint_errors(rolled, square, seen)[2])
    mirrored = square[::-1]
    assert np.nanmax(keypoint_errors(mirrored, square, np.ones(4, bool), cyclic=True)) > 5


def test_score_counts_what_it_says():
    errors = np.array([[0.5, 1.0, 1.5, np.nan], [2.5, 10.0, 0.0, np.nan]])
    result = score(errors, pictures=2)
    assert result.keypoints == 6
    assert result.pck1 == pytest.approx(50)
    assert result.pck3 == pytest.approx(100 * 5 / 6)
    assert result.median_percent == pytest.approx(1.25)
    assert np.isnan(score([], 0).mean_percent)


def test_auroc_of_known_sets():
    assert auroc([2, 3], [0, 1]) == 1
    assert auroc([0, 1], [2, 3]) == 0
    assert np.isnan(auroc([], [1]))
