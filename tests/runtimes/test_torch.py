"""Checkpoints run by torch. The common contract is in test_contract.py."""

import os
import re
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import runtimes
from edgehrnet import ModelSpec
from edgehrnet.errors import InputError
from edgehrnet.models import create
from edgehrnet.models.checkpoints import save_checkpoint
from edgehrnet.models.deploy.loading import load_deployed
from edgehrnet.models.layers.blocks import ConvBNAct
from runtimes.base import Input
from runtimes.errors import DeviceError, MissingExtraError, ModelFileError
from runtimes.torch import TorchRuntime

SIZE = (8, 12)


class Sums(nn.Module):
    """A module that is not a keypoint network: the runtime knows only arrays."""

    def forward(self, image):
        assert not self.training
        assert torch.is_inference_mode_enabled()
        x = image.float()
        return {"sum": x.sum(dim=3), "transposed": x.permute(0, 3, 1, 2).double(), "threads": threads_now(len(x))}


def threads_now(count):
    return torch.full((count, 1), float(torch.get_num_threads()))


def load_sums(path):
    return Sums().eval(), f"metadata of {path.name}", Input(SIZE)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "sums.pt").touch()
    return tmp_path / "sums.pt"


def image(count=2, size=SIZE):
    return np.random.default_rng(0).integers(0, 256, (count, *size, 4), dtype=np.uint8)


def test_the_loader_builds_the_network(path):
    runtime = runtimes.load(path, loader=load_sums)
    outputs = runtime.run(image())
    np.testing.assert_array_equal(outputs["sum"], image().sum(axis=3))
    np.testing.assert_array_equal(outputs["transposed"], image().transpose(0, 3, 1, 2))
    assert {array.dtype for array in outputs.values()} == {np.dtype(np.float32)}
    assert outputs["transposed"].flags.c_contiguous
    described = runtime.describe()
    assert (described.engine, described.version, described.device) == ("torch", torch.__version__, "cpu")
    assert described.metadata == "metadata of sums.pt"
    assert described.input_size == SIZE


def test_refuses_to_load_without_a_loader(path):
    with pytest.raises(ModelFileError, match=r"sums\.pt .*loader="):
        runtimes.load(path)


def test_other_files_refuse_a_loader(null_model):
    with pytest.raises(TypeError, match="loader"):
        runtimes.load(null_model.path, loader=load_sums)


def test_missing_torch_names_its_extra(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"edgehrnet\[train\]"):
        runtimes.load(path, loader=load_sums)


def test_threads_are_set_during_a_run_and_restored_after_it(path, monkeypatch):
    before = torch.get_num_threads()
    runtime = runtimes.load(path, threads=before + 1, loader=load_sums)
    assert isinstance(runtime, TorchRuntime)
    assert torch.get_num_threads() == before
    assert runtime.run(image(1))["threads"] == before + 1
    assert torch.get_num_threads() == before
    assert runtime.settings()["inference_threads"] == before + 1
    assert runtimes.load(path, loader=load_sums).run(image(1))["threads"] == before

    def fail(module, inputs):
        raise RuntimeError("out of memory")

    assert runtime._module is not None
    runtime._module.register_forward_pre_hook(fail)
    with pytest.raises(ModelFileError, match=r"sums\.pt .*cpu: out of memory"):
        runtime.run(image(1))
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("device", ["npu", "auto", "gpu.x", "cuda:-1", "cuda:", "mps"])
def test_refuses_unknown_devices(path, device):
    with pytest.raises(DeviceError, match=f"'{device}'"):
        runtimes.load(path, device, loader=load_sums)


@pytest.mark.parametrize(("device", "count"), [("cuda", 0), ("gpu", 0), ("cuda:1", 1), ("gpu.2", 2)])
def test_refuses_absent_devices(path, device, count, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(DeviceError, match=f"'{device}'.* {count} "):
        runtimes.load(path, device, loader=load_sums)


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "gpu", "gpu.0", "GPU"])
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")
def test_cuda_gives_the_same_outputs_as_the_cpu(checkpoint_model, device):
    pixels = image(1, (64, 96))
    loader = partial(load_deployed, target="tensorrt")
    expected = runtimes.load(checkpoint_model.path, loader=loader).run(pixels)
    runtime = runtimes.load(checkpoint_model.path, device, loader=loader)
    assert runtime.describe().device == "cuda:0"
    assert runtime.settings()["device_name"]
    # TF32 changes the outputs by less than the rounding to INT8, a quarter of the signal at most.
    for name, array in runtime.run(pixels).items():
        assert np.sqrt(np.mean((array - expected[name]) ** 2)) < 0.25 * np.sqrt(np.mean(expected[name] ** 2))


FORKS = """
import os, pathlib, sys, threading, warnings
import numpy as np
import torch
from torch import nn
import runtimes
from runtimes.base import Input
from runtimes.errors import ClosedError

class Convolution(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(4, 64, 3, padding=1), nn.Conv2d(64, 64, 3, padding=1))

    def forward(self, image):
        return {"maps": self.layers(image.permute(0, 3, 1, 2).float())}

def loader(path):
    torch.manual_seed(0)
    return Convolution().eval(), "", Input((64, 96))

path, image = pathlib.Path(sys.argv[1]), np.ones((1, 64, 96, 4), np.uint8)
torch.set_num_threads(2)
runtime = runtimes.load(path, loader=loader)
expected = runtime.run(image)["maps"]
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads in a process that forks
child = os.fork()
if child:
    killer = threading.Timer(60, os.kill, (child, 9))
    killer.start()
    _, status = os.waitpid(child, 0)
    killer.cancel()
    np.testing.assert_array_equal(runtime.run(image)["maps"], expected)
    sys.exit(os.waitstatus_to_exitcode(status))
for use in (lambda: runtime.run(image), runtime.describe):
    try:
        use()
    except ClosedError as error:
        print(error, flush=True)
    else:
        os._exit(3)
runtime.close()
for threads in (None, 2):
    again = runtimes.load(path, threads=threads, loader=loader)
    np.testing.assert_allclose(again.run(image)["maps"], expected, rtol=1e-4, atol=1e-4)
    print(again.settings()["inference_threads"], flush=True)
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_process_is_told_to_load_the_file_again_and_can(path):
    # In a process of its own, because torch's threads, whose absence is the problem, would stay in this one.
    command = [sys.executable, "-W", "error", "-c", FORKS, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    refused = re.findall(r"sums\.pt .* process (\d+), .* process (\d+), ", done.stdout)
    assert len(refused) == 2
    assert all(parent != child for parent, child in refused)
    assert done.stdout.splitlines()[-2:] == ["1", "1"]


class TestLoading:
    @pytest.fixture
    def trained(self, tmp_path):
        """A checkpoint with heads that only training uses."""
        torch.manual_seed(0)
        spec = ModelSpec("corners", ("a", "b"), input_size=(64, 96))
        options = {"keypoints": 2, "auxiliary": True, "boundary": True}
        network = create("edgehrnet18", **options)
        save_checkpoint(tmp_path / "a.pt", "edgehrnet18", options, network.state_dict(), spec.to_dict(), {})
        return tmp_path / "a.pt"

    def test_loads_the_deployed_network(self, trained):
        module, metadata, model_input = load_deployed(trained)
        spec = ModelSpec.from_json(metadata)
        runtime = runtimes.load(trained, loader=load_deployed)
        assert model_input.size == runtime.describe().input_size == spec.input_size == (64, 96)
        assert [name for name, _ in spec.outputs] == ["heatmaps", "offsets", "hf", "boundary"]
        assert list(runtime.describe().outputs) == [name for name, _ in spec.outputs]
        assert spec.precision == "fp32"
        assert not module.training
        units = [unit for unit in module.modules() if isinstance(unit, ConvBNAct)]
        assert units
        assert all(isinstance(unit.bn, nn.Identity) for unit in units)

    def test_refuses_a_checkpoint_without_ranges_for_the_engine(self, trained):
        with pytest.raises(InputError, match="'onnx'"):
            load_deployed(trained, "onnx")

    def test_fake_quantized_network_is_int8(self, checkpoint_model):
        _, metadata, _ = load_deployed(checkpoint_model.path, "onnx")
        assert ModelSpec.from_json(metadata).precision == "int8"
