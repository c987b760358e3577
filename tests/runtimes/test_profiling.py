from datetime import timedelta
from types import SimpleNamespace

import openvino
import pytest

from runtimes.profiling import profile


class Request:
    """Runs that take a known time, of which the engine reports the mean so far on a CPU, and the last one elsewhere."""

    def __init__(self, device):
        self.device, self.taken = device, []

    def infer(self, inputs):
        self.taken.append(2.0 if self.taken else 50.0)

    @property
    def profiling_info(self):
        ms = sum(self.taken) / len(self.taken) if self.device == "CPU" else self.taken[-1]
        status = openvino.ProfilingInfo.Status.EXECUTED
        time = timedelta(milliseconds=ms)
        return [SimpleNamespace(node_name="a", node_type="Add", exec_type="jit", status=status, real_time=time)]


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_the_first_inference_is_not_part_of_the_times(null_model, monkeypatch, device):
    compiled = SimpleNamespace(create_infer_request=lambda: Request(device.upper()))
    core = SimpleNamespace(compile_model=lambda *arguments: compiled)
    monkeypatch.setattr("runtimes.profiling.read", lambda path, size: openvino.Model([], []))
    monkeypatch.setattr("runtimes.profiling.new_core", lambda: core)
    monkeypatch.setattr("runtimes.profiling.reshape", lambda *arguments: None)
    port = SimpleNamespace(array=lambda image: image, input=SimpleNamespace(blank=lambda: 0))
    monkeypatch.setattr("runtimes.profiling.openvino_port", lambda *arguments: port)
    (found,) = profile(null_model.path.with_suffix(".xml"), device, runs=4)
    assert found.ms == pytest.approx(2.0)
