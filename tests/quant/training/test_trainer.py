"""Trainer: its files, log, resuming, and what it refuses."""

import gc
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from edgehrnet.errors import CorruptImageError, DeviceError, InputError, ModelFileError, WriteError
from edgehrnet.models.checkpoints import build_model, load_checkpoint
from edgehrnet.models.checkpoints.state_dicts import read_file
from quant.data.opening import open_data
from quant.training.averaging import Ema
from quant.training.losses import Weights
from quant.training.parts import usual_size
from quant.training.processes import World
from quant.training.settings import TrainSettings
from quant.training.trainer import DivergedError, Trainer
from runtimes.writing import HIDDEN

ROOT = Path(__file__).parents[3]


class Agreeing(World):
    """A world of processes that all have the same values."""

    def gather(self, value):
        return [value] * self.size

    def broadcast(self, value, source=0):
        return value


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):
    """Return the folder of a finished run, and its scores. A sibling folder holds the run after 3 steps."""
    folder = tmp_path_factory.mktemp("finished") / "run"

    class Copying(Trainer):
        def train_step(self, batch):
            if self.step == 3:
                shutil.copytree(self.out, self.out.with_name("interrupted"))
            return super().train_step(batch)

    return folder, Copying(TrainSettings(**tiny), folder).run(progress=False)


@pytest.mark.slow
class TestFiles:
    def test_checkpoint_and_settings_describe_the_run(self, finished):
        folder, scores = finished
        assert set(scores) >= {"mean_percent", "pck1", "presence_auroc"}
        assert json.loads((folder / "settings.json").read_text())["steps"] == 4
        checkpoint = load_checkpoint(folder / "ema.pt")
        assert checkpoint.training["step"] == 4
        assert build_model(checkpoint).keypoints == 4
        floats = [value for value in checkpoint.state.values() if value.is_floating_point()]
        assert {value.dtype for value in floats} == {torch.float16}

    def test_a_full_disk_keeps_the_checkpoints_and_names_the_file(self, finished, tmp_path, full_disk, tiny):
        folder = tmp_path / "run"
        shutil.copytree(finished[0], folder)
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        trainer = Trainer(TrainSettings(**tiny), folder)
        trainer.resume()
        with full_disk(), pytest.raises(WriteError, match=r"last\.pt"):
            trainer._save({})
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    @pytest.mark.parametrize("content", [b"", b"garbage", None, {"settings": 3}, {"step": 1}, []])
    def test_a_checkpoint_that_is_no_run_is_named(self, finished, tmp_path, tiny, content):
        path = tmp_path / "last.pt"
        if content is None:
            path.write_bytes((finished[0] / "last.pt").read_bytes()[:5000])
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path)
        with pytest.raises(ModelFileError, match=r"last\.pt"):
            Trainer(TrainSettings(**tiny), tmp_path).resume()

    def test_checkpoints_that_a_killed_run_had_to_move_are_a_run(self, finished, tmp_path, tiny):
        shutil.copytree(finished[0], tmp_path / HIDDEN / "whole")
        with pytest.raises(InputError, match=str(tmp_path)):
            Trainer(TrainSettings(**tiny), tmp_path).run(progress=False)
        (tmp_path / HIDDEN / "whole").mkdir(parents=True)
        (tmp_path / "ema.pt").rename(tmp_path / HIDDEN / "whole" / "ema.pt")
        assert load_checkpoint(tmp_path / "ema.pt").training["step"] == 4

    def test_half_a_line_of_the_log_is_left_out(self, finished, tmp_path, tiny):
        shutil.copytree(finished[0], tmp_path / "run")
        before = log_of(tmp_path / "run")
        with (tmp_path / "run" / "log.jsonl").open("a") as file:
            file.write('{"step": 4, "sec')
        Trainer(TrainSettings(**tiny), tmp_path / "run").resume()
        assert log_of(tmp_path / "run") == before

    def test_scores_without_a_value_are_null(self, finished):
        # Every picture shows a sheet: there is no AUROC, and JSON has no NaN.
        folder, scores = finished
        assert scores["presence_auroc"] is None
        assert load_checkpoint(folder / "ema.pt").training["scores"] == scores

    def test_log_has_the_loss_between_validations(self, finished):
        lines = log_of(finished[0])
        assert [line["step"] for line in lines] == [1, 2, 3, 4]
        assert all(line["loss"].keys() == {"heatmaps", "offsets"} for line in lines)
        assert ["mean_percent" in line for line in lines] == [False, True, False, True]

    @pytest.mark.parametrize(("steps", "every"), [(100, 2), (2000, 20)])
    def test_log_of_a_long_run_has_a_line_every_20_steps(self, tiny, tmp_path, steps, every):
        class Counting(Trainer):
            def batches(self):
                return iter([{}] * self.settings.steps)

            def train_step(self, batch):
                self.step += 1
                return {"heatmaps": 1.0}

        settings = TrainSettings(**{**tiny, "steps": steps, "validate_every": 5000})
        Counting(settings, tmp_path).run(progress=False)
        assert [line["step"] for line in log_of(tmp_path)] == list(range(every, steps + 1, every))

    def test_a_folder_with_a_run_is_not_overwritten(self, finished, tiny):
        before = (finished[0] / "ema.pt").read_bytes()
        with pytest.raises(InputError, match=re.escape(str(finished[0]))):
            Trainer(TrainSettings(**tiny), finished[0]).run(progress=False)
        assert (finished[0] / "ema.pt").read_bytes() == before


@pytest.mark.slow
class TestResume:
    def test_an_interrupted_run_ends_with_the_same_weights_and_log(self, finished, tiny, tmp_path):
        folder = shutil.copytree(finished[0].with_name("interrupted"), tmp_path / "run")
        assert [line["step"] for line in log_of(folder)] == [1, 2, 3]
        resumed = Trainer(TrainSettings(**tiny), folder)
        resumed.resume()
        assert resumed.step == 2  # the last validation, and so the last checkpoint
        resumed.run(progress=False)
        whole, parts = (load_checkpoint(path / "ema.pt").state for path in (finished[0], folder))
        for name, value in whole.items():
            assert torch.equal(value, parts[name]), name
        assert [line["step"] for line in log_of(folder)] == [1, 2, 3, 4]

    def test_other_settings_are_refused(self, finished, tiny):
        trainer = Trainer(TrainSettings(**{**tiny, "learning_rate": 1.0}), finished[0])
        with pytest.raises(InputError, match="learning_rate"):
            trainer.resume()

    def test_one_process_takes_over_the_pictures_of_two(self, finished, tiny, tmp_path):
        folder = shutil.copytree(finished[0].with_name("interrupted"), tmp_path / "run")
        torch.save({**read_file(folder / "last.pt"), "processes": 2}, folder / "last.pt")
        alone = Trainer(TrainSettings(**tiny), folder)
        alone.resume()
        assert [len(batch["image"]) for batch in alone.batches()] == [4, 4]
        alone._save({})
        assert read_file(folder / "last.pt")["processes"] == 2  # another one may join again

    @pytest.mark.parametrize(("batch", "processes"), [(2, 2), (4, 3)])
    def test_processes_that_cannot_share_a_step_are_refused(self, finished, tiny, tmp_path, batch, processes):
        settings = TrainSettings(**{**tiny, "batch": batch})
        first, other = Trainer(settings, tmp_path), Trainer(settings, tmp_path)
        first._save({})
        other.world = Agreeing(rank=1, size=processes)
        with pytest.raises(InputError, match=rf" {batch} pictures .* {processes} processes"):
            other.resume()

    def test_a_run_that_torchrun_starts_again_before_a_checkpoint_begins_anew(self, tiny, tmp_path):
        (tmp_path / "log.jsonl").write_text('{"step": 1}\n')
        trainer = Trainer(TrainSettings(**tiny), tmp_path)
        trainer.resume(required=False)
        assert trainer.step == 0
        assert log_of(tmp_path) == []

    def test_a_folder_without_a_run_is_refused(self, tiny, tmp_path):
        with pytest.raises(InputError, match=re.escape(str(tmp_path))):
            Trainer(TrainSettings(**tiny), tmp_path).resume()


@pytest.mark.slow
class TestSteps:
    def test_a_few_steps_lower_the_loss_and_train_every_head(self, tiny, tmp_path):
        options = {"auxiliary": True, "boundary": True, "sdf": True}
        trainer = Trainer(TrainSettings(**{**tiny, "steps": 8, "options": options}), tmp_path)
        before = {name: p.detach().clone() for name, p in trainer.network.named_parameters()}
        batch = next(trainer.batches())
        losses = [sum(trainer.train_step(batch).values()) for _ in range(8)]
        assert losses[-1] < 0.9 * losses[0]  # the same batch each time: without gradients, its loss stays equal
        unmoved = [name for name, p in trainer.network.named_parameters() if torch.equal(p, before[name])]
        assert unmoved == []

    def test_mixed_precision_gives_nearly_the_same_steps(self, tiny, tmp_path):
        def losses(amp):
            trainer = Trainer(TrainSettings(**{**tiny, "amp": amp}), tmp_path)
            batch = next(trainer.batches())
            return [sum(trainer.train_step(batch).values()) for _ in range(2)]

        # bfloat16 keeps 8 bits: each layer rounds by 2^-9, and some 60 layers in a row add up in quadrature to 1.5 %.
        exact = losses("none")
        for amp in ("bf16", "fp16"):
            found = losses(amp)
            assert found != exact
            np.testing.assert_allclose(found, exact, rtol=0.05)

    def test_a_loss_that_is_nan_leaves_the_weights_alone(self, tiny, tmp_path):
        trainer = Trainer(TrainSettings(**tiny), tmp_path)
        batch = next(trainer.batches())
        batch["heatmaps"][0, 0, 0, 0] = float("nan")
        before = {name: p.detach().clone() for name, p in trainer.network.named_parameters()}
        with pytest.raises(DivergedError, match="nan"):
            trainer.train_step(batch)
        assert all(torch.equal(p, before[name]) for name, p in trainer.network.named_parameters())

    def test_averaged_weights_forget_their_start(self):
        network = torch.nn.BatchNorm1d(2)
        ema = Ema(network, 0.9)
        torch.nn.init.constant_(network.weight, 5.0)
        for step in range(200):
            ema.update(network, step)
        torch.testing.assert_close(ema.network.weight, network.weight, atol=1e-3, rtol=0)
        assert not ema.network.training


@pytest.mark.slow
class TestStart:
    def test_a_checkpoint_gives_the_body_and_new_heads_are_added(self, finished, tiny, tmp_path):
        init = str(finished[0] / "ema.pt")
        trainer = Trainer(TrainSettings(**{**tiny, "init": init, "options": {"sdf": True}}), tmp_path)
        expected = load_checkpoint(init).state["stem.conv1.conv.weight"].float()
        torch.testing.assert_close(trainer.network.state_dict()["stem.conv1.conv.weight"], expected)

    def test_the_constructor_calls_no_method_that_a_subclass_may_override(self, tiny, tmp_path):
        def refuse(self, *args, **kwargs):
            raise AssertionError

        methods = {name: refuse for name, value in vars(Trainer).items() if callable(value) and name != "__init__"}
        type("Refusing", (Trainer,), methods)(TrainSettings(**tiny), tmp_path)

    def test_missing_pictures_are_named_before_training(self, tiny, labeled, tmp_path):
        folder = shutil.copytree(labeled, tmp_path / "data")
        (folder / "3.png").unlink()
        with pytest.raises(InputError, match=r"3\.png"):
            Trainer(TrainSettings(**{**tiny, "data": str(folder)}), tmp_path / "out")

    def test_a_picture_that_is_not_one_is_named_before_training(self, tiny, labeled, tmp_path):
        folder = shutil.copytree(labeled, tmp_path / "data")
        (folder / "3.png").write_bytes(b"not a picture")
        with pytest.raises(InputError, match=r"3\.png"):
            Trainer(TrainSettings(**{**tiny, "data": str(folder)}), tmp_path / "out")

    def test_a_corrupt_picture_is_named_in_one_line_by_a_worker_process(self, tiny, labeled, tmp_path, monkeypatch):
        # The seconds for which torch waits for a worker process that is to end.
        monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.2)
        folder = shutil.copytree(labeled, tmp_path / "data")
        for path in folder.glob("*.png"):
            content = path.read_bytes()  # the header and the end stay whole
            path.write_bytes(content[:200] + bytes(len(content) - 400) + content[-200:])
        trainer = Trainer(TrainSettings(**{**tiny, "data": str(folder), "workers": 1}), tmp_path / "out")
        with pytest.raises(CorruptImageError, match=r"\.png") as error:
            next(trainer.batches())
        assert len(str(error.value).splitlines()) == 1
        del error  # its traceback keeps the worker process alive
        gc.collect()

    def test_an_absent_device_is_refused(self, tiny, tmp_path):
        device = "cuda" if not torch.cuda.is_available() else "cuda:99"
        with pytest.raises(DeviceError, match=device):
            Trainer(TrainSettings(**{**tiny, "device": device}), tmp_path)

    @pytest.mark.parametrize(
        ("change", "value"),
        [
            ({"data": "synthetic:documents"}, "synthetic:documents"),
            ({"sizes": ((100, 64),)}, "100x64"),
            ({"amp": "int8"}, "int8"),
            ({"batch": 1}, "batch=1"),
            ({"validate_every": 0}, "validate_every=0"),
            ({"device": "gpu9"}, "gpu9"),
            ({"codec": "mrsa"}, "mrsa"),
            ({"codec": "dark"}, "dark"),  # this network has offsets
            ({"loss": "mae"}, "mae"),
        ],
    )
    def test_settings_that_cannot_work_are_refused(self, tiny, tmp_path, change, value):
        with pytest.raises((InputError, DeviceError), match=value):
            Trainer(TrainSettings(**{**tiny, **change}), tmp_path)


class TestDefaults:
    def test_peak_weight_is_that_of_the_shipped_models(self):
        for path in (ROOT / "checkpoints").glob("*.pt"):
            assert load_checkpoint(path).training["settings"]["weights"]["peak"] == Weights().peak

    @pytest.mark.parametrize(
        ("model", "size"),
        [("hrnet_w18_small_v1", (256, 192)), ("hrnetv2_w18", (256, 256)), ("edgehrnet18", (256, 256))],
    )
    def test_input_size_comes_from_the_network_or_the_data(self, labeled, model, size):
        assert usual_size(model, open_data(labeled)) == size

    def test_input_size_for_synthetic_pictures(self):
        assert usual_size("edgehrnet18", open_data("synthetic:document-corners")) == (128, 256)

    def test_input_size_is_stored_with_the_run(self, tiny, tmp_path):
        settings = TrainSettings(**{**tiny, "sizes": (), "model": "hrnet_w18_small_v1"})
        trainer = Trainer(settings, tmp_path)
        assert trainer.settings.sizes == ((256, 192),)
        assert trainer.spec.input_size == (256, 192)

    def test_learning_rate_rises_then_falls_to_a_hundredth(self):
        settings = TrainSettings(steps=100, warmup=0.1, learning_rate=1.0)
        rates = [settings.learning_rate_at(step) for step in range(100)]
        assert rates[0] == pytest.approx(0.1)
        assert max(rates) == rates[10] == pytest.approx(1.0)
        assert rates[9] == pytest.approx(1.0)
        assert rates[-1] == pytest.approx(0.01, abs=2e-3)
