"""The same small HRNet as training scripts save it: other prefixes, entries, counters and kinds of files."""

import argparse
import functools
import sys

import pytest
import torch
from torch import nn

from edgehrnet.errors import MissingExtraError, MissingFileError, ModelFileError
from edgehrnet.models import create, load_checkpoint
from edgehrnet.models.checkpoints.published_names import LAST_LAYER, published_name
from edgehrnet.models.checkpoints.state_dicts import ENTRIES, tensors_of

SMALL = "hrnet_w18_small_v1"
STYLES = {"official": ("", ""), "mmpose 0.x": ("backbone.", "keypoint_head."), "mmpose 1.x": ("backbone.", "head.")}
PREFIXES = ["model.", "module.", "_orig_mod.", "net.", "backbone.", "module.model.", "model._orig_mod.", "a.b.c."]


@functools.cache
def expected():
    torch.manual_seed(0)
    state = create(SMALL, keypoints=5).state_dict()
    return {name: torch.randn_like(value) if value.is_floating_point() else value for name, value in state.items()}


def named(style="official", prefix=""):
    """The state with the names of a repository behind a prefix."""
    trunk, head = STYLES[style]
    names = {ours: published_name(ours, "hrnet") for ours in expected()}
    return {
        prefix + (head if theirs.startswith(LAST_LAYER) else trunk) + theirs: expected()[ours]
        for ours, theirs in names.items()
    }


def check(path):
    read = load_checkpoint(path)
    assert (read.variant, read.keypoints) == (SMALL, 5)
    assert list(read.state) == list(expected())
    assert all(torch.equal(read.state[name], value) for name, value in expected().items())


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_common_beginning_of_all_names_is_removed(saved, style, prefix):
    check(saved({"epoch": 3, "state_dict": named(style, prefix)}))


@pytest.mark.parametrize("entry", ENTRIES)
def test_state_dict_is_found_under_its_entry(saved, entry):
    optimizer = {"state": {}, "param_groups": [{"lr": 0.1}]}
    check(saved({"epoch": 3, entry: named("mmpose 1.x", "module."), "optimizer": optimizer}))


def test_state_dict_is_found_in_an_entry_of_an_entry(saved):
    check(saved({"ema": {"module": named(), "updates": 7}, "model": "pose_hrnet"}))


@pytest.mark.parametrize(
    ("best", "other"),
    [
        ("ema", "model"),
        ("model_ema", "model"),
        ("state_dict_ema", "state_dict"),  # as timm
        ("state_dict", "ema_state_dict"),  # as mmengine, whose averaged weights are the state_dict
        ("ema_state_dict", "model_state_dict"),
        ("state_dict", "model"),
    ],
)
def test_averaged_weights_win(saved, best, other):
    zeros = {name: torch.zeros_like(value) for name, value in named().items()}
    check(saved({other: zeros, best: named()}))


def test_counters_of_profilers_and_averaging_are_left_out(saved):
    state = named("mmpose 1.x", "module.")
    modules = {name.rpartition(".")[0] for name in state}
    state |= {f"{module}.{counter}": torch.zeros(1) for module in modules for counter in ("total_ops", "total_params")}
    state |= {"total_ops": torch.zeros(1), "n_averaged": torch.tensor(4), "steps": torch.tensor(4)}
    state |= {"module.data_preprocessor.mean": torch.zeros(3, 1, 1)}
    check(saved({"model": state}))


def test_modules_of_torch_save_these_names(saved):
    kept = nn.ModuleDict({"net": nn.Linear(2, 3)})
    averaged = torch.optim.swa_utils.AveragedModel(nn.DataParallel(kept))
    found = tensors_of({"ema": averaged.state_dict()})
    assert found is not None
    assert list(found) == ["weight", "bias"]


@pytest.mark.parametrize("style", STYLES)
def test_safetensors(tmp_path, style):
    save_file = pytest.importorskip("safetensors.torch").save_file
    save_file(named(style, "model."), tmp_path / "net.safetensors", metadata={"format": "pt"})
    check(tmp_path / "net.safetensors")


class TestRefused:
    def test_missing_safetensors_names_its_extra(self, tmp_path, monkeypatch):
        (tmp_path / "net.safetensors").touch()
        monkeypatch.setitem(sys.modules, "safetensors.torch", None)
        with pytest.raises(MissingExtraError, match=r"net\.safetensors .*'edgehrnet\[train\]'"):
            load_checkpoint(tmp_path / "net.safetensors")

    def test_damaged_and_missing_safetensors(self, tmp_path):
        with pytest.raises(MissingFileError, match=r"net\.safetensors"):
            load_checkpoint(tmp_path / "net.safetensors")
        pytest.importorskip("safetensors")
        (tmp_path / "net.safetensors").write_bytes(bytes(100))
        with pytest.raises(ModelFileError, match=r"net\.safetensors .*SafetensorError"):
            load_checkpoint(tmp_path / "net.safetensors")

    @pytest.mark.parametrize("style", STYLES)
    @pytest.mark.parametrize("every", [1, 2, 3])
    def test_mixed_prefixes(self, saved, style, every):
        state = named(style)
        mixed = {("model." if n % 4 == every else "") + name: state[name] for n, name in enumerate(state)}
        with pytest.raises(ModelFileError, match=r"net\.pth.*only some .* model\., .*\bmodel\.\w+"):
            load_checkpoint(saved(mixed))

    @pytest.mark.parametrize("part", ["layer1.", "stage3.", "final_layer."])
    @pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "net."])
    def test_one_part_with_a_prefix(self, saved, part, prefix):
        mixed = {(prefix if name.startswith(part) else "") + name: value for name, value in named().items()}
        with pytest.raises(
            ModelFileError, match=rf"net\.pth.*only some .* {prefix}, such as {prefix}{part}.*conv1\.weight"
        ):
            load_checkpoint(saved(mixed))

    def test_weights_of_another_part_are_listed(self, saved):
        state = named(prefix="model.") | {"criterion.weight": torch.ones(5)}
        with pytest.raises(ModelFileError, match=r"'model\.conv1\.weight'"):
            load_checkpoint(saved({"state_dict": state}))

    def test_names_of_another_network_are_shown(self, saved):
        names = [f"encoder.{part}.weight" for part in ("patch", "block", "norm", "last")]
        with pytest.raises(ModelFileError) as caught:
            load_checkpoint(saved({"model": {name: torch.zeros(1) for name in names}}))
        assert all(repr(name) in str(caught.value) for name in names[:3])
        assert names[3] not in str(caught.value)
        assert "backbone.conv1.weight" in str(caught.value)
        assert "model_state_dict" in str(caught.value)

    def test_entries_of_a_file_without_weights_are_shown(self, saved):
        with pytest.raises(ModelFileError, match="'epoch', 'optimizer'"):
            load_checkpoint(saved({"epoch": 3, "optimizer": {}}))
        with pytest.raises(ModelFileError, match="a list"):
            load_checkpoint(saved([1]))


class Whole(nn.Module):
    """A network that is pickled as a whole."""

    def __init__(self):
        super().__init__()
        for name, value in named().items():
            self.register_buffer(name.replace(".", "/"), value)

    def state_dict(self, *args, **kwargs):
        return {name.replace("/", "."): value for name, value in super().state_dict(*args, **kwargs).items()}


@pytest.mark.parametrize(
    "value",
    [
        lambda: {"model_state_dict": named(), "arguments": argparse.Namespace(lr=1)},
        lambda: {"ema": {"module": named()}, "arguments": argparse.Namespace(lr=1)},
        lambda: {"epoch": 1, "model": Whole()},
        Whole,
    ],
    ids=["arguments", "nested", "module in an entry", "module"],
)
def test_printed_command_converts_files_with_python_objects(saved, tmp_path, run_printed_command, value):
    with pytest.raises(ModelFileError, match=r"net-tensors\.pth") as caught:
        load_checkpoint(saved(value()))
    run_printed_command(str(caught.value), tmp_path)
    check(tmp_path / "net-tensors.pth")
