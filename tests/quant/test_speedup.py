"""``python -m quant.speedup``: the table, the repaired checkpoint, and what it refuses."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from edgehrnet import Predictor, sample_picture
from edgehrnet.models import create
from edgehrnet.models.checkpoints import build_model, load_checkpoint, save_checkpoint
from edgehrnet.models.layers.activations import activation_sites
from edgehrnet.spec import ModelSpec
from quant import speedup
from quant.speed.gains import Gains

CHECKPOINT = Path(__file__).parents[2] / "checkpoints" / "document-corners.pt"
SITES = ("stage4.hr_modules.0.fusion.smooth.3.act", "stem.conv1.act")


def save(checkpoint, path):
    options = {"keypoints": checkpoint.keypoints, **checkpoint.options}
    save_checkpoint(path, checkpoint.variant, options, checkpoint.state, checkpoint.spec, checkpoint.training)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    checkpoint = load_checkpoint(CHECKPOINT)
    spec = ModelSpec.from_dict(checkpoint.spec).replace(input_size=(128, 256))
    small = dataclasses.replace(checkpoint, spec=spec.to_dict())
    return save(small, tmp_path_factory.mktemp("small") / "small.pt")


@pytest.fixture
def gains(monkeypatch):
    """Compile and time nothing."""
    found = Gains(10.0, 8.0, dict.fromkeys(SITES, 0.5))
    monkeypatch.setattr(speedup, "measure_gains", lambda *_args, **_options: found)


def run(checkpoint, out, *more):
    arguments = [checkpoint, "--data", "synthetic:document-corners", "--out", out, "--points", 2, "--pictures", 2,
                 "--validate-count", 2, "--workers", 0, "--batch", 2, *more]  # fmt: skip
    return speedup.main([str(argument) for argument in arguments])


@pytest.mark.usefixtures("gains")
def test_the_repaired_checkpoint_is_one_like_any_other(small, tmp_path, capsys):
    assert run(small, tmp_path, "--budget-px", 99, "--steps", 2, "--sizes", "64x64") == 0
    printed = capsys.readouterr().out
    assert "<- chosen" in printed
    assert f"quant.ptq {tmp_path / 'ema.pt'}" in printed
    made, before = load_checkpoint(tmp_path / "ema.pt"), load_checkpoint(small)
    assert made.options["activations"] == dict.fromkeys(SITES, "hardswish")
    assert made.spec == before.spec
    changed = {site for site, kind in activation_sites(build_model(made)).items() if kind == "hardswish"}
    assert changed == set(SITES)
    losses = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])["loss"]
    assert losses["distillation"] > 0
    assert losses["features"] > 0
    with Predictor(tmp_path / "ema.pt") as new, Predictor(small) as old:
        moved = new.predict(sample_picture()).keypoints.xy - old.predict(sample_picture()).keypoints.xy
    assert 0 < np.abs(moved).max() < 30


@pytest.mark.usefixtures("gains")
def test_without_a_point_within_the_budget_nothing_is_trained(small, tmp_path, capsys):
    assert run(small, tmp_path / "out", "--budget-px", 1e-9) == 0
    assert "--budget-px 1e-09" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_a_network_with_nothing_slower_is_refused(tmp_path, capsys):
    network = create("edgehrnet18_hs", keypoints=4)
    checkpoint = load_checkpoint(CHECKPOINT)
    quick = dataclasses.replace(checkpoint, variant="edgehrnet18_hs", options={}, state=network.state_dict())
    with pytest.raises(SystemExit) as ended:
        run(save(quick, tmp_path / "hs.pt"), tmp_path / "out")
    assert ended.value.code == 2
    assert "hardswish" in capsys.readouterr().err
