"""The ranking finds the most harmful quantizers, and the budget keeps no more in float than it needs."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from edgehrnet import sample_picture
from edgehrnet.errors import InputError
from edgehrnet.models.checkpoints import build_model, load_checkpoint, save_checkpoint
from edgehrnet.picture.sources import read_image
from edgehrnet.spec import ModelSpec
from quant import ptq, sensitivity
from quant.int8 import ranking
from quant.int8.calibration import network_inputs
from quant.int8.degradation import Degradation, Probe
from quant.int8.pipeline import calibrate
from quant.int8.placement import place
from quant.int8.scheme import SCHEMES
from quant.scoring.torch_model import predict_torch

CHECKPOINT = Path(__file__).parents[2] / "checkpoints" / "document-corners.pt"
SIZE = (128, 256)  # the network still finds the corners of the sample at this small size
SPOILED = "stem.blocks.0.add"  # every layer depends on it


@pytest.fixture(scope="module")
def small():
    checkpoint = load_checkpoint(CHECKPOINT)
    spec = ModelSpec.from_dict(checkpoint.spec).replace(input_size=SIZE)
    return dataclasses.replace(checkpoint, spec=spec.to_dict())


@pytest.fixture(scope="module")
def pictures():
    return [read_image(sample_picture())]


@pytest.fixture(scope="module")
def images(small, pictures):
    return network_inputs(pictures, ModelSpec.from_dict(small.spec))


@pytest.fixture(scope="module")
def probe(small, pictures):
    return Probe(build_model(small), pictures, ModelSpec.from_dict(small.spec))


@pytest.fixture(scope="module")
def table(small, images):
    return calibrate(small, images).table("openvino")


@pytest.fixture(scope="module")
def spoiled(table):
    # A range that is a hundred times too wide leaves only a few levels.
    scale, zero = table.sites[SPOILED]
    return dataclasses.replace(table, sites={**table.sites, SPOILED: (100 * scale, zero)})


@pytest.fixture(scope="module")
def ranked(probe, spoiled):
    return ranking.rank(probe, spoiled, weights=False)


@pytest.fixture(scope="module")
def readers(small):
    return place(build_model(small), SCHEMES["openvino"]).sites


@pytest.mark.parametrize("margins", [False, True])
def test_the_probe_finds_the_keypoints_that_predict_torch_finds(small, pictures, margins):
    """The signed distance field and the letterbox's mask take part in the decoding."""
    picture = np.pad(pictures[0], ((0, 0), (0, 900 if margins else 0), (0, 0)), mode="reflect")
    network, spec = build_model(small), ModelSpec.from_dict(small.spec)
    probe = Probe(network, [picture], spec)
    _, xy, conf = probe.answer(probe.network, 0)
    expected_xy, expected_conf, _ = predict_torch(network, picture, spec, torch.device("cpu"))
    turns = [np.abs(np.roll(xy, turn, axis=0) - expected_xy).max() for turn in range(4)]
    # Folding BatchNorm changes sums in float32 by parts in a million.
    assert min(turns) < 0.01
    np.testing.assert_allclose(np.sort(conf), np.sort(expected_conf), atol=1e-3)


def test_a_network_without_quantizers_has_no_degradation(probe, table):
    degradation = probe.degradation(dataclasses.replace(table, sites={}, convolutions=()))
    assert (degradation.drift_px, degradation.p95_px, degradation.pck, degradation.sqnr_db) == (0, 0, 100, float("inf"))


def test_a_spoiled_range_ranks_first_and_the_order_is_by_drift(ranked, spoiled):
    assert len(ranked) == len(spoiled.sites)
    assert ranked[0].quantizer == SPOILED
    drifts = [entry.degradation.drift_px for entry in ranked]
    assert drifts == sorted(drifts, reverse=True)
    assert drifts[0] > 2 * drifts[1]


def test_weights_are_ranked_too(probe, table):
    few = dataclasses.replace(table, sites=dict(list(table.sites.items())[:2]), convolutions=table.convolutions[:2])
    ranked = ranking.rank(probe, few)
    assert sorted(entry.kind for entry in ranked) == ["activation", "activation", "weights", "weights"]
    assert all(entry.degradation.sqnr_db < 100 for entry in ranked if entry.kind == "weights")


def test_the_budget_keeps_only_the_spoiled_site_in_float(probe, table, spoiled, ranked, readers):
    sound, worst = (probe.degradation(of).drift_px for of in (table, spoiled))
    assert worst > 10 * sound
    # The geometric mean of both drifts. One site more or less in float changes the mean drift of these four corners by
    # up to half of the sound table's drift.
    budget = (sound * worst) ** 0.5
    # The spoiled site is ranked last, so the search keeps the others in float first, and has to release them.
    ranked = [*ranked[1:3], ranked[0]]
    kept = ranking.solve(probe, spoiled, ranked, readers, budget)
    assert kept == [SPOILED]
    assert probe.degradation(ranking.without(spoiled, kept, readers)).drift_px <= budget


def test_a_site_kept_in_float_keeps_its_convolutions_in_float(table, readers):
    fewer = ranking.without(table, [SPOILED], readers)
    assert SPOILED not in fewer.sites
    assert set(table.convolutions) - set(fewer.convolutions) == set(readers[SPOILED])


def test_a_budget_that_weights_alone_exceed_is_refused(probe, spoiled, readers):
    ranked = [ranking.Ranked(SPOILED, "activation", probe.degradation(spoiled))]
    with pytest.raises(InputError, match="1e-09"):
        ranking.solve(probe, spoiled, ranked, readers, 1e-9)


def test_a_network_without_confident_keypoints_is_refused(small):
    spec = ModelSpec.from_dict(small.spec)
    blank = [np.zeros((*SIZE, 3), np.uint8)]
    with pytest.raises(InputError):
        Probe(build_model(small), blank, spec)


def _first(checkpoint):
    table = checkpoint.table("openvino")
    sites = dict(list(table.sites.items())[:3])
    short = dataclasses.replace(table, sites=sites, convolutions=table.convolutions[:3])
    return dataclasses.replace(checkpoint, quantization={"openvino": short})


@pytest.fixture
def folder(tmp_path, small):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "a.jpg").write_bytes(sample_picture().read_bytes())
    file = tmp_path / "small.pt"
    save_checkpoint(file, small.variant, {"keypoints": 4, **small.options}, small.state, small.spec, {})
    return tmp_path


def test_the_command_writes_table_and_picture(folder, capsys, monkeypatch):
    everything = calibrate
    # Ranking all 238 quantizers takes a minute, so only the first three sites and convolutions are ranked.
    monkeypatch.setattr(sensitivity, "calibrate", lambda *args, **options: _first(everything(*args, **options)))
    arguments = [str(folder / "small.pt"), "--data", str(folder / "pictures"), "--out", str(folder / "out")]
    assert sensitivity.main([*arguments, "--calibration", "1"]) == 0
    content = json.loads((folder / "out" / "sensitivity.json").read_text())
    assert len(content["ranked"]) == 3 + 3
    assert (folder / "out" / "sensitivity.png").stat().st_size > 5_000
    lines = (folder / "out" / "sensitivity.txt").read_text().splitlines()
    assert len(lines) == 2 + 3 + 3
    assert lines[1].startswith("all of them")
    assert "sensitivity.txt" in capsys.readouterr().out


def test_ptq_applies_the_budget(folder, capsys, monkeypatch):
    # The choice is tested above. This test checks that it is applied to the file.
    monkeypatch.setattr("quant.int8.arguments.choose_float", lambda *_args, **_options: [SPOILED])
    arguments = [str(folder / "small.pt"), "--data", str(folder / "pictures"), "--out", str(folder / "out")]
    arguments += ["--calibration", "1", "--corrections", "none", "--keep-float", "auto", "--budget", "0.2"]
    assert ptq.main(arguments) == 0
    assert SPOILED in capsys.readouterr().out
    assert SPOILED not in load_checkpoint(next((folder / "out").glob("*.pt"))).table("openvino").sites
    certificate = json.loads((next((folder / "out").glob("*-int8.certificate.json"))).read_text())
    assert certificate["convolutions_int8"] == 125


def test_choosing_leaves_nothing_in_float_if_the_budget_is_met(small, images, pictures):
    calibrated = calibrate(small, images)
    assert ranking.choose_float(calibrated, pictures, "openvino", 1000.0) == []


def test_a_summand_that_no_convolution_reads_can_be_chosen_too(small, images, pictures, monkeypatch):
    scheme = SCHEMES["openvino"].replace(adds="all")
    calibrated = calibrate(small, images, [scheme])
    table = calibrated.table("openvino")
    summand = next(site for site, readers in place(build_model(small), scheme).sites.items() if not readers)
    scale, zero = table.sites[summand]
    spoiled = dataclasses.replace(table, sites={**table.sites, summand: (100 * scale, zero)})
    worst = [ranking.Ranked(summand, "activation", Degradation(9.0, 9.0, 9.0, 8.0, 0.0, 0.0))]
    monkeypatch.setattr(ranking, "rank", lambda *_args, **_options: worst)
    spoiled_checkpoint = dataclasses.replace(calibrated, quantization={"openvino": spoiled})
    # Three times the drift of the good ranges, which chance cannot reach on four corners, but a wrong range exceeds.
    budget = 3 * Probe(build_model(small), pictures, ModelSpec.from_dict(small.spec)).degradation(table).drift_px
    assert ranking.choose_float(spoiled_checkpoint, pictures, "openvino", budget) == [summand]
