"""Every setting of training has an option that sets it."""

import dataclasses
from typing import Any

import pytest

from edgehrnet.errors import InputError
from quant import qat, train
from quant.training.arguments import qat_settings, train_settings
from quant.training.losses import Weights
from quant.training.qat_settings import QatSettings
from quant.training.settings import TrainSettings

# Field: what is typed, and the value that it gives.
SHARED: dict[str, tuple[list[str], Any]] = {
    "data": (["--data", "other"], "other"),
    "fold": (["--fold", "1/3"], (1, 3)),
    "validation": (["--val", "others"], "others"),
    "images": (["--images", "pictures"], "pictures"),
    "flip_pairs": (["--flip-pairs", "a=b", "c=d"], (("a", "b"), ("c", "d"))),
    "sizes": (["--sizes", "64x96", "96x64"], ((64, 96), (96, 64))),
    "steps": (["--steps", "7"], 7),
    "batch": (["--batch", "3"], 3),
    "learning_rate": (["--learning-rate", "0.5"], 0.5),
    "weight_decay": (["--weight-decay", "0.5"], 0.5),
    "warmup": (["--warmup", "0.5"], 0.5),
    "canonical": (["--canonical", "0.5"], 0.5),
    "ema": (["--ema", "0.5"], 0.5),
    "amp": (["--amp", "bf16"], "bf16"),
    "device": (["--device", "cuda"], "cuda"),
    "workers": (["--workers", "5"], 5),
    "seed": (["--seed", "5"], 5),
    "validate_every": (["--validate-every", "5"], 5),
    "validate_count": (["--validate-count", "5"], 5),
    "augment": (["--no-augmentation"], False),
    "loss": (["--loss", "ohkm"], "ohkm"),
    "weights": (["--weight", "peak=3", "--weight", "sdf=0.5"], Weights(peak=3, sdf=0.5)),
}
TRAIN = {
    **SHARED,
    "model": (["--model", "hrnet_w32"], "hrnet_w32"),
    "options": (["--option", "sdf=true", "--option", "fuse=weighted"], {"sdf": True, "fuse": "weighted"}),
    "init": (["--init", "other.pt"], "other.pt"),
    "codec": (["--codec", "udp"], "udp"),
    "crop": (["--crop", "none"], None),
}
QAT = {
    **SHARED,
    "options": (["--activation", "hardswish"], {"activation": "hardswish"}),
    "target": (["--targets", "tensorrt", "openvino"], "tensorrt"),
    "weight_bits": (["--weight-bits", "7"], 7),
    "recovery": (["--recovery", "5"], 5),
    "observers": (["--observers", "0.9"], 0.9),
    "statistics": (["--statistics", "0.9"], 0.9),
    "distillation": (["--distillation", "0.5"], 0.5),
    "learned": (["--lsq"], True),
    "calibration": (["--calibration", "5"], 5),
    "method": (["--method", "minmax"], "minmax"),
}
# The checkpoint decides these.
OF_THE_CHECKPOINT = {"model", "init", "codec", "crop"}


def names(settings: type) -> set[str]:
    return {field.name for field in dataclasses.fields(settings)}


def test_every_setting_is_listed() -> None:
    assert set(TRAIN) == names(TrainSettings)
    assert set(QAT) | OF_THE_CHECKPOINT == names(QatSettings)


@pytest.mark.parametrize("field", TRAIN)
def test_an_option_of_training_changes_its_setting_only(field: str) -> None:
    typed, value = TRAIN[field]
    before = train_settings(train.parser().parse_args(["--out", "x"]))
    after = train_settings(train.parser().parse_args(["--out", "x", *typed]))
    assert getattr(before, field) != value
    assert after == dataclasses.replace(before, **{field: value})


@pytest.mark.parametrize("field", QAT)
def test_an_option_of_qat_changes_its_setting(field: str, untrained: Any) -> None:
    typed, value = QAT[field]
    path, checkpoint = untrained
    known = [path, "--data", "synthetic:document-corners", "--out", "x"]
    before = qat_settings(qat.parser().parse_args(known), checkpoint)
    after = qat_settings(qat.parser().parse_args([*known, *typed]), checkpoint)
    assert getattr(before, field) != value
    assert getattr(after, field) == value
    changed = {name for name in names(QatSettings) if getattr(after, name) != getattr(before, name)}
    # Another activation is followed by a recovery in float.
    assert changed == ({"options", "recovery"} if field == "options" else {field})


def test_defaults_are_those_of_the_settings() -> None:
    assert train_settings(train.parser().parse_args(["--out", "x"])) == TrainSettings()


def test_a_setting_whose_option_is_missing_is_an_error() -> None:
    args = train.parser().parse_args(["--out", "x"])
    del args.warmup
    with pytest.raises(AttributeError, match="warmup"):
        train_settings(args)


@pytest.mark.parametrize("command", [train, qat], ids=["train", "qat"])
def test_an_unknown_option_is_refused(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        command.main(["model.pt"] * (command is qat) + ["--data", "x", "--out", "x", "--warm-up", "0.5"])
    assert stop.value.code == 2
    assert "--warm-up" in capsys.readouterr().err


def test_every_option_of_training_has_help_with_its_default() -> None:
    for action in train.parser()._actions:
        assert action.help, action.option_strings
        assert any(word in action.help for word in ("default", "required", "show this help")), action.option_strings


class TestQat:
    def settings(self, untrained: Any, *typed: str, processes: int = 1, data: str = "x", **trained: Any) -> QatSettings:
        path, checkpoint = untrained
        checkpoint = dataclasses.replace(checkpoint, training=trained)
        args = qat.parser().parse_args([path, "--data", data, "--out", "x", *typed])
        return qat_settings(args, checkpoint, processes)

    def test_network_and_options_come_from_the_checkpoint(self, untrained: Any) -> None:
        settings = self.settings(untrained)
        assert (settings.model, settings.init, settings.codec) == ("edgehrnet18", untrained[0], None)

    def test_the_loss_comes_from_the_earlier_training(self, untrained: Any) -> None:
        trained: dict[str, Any] = {
            "settings": {"loss": "ohkm", "weights": dataclasses.asdict(Weights(peak=8, sdf=0.03))}
        }
        settings = self.settings(untrained, **trained)
        assert (settings.loss, settings.weights) == ("ohkm", Weights(peak=8, sdf=0.03))
        settings = self.settings(untrained, "--weight", "peak=9", "--loss", "mse", **trained)
        assert (settings.loss, settings.weights) == ("mse", Weights(peak=9, sdf=0.03))
        settings = self.settings(untrained)
        assert (settings.loss, settings.weights) == (None, Weights())

    def test_another_activation_recovers_for_half_of_the_steps(self, untrained: Any) -> None:
        assert self.settings(untrained, "--steps", "8", "--activation", "hardswish").recovery == 4
        # The checkpoint already has this one.
        assert self.settings(untrained, "--steps", "8", "--activation", "silu").recovery == 0

    def test_another_activation_replaces_those_of_single_modules(self, untrained: Any) -> None:
        path, checkpoint = untrained
        mixed = path, dataclasses.replace(checkpoint, options={"activations": {"stem": "relu"}})
        assert self.settings(mixed).options == {"activations": {"stem": "relu"}}
        assert self.settings(mixed, "--activation", "hardswish").options == {"activation": "hardswish"}

    @pytest.mark.parametrize(
        ("epochs", "processes", "steps"), [("1", 1, 3), ("2", 1, 6), ("0.5", 1, 2), ("0.01", 1, 1), ("2", 3, 2)]
    )
    def test_epochs_are_counted_in_pictures(
        self, untrained: Any, labeled: str, epochs: str, processes: int, steps: int
    ) -> None:
        typed = ("--batch", "2", "--epochs", epochs)
        assert self.settings(untrained, *typed, processes=processes, data=labeled).steps == steps

    def test_synthetic_pictures_have_no_epochs(self, untrained: Any) -> None:
        with pytest.raises(InputError, match="--epochs 1"):
            self.settings(untrained, "--epochs", "1", data="synthetic:document-corners")

    def test_steps_and_epochs_exclude_each_other(self, untrained: Any) -> None:
        with pytest.raises(InputError, match="--epochs"):
            self.settings(untrained, "--epochs", "1", "--steps", "2")
