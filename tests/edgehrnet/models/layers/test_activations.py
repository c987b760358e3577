"""Single modules of a network take another activation, and a checkpoint keeps it."""

import pytest
import torch
from torch import nn

from edgehrnet.errors import InputError
from edgehrnet.models import create
from edgehrnet.models.checkpoints import build_model, load_checkpoint, save_checkpoint
from edgehrnet.models.layers.activations import activation_sites, exchange_activations


def test_the_most_specific_entry_last_decides():
    network = create("edgehrnet18", keypoints=1)
    exchange_activations(network, {"stem": "hardswish", "stem.conv1.act": "relu"})
    sites = activation_sites(network)
    assert sites["stem.conv1.act"] == "relu"
    assert sites["stem.conv2.act"] == "hardswish"
    assert {kind for site, kind in sites.items() if not site.startswith("stem.")} == {"silu"}


def test_a_name_is_not_the_beginning_of_another():
    network = nn.ModuleDict({"a": nn.SiLU(), "ab": nn.SiLU()})
    exchange_activations(network, {"a": "relu"})
    assert activation_sites(network) == {"a": "relu", "ab": "silu"}


def test_an_activation_that_must_not_overwrite_its_input_still_does_not():
    network = nn.Sequential(nn.ReLU(inplace=True), nn.ReLU(inplace=False))
    exchange_activations(network, {"0": "hardswish", "1": "hardswish"})
    assert [module.inplace for module in network] == [True, False]


@pytest.mark.parametrize(("name", "site"), [("edgehrnet18", "stem.conv1.act"), ("litehrnet18", "stem.conv1.act")])
def test_a_checkpoint_keeps_the_activations(tmp_path, name, site):
    activations = {site: "hardswish"}
    network = create(name, keypoints=2, activations=activations)
    path = tmp_path / "a.pt"
    options = {"keypoints": 2, "activations": activations}
    save_checkpoint(path, name, options, network.state_dict(), {}, {})
    read = build_model(load_checkpoint(path))
    assert activation_sites(read) == activation_sites(network)
    assert activation_sites(read)[site] == "hardswish"
    image = torch.rand(1, network.in_channels, 64, 64)
    torch.testing.assert_close(read(image).heatmaps, network.eval()(image).heatmaps)
    plain = create(name, keypoints=2)
    plain.load_state_dict(network.state_dict())
    assert not torch.equal(read(image).heatmaps, plain.eval()(image).heatmaps)


@pytest.mark.parametrize(
    ("activations", "named"),
    [
        ({"stem.conv9": "relu"}, "stem.conv9"),
        ({"stem": "gelu"}, "gelu"),
        ({"stem": "sigmoid"}, "sigmoid"),
        ({"stem": ["relu"]}, "relu"),
        (["stem"], "stem"),
        ({1: "relu"}, "1"),
    ],
)
@pytest.mark.parametrize("name", ["edgehrnet18", "litehrnet18"])
def test_other_values_are_refused(name, activations, named):
    with pytest.raises(InputError, match=named):
        create(name, keypoints=1, activations=activations)
