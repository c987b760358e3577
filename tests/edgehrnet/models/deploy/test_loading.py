"""Networks and specs as they are deployed from checkpoints."""

from typing import Any

import pytest
import torch

from edgehrnet.models import create
from edgehrnet.models.checkpoints import Checkpoint, build_model
from edgehrnet.models.deploy.loading import HEADS, computes_in, deployable, deployed_spec, without_heads
from edgehrnet.spec import ModelSpec

SPEC = ModelSpec("two", ("a", "b"), input_size=(64, 96))
OPTIONS = {"auxiliary": True, "boundary": True, "sdf": True}


@pytest.fixture(scope="module")
def checkpoint():
    torch.manual_seed(0)
    state = create("edgehrnet18", keypoints=2, **OPTIONS).state_dict()
    return Checkpoint("edgehrnet18", 2, OPTIONS, state, SPEC.to_dict(), {})


def test_outputs_are_equal_without_optional_heads(checkpoint):
    image = torch.rand(1, 4, 64, 96)
    with torch.no_grad():
        whole = build_model(checkpoint)(image)
        slim = build_model(without_heads(checkpoint, HEADS))(image)
    assert set(whole.extras) == {"aux_p3", "aux_p4", "boundary", "sdf"}
    assert slim.extras == {}
    torch.testing.assert_close(slim.heatmaps, whole.heatmaps, rtol=0, atol=0)
    torch.testing.assert_close(slim.offsets, whole.offsets, rtol=0, atol=0)


def test_only_the_given_heads_are_removed(checkpoint):
    left = without_heads(checkpoint, ("auxiliary", "sdf"))
    assert left.options == {"boundary": True}
    assert set(checkpoint.state) - set(left.state) == {
        name for name in checkpoint.state if name.startswith(("auxiliary.", "heads.sdf."))
    }
    assert without_heads(left, ("sdf",)).state.keys() == left.state.keys()


def test_auxiliary_heads_are_not_deployed(checkpoint):
    network: Any = deployable(checkpoint)
    assert network.auxiliary is None
    outputs = [name for name, _ in deployed_spec(checkpoint, network, "fp32", None).outputs]
    assert outputs == ["heatmaps", "offsets", "hf", "boundary", "sdf"]


@pytest.mark.parametrize(
    ("target", "precision", "dtype"),
    [("openvino", "fp16", torch.float32), ("onnx", "int8", torch.float32), ("onnx", "fp16", torch.float16),
     ("tensorrt", "int8", torch.float16), ("tensorrt", "fp32", torch.float32)],
)  # fmt: skip
def test_dtype_of_files(target, precision, dtype):
    assert computes_in(target, precision) == dtype
