"""Published checkpoint files: made here from our networks, renamed as each repository names them."""

import argparse
import functools
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from edgehrnet.errors import ModelFileError
from edgehrnet.models import create, load_checkpoint
from edgehrnet.models.checkpoints import build_model, save_checkpoint
from edgehrnet.models.checkpoints.plain_arrays import plain_arrays
from edgehrnet.models.checkpoints.published import Naming, read_published
from edgehrnet.models.checkpoints.published_meta import stated_fields
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
# A few names as the repositories have them, one of each kind, and their shapes with K = 17.
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


# What mmpose 1.x makes of a data set's description, here of a hand's four keypoints.
DATA_SET = {
    "dataset_name": "hand",
    "num_keypoints": 4,
    "keypoint_id2name": {0: "wrist", 1: "left_tip", 2: "right_tip", 3: "palm"},
    "keypoint_name2id": {"wrist": 0, "left_tip": 1, "right_tip": 2, "palm": 3},
    "flip_indices": [0, 2, 1, 3],
    "flip_pairs": [[2, 1], [1, 2]],
    "keypoint_colors": np.array([[255, 128, 0]] * 4, np.uint8),
    "skeleton_links": [[0, 3], [3, 1], (3, 2)],
    "dataset_keypoint_weights": np.array([1, 1.5, 1.5, 1], np.float32),
    "sigmas": np.array([0.5, 0.25, 0.25, 0.125], np.float32),
    "stats_info": {"bbox_center": np.array([528.0, 427.0], np.float32)},
}
# As mmengine writes it: parts by name, each from the beginning of a line.
CONFIG = """auto_scale_lr = dict(base_batch_size=512)
backend_args = dict(backend='local')
codec = dict(
    {more}heatmap_size=(
        72,
        96,
    ),
    input_size=(
        288,
        384,
    ),
    sigma=3,
    type='{kind}')
custom_hooks = [
    dict(type='SyncBuffersHook', unbiased=True, input_size=(1, 1)),
]
"""


@functools.cache
def network(name, keypoints=17, **options):
    torch.manual_seed(0)
    net = create(name, keypoints=keypoints, **options)
    initialize_convolutions(net)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.bias, 0, 0.1)
            nn.init.normal_(part.running_mean, 0, 0.1)
            nn.init.uniform_(part.running_var, 0.8, 1.5)
    nn.init.normal_(net.head.predict.weight, 0, 0.1)
    return net.eval()


def renamed(name, style, keypoints=17, **options):
    """The state of a network, as a repository names it."""
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


@pytest.fixture
def saved(tmp_path):
    def save(value, **options):
        torch.save(value, tmp_path / "net.pth", **options)
        return tmp_path / "net.pth"

    return save


@pytest.mark.parametrize(
    ("name", "style", "keypoints", "options"),
    [
        (SMALL, "official", 17, {}),
        (SMALL, "mmpose 0.x", 16, {}),
        (SMALL, "mmpose 1.x", 17, {"offsets": True}),
        ("hrnetv2_w18", "mmpose 0.x", 21, {}),
        ("hrnetv2_w18", "mmpose 1.x", 98, {}),
        ("litehrnet18", "mmpose 0.x", 17, {}),  # the official files' names as well
        ("litehrnet18", "mmpose 1.x", 21, {}),
        ("naive_litehrnet18", "mmpose 0.x", 16, {}),
    ],
)
def test_a_renamed_network_answers_alike_to_the_last_bit(saved, name, style, keypoints, options):
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
def test_every_network_is_recognized(name):
    with torch.device("meta"):
        state = create(name, keypoints=5).state_dict()
    family = VARIANTS[name].family
    naming = Naming("backbone.", "head.")
    found = read_published({naming(published_name(ours, family)): value for ours, value in state.items()})
    assert (found.variant, found.keypoints) == (name, 5)


@pytest.mark.parametrize(
    ("name", "expected", "entries"),
    [("hrnet_w32", HRNET_W32, 1754), ("litehrnet18", LITEHRNET18, 1418), ("naive_litehrnet18", NAIVE18, 1610)],
)
def test_names_and_shapes_as_they_are_published(name, expected, entries):
    with torch.device("meta"):
        state = create(name).state_dict()
    shapes = {published_name(ours, VARIANTS[name].family): tuple(value.shape) for ours, value in state.items()}
    assert len(shapes) == entries
    assert {key: shapes.get(key) for key in expected} == expected


@pytest.mark.parametrize("family", RULES)
def test_no_two_weights_have_one_name(family):
    names = {"hrnet": ["hrnetv2_w18"], "litehrnet": ["litehrnet18", "naive_litehrnet18"]}[family]
    with torch.device("meta"):
        nets = [create(name) for name in names]
    for net in nets:
        units = [path for path, part in net.named_modules() if isinstance(part, ConvBNAct)]
        theirs = {published_name(f"{unit}.{part}.weight", family) for unit in units for part in ("conv", "bn")}
        assert len(theirs) == 2 * len(units)
    with pytest.raises(KeyError, match="no published name"):
        published_name("stage2.spare.conv.weight", family)


class TestSpec:
    def test_of_coco(self, saved):
        checkpoint = load_checkpoint(saved(content(SMALL, "official")))
        spec = ModelSpec.from_dict(checkpoint.spec)
        assert (spec.keypoints[0], spec.keypoints[16], len(spec.oks_sigmas)) == ("nose", "right_ankle", 17)
        assert (spec.channels, spec.heatmap_values, spec.crop, spec.decode) == (3, "linear", "hrnet", "quarter")
        assert (spec.input_size, spec.cell_offset, spec.layout("offsets")) == ((256, 192), 0.0, None)
        network = deployable(checkpoint)
        deployed = deployed_spec(checkpoint, network, "fp32", (384, 288))
        assert deployed == spec.replace(input_size=(384, 288))

    def test_of_mpii_and_of_others(self, saved):
        mpii = ModelSpec.from_dict(load_checkpoint(saved(content(SMALL, "mmpose 0.x", 16))).spec)
        assert (mpii.keypoints[9], mpii.crop, mpii.oks_sigmas) == ("head_top", "hrnet", ())
        hand = ModelSpec.from_dict(load_checkpoint(saved(content("hrnetv2_w18", "mmpose 1.x", 21))).spec)
        assert (hand.keypoints[20], hand.crop, hand.input_size) == ("keypoint-20", None, (256, 256))

    def test_of_a_combined_head(self, saved):
        checkpoint = load_checkpoint(saved(content(SMALL, "official", 17, offsets=True)))
        spec = ModelSpec.from_dict(checkpoint.spec)
        assert (len(spec.keypoints), spec.crop, spec.decode) == (17, "udp", "udp-offset")
        assert [name for name, _ in spec.outputs] == ["heatmaps", "offsets", "hf"]
        assert deployed_spec(checkpoint, deployable(checkpoint), "fp32", None).outputs == spec.outputs

    def test_it_can_be_saved_as_our_own(self, saved, tmp_path):
        read = load_checkpoint(saved(content(SMALL, "official")))
        options = {"keypoints": read.keypoints, **read.options}
        save_checkpoint(tmp_path / "own.pt", read.variant, options, read.state, read.spec, read.training)
        again = load_checkpoint(tmp_path / "own.pt")
        assert (again.variant, again.spec, again.training) == (read.variant, read.spec, read.training)
        assert all(torch.equal(again.state[name], value) for name, value in read.state.items())

    def test_a_spec_for_other_channels_does_not_fit(self, saved):
        read = load_checkpoint(saved(content(SMALL, "official")))
        read.spec["channels"] = 4
        with pytest.raises(ModelFileError, match="reads 3 channels, and the checkpoint's spec says 4"):
            deployed_spec(read, deployable(read), "fp32", None)


class TestRefused:
    def test_what_is_missing_unexpected_or_of_another_shape_in_the_files_own_names(self, saved):
        state = renamed(SMALL, "mmpose 1.x")
        del state["backbone.layer1.0.bn2.weight"]
        state["head.deconv_layers.0.weight"] = torch.zeros(3)
        state["backbone.stage3.0.branches.1.0.conv1.weight"] = torch.zeros(9, 32, 3, 3)
        with pytest.raises(ModelFileError) as caught:
            load_checkpoint(saved({"meta": {}, "state_dict": state}))
        message = str(caught.value)
        assert "net.pth: its weights do not fit hrnet_w18_small_v1: " in message
        assert "missing: backbone.layer1.0.bn2.weight; " in message
        assert "unexpected: head.deconv_layers.0.weight; " in message
        named = "backbone.stage3.0.branches.1.0.conv1.weight [9, 32, 3, 3] in place of [32, 32, 3, 3]"
        assert message.endswith(f"of another shape: {named}")

    def test_many_are_shortened(self, saved):
        state = renamed(SMALL, "official")
        kept = {name: value for name, value in state.items() if not name.startswith("stage3.0.branches")}
        with pytest.raises(
            ModelFileError, match=r"missing: stage3\.0\.branches\.0\.0\.conv1\.weight, .* and \d+ more$"
        ):
            load_checkpoint(saved(kept))

    def test_a_classification_network(self, saved):
        state = renamed(SMALL, "official") | {"classifier.weight": torch.zeros(9, 9), "classifier.bias": torch.zeros(9)}
        with pytest.raises(ModelFileError, match=r"net\.pth: it is a classification network \(ImageNet\)"):
            load_checkpoint(saved(state))

    def test_a_trunk_alone(self, saved):
        state = {name: value for name, value in renamed(SMALL, "mmpose 1.x").items() if not name.startswith("head.")}
        with pytest.raises(ModelFileError, match=r"without a keypoint head \(no head\.final_layer\.weight\)"):
            load_checkpoint(saved({"state_dict": state}))

    def test_a_plan_that_is_none_of_ours(self, saved):
        state = renamed(SMALL, "official") | {"transition1.0.0.weight": torch.zeros(44, 128, 3, 3)}
        with pytest.raises(
            ModelFileError, match=r"an HRNet, but none that is known: HRNetPlan\(width=44, .*known: hrnet_w16"
        ):
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
    def test_what_is_of_neither_family(self, saved, value):
        with pytest.raises(ModelFileError, match="nor a published one of HRNet or Lite-HRNet"):
            load_checkpoint(saved(value))

    def test_more_than_tensors_with_the_way_out(self, saved, tmp_path, monkeypatch):
        path = saved(content(SMALL, "mmpose 0.x") | {"message_hub": argparse.Namespace(loss=1)})
        with pytest.raises(ModelFileError, match=r"holds Python objects .* Where you trust it") as caught:
            load_checkpoint(path)
        code = str(caught.value).split('python -c "')[1].removesuffix('"')
        monkeypatch.chdir(tmp_path)
        exec(code, {})
        assert load_checkpoint(tmp_path / "net-tensors.pth").variant == SMALL
        assert "message_hub" not in torch.load(tmp_path / "net-tensors.pth", weights_only=True)

    def test_the_way_out_keeps_what_a_file_of_mmpose_1_says_of_itself(self, saved, tmp_path, monkeypatch):
        value = content(SMALL, "mmpose 1.x", 4) | {
            "meta": {"dataset_meta": DATA_SET},
            "message_hub": argparse.Namespace(),
        }
        with pytest.raises(ModelFileError, match="Where you trust it") as caught:
            load_checkpoint(saved(value))
        monkeypatch.chdir(tmp_path)
        exec(str(caught.value).split('python -c "')[1].removesuffix('"'), {})
        assert load_checkpoint(tmp_path / "net-tensors.pth").spec["keypoints"][0] == "wrist"


class TestAccepted:
    def test_the_old_file_format_and_names_of_data_parallel_training(self, saved):
        state = {f"module.{name}": value for name, value in renamed(SMALL, "official").items()}
        path = saved({"epoch": 3, "state_dict": state, "perf": 0.5}, _use_new_zipfile_serialization=False)
        assert load_checkpoint(path).variant == SMALL

    def test_counters_of_batches_may_be_missing(self, saved):
        state = renamed(SMALL, "official")
        path = saved({name: value for name, value in state.items() if not name.endswith("num_batches_tracked")})
        read = load_checkpoint(path)
        assert read.state["stem.conv1.bn.num_batches_tracked"] == 0
        build_model(read)


class TestNumbersOfNumpy:
    """What mmpose 1.x writes into ``meta``: torch reads none of it by itself."""

    ARRAYS = (
        np.float64(0.5),
        np.arange(6, dtype=np.int64).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)),
        np.array([True, False]),
        np.array(3, np.uint8),
        np.zeros((0, 2), np.float32),
    )
    READ = (0.5, [[0, 1, 2], [3, 4, 5]], [[0, 1, 2], [3, 4, 5]], [True, False], [3], [])

    def with_meta(self, **meta):
        return content(SMALL, "mmpose 1.x", 4) | {"meta": meta}

    @pytest.mark.parametrize("module", ["numpy._core.multiarray", "numpy.core.multiarray"])
    def test_they_become_lists_whichever_numpy_wrote_them(self, saved, module):
        path = saved({"meta": self.ARRAYS}, _use_new_zipfile_serialization=False)
        written = path.read_bytes().replace(b"numpy.core.multiarray", b"numpy._core.multiarray")
        path.write_bytes(written.replace(b"numpy._core.multiarray", module.encode()))
        with pytest.raises(Exception, match=r"numpy\._?core\.multiarray"):
            torch.load(path, weights_only=True)
        with plain_arrays():
            found = torch.load(path, weights_only=True)["meta"]
        assert found == self.READ
        with pytest.raises(Exception, match=r"numpy\._?core\.multiarray"):
            torch.load(path, weights_only=True)

    def test_a_file_of_mmpose_1_says_what_its_keypoints_are(self, saved):
        read = load_checkpoint(saved(self.with_meta(dataset_meta=DATA_SET, epoch=210)))
        spec = ModelSpec.from_dict(read.spec)
        assert (read.keypoints, spec.keypoints) == (4, ("wrist", "left_tip", "right_tip", "palm"))
        assert (spec.skeleton, spec.flip_pairs) == (((0, 3), (3, 1), (3, 2)), ((1, 2),))
        assert (spec.oks_sigmas, spec.crop) == ((0.5, 0.25, 0.25, 0.125), "hrnet")
        assert (spec.decode, spec.input_size) == ("quarter", (256, 192))

    def test_17_keypoints_need_not_be_coco_s(self, saved):
        names = {index: f"paw-{index}" for index in range(17)}
        meta = DATA_SET | {"keypoint_id2name": names, "flip_indices": list(range(17)), "sigmas": np.full(17, 0.5)}
        read = load_checkpoint(saved(content(SMALL, "mmpose 1.x", 17) | {"meta": {"dataset_meta": meta}}))
        spec = ModelSpec.from_dict(read.spec)
        assert (spec.keypoints[16], spec.flip_pairs, spec.oks_sigmas[0]) == ("paw-16", (), 0.5)

    def test_offsets_of_any_number_of_keypoints(self, saved):
        value = content(SMALL, "mmpose 1.x", 4, offsets=True) | {"meta": {"dataset_meta": DATA_SET}}
        read = load_checkpoint(saved(value))
        assert (read.keypoints, read.options, read.spec["decode"]) == (4, {"offsets": True}, "udp-offset")
        assert read.spec["crop"] == "udp"

    def test_a_head_of_other_maps_is_refused(self, saved):
        value = content(SMALL, "mmpose 1.x", 8) | {"meta": {"dataset_meta": DATA_SET}}
        with pytest.raises(ModelFileError, match=r"net\.pth: its head gives 8 maps for 4 keypoints"):
            load_checkpoint(saved(value))

    @pytest.mark.parametrize(
        "value",
        [
            argparse.Namespace(loss=1),
            np.array([argparse.Namespace(loss=1)], object),
            np.array([1, "a"], object),
            np.array(["text"]),
            np.zeros(2, [("a", "f4")]),
            np.datetime64("2024-01-01"),
            np.random.default_rng(0),
            np.float32,
        ],
        ids=["object", "object array", "array of Python's", "text", "records", "date", "generator", "type"],
    )
    def test_all_else_is_refused_with_the_way_out(self, saved, value):
        with pytest.raises(ModelFileError, match=r"holds Python objects .* Where you trust it"):
            load_checkpoint(saved(self.with_meta(dataset_meta=DATA_SET, other=value)))

    @pytest.mark.parametrize("wrapped", [lambda v: v, lambda v: np.array([v], object), lambda v: {"a": [v]}])
    def test_nothing_that_a_file_names_is_called(self, saved, tmp_path, wrapped):
        class Hostile:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "ran"),)

        with pytest.raises(ModelFileError, match="holds Python objects"):
            load_checkpoint(saved(self.with_meta(value=wrapped(Hostile()))))
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize(
        "state",
        [
            (1, (9,), "kind", False, bytes(8)),  # more numbers than bytes
            (1, (1,), "kind", False, [1.0]),
            (1, (1,), bytes(8), False, bytes(8)),
            (1,),
        ],
    )
    def test_an_array_that_does_not_fit_its_bytes_is_damage(self, saved, state):
        kind = np.dtype(np.float64)

        class Array:
            def __reduce__(self):
                function, arguments, _ = np.zeros(0).__reduce__()
                return function, arguments, tuple(kind if item == "kind" else item for item in state)

        with pytest.raises(ModelFileError, match="is damaged or no checkpoint"):
            load_checkpoint(saved(self.with_meta(value=Array())))

    def test_several_threads_read_at_once(self, saved):
        path = saved(self.with_meta(dataset_meta=DATA_SET))
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(load_checkpoint, [path] * 8))
        assert {read.spec["keypoints"][0] for read in found} == {"wrist"}


class TestStated:
    """What is malformed in ``meta`` states nothing, and the number of keypoints decides."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"keypoint_id2name": {1: "one", 2: "two"}},
            {"keypoint_id2name": {0: "a", 1: "a", 2: "b", 3: "c"}},
            {"keypoint_id2name": {0: 0, 1: 1, 2: 2, 3: 3}},
            {"keypoint_id2name": None},
            {"flip_indices": [0, 1]},
            {"flip_indices": [1, 2, 0, 3]},
            {"flip_indices": ["a", "b", "c", "d"]},
            {"skeleton_links": [[0, 9]]},
            {"skeleton_links": [[0]]},
            {"skeleton_links": 1},
            {"sigmas": [0.5]},
            {"sigmas": [0.5, 0.5, 0.5, 0.0]},
            {"sigmas": ["a", "b", "c", "d"]},
        ],
    )
    def test_malformed_data_sets(self, saved, changes):
        assert stated_fields({"dataset_meta": DATA_SET | changes}) == {}
        value = content(SMALL, "mmpose 1.x", 17) | {"meta": {"dataset_meta": DATA_SET | changes}}
        assert load_checkpoint(saved(value)).spec["keypoints"][0] == "nose"

    @pytest.mark.parametrize("meta", [None, 3, [], torch.zeros(2), {"dataset_meta": 3}, {"dataset_meta": {}, "cfg": 3}])
    def test_no_meta_at_all(self, meta):
        assert stated_fields(meta) == {}

    @pytest.mark.parametrize(
        ("kind", "more", "expected"),
        [
            ("MSRAHeatmap", "", ("hrnet", "quarter-mmpose", 11)),
            ("MSRAHeatmap", "blur_kernel_size=17,\n    unbiased=True,\n    ", ("hrnet", "dark", 17)),
            ("UDPHeatmap", "", ("udp", "udp", 11)),
        ],
    )
    def test_the_codec(self, saved, kind, more, expected):
        config = CONFIG.format(kind=kind, more=more)
        read = load_checkpoint(saved(content(SMALL, "mmpose 1.x") | {"meta": {"cfg": config}}))
        spec = ModelSpec.from_dict(read.spec)
        assert (spec.crop, spec.decode, spec.kernel) == expected
        assert (spec.input_size, spec.keypoints[0], len(spec.oks_sigmas)) == ((384, 288), "nose", 17)

    def test_a_combined_codec(self, saved):
        config = CONFIG.format(kind="UDPHeatmap", more="blur_kernel_size=17,\n    heatmap_type='combined',\n    ")
        read = load_checkpoint(saved(content(SMALL, "mmpose 1.x", offsets=True) | {"meta": {"cfg": config}}))
        assert (read.spec["crop"], read.spec["decode"], read.spec["kernel"]) == ("udp", "udp-offset", 17)

    @pytest.mark.parametrize(
        "config",
        [
            "",
            "codec = 3",
            "codec = dict(type='MSRAHeatmap')\ninput_size=(192, 256)",
            "codec = dict(type='SimCCLabel', input_size=(192, 256))",
            "codec = dict(type='MSRAHeatmap', input_size=(190, 250))",  # of no network of these families
            "codec = dict(type='MSRAHeatmap', input_size=(192, 256), blur_kernel_size=4)",
            "model = dict(\n    codec = dict(type='MSRAHeatmap', input_size=(192, 256)))",
        ],
    )
    def test_other_configurations(self, config):
        assert stated_fields({"cfg": config}) == {}
