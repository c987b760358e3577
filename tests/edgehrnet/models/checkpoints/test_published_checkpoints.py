"""Published checkpoint files, made from our networks with the names of each repository."""

import argparse
import functools
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgehrnet.errors import ModelFileError
from edgehrnet.models import create, load_checkpoint
from edgehrnet.models.checkpoints import build_model, save_checkpoint
from edgehrnet.models.checkpoints.published import Naming, read_published
from edgehrnet.models.checkpoints.published_names import RULES, published_name
from edgehrnet.models.deploy.loading import deployable, deployed_spec
from edgehrnet.models.layers.blocks import ConvBNAct, initialize_convolutions
from edgehrnet.models.variants import VARIANTS
from edgehrnet.spec import ModelSpec

SMALL = "hrnet_w18_small_v1"
STYLES = {
    "official": ("", ""),
    "mmpose 0.x": ("backbone.", "keypoint_head."),
    "mmpose 1.x": ("backbone.", "head."),
}
# One name of each kind from the repositories, and its shape with K = 17.
HRNET_W32 = {
    "conv1.weight": (64, 3, 3, 3),
    "bn2.running_var": (64,),
    "layer1.0.downsample.0.weight": (256, 64, 1, 1),
    "layer1.0.downsample.1.bias": (256,),
    "layer1.3.conv3.weight": (256, 64, 1, 1),
    "layer1.3.bn1.weight": (64,),
    "transition1.0.0.weight": (32, 256, 3, 3),
    "transition1.0.1.weight": (32,),
    "transition1.1.0.0.weight": (64, 256, 3, 3),
    "transition2.2.0.0.weight": (128, 64, 3, 3),
    "transition3.3.0.1.num_batches_tracked": (),
    "stage2.0.branches.1.3.conv2.weight": (64, 64, 3, 3),
    "stage3.3.branches.2.0.bn1.running_mean": (128,),
    "stage3.0.fuse_layers.0.2.0.weight": (32, 128, 1, 1),
    "stage3.0.fuse_layers.0.2.1.weight": (32,),
    "stage4.1.fuse_layers.3.0.0.0.weight": (32, 32, 3, 3),
    "stage4.1.fuse_layers.3.0.2.0.weight": (256, 32, 3, 3),
    "stage4.1.fuse_layers.3.0.2.1.bias": (256,),
    "stage4.2.fuse_layers.0.3.0.weight": (32, 256, 1, 1),
    "final_layer.weight": (17, 32, 1, 1),
    "final_layer.bias": (17,),
}
LITEHRNET18 = {
    "stem.conv1.conv.weight": (32, 3, 3, 3),
    "stem.branch1.0.conv.weight": (16, 1, 3, 3),
    "stem.branch1.1.bn.weight": (16,),
    "stem.expand_conv.conv.weight": (32, 16, 1, 1),
    "stem.depthwise_conv.conv.weight": (32, 1, 3, 3),
    "stem.linear_conv.conv.weight": (16, 32, 1, 1),
    "transition0.0.0.weight": (32, 1, 3, 3),
    "transition0.0.3.weight": (40,),
    "transition0.1.0.2.weight": (80, 32, 1, 1),
    "transition2.3.0.0.weight": (160, 1, 3, 3),
    "stage0.1.layers.1.cross_resolution_weighting.conv1.conv.weight": (7, 60, 1, 1),
    "stage2.1.layers.0.cross_resolution_weighting.conv2.bn.bias": (300,),
    "stage1.3.layers.0.depthwise_convs.2.conv.weight": (80, 1, 3, 3),
    "stage1.3.layers.0.spatial_weighting.2.conv1.conv.bias": (20,),
    "stage2.0.fuse_layers.1.3.0.weight": (80, 320, 1, 1),
    "stage2.0.fuse_layers.3.0.0.2.weight": (40, 40, 1, 1),
    "stage2.0.fuse_layers.3.0.2.0.weight": (40, 1, 3, 3),
    "stage2.0.fuse_layers.3.0.2.3.running_var": (320,),
    "head_layer.projects.0.depthwise_conv.conv.weight": (320, 1, 3, 3),
    "head_layer.projects.3.pointwise_conv.bn.weight": (40,),
    "final_layer.weight": (17, 40, 1, 1),
}
NAIVE18 = {
    "stage1.3.layers.2.1.branch2.0.conv.weight": (60, 60, 1, 1),
    "stage1.3.layers.2.1.branch2.1.conv.weight": (60, 1, 3, 3),
    "stage1.3.layers.2.1.branch2.2.bn.running_mean": (60,),
    "transition0.0.2.weight": (30, 32, 1, 1),
}


@functools.cache
def network(name, keypoints=17, **options):
    torch.manual_seed(0)
    net: Any = create(name, keypoints=keypoints, **options)
    initialize_convolutions(net)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.bias, 0, 0.1)
            nn.init.normal_(part.get_buffer("running_mean"), 0, 0.1)
            nn.init.uniform_(part.get_buffer("running_var"), 0.8, 1.5)
    nn.init.normal_(net.head.predict.weight, 0, 0.1)
    return net.eval()


def renamed(name, style, keypoints=17, **options):
    """The state of a network with the names of a repository."""
    trunk, head = STYLES[style]
    state = {}
    for ours, value in network(name, keypoints, **options).state_dict().items():
        plain = published_name(ours, VARIANTS[name].family)
        if style == "mmpose 0.x" and name == "hrnetv2_w18":
            plain = plain.replace("final_layer.", "final_layer.3.").replace("conv_layers.", "final_layer.")
        state[(head if plain.startswith(("final_layer", "conv_layers")) else trunk) + plain] = value
    return state


def content(name, style, keypoints=17, **options):
    state = renamed(name, style, keypoints, **options)
    if style == "official" and VARIANTS[name].family == "hrnet":
        return state
    if style == "mmpose 1.x":
        state |= {"data_preprocessor.mean": torch.zeros(3, 1, 1), "data_preprocessor.std": torch.ones(3, 1, 1)}
    return {"meta": {"config": "model = dict()", "epoch": 210, "CLASSES": None}, "state_dict": state, "optimizer": {}}


@pytest.mark.parametrize(
    ("name", "style", "keypoints", "options"),
    [
        (SMALL, "official", 17, {}),
        (SMALL, "mmpose 0.x", 16, {}),
        (SMALL, "mmpose 1.x", 17, {"offsets": True}),
        ("hrnetv2_w18", "mmpose 0.x", 21, {}),
        ("hrnetv2_w18", "mmpose 1.x", 98, {}),
        ("litehrnet18", "mmpose 0.x", 17, {}),  # The official files have the same names.
        ("litehrnet18", "mmpose 1.x", 21, {}),
        ("naive_litehrnet18", "mmpose 0.x", 16, {}),
    ],
)
def test_loaded_network_gives_exactly_equal_outputs(saved, name, style, keypoints, options):
    read = load_checkpoint(saved(content(name, style, keypoints, **options)))
    assert (read.variant, read.keypoints, read.options) == (name, keypoints, options)
    assert read.training == {"published": "net.pth"}
    net = network(name, keypoints, **options)
    assert list(read.state) == list(net.state_dict())
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected, got = net(x), build_model(read)(x)
    assert torch.equal(expected.heatmaps, got.heatmaps)
    assert torch.equal(expected.hf, got.hf)
    assert (expected.offsets is None) == (got.offsets is None)


@pytest.mark.parametrize("name", [name for name, variant in VARIANTS.items() if variant.family != "edgehrnet"])
def test_every_network_is_recognized(weightless, name):
    state = weightless(name).state_dict()
    family = VARIANTS[name].family
    naming = Naming("backbone.", "head.")
    found = read_published({naming(published_name(ours, family)): value for ours, value in state.items()})
    assert found is not None
    assert (found.variant, found.keypoints) == (name, 17)


@pytest.mark.parametrize(
    ("name", "expected", "entries"),
    [("hrnet_w32", HRNET_W32, 1754), ("litehrnet18", LITEHRNET18, 1418), ("naive_litehrnet18", NAIVE18, 1610)],
)
def test_names_and_shapes_equal_the_published_ones(weightless, name, expected, entries):
    state = weightless(name).state_dict()
    shapes = {published_name(ours, VARIANTS[name].family): tuple(value.shape) for ours, value in state.items()}
    assert len(shapes) == entries
    assert {key: shapes.get(key) for key in expected} == expected


@pytest.mark.parametrize("family", RULES)
def test_published_names_are_unique(weightless, family):
    names = {"hrnet": ["hrnetv2_w18"], "litehrnet": ["litehrnet18", "naive_litehrnet18"]}[family]
    for net in map(weightless, names):
        units = [path for path, module in net.named_modules() if isinstance(module, ConvBNAct)]
        theirs = {published_name(f"{unit}.{layer}.weight", family) for unit in units for layer in ("conv", "bn")}
        assert len(theirs) == 2 * len(units)
    with pytest.raises(KeyError, match="spare"):
        published_name("stage2.spare.conv.weight", family)


class TestSpec:
    def test_17_keypoints_are_those_of_coco(self, saved):
        checkpoint = load_checkpoint(saved(content(SMALL, "official")))
        spec = ModelSpec.from_dict(checkpoint.spec)
        assert (spec.keypoints[0], spec.keypoints[16], len(spec.oks_sigmas)) == ("nose", "right_ankle", 17)
        assert (spec.channels, spec.heatmap_values, spec.crop, spec.decode) == (3, "linear", "hrnet", "quarter")
        assert (spec.input_size, spec.cell_offset, spec.layout("offsets")) == ((256, 192), 0.0, None)
        network = deployable(checkpoint)
        deployed = deployed_spec(checkpoint, network, "fp32", (384, 288))
        assert deployed == spec.replace(input_size=(384, 288))

    def test_16_keypoints_are_those_of_mpii_and_others_have_no_names(self, saved):
        mpii = ModelSpec.from_dict(load_checkpoint(saved(content(SMALL, "mmpose 0.x", 16))).spec)
        assert (mpii.keypoints[9], mpii.crop, mpii.oks_sigmas) == ("head_top", "hrnet", ())
        hand = ModelSpec.from_dict(load_checkpoint(saved(content(SMALL, "mmpose 1.x", 21))).spec)
        assert (hand.keypoints[20], hand.crop, hand.input_size) == ("keypoint-20", None, (256, 192))

    def test_head_with_offsets_is_decoded_as_udp(self, saved):
        checkpoint = load_checkpoint(saved(content(SMALL, "official", 17, offsets=True)))
        spec = ModelSpec.from_dict(checkpoint.spec)
        assert (len(spec.keypoints), spec.crop, spec.decode) == (17, "udp", "udp-offset")
        assert [name for name, _ in spec.outputs] == ["heatmaps", "offsets", "hf"]
        assert deployed_spec(checkpoint, deployable(checkpoint), "fp32", None).outputs == spec.outputs

    def test_published_checkpoint_can_be_saved_in_our_format(self, saved, tmp_path):
        read = load_checkpoint(saved(content(SMALL, "official")))
        options = {"keypoints": read.keypoints, **read.options}
        save_checkpoint(tmp_path / "saved.pt", read.variant, options, read.state, read.spec, read.training)
        again = load_checkpoint(tmp_path / "saved.pt")
        assert (again.variant, again.spec, again.training) == (read.variant, read.spec, read.training)
        assert all(torch.equal(again.state[name], value) for name, value in read.state.items())

    def test_spec_with_other_input_channels_is_refused(self, saved):
        read = load_checkpoint(saved(content(SMALL, "official")))
        read.spec["channels"] = 4
        with pytest.raises(ModelFileError, match=r"\b3 .*\b4$"):
            deployed_spec(read, deployable(read), "fp32", None)


class TestRefused:
    def test_weights_that_do_not_fit_are_listed_with_the_names_in_the_file(self, saved):
        state = renamed(SMALL, "mmpose 1.x")
        del state["backbone.layer1.0.bn2.weight"]
        state["head.deconv_layers.0.weight"] = torch.zeros(3)
        state["backbone.stage3.0.branches.1.0.conv1.weight"] = torch.zeros(9, 32, 3, 3)
        with pytest.raises(ModelFileError) as caught:
            load_checkpoint(saved({"meta": {}, "state_dict": state}))
        message = str(caught.value)
        assert "net.pth" in message
        assert SMALL in message
        assert "missing: backbone.layer1.0.bn2.weight; " in message
        assert "unexpected: head.deconv_layers.0.weight; " in message
        assert "shape: backbone.stage3.0.branches.1.0.conv1.weight [9, 32, 3, 3]" in message
        assert message.endswith("[32, 32, 3, 3]")

    def test_long_lists_of_weights_are_shortened(self, saved):
        state = renamed(SMALL, "official")
        kept = {name: value for name, value in state.items() if not name.startswith("stage3.0.branches")}
        missing = [name for name in state if name not in kept and not name.endswith("num_batches_tracked")]
        with pytest.raises(ModelFileError, match=rf"{re.escape(missing[0])}, .*\b{len(missing) - 5}\b"):
            load_checkpoint(saved(kept))

    def test_classification_network_is_refused(self, saved):
        state = renamed(SMALL, "official") | {"classifier.weight": torch.zeros(9, 9), "classifier.bias": torch.zeros(9)}
        with pytest.raises(ModelFileError, match=r"net\.pth.*ImageNet"):
            load_checkpoint(saved(state))

    def test_trunk_without_a_head_is_refused(self, saved):
        state = {name: value for name, value in renamed(SMALL, "mmpose 1.x").items() if not name.startswith("head.")}
        with pytest.raises(ModelFileError, match=r"net\.pth.*final_layer\.weight"):
            load_checkpoint(saved({"state_dict": state}))

    def test_unsupported_architecture_is_refused(self, saved):
        state = renamed(SMALL, "official") | {"transition1.0.0.weight": torch.zeros(44, 128, 3, 3)}
        with pytest.raises(ModelFileError, match=r"HRNetPlan\(width=44, .*hrnet_w16"):
            load_checkpoint(saved(state))

    @pytest.mark.parametrize(
        "value",
        [
            {"conv1.weight": torch.zeros(64, 3, 7, 7), "layer1.0.conv1.weight": torch.zeros(64, 64, 1, 1)},  # a ResNet
            {"state_dict": {}},
            {"state_dict": {"conv1.weight": 1}},
            {"state_dict": [torch.zeros(1)]},
            {1: torch.zeros(1)},
        ],
        ids=["resnet", "empty", "number", "list", "key"],
    )
    def test_network_of_another_family_is_refused(self, saved, value):
        with pytest.raises(ModelFileError, match=r"net\.pth.*Lite-HRNet"):
            load_checkpoint(saved(value))

    def test_file_with_python_objects_is_refused_with_a_command_that_converts_it(
        self, saved, tmp_path, run_printed_command
    ):
        path = saved(content(SMALL, "mmpose 0.x") | {"message_hub": argparse.Namespace(loss=1)})
        with pytest.raises(ModelFileError, match=r"net-tensors\.pth") as caught:
            load_checkpoint(path)
        run_printed_command(str(caught.value), tmp_path)
        assert load_checkpoint(tmp_path / "net-tensors.pth").variant == SMALL
        assert "message_hub" not in torch.load(tmp_path / "net-tensors.pth", weights_only=True)

    def test_converted_file_of_mmpose_1_keeps_its_metadata(self, saved, data_set, tmp_path, run_printed_command):
        value = content(SMALL, "mmpose 1.x", 4) | {
            "meta": {"dataset_meta": data_set},
            "message_hub": argparse.Namespace(),
        }
        with pytest.raises(ModelFileError, match=r"net-tensors\.pth") as caught:
            load_checkpoint(saved(value))
        run_printed_command(str(caught.value), tmp_path)
        assert load_checkpoint(tmp_path / "net-tensors.pth").spec["keypoints"][0] == "wrist"


class TestAccepted:
    def test_old_file_format_and_names_of_data_parallel_training_are_read(self, saved):
        state = {f"module.{name}": value for name, value in renamed(SMALL, "official").items()}
        path = saved({"epoch": 3, "state_dict": state, "perf": 0.5}, _use_new_zipfile_serialization=False)
        assert load_checkpoint(path).variant == SMALL

    def test_batch_counters_may_be_missing(self, saved):
        state = renamed(SMALL, "official")
        path = saved({name: value for name, value in state.items() if not name.endswith("num_batches_tracked")})
        read = load_checkpoint(path)
        assert read.state["stem.conv1.bn.num_batches_tracked"] == 0
        build_model(read)


class TestMetadata:
    """Metadata of mmpose 1.x sets the spec."""

    def test_data_set_states_the_keypoints(self, saved, data_set):
        value = content(SMALL, "mmpose 1.x", 4) | {"meta": {"dataset_meta": data_set, "epoch": 210}}
        read = load_checkpoint(saved(value))
        spec = ModelSpec.from_dict(read.spec)
        assert (read.keypoints, spec.keypoints) == (4, ("wrist", "left_tip", "right_tip", "palm"))
        assert (spec.skeleton, spec.flip_pairs) == (((0, 3), (3, 1), (3, 2)), ((1, 2),))
        assert (spec.oks_sigmas, spec.crop) == ((0.5, 0.25, 0.25, 0.125), "hrnet")
        assert (spec.decode, spec.input_size) == ("quarter", (256, 192))

    def test_data_set_overrides_the_keypoints_of_coco(self, saved, data_set):
        names = {index: f"paw-{index}" for index in range(17)}
        data_set |= {"keypoint_id2name": names, "flip_indices": list(range(17)), "sigmas": np.full(17, 0.5)}
        read = load_checkpoint(saved(content(SMALL, "mmpose 1.x", 17) | {"meta": {"dataset_meta": data_set}}))
        spec = ModelSpec.from_dict(read.spec)
        assert (spec.keypoints[16], spec.flip_pairs, spec.oks_sigmas[0]) == ("paw-16", (), 0.5)

    def test_head_with_offsets_for_the_keypoints_of_a_data_set(self, saved, data_set):
        value = content(SMALL, "mmpose 1.x", 4, offsets=True) | {"meta": {"dataset_meta": data_set}}
        read = load_checkpoint(saved(value))
        assert (read.keypoints, read.options, read.spec["decode"]) == (4, {"offsets": True}, "udp-offset")
        assert read.spec["crop"] == "udp"

    def test_head_with_another_number_of_channels_is_refused(self, saved, data_set):
        value = content(SMALL, "mmpose 1.x", 8) | {"meta": {"dataset_meta": data_set}}
        with pytest.raises(ModelFileError, match=r"net\.pth.* 8 .* 4 "):
            load_checkpoint(saved(value))

    def test_malformed_data_set_is_ignored(self, saved, data_set):
        data_set["flip_indices"] = [0, 1]
        value = content(SMALL, "mmpose 1.x", 17) | {"meta": {"dataset_meta": data_set}}
        assert load_checkpoint(saved(value)).spec["keypoints"][0] == "nose"

    def test_codec_states_input_size_crop_and_decoding(self, saved, config):
        more = "blur_kernel_size=17,\n    unbiased=True,\n    "
        read = load_checkpoint(saved(content(SMALL, "mmpose 1.x") | {"meta": {"cfg": config("MSRAHeatmap", more)}}))
        spec = ModelSpec.from_dict(read.spec)
        assert (spec.crop, spec.decode, spec.kernel) == ("hrnet", "dark", 17)
        assert (spec.input_size, spec.keypoints[0], len(spec.oks_sigmas)) == ((384, 288), "nose", 17)

    def test_codec_of_a_head_with_offsets(self, saved, config):
        more = "blur_kernel_size=17,\n    heatmap_type='combined',\n    "
        value = content(SMALL, "mmpose 1.x", offsets=True) | {"meta": {"cfg": config("UDPHeatmap", more)}}
        read = load_checkpoint(saved(value))
        assert (read.spec["crop"], read.spec["decode"], read.spec["kernel"]) == ("udp", "udp-offset", 17)
