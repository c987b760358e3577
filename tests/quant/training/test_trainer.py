import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from edgehrnet.errors import InputError
from edgehrnet.models.checkpoints import build_model, load_checkpoint
from quant import train
from quant.training.processes import World
from quant.training.settings import TrainSettings
from quant.training.trainer import DivergedError, Ema, Trainer

TINY = {"steps": 4, "batch": 2, "sizes": ((64, 64), (64, 96)), "workers": 0, "validate_every": 2, "validate_count": 3}


def states(path):
    return load_checkpoint(path).state


def test_a_run_leaves_what_is_needed_to_use_and_repeat_it(tmp_path):
    scores = Trainer(TrainSettings(**TINY), tmp_path).run(progress=False)
    assert set(scores) >= {"mean_percent", "pck1", "presence_auroc"}
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4]
    assert json.loads((tmp_path / "settings.json").read_text())["steps"] == 4
    checkpoint = load_checkpoint(tmp_path / "ema.pt")
    assert checkpoint.training["step"] == 4
    assert build_model(checkpoint).keypoints == 4
    floats = [value for value in checkpoint.state.values() if value.is_floating_point()]
    assert {value.dtype for value in floats} == {torch.float16}


def test_an_interrupted_run_ends_with_the_same_weights(tmp_path):
    settings = TrainSettings(**TINY)
    Trainer(settings, tmp_path / "whole").run(progress=False)

    class StopHereError(Exception):
        pass

    class Breaking(Trainer):
        def _train_step(self, batch):
            if self.step == 3:
                raise StopHereError
            return super()._train_step(batch)

    with pytest.raises(StopHereError):
        Breaking(settings, tmp_path / "parts").run(progress=False)
    resumed = Trainer(settings, tmp_path / "parts")
    resumed.resume()
    assert resumed.step == 2
    resumed.run(progress=False)
    whole, parts = states(tmp_path / "whole" / "ema.pt"), states(tmp_path / "parts" / "ema.pt")
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name


def test_resuming_with_other_settings_is_refused(tmp_path):
    Trainer(TrainSettings(**TINY), tmp_path).run(progress=False)
    other = Trainer(TrainSettings(**{**TINY, "learning_rate": 1.0}), tmp_path)
    with pytest.raises(InputError, match="other learning_rate"):
        other.resume()
    # Two processes would draw other pictures than one.
    two = Trainer(TrainSettings(**TINY), tmp_path)
    two.world = World(rank=1, size=2)
    with pytest.raises(InputError, match="trained by 1 processes"):
        two.resume()
    with pytest.raises(InputError, match="nothing to resume"):
        Trainer(TrainSettings(**TINY), tmp_path / "empty").resume()


def test_a_few_steps_lower_the_loss_and_train_every_head(tmp_path):
    options = {"auxiliary": True, "boundary": True, "sdf": True}
    settings = TrainSettings(**{**TINY, "steps": 12, "batch": 4, "options": options, "validate_every": 100})
    trainer = Trainer(settings, tmp_path)
    before = {name: p.detach().clone() for name, p in trainer.network.named_parameters()}
    batch = next(trainer._batches())
    losses = [sum(trainer._train_step(batch).values()) for _ in range(12)]
    assert losses[-1] < 0.85 * losses[0]  # one batch, seen twelve times; 0.70 with this seed, 1.0 without a gradient
    unmoved = [name for name, p in trainer.network.named_parameters() if torch.equal(p, before[name])]
    assert unmoved == []


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_mixed_precision_gives_nearly_the_same_step(tmp_path, amp):
    def losses(kind):
        trainer = Trainer(TrainSettings(**{**TINY, "amp": kind}), tmp_path)
        batch = next(trainer._batches())
        return [sum(trainer._train_step(batch).values()) for _ in range(2)]

    # bfloat16 keeps 8 bits: each layer rounds by 2^-9, and some 60 layers in a row add up in quadrature to 1.5 %.
    np.testing.assert_allclose(losses(amp), losses("none"), rtol=0.05)


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path):
    Trainer(TrainSettings(**TINY), tmp_path).run(progress=False)
    before = (tmp_path / "ema.pt").read_bytes()
    with pytest.raises(InputError, match="--resume"):
        Trainer(TrainSettings(**TINY), tmp_path).run(progress=False)
    assert (tmp_path / "ema.pt").read_bytes() == before


def test_a_loss_that_is_no_number_stops_before_the_weights_change(tmp_path):
    trainer = Trainer(TrainSettings(**TINY), tmp_path)
    batch = next(trainer._batches())
    batch["heatmaps"][0, 0, 0, 0] = float("nan")
    before = {name: p.detach().clone() for name, p in trainer.network.named_parameters()}
    with pytest.raises(DivergedError, match="lower --learning-rate"):
        trainer._train_step(batch)
    assert all(torch.equal(p, before[name]) for name, p in trainer.network.named_parameters())


def test_a_validation_without_empty_scenes_is_still_saved(tmp_path):
    # One picture, with a document: there is no AUROC, and JSON has no NaN.
    scores = Trainer(TrainSettings(**{**TINY, "validate_count": 1}), tmp_path).run(progress=False)
    assert scores["presence_auroc"] is None
    assert load_checkpoint(tmp_path / "ema.pt").training["scores"] == scores


def test_starting_from_a_checkpoint_keeps_its_body_and_adds_heads(tmp_path):
    Trainer(TrainSettings(**TINY), tmp_path / "first").run(progress=False)
    init = str(tmp_path / "first" / "ema.pt")
    second = Trainer(TrainSettings(**{**TINY, "init": init, "options": {"sdf": True}}), tmp_path / "second")
    expected = states(init)["stem.conv1.conv.weight"].float()
    torch.testing.assert_close(second.network.stem.conv1.conv.weight.detach(), expected)


def test_the_average_follows_and_forgets_its_start():
    network = torch.nn.BatchNorm1d(2)
    ema = Ema(network, 0.9)
    torch.nn.init.constant_(network.weight, 5.0)
    for step in range(200):
        ema.update(network, step)
    torch.testing.assert_close(ema.network.weight, network.weight, atol=1e-3, rtol=0)
    assert not ema.network.training


def test_learning_rate_rises_then_falls_to_a_hundredth():
    settings = TrainSettings(steps=100, warmup=0.1, learning_rate=1.0)
    rates = [settings.learning_rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == pytest.approx(1.0)
    assert rates[9] == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.01, abs=2e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": "synthetic:documents"}, "did you mean 'synthetic:document-corners'"),
        ({"sizes": ((100, 64),)}, "multiples of 32"),
        ({"amp": "int8"}, "none, bf16, fp16"),
        ({"batch": 1}, "at least"),
        ({"validate_every": 0}, "at least 1"),
        ({"device": "gpu9"}, "device='gpu9'"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        Trainer(TrainSettings(**change), tmp_path)


def test_two_processes_train_one_network(tmp_path):
    # Each process sees its own half of the pictures; averaged gradients keep the weights equal.
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", "quant.train", "--out", str(tmp_path), "--steps", "2", "--batch", "2", "--sizes", "64x64",
        "--workers", "0", "--threads", "1", "--validate-every", "2", "--validate-count", "2",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert len(lines) == 1  # rank 0 alone writes
    assert json.loads(done.stdout.strip().splitlines()[-1])["pictures"] == 2


class TestCommand:
    def test_trains_and_prints_scores(self, tmp_path, capsys):
        arguments = ["--out", str(tmp_path), "--steps", "2", "--batch", "2", "--sizes", "64x64", "--workers", "0",
                     "--validate-every", "2", "--validate-count", "2", "--option", "fuse=weighted"]  # fmt: skip
        assert train.main(arguments) == 0
        assert json.loads(capsys.readouterr().out)["pictures"] == 2
        assert load_checkpoint(tmp_path / "ema.pt").options["fuse"] == "weighted"
        assert train.main([*arguments, "--resume"]) == 0

    @pytest.mark.parametrize("extra", [["--option", "fuze=add"], ["--data", "x"], ["--model", "nope"],
                                       ["--weight", "peek=3"], ["--weight", "peak=x"]])  # fmt: skip
    def test_bad_input_ends_with_one_line(self, tmp_path, capsys, extra):
        with pytest.raises(SystemExit) as stop:
            train.main(["--out", str(tmp_path), *extra])
        assert stop.value.code == 2
        assert capsys.readouterr().err.startswith("error: ")


def test_alone_without_torchrun(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert World.join("cpu") == World(0, 1)
