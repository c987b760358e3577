"""QatTrainer: the order of its phases, what it trains, resuming, distillation, and what it refuses."""

import shutil

import numpy as np
import pytest
import torch
from torch import nn

from edgehrnet.errors import InputError
from edgehrnet.models import create
from edgehrnet.models.checkpoints import load_checkpoint
from edgehrnet.spec import ModelSpec
from quant.data.opening import open_data
from quant.int8.calibration import network_inputs
from quant.int8.fake_quantize import LearnedQuantizer, quantizer_name, quantizers
from quant.int8.pipeline import calibrate
from quant.int8.torch_ao import FakeQuantize
from quant.training.qat_settings import QatSettings
from quant.training.qat_trainer import QatTrainer

pytestmark = pytest.mark.slow

BOTH = pytest.mark.parametrize("learned", [False, True], ids=["observed", "learned"])


@pytest.fixture(scope="module")
def trainer_of(tiny, untrained):
    """Function that makes the trainer of a tiny run."""
    path, checkpoint = untrained

    def make(out, kind=QatTrainer, **changes):
        return kind(QatSettings(**{**tiny, "init": path, "calibration": 2, **changes}), out, checkpoint)

    return make


class TestPhases:
    def states(self, trainer):
        """Return after each step whether quantizers, activation observers, weight observers and BN training are on."""
        seen = []
        for batch in trainer.batches():
            trainer.train_step(batch)
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

    def test_phases_follow_in_order(self, trainer_of, tmp_path):
        trainer = trainer_of(tmp_path, steps=5, recovery=1, observers=0.25, statistics=0.5)
        off, following, fixed_ranges, fixed = (
            (False, False, False, True),
            (True, True, True, True),
            (True, False, True, True),
            (True, False, True, False),
        )
        assert self.states(trainer) == [off, following, fixed_ranges, fixed, fixed]
        # The averaged network is quantized with the same ranges, and observes nothing.
        trained = quantizers(trainer.network)
        for name, module in quantizers(trainer.ema.network).items():
            scale, same = module.get_buffer("scale"), trained[name].get_buffer("scale")
            assert torch.equal(scale, same), name
            assert not module.observer_enabled
            assert bool(module.fake_quant_enabled)

    def test_without_recovery_quantizers_are_on_from_the_start(self, trainer_of, tmp_path):
        trainer = trainer_of(tmp_path, steps=2, observers=0.0, statistics=0.0)
        assert self.states(trainer) == [(True, False, True, False)] * 2

    @pytest.mark.parametrize(("target", "bits"), [("openvino", 8), ("tensorrt", 7)])
    def test_ranges_start_from_those_of_a_calibration(self, trainer_of, tiny, untrained, tmp_path, target, bits):
        trainer = trainer_of(tmp_path, observers=0.0, target=target, weight_bits=bits)
        trainer.train_step(next(trainer.batches()))
        _, checkpoint = untrained
        images = network_inputs(open_data(tiny["data"]).calibration(2), ModelSpec.from_dict(checkpoint.spec))
        table = calibrate(checkpoint, images, [trainer.settings.scheme]).table(target)
        found = quantizers(trainer.network)
        for site, (scale, zero) in table.sites.items():
            module = found[quantizer_name(site)]
            assert float(module.get_buffer("scale")) == pytest.approx(scale)
            assert int(module.get_buffer("zero_point")) == zero
        limits = {name: (m.quant_min, m.quant_max) for name, m in found.items() if isinstance(m, FakeQuantize)}
        weights = {value for name, value in limits.items() if name.endswith("weight")}
        others = {value for name, value in limits.items() if not name.endswith("weight")}
        assert (weights, others) == {
            "openvino": ({(-127, 127)}, {(0, 255)}),
            "tensorrt": ({(-63, 63)}, {(-128, 127)}),
        }[target]


class TestTraining:
    @BOTH
    def test_steps_lower_the_loss_and_train_every_parameter(self, trainer_of, tmp_path, learned):
        changes = {"steps": 6, "learning_rate": 2e-3, "observers": 0.5, "statistics": 1.0, "learned": learned}
        trainer = trainer_of(tmp_path, **changes)
        before = {name: p.detach().clone() for name, p in trainer.network.named_parameters()}
        batch = next(trainer.batches())
        losses = [sum(trainer.train_step(batch).values()) for _ in range(6)]
        # The same batch each time. A step is as large for a range as for a weight, and ranges are small.
        assert losses[-1] < (1.0 if learned else 0.95) * losses[0]
        unmoved = {name for name, p in trainer.network.named_parameters() if torch.equal(p, before[name])}
        # A zero point has no gradient while nothing is clipped below, as in the input.
        assert {name for name in unmoved if not name.endswith("zero_point")} == set()
        assert any(isinstance(module, LearnedQuantizer) for module in trainer.network.modules()) == learned

    @BOTH
    def test_an_interrupted_run_ends_with_the_same_weights(self, trainer_of, tmp_path, learned):
        # Ranges are set at step 1 and fixed at step 2, as BN is. Step 2 is the last that is saved, and the one lost.
        changes = {"steps": 3, "recovery": 1, "observers": 0.5, "statistics": 0.5, "learned": learned}
        parts = tmp_path / "parts"

        class Copying(QatTrainer):
            def train_step(self, batch):
                if self.step == 2:
                    shutil.copytree(self.out, parts)
                return super().train_step(batch)

        whole = trainer_of(tmp_path / "whole", Copying, **changes)
        whole.run(progress=False)
        resumed = trainer_of(parts, **changes)
        resumed.resume()
        assert resumed.step == 2
        resumed.run(progress=False)
        for one, other in ((whole.network, resumed.network), (whole.ema.network, resumed.ema.network)):
            state = other.state_dict()
            assert one.state_dict().keys() == state.keys()
            for name, value in one.state_dict().items():
                assert torch.equal(value, state[name]), name
        first, second = (load_checkpoint(folder / "ema.pt").state for folder in (tmp_path / "whole", parts))
        assert all(torch.equal(value, second[name]) for name, value in first.items())
        # Plain float weights: no trace of a quantizer.
        assert list(first) == list(create("edgehrnet18", keypoints=4).state_dict())

    def test_distillation_is_the_squared_distance_to_the_float_network(self, trainer_of, tmp_path):
        # In recovery, BN uses the batch's statistics, so that the output differs from the float network's.
        trainer = trainer_of(tmp_path, recovery=3, distillation=3.0, learning_rate=1e-2, warmup=0.0)
        assert trainer.teacher is not None
        teacher = trainer.teacher.network
        state = {name: value.clone() for name, value in teacher.state_dict().items()}
        batch = next(trainer.batches())
        image = batch["image"].permute(0, 3, 1, 2) / 255
        outputs = []
        trainer.network.register_forward_hook(lambda _, inputs, output: outputs.append(output.heatmaps.sigmoid()))
        term = trainer.train_step(batch)["distillation"]
        with torch.no_grad():
            expected = 3 * (outputs[0] - teacher(image).heatmaps.sigmoid()).square().sum(dim=(1, 2, 3)).mean()
        assert term > 0
        assert term == pytest.approx(float(expected), rel=1e-4)
        assert not teacher.training
        assert all(torch.equal(value, state[name]) for name, value in teacher.state_dict().items())
        assert not any(parameter.requires_grad for parameter in teacher.parameters())

    def test_without_distillation_the_loss_needs_no_teacher(self, trainer_of, tmp_path):
        trainer = trainer_of(tmp_path)
        assert trainer.teacher is None
        assert "distillation" not in trainer.train_step(next(trainer.batches()))


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ({"init": None}, "None"),
        ({"target": "openvinoo"}, "openvinoo"),
        ({"method": "hist"}, "hist"),
        ({"recovery": 4}, "recovery=4"),
        ({"recovery": -1}, "recovery=-1"),
        ({"observers": 1.5}, "observers=1.5"),
        ({"statistics": -0.1}, "statistics=-0.1"),
        ({"weight_bits": 9}, "weight_bits=9"),
    ],
)
def test_settings_that_cannot_work_are_refused(trainer_of, tmp_path, change, value):
    with pytest.raises(InputError, match=value):
        trainer_of(tmp_path, **change).run(progress=False)


def test_calibration_without_pictures_is_refused(trainer_of, tmp_path):
    with pytest.raises(InputError):
        trainer_of(tmp_path, calibration=0).run(progress=False)


def test_checkpoint_and_data_need_the_same_number_of_keypoints(tiny, save_untrained, tmp_path):
    path = tmp_path / "three.pt"
    three = save_untrained(path, keypoints=3)
    with pytest.raises(InputError, match=r"(?s) 4: .*three\.pt.* 3: "):
        QatTrainer(QatSettings(**{**tiny, "init": str(path)}), tmp_path / "out", three)


def test_checkpoint_and_data_need_the_same_kind_of_input(tiny, untrained, tmp_path):
    path, checkpoint = untrained
    crops = ModelSpec.from_dict(checkpoint.spec).replace(crop="hrnet")
    checkpoint = type(checkpoint)(**{**vars(checkpoint), "spec": crops.to_dict()})
    with pytest.raises(InputError, match="crops"):
        QatTrainer(QatSettings(**{**tiny, "init": path, "data": "synthetic:document-corners"}), tmp_path, checkpoint)


def test_a_checkpoint_for_crops_trains_on_crops(tiny, untrained, tmp_path):
    path, checkpoint = untrained
    crops = ModelSpec.from_dict(checkpoint.spec).replace(crop="hrnet")
    checkpoint = type(checkpoint)(**{**vars(checkpoint), "spec": crops.to_dict()})
    trainer = QatTrainer(QatSettings(**{**tiny, "init": path}), tmp_path, checkpoint)
    assert trainer.data.spec.crop == trainer.spec.crop == "hrnet"


def test_labels_are_brought_into_the_order_of_the_checkpoint(tiny, untrained, tmp_path):
    path, checkpoint = untrained
    spec = ModelSpec.from_dict(checkpoint.spec)
    names = spec.keypoints[::-1]
    checkpoint = type(checkpoint)(
        **{**vars(checkpoint), "spec": spec.replace(keypoints=names, flip_pairs=()).to_dict()}
    )
    trainer = QatTrainer(QatSettings(**{**tiny, "init": path}), tmp_path, checkpoint)
    plain = QatTrainer(QatSettings(**{**tiny, "init": path}), tmp_path, untrained[1])
    assert trainer.data.spec.keypoints == names
    ours, theirs = (next(run.data.validation()).points for run in (trainer, plain))
    assert np.array_equal(ours, theirs[::-1])
