"""Build networks by name with options."""

import ast
import inspect
import itertools
import json
from dataclasses import fields
from typing import Any

import pytest
from torch import nn

import edgehrnet.models
from edgehrnet.errors import EdgeHRNetError, InputError, UnknownKeywordError
from edgehrnet.models import Options, available, create
from edgehrnet.models.checkpoints import Checkpoint
from edgehrnet.models.networks.shared import PublishedOptions


def activations(net):
    return {type(m) for m in net.modules() if isinstance(m, nn.SiLU | nn.Hardswish)}


def test_public_names_exist_and_are_documented():
    for name in edgehrnet.models.__all__:
        assert inspect.getdoc(getattr(edgehrnet.models, name)), name
    assert {"create", "load_checkpoint", "save_checkpoint", "build_model"} <= set(edgehrnet.models.__all__)


def test_available_lists_edgehrnet_first():
    assert available()[:2] == ["edgehrnet18", "edgehrnet18_hs"]


def test_variants_differ_in_activation_only():
    silu, hardswish = create("edgehrnet18"), create("edgehrnet18_hs")
    assert activations(silu) == {nn.SiLU}
    assert activations(hardswish) == {nn.Hardswish}
    assert [(n, p.shape) for n, p in silu.named_parameters()] == [(n, p.shape) for n, p in hardswish.named_parameters()]


def test_caller_option_overrides_variant_option():
    assert activations(create("edgehrnet18_hs", activation="silu")) == {nn.SiLU}


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(InputError, match=r"'edgehrnet-18'.*'edgehrnet18'"):
        create("edgehrnet-18")


def test_unknown_option_suggests_the_nearest():
    with pytest.raises(TypeError, match=r"'gates'.*'gate'") as caught:
        create("edgehrnet18", gates="se")
    assert isinstance(caught.value, UnknownKeywordError)
    with pytest.raises(TypeError, match=r"'keypoint'.*'keypoints'"):
        create("edgehrnet18", keypoint=4)


@pytest.mark.parametrize(
    "option",
    [
        {"fuse": "weigthed"},
        {"gate": "ce"},
        {"fpn": "C"},
        {"down": "avg"},
        {"activation": "relu"},
        {"activation": "linear"},
        {"activation": ["silu"]},
        {"pyramid": "yes"},
        {"inplace": 1},
        {"modules": (1, 1)},
        {"modules": (1, 0, 1)},
        {"modules": (1, 1.0, 1)},
        {"modules": 1},
        {"modules": "111"},
        {"keypoints": 0},
        {"keypoints": 2.0},
        {"keypoints": True},
    ],
    ids=str,
)
def test_option_value_is_rejected_with_its_name_and_value(option):
    [(name, value)] = option.items()
    with pytest.raises(InputError) as caught:
        create("edgehrnet18", **option)
    assert f"{name}={value!r}" in str(caught.value)
    assert isinstance(caught.value, EdgeHRNetError)
    assert isinstance(caught.value, ValueError)


def test_options_accept_json_lists():
    modules: Any = json.loads("[1, 2, 1]")
    assert Options(modules=modules) == Options(modules=(1, 2, 1))


@pytest.mark.parametrize("kind", [Options, PublishedOptions, Checkpoint], ids=lambda kind: kind.__name__)
def test_every_field_has_a_docstring(kind):
    definition: Any = ast.parse(inspect.getsource(kind)).body[0]
    documented = {
        ast.unparse(field.target)
        for field, text in itertools.pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }
    assert documented == {field.name for field in fields(kind)}
