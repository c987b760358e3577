"""Names and options."""

import pytest
import torch
from torch import nn

from edgehrnet.errors import EdgeHRNetError, InputError, UnknownKeywordError
from edgehrnet.models import Options, available, create
from edgehrnet.models.networks.options import option_names


def activations(net):
    return {type(m) for m in net.modules() if isinstance(m, nn.SiLU | nn.Hardswish)}


def test_available_names_can_all_be_created():
    assert {"edgehrnet18", "edgehrnet18_hs"} <= set(available())
    with torch.device("meta"):
        for name in available():
            assert create(name, keypoints=2).keypoints == 2


def test_variants_differ_in_activation_only():
    silu, hardswish = create("edgehrnet18"), create("edgehrnet18_hs")
    assert activations(silu) == {nn.SiLU}
    assert activations(hardswish) == {nn.Hardswish}
    assert [(n, p.shape) for n, p in silu.named_parameters()] == [(n, p.shape) for n, p in hardswish.named_parameters()]


def test_the_callers_option_goes_over_the_variants():
    assert activations(create("edgehrnet18_hs", activation="silu")) == {nn.SiLU}


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match=r"did you mean 'edgehrnet18'.*edgehrnet18, edgehrnet18_hs"):
        create("edgehrnet-18")


def test_unknown_option_names_the_nearest():
    with pytest.raises(TypeError, match=r"'gates'.*did you mean 'gate'\?.*hidden_heads") as caught:
        create("edgehrnet18", gates="se")
    assert isinstance(caught.value, UnknownKeywordError)
    with pytest.raises(TypeError, match="did you mean 'keypoints'"):
        create("edgehrnet18", keypoint=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fuse": "weigthed"}, "did you mean 'weighted'"),
        ({"gate": "ce"}, "did you mean 'se'"),
        ({"fpn": "C"}, "accepted: A, B"),
        ({"down": "avg"}, "avgpool"),
        ({"activation": "relu"}, "accepted: hardswish, silu"),
        ({"activation": "linear"}, "accepted: hardswish, silu"),
        ({"activation": ["silu"]}, "accepted: hardswish, silu"),
        ({"pyramid": "yes"}, "True or False"),
        ({"inplace": 1}, "True or False"),
        ({"modules": (1, 1)}, "stages 2, 3, 4"),
        ({"modules": (1, 0, 1)}, "at least 1"),
        ({"modules": (1, 1.0, 1)}, "whole number"),
        ({"modules": 1}, "whole number"),
        ({"modules": "111"}, "whole number"),
        ({"keypoints": 0}, "at least 1"),
        ({"keypoints": 2.0}, "whole number"),
        ({"keypoints": True}, "whole number"),
    ],
)
def test_impossible_values(options, message):
    with pytest.raises(InputError, match=message) as caught:
        create("edgehrnet18", **options)
    assert isinstance(caught.value, EdgeHRNetError)
    assert isinstance(caught.value, ValueError)


def test_options_survive_json_lists():
    assert Options(modules=[1, 2, 1]) == Options(modules=(1, 2, 1))


def test_every_option_is_documented():
    assert all(f"    {name}: " in Options.__doc__ for name in option_names())
