"""``python -m quant.qat``: fine-tuning with quantizers in the network, its order of events, and its files."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from edgehrnet.certificate import read_certificate
from edgehrnet.errors import InputError
from edgehrnet.models import create
from edgehrnet.models.checkpoints import build_model, load_checkpoint, save_checkpoint
from edgehrnet.spec import ModelSpec
from quant import qat
from quant.data.documents.corners import held_back_scene
from quant.int8.fake_quantize import LearnedQuantizer, quantizer_name, quantizers
from quant.int8.torch_ao import FakeQuantize
from quant.training.losses import Weights
from quant.training.qat_trainer import QatSettings, QatTrainer

CHECKPOINT = Path(__file__).parent.parent.parent / "checkpoints" / "document-corners.pt"
NAMES = ("top-left", "top-right", "bottom-right", "bottom-left")
COUNT = 6
TINY = {
    "steps": 4,
    "batch": 2,
    "sizes": ((64, 64),),
    "workers": 0,
    "validate_every": 2,
    "validate_count": 1,
    "calibration": 2,
}
ARGUMENTS = ["--steps", 2, "--batch", 2, "--sizes", "64x64", "--workers", 0, "--validate-every", 2,
             "--validate-count", 2, "--calibration", 2]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A labeled folder of drawn documents, shrunk."""
    folder = tmp_path_factory.mktemp("data") / "corners"
    folder.mkdir()
    lines = [
        ",".join(["scorer", *["me"] * 8]),
        ",".join(["bodyparts", *(name for name in NAMES for _ in "xy")]),
        ",".join(["coords", *"xy" * 4]),
    ]
    scenes = [scene for scene in map(held_back_scene, range(20)) if scene.visible.all()][:COUNT]
    for index, scene in enumerate(scenes):
        Image.fromarray(scene.image).reduce(4).save(folder / f"{index}.png")
        lines.append(",".join([f"{index}.png", *(f"{value / 4:.2f}" for value in scene.corners.ravel())]))
    (folder / "CollectedData.csv").write_text("\n".join(lines) + "\n")
    return str(folder)


def save_untrained(path, keypoints=4, **options):
    torch.manual_seed(0)
    network = create("edgehrnet18", keypoints=keypoints, **options)
    names = NAMES if keypoints == 4 else tuple(f"point {index}" for index in range(keypoints))
    spec = ModelSpec("corners", names, input_size=(64, 64))
    chosen = {"keypoints": keypoints, **options}
    save_checkpoint(path, "edgehrnet18", chosen, network.state_dict(), spec.to_dict(), {})
    return str(path)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    return save_untrained(tmp_path_factory.mktemp("untrained") / "random.pt")


@pytest.fixture
def built(monkeypatch):
    """Build no engine file: what would be built is noted."""
    asked = []
    monkeypatch.setattr(
        "quant.export.export_file", lambda *args, **settings: asked.append((*args, settings)) or "certificate"
    )
    monkeypatch.setattr("quant.export.summary", lambda out, _: f"built {out}")
    return asked


def trainer_of(untrained, data, out, **changes):
    return QatTrainer(QatSettings(data=data, init=untrained, **{**TINY, **changes}), out)


def run(untrained, data, out, *more):
    arguments = [untrained, "--data", data, "--out", out, *ARGUMENTS, *more]
    assert qat.main([str(argument) for argument in arguments]) == 0


class TestOrderOfEvents:
    def events(self, trainer):
        """After each step: quantizers on, activation observers on, weight observers on, BN follows the batch."""
        seen = []
        for batch in trainer._batches():
            trainer._train_step(batch)
            found = quantizers(trainer.network)
            fakes = {name: module for name, module in found.items() if isinstance(module, FakeQuantize)}
            weights = {name for name in fakes if name.endswith("quantize_weight")}
            bns = [module.training for module in trainer.network.modules() if isinstance(module, nn.BatchNorm2d)]
            states = (
                [bool(module.fake_quant_enabled) for module in fakes.values()],
                [bool(module.observer_enabled) for name, module in fakes.items() if name not in weights],
                [bool(module.observer_enabled) for name, module in fakes.items() if name in weights],
                bns,
            )
            assert all(len(set(state)) == 1 for state in states)
            seen.append(tuple(state[0] for state in states))
        return seen

    def test_recovery_then_ranges_then_statistics(self, untrained, data, tmp_path):
        trainer = trainer_of(untrained, data, tmp_path, steps=5, recovery=1, observers=0.25, statistics=0.5)
        off, following, fixed_ranges, fixed = (
            (False, False, False, True),
            (True, True, True, True),
            (True, False, True, True),
            (True, False, True, False),
        )
        assert self.events(trainer) == [off, following, fixed_ranges, fixed, fixed]
        # The averaged network is quantized with the same ranges, and watches nothing.
        theirs, own = quantizers(trainer.network), quantizers(trainer.ema.network)
        for name, module in own.items():
            assert torch.equal(module.scale, theirs[name].scale), name
            assert not module.observer_enabled
            assert bool(module.fake_quant_enabled)

    def test_without_recovery_everything_is_on_from_the_start(self, untrained, data, tmp_path):
        trainer = trainer_of(untrained, data, tmp_path, steps=2, observers=0.0, statistics=0.0)
        assert self.events(trainer) == [(True, False, True, False)] * 2

    def test_ranges_start_from_the_calibrated_ones(self, untrained, data, tmp_path):
        trainer = trainer_of(untrained, data, tmp_path, observers=0.0)
        table = trainer._calibrated()
        assert (table.target, table.activations) == ("openvino", "uint8")
        trainer._train_step(next(trainer._batches()))
        for site, (scale, zero) in table.sites.items():
            module = trainer.network.get_submodule(quantizer_name(site))
            assert float(module.scale) == pytest.approx(scale)
            assert int(module.zero_point) == zero

    def test_the_target_and_its_weight_bits_are_trained_for(self, untrained, data, tmp_path):
        trainer = trainer_of(untrained, data, tmp_path, target="tensorrt", weight_bits=7)
        found = quantizers(trainer.network)
        limits = {
            (module.quant_min, module.quant_max) for name, module in found.items() if name.endswith("quantize_weight")
        }
        assert limits == {(-63, 63)}
        assert {(m.quant_min, m.quant_max) for n, m in found.items() if not n.endswith("weight")} == {(-128, 127)}
        assert trainer._calibrated().weight_bits == 7


class TestTraining:
    @pytest.mark.parametrize("learned", [False, True], ids=["observed", "learned"])
    def test_it_lowers_the_loss_and_trains_every_parameter(self, untrained, data, tmp_path, learned):
        changes = {"steps": 6, "learning_rate": 2e-3, "observers": 0.5, "statistics": 1.0, "learned": learned}
        trainer = trainer_of(untrained, data, tmp_path, **changes)
        before = {name: p.detach().clone() for name, p in trainer.network.named_parameters()}
        batch = next(trainer._batches())
        losses = [sum(trainer._train_step(batch).values()) for _ in range(6)]
        # One batch, seen six times. A step is as large for a range as for a weight, and ranges are small.
        assert losses[-1] < (1.0 if learned else 0.95) * losses[0]
        unmoved = {name for name, p in trainer.network.named_parameters() if torch.equal(p, before[name])}
        # A zero point has no gradient while nothing is clipped below, as of the picture.
        assert {name for name in unmoved if not name.endswith("zero_point")} == set()
        assert any(isinstance(module, LearnedQuantizer) for module in trainer.network.modules()) == learned

    @pytest.mark.parametrize("learned", [False, True], ids=["observed", "learned"])
    def test_an_interrupted_run_ends_with_the_same_weights(self, untrained, data, tmp_path, learned):
        # Ranges are set at step 1, fixed at step 2; BN at step 2 too. Step 2 is the last one saved, and the last lost.
        changes = {"steps": 3, "recovery": 1, "observers": 0.5, "statistics": 0.5, "learned": learned}
        trainer_of(untrained, data, tmp_path / "whole", **changes).run(progress=False)

        class StopHereError(Exception):
            pass

        class Breaking(QatTrainer):
            def _train_step(self, batch):
                if self.step == 2:
                    raise StopHereError
                return super()._train_step(batch)

        parts = tmp_path / "parts"
        broken = Breaking(QatSettings(data=data, init=untrained, **{**TINY, **changes}), parts)
        with pytest.raises(StopHereError):
            broken.run(progress=False)
        resumed = trainer_of(untrained, data, parts, **changes)
        resumed.resume()
        assert resumed.step == 2
        resumed.run(progress=False)
        one, other = (torch.load(folder / "last.pt", weights_only=True) for folder in (tmp_path / "whole", parts))
        for part in ("network", "ema"):
            assert one[part].keys() == other[part].keys()
            for name, value in one[part].items():
                assert torch.equal(value, other[part][name]), (part, name)
        first, second = (load_checkpoint(folder / "ema.pt").state for folder in (tmp_path / "whole", parts))
        assert all(torch.equal(value, second[name]) for name, value in first.items())
        # Plain float weights: no trace of a quantizer.
        assert list(first) == list(create("edgehrnet18", keypoints=4).state_dict())

    def test_distillation_pulls_towards_the_float_network(self, untrained, data, tmp_path):
        trainer = trainer_of(untrained, data, tmp_path, distillation=3.0)
        assert trainer.teacher is not None
        assert not trainer.teacher.training
        image = torch.rand(2, 4, 64, 64)
        with torch.no_grad():
            same = trainer.teacher(image)
            assert float(trainer._extra_loss(image, same)["distillation"]) == 0
            heat = same.heatmaps.sigmoid()
            # Logits that move every probability by a tenth of the way to 1.
            moved = same._replace(heatmaps=torch.logit(heat + 0.1 * (1 - heat)))
            expected = 3 * (0.1 * (1 - heat)).square().sum(dim=(1, 2, 3)).mean()
            torch.testing.assert_close(trainer._extra_loss(image, moved)["distillation"], expected, rtol=1e-4, atol=0)
        state = {name: value.clone() for name, value in trainer.teacher.state_dict().items()}
        terms = trainer._train_step(next(trainer._batches()))
        assert terms["distillation"] > 0
        assert all(torch.equal(value, state[name]) for name, value in trainer.teacher.state_dict().items())
        assert not any(parameter.requires_grad for parameter in trainer.teacher.parameters())
        assert "distillation" not in trainer_of(untrained, data, tmp_path)._train_step(next(trainer._batches()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"init": None}, "starts from a float checkpoint"),
        ({"target": "openvinoo"}, "did you mean 'openvino'"),
        ({"method": "hist"}, "did you mean 'histogram'"),
        ({"recovery": 4}, "less than steps=4"),
        ({"recovery": -1}, "from 0 to less"),
        ({"observers": 1.5}, "observers=1.5"),
        ({"statistics": -0.1}, "statistics=-0.1"),
        ({"weight_bits": 9}, "weight_bits=9"),
        ({"calibration": 0}, "no picture"),
    ],
)
def test_settings_that_cannot_work_are_refused(untrained, data, tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        QatTrainer(QatSettings(**{"data": data, "init": untrained, **TINY, **change}), tmp_path).run(progress=False)


def test_keypoints_must_agree_in_number(data, tmp_path):
    three = save_untrained(tmp_path / "three.pt", keypoints=3)
    with pytest.raises(InputError, match=r"finds 3 keypoints, .*corners has 4"):
        trainer_of(three, data, tmp_path / "out")


class TestCommand:
    def test_from_a_trained_checkpoint_to_a_file_that_runs(self, data, tmp_path, capsys, monkeypatch):
        # Rounding flips, multiplied by a hundred layers, reach 0.67 on blurred little pictures such as these.
        monkeypatch.setattr("quant.files.proof.DISTANCE", 1.0)
        trained = load_checkpoint(CHECKPOINT)
        spec = ModelSpec.from_dict(trained.spec).replace(input_size=(64, 128))
        path = tmp_path / "small.pt"
        save_checkpoint(path, trained.variant, {"keypoints": 4, **trained.options}, trained.state, spec.to_dict(), {})
        out = tmp_path / "out"
        # The checkpoint's own input size.
        arguments = ["--steps", 2, "--batch", 2, "--workers", 0, "--validate-count", 2, "--calibration", COUNT]
        assert qat.main([str(a) for a in (path, "--data", data, "--out", out, *arguments)]) == 0
        names = {"last.pt", "ema.pt", "log.jsonl", "settings.json", "small.pt", "small-int8.xml", "small-int8.bin",
                 "small-int8.certificate.json"}  # fmt: skip
        assert {path.name for path in out.iterdir()} == names
        assert set(torch.load(out / "small.pt", weights_only=True)["quantization"]) == {"openvino", "onnx", "tensorrt"}
        made = load_checkpoint(out / "small.pt")
        assert made.quantization.keys() == {"openvino", "onnx", "tensorrt"}
        assert {zero for _, zero in made.table("tensorrt").sites.values()} == {0}
        assert ModelSpec.from_dict(made.spec).input_size == (64, 128)
        assert made.training["step"] == 2
        assert load_checkpoint(out / "ema.pt").quantization == {}
        # Weights moved, by no more than two steps of a small learning rate make them.
        before = build_model(trained).state_dict()
        moved = [
            (value.float() - before[name]).abs().max()
            for name, value in made.state.items()
            if name.endswith(".conv.weight")
        ]
        assert 0 < max(moved) < 0.01
        certificate = read_certificate(out / "small-int8.xml")
        assert certificate.convolutions_int8 == len(made.table("openvino").convolutions) == 126
        text = capsys.readouterr().out
        assert "fake-quantized, on what is held back: {" in text
        assert "126 of 129 convolutions" in text

    def test_learned_ranges_are_kept_for_their_target(self, untrained, data, built, tmp_path):
        run(untrained, data, tmp_path, "--lsq", "--weight-bits", 7, "--learning-rate", 1e-2)
        made = load_checkpoint(tmp_path / "random.pt")
        state = torch.load(tmp_path / "last.pt", weights_only=True)["ema"]
        for site, (scale, zero) in made.table("openvino").sites.items():
            assert scale == pytest.approx(float(state[f"{quantizer_name(site)}.scale"].abs())), site
            assert zero == round(float(state[f"{quantizer_name(site)}.zero_point"]))
        other = made.table("onnx").sites
        assert any(other[site] != value for site, value in made.table("openvino").sites.items())
        assert {table.weight_bits for table in made.quantization.values()} == {7}
        assert built[0][0].table("openvino").sites.keys() == made.table("openvino").sites.keys()

    def test_a_swapped_activation_recovers_in_float_first(self, untrained, data, built, tmp_path):
        run(untrained, data, tmp_path, "--activation", "hardswish", "--distillation", 1.0, "--name", "hs")
        saved = json.loads((tmp_path / "settings.json").read_text())
        assert (saved["recovery"], saved["steps"]) == (1, 2)
        made = load_checkpoint(tmp_path / "hs.pt")
        assert made.options["activation"] == "hardswish"
        kinds = {type(module) for module in build_model(made).modules()}
        assert nn.Hardswish in kinds
        assert nn.SiLU not in kinds
        (line,) = (json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines())
        assert line["loss"]["distillation"] > 0  # of the SiLU network that it was
        # Asked for by name, the activation that it has is no swap.
        arguments = [untrained, "--data", data, "--out", "x", "--activation", "silu"]
        settings = qat.settings(qat.parser().parse_args(arguments), load_checkpoint(untrained), 1)
        assert settings.recovery == 0

    @pytest.mark.parametrize(
        ("epochs", "processes", "steps"), [("1", 1, 3), ("2", 1, 6), ("0.5", 1, 2), ("0.01", 1, 1), ("2", 3, 2)]
    )
    def test_epochs_are_counted_in_pictures(self, untrained, data, epochs, processes, steps):
        arguments = [untrained, "--data", data, "--out", "x", "--batch", "2", "--epochs", epochs]
        settings = qat.settings(qat.parser().parse_args(arguments), load_checkpoint(untrained), processes)
        assert settings.steps == steps
        assert settings.sizes == ((64, 64),)
        assert settings.weight_bits == 8

    def test_the_loss_is_that_of_the_training_before(self, untrained, data, tmp_path):
        def settings_of(*more, **trained):
            checkpoint = dataclasses.replace(load_checkpoint(untrained), training=trained)
            arguments = [untrained, "--data", data, "--out", "x", *more]
            return qat.settings(qat.parser().parse_args(arguments), checkpoint, 1)

        trainer = trainer_of(untrained, data, tmp_path, weights=Weights(peak=5, sdf=0.03), loss="ohkm")
        trained = {"settings": dataclasses.asdict(trainer.settings)}
        assert settings_of(**trained).weights == Weights(peak=5, sdf=0.03)
        assert settings_of(**trained).loss == "ohkm"
        assert settings_of("--weight", "peak=8", **trained).weights == Weights(peak=8, sdf=0.03)
        assert settings_of().weights == Weights()
        assert settings_of().loss is None

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--weight", "peek=5"], "--weight peek: "),
            (["--epochs", "1"], "--steps or --epochs, not both"),
            (["--data", "nowhere"], "no data set 'nowhere'"),
            (["--sizes", "100x64"], "multiples of 32"),
            (["--weight-bits", "12"], "weight_bits=12"),
            (["--recovery", "5"], "recovery=5"),
            (["--observers", "2"], "observers=2.0"),
            (["--resume"], "nothing to resume"),
        ],
    )
    def test_bad_input_ends_with_one_line(self, untrained, data, tmp_path, capsys, arguments, said):
        known = [untrained, "--data", data, "--out", tmp_path / "out", *ARGUMENTS]
        with pytest.raises(SystemExit) as stop:
            qat.main([str(argument) for argument in (*known, *arguments)])
        assert stop.value.code == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("error: ")
        assert said in error

    def test_drawn_documents_have_no_epochs(self, untrained, tmp_path, capsys):
        arguments = [untrained, "--data", "synthetic:document-corners", "--out", str(tmp_path), "--epochs", "1"]
        with pytest.raises(SystemExit) as stop:
            qat.main(arguments)
        assert stop.value.code == 2
        assert "give --steps" in capsys.readouterr().err

    def test_other_keypoints_end_with_one_line(self, data, tmp_path, capsys):
        three = save_untrained(tmp_path / "three.pt", keypoints=3)
        with pytest.raises(SystemExit) as stop:
            qat.main([three, "--data", data, "--out", str(tmp_path)])
        assert stop.value.code == 2
        assert capsys.readouterr().err.startswith(f"error: {three} finds 3 keypoints")


def test_two_processes_train_one_network(untrained, data, tmp_path):
    """Ranges are calibrated in both, learned ones are averaged: rank 0 alone writes."""
    script = tmp_path / "without_files.py"
    # The engine file has a test of its own.
    script.write_text(
        "import sys, quant.export as e, quant.qat\n"
        "e.export_file = lambda *a, **k: 'certificate'\n"
        "e.summary = lambda out, _: f'built {out}'\n"
        "sys.exit(quant.qat.main())\n"
    )
    out = tmp_path / "out"
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script),
        untrained, "--data", data, "--out", str(out), *map(str, ARGUMENTS), "--lsq", "--threads", "1",
    ]  # fmt: skip
    root = Path(__file__).parent.parent.parent
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, cwd=root)
    assert done.returncode == 0, done.stderr
    assert len((out / "log.jsonl").read_text().splitlines()) == 1
    assert done.stdout.count("built ") == 1
    assert torch.load(out / "last.pt", weights_only=True)["processes"] == 2
    assert load_checkpoint(out / "random.pt").quantization.keys() == {"openvino", "onnx", "tensorrt"}
