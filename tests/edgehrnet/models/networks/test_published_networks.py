"""HRNet and Lite-HRNet: shapes, options, fusions, quantizers, folding, export."""

import dataclasses
import functools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgehrnet.errors import InputError, UnknownKeywordError
from edgehrnet.models import KeypointNetwork, available, create
from edgehrnet.models.deploy.export_module import Deployed, network_input
from edgehrnet.models.deploy.folding import fold_batchnorm
from edgehrnet.models.layers.blocks import ConvBNAct, initialize_convolutions
from edgehrnet.models.layers.style import Style
from edgehrnet.models.networks import hrnet as high
from edgehrnet.models.networks import litehrnet as lite
from edgehrnet.models.networks.litehrnet_blocks import (
    ConditionalChannelWeighting,
    CrossResolutionWeighting,
    SpatialWeighting,
)
from edgehrnet.models.variants import PUBLISHED, VARIANTS
from edgehrnet.spec import ModelSpec
from quant.int8.placement import place
from quant.int8.scheme import SCHEMES

NAMES = [name for name in available() if VARIANTS[name].family != "edgehrnet"]
FEATURES = {
    "hrnet_w18_small_v1": 16,
    "hrnetv2_w18": 270,
    "litehrnet18": 40,
    "naive_litehrnet18": 30,
    "wider_naive_litehrnet18": 40,
}
STYLE = Style("relu")


def alive(module, seed=0):
    """Weights and statistics under which every layer matters; as published, all begins next to zero."""
    torch.manual_seed(seed)
    initialize_convolutions(module)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.0)
            nn.init.normal_(part.bias, 0, 0.2)
            nn.init.normal_(part.running_mean, 0, 0.2)
            nn.init.uniform_(part.running_var, 0.8, 1.5)
        elif isinstance(part, nn.Conv2d) and part.bias is not None:
            nn.init.normal_(part.bias, 0, 0.2)
    return module


@functools.cache
def network(name):
    net = alive(create(name, keypoints=3)).eval()
    nn.init.normal_(net.head.predict.weight, 0, 0.1)
    return net


def picture(batch=1, height=64, width=96):
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


def maps(widths, size=16, batch=2):
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(batch, width, size >> i, size >> i, generator=generator) for i, width in enumerate(widths)]


@pytest.mark.parametrize("name", FEATURES)
def test_shapes(name):
    with torch.no_grad():
        out = network(name)(picture())
    assert out.hf.shape == (1, FEATURES[name], 16, 24)
    assert out.heatmaps.shape == (1, 3, 16, 24)
    assert (out.offsets, out.extras) == (None, {})
    torch.testing.assert_close(out.heatmaps, network(name).head(out.hf))
    assert out.heatmaps.std() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_every_network_says_what_goes_in_and_what_comes_out(name):
    with torch.device("meta"):
        net = create(name, keypoints=4)
    assert isinstance(net, KeypointNetwork)
    assert (net.in_channels, net.keypoints, net.gives_offsets, net.extra_outputs) == (3, 4, False, ())


def test_edgehrnet_says_so_too():
    net = create("edgehrnet18", keypoints=2, boundary=True, pyramid=True)
    assert (net.in_channels, net.keypoints, net.gives_offsets) == (4, 2, True)
    assert net.extra_outputs == tuple(net.eval()(torch.zeros(1, 4, 32, 32)).extras)


@pytest.mark.parametrize("name", ["hrnet_w18_small_v1", "litehrnet18"])
def test_other_inputs_are_refused(name):
    with pytest.raises(InputError, match=r"\[B, 3, H, W\] \(RGB\), not \[1, 4, 32, 32\]"):
        network(name)(torch.zeros(1, 4, 32, 32))
    with pytest.raises(InputError, match=r"48x32 .* nearest are"):
        network(name)(torch.zeros(1, 3, 48, 32))


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("hrnet_w32", {"fuse": "avg"}, InputError, "nobody has published code .* no checkpoint"),
        ("hrnet_w32", {"fuse": "concat"}, InputError, "nobody has published code .* no checkpoint"),
        ("hrnet_w32", {"fuse": "summ"}, InputError, "did you mean 'sum'"),
        ("hrnet_w32", {"fpn": "A"}, UnknownKeywordError, "hrnet_w32 has no option 'fpn'"),
        ("litehrnet18", {"fuse": "sum"}, UnknownKeywordError, "litehrnet18 has no option 'fuse'"),
        ("edgehrnet18", {"offsets": True}, UnknownKeywordError, "edgehrnet18 has no option 'offsets'"),
        ("litehrnet18", {"offsets": 1}, InputError, "offsets is True or False"),
        ("litehrnet18", {"keypoints": 0}, InputError, "at least 1"),
    ],
)
def test_impossible_options(name, options, error, message):
    with pytest.raises(error, match=message):
        create(name, **options)


def test_fuse_sum_is_what_there_is():
    assert create("hrnet_w18_small_v1", fuse="sum").options == high.HRNetOptions()


@pytest.mark.parametrize("name", NAMES)
def test_the_spec_of_a_variant_is_one(name):
    spec = ModelSpec(name, ("a",), **VARIANTS[name].spec)
    assert (spec.channels, spec.heatmap_values, spec.decode, spec.cell_offset) == (3, "linear", "quarter", 0.0)
    assert spec.input_size == ((256, 256) if name == "hrnetv2_w18" else (256, 192))


def test_offsets_come_out_in_cells_and_heatmaps_as_they_are():
    net = alive(create("hrnet_w18_small_v1", keypoints=3, offsets=True)).eval()
    nn.init.normal_(net.head.predict.weight, 0, 0.1)
    with torch.no_grad():
        out = net(picture())
        raw = net.head(out.hf)
    assert net.gives_offsets
    assert out.offsets.shape == (1, 6, 16, 24)
    for k in range(3):
        assert torch.equal(out.heatmaps[:, k], raw[:, 3 * k])
        # 3.5 cells of a 64x48 map, as published; here the longer side is 24.
        torch.testing.assert_close(out.offsets[:, 2 * k], raw[:, 3 * k + 1] * 0.0546875 * 24)
        torch.testing.assert_close(out.offsets[:, 2 * k + 1], raw[:, 3 * k + 2] * 0.0546875 * 24)
    assert 0.0546875 * 64 == 3.5


@pytest.mark.parametrize("name", ["hrnet_w18_small_v1", "hrnetv2_w18", "litehrnet18", "naive_litehrnet18"])
def test_in_place_changes_no_output_and_no_gradient_and_every_weight_has_one(name):
    torch.manual_seed(0)
    plain = alive(create(name, keypoints=3, inplace=False))
    fast = create(name, keypoints=3)
    fast.load_state_dict(plain.state_dict())
    assert any(getattr(m, "inplace", False) for m in fast.modules())
    assert not any(getattr(m, "inplace", False) for m in plain.modules())
    x = picture(2)
    kept = x.clone()
    for net in (plain, fast):
        nn.init.constant_(net.head.predict.weight, 0.1)
        net(x).heatmaps.square().sum().backward()
    assert torch.equal(x, kept)
    for (path, first), second in zip(plain.named_parameters(), fast.parameters(), strict=True):
        if "stage4.hr_modules.0.fusion.paths." in path and ".paths.0_" not in path and "small" in name:
            continue  # the head reads the first branch alone
        assert torch.equal(first.grad, second.grad), path
        assert first.grad.abs().max() > 0, f"{path} is not used"


@pytest.mark.parametrize("name", ["hrnet_w18_small_v1", "hrnetv2_w18", "litehrnet18", "naive_litehrnet18"])
def test_folding_keeps_what_is_computed(name):
    net = network(name)
    folded = fold_batchnorm(net)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    with torch.no_grad():
        expected, got = net(picture()), folded(picture())
    for a, b in zip(expected[:2], got[:2], strict=True):
        torch.testing.assert_close(b, a, rtol=0, atol=1e-4 * a.abs().max().item())


@pytest.mark.parametrize("name", ["hrnet_w18_small_v1", "litehrnet18"])
def test_exported_graph_gives_the_same_numbers(name):
    deployed = Deployed(network(name), PUBLISHED["mean"], PUBLISHED["std"]).eval()
    image = torch.randint(0, 256, (1, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    program = torch.export.export(deployed, (image,))
    with torch.no_grad():
        expected, got = deployed(image), program.module()(image)
    assert list(expected) == ["heatmaps", "hf"]
    assert expected["hf"].shape == (1, 16, 24, FEATURES[name])
    for key, value in expected.items():
        torch.testing.assert_close(got[key], value)


def test_three_channels_are_scaled_without_a_mask_padding_too():
    mean, std = PUBLISHED["mean"], PUBLISHED["std"]
    image = torch.tensor([[[[0, 0, 0], [255, 51, 204]]]], dtype=torch.uint8)
    found = network_input(image, mean, std)
    expected = [
        [(v - m) / s for v in values] for values, m, s in zip([(0, 1), (0, 0.2), (0, 0.8)], mean, std, strict=True)
    ]
    torch.testing.assert_close(found, torch.tensor(expected).reshape(1, 3, 1, 2))
    assert torch.equal(network_input(image, (0, 0, 0), (1, 1, 1))[0, :, 0, 1] * 255, torch.tensor([255.0, 51, 204]))


@pytest.mark.parametrize("training", [True, False])
def test_a_bias_before_a_norm_is_kept_while_weights_are_rounded(training):
    unit = alive(ConvBNAct(4, 6, 1, STYLE, bias=True)).train(training)
    rounded = alive(ConvBNAct(4, 6, 1, STYLE, bias=True)).train(training)
    rounded.quantize_weight = nn.Identity()
    x = maps((4,))[0]
    torch.testing.assert_close(rounded(x), unit(x))
    assert unit.conv.bias.abs().max() > 0.1


class TestQuantizers:
    @pytest.mark.parametrize("name", ["hrnet_w18_small_v1", "hrnetv2_w18", "litehrnet18", "naive_litehrnet18"])
    @pytest.mark.parametrize("adds", ["identity", "all"])
    def test_all_convolutions_but_the_last_run_on_integers(self, name, adds):
        net = network(name)
        found = place(net, SCHEMES["openvino"].replace(adds=adds))
        units = {path for path, part in net.named_modules() if type(part).__name__ == "ConvBNAct"}
        assert set(found.convolutions) == units
        assert len(found.convolutions) == len(units)
        assert found.inputs == {"stem.conv1.input"}

    def test_the_identity_of_a_block_is_rounded_where_it_is_activated(self):
        sites = place(network("hrnet_w18_small_v1"), SCHEMES["openvino"]).sites
        assert "stage2.hr_modules.0.branches.1.0.relu" in sites
        assert "stage2.hr_modules.0.branches.1.0.add" not in sites
        assert "stage2.hr_modules.0.fusion.relu.0" in sites

    def test_the_first_sum_of_a_lite_fusion_is_rounded_before_its_activation(self):
        sites = place(network("litehrnet18"), SCHEMES["openvino"]).sites
        module = "stage3.hr_modules.0.fusion"
        readers = sites[f"{module}.add.0"]
        assert readers == (f"{module}.paths.1_0.0.depthwise", f"{module}.paths.2_0.0.depthwise")


class TestHRNet:
    def test_a_fusion_is_the_sum_over_all_branches_then_relu(self):
        widths = (4, 8, 16)
        fusion = alive(high.Fusion(widths, 3, "nearest", STYLE)).eval()
        given = maps(widths)
        kept = [x.clone() for x in given]
        with torch.no_grad():
            found = fusion(given)
            for i, own in enumerate(given):
                total = torch.zeros_like(own)
                for j, x in enumerate(given):
                    if j == i:
                        total = total + x
                    elif j < i:
                        total = total + fusion.paths[f"{i}_{j}"](x)
                    else:
                        unit = fusion.paths[f"{i}_{j}"].pointwise
                        size = given[i].shape[2:]
                        total = total + F.interpolate(unit.bn(unit.conv(x)), size=size, mode="nearest")
                assert torch.equal(found[i], total.clamp(min=0))
        assert all(torch.equal(a, b) for a, b in zip(given, kept, strict=True))

    def test_only_the_last_steps_of_a_chain_down_change_the_width_and_are_linear(self):
        steps = list(high.strided_chain(4, 16, 2, STYLE))
        assert [(s.conv.in_channels, s.conv.out_channels, s.conv.stride) for s in steps] == [
            (4, 4, (2, 2)),
            (4, 16, (2, 2)),
        ]
        assert [type(s.act) for s in steps] == [nn.ReLU, nn.Identity]

    def test_the_last_module_gives_what_the_head_reads(self):
        names = [name for name, _ in network("hrnet_w18").named_parameters()]
        assert {name.split(".paths.")[1][0] for name in names if "stage4.hr_modules.2.fusion" in name} == {"0"}
        mixed = [name for name, _ in network("hrnetv2_w18").named_parameters()]
        assert {name.split(".paths.")[1][0] for name in mixed if "stage4.hr_modules.2.fusion" in name} == set("0123")

    def test_hrnetv2_mixes_all_branches_at_a_quarter(self):
        widths = (4, 8, 16, 32)
        mix = alive(high.Mix(widths, STYLE)).eval()
        given = maps(widths)
        resized = [F.interpolate(x, size=(16, 16), mode="bilinear", align_corners=False) for x in given]
        with torch.no_grad():
            plain = mix.conv.bn(mix.conv.conv(torch.cat(resized, 1))).clamp(min=0)
            torch.testing.assert_close(mix(given), plain)
        assert mix.conv.conv.bias is not None

    def test_rows(self):
        assert high.HRNETS["hrnet_w48"].channels == (48, 96, 192, 384)
        assert set(high.HRNETS) | set(lite.LITE_HRNETS) == set(NAMES)
        assert dataclasses.replace(high.HRNETS["hrnetv2_w18"], mixed=False) == high.HRNETS["hrnet_w18"]


def published_fusion(fusion, branches):
    """The published code's own way, word by word: sums in place, of which the first is also an input of the others."""
    out = [x.clone() for x in branches]

    def brought(i, j):
        if i == j:
            return out[j]
        path = fusion.paths[f"{i}_{j}"]
        if j < i:
            return path(out[j])
        low = path.pointwise.bn(path.pointwise.conv(out[j]))
        return F.interpolate(low, size=out[i].shape[2:], mode="nearest")

    fused = []
    for i in range(len(out)):
        y = out[0] if i == 0 else brought(i, 0)
        for j in range(len(out)):
            y += brought(i, j)
        fused.append(torch.relu(y))
    return fused


class TestLiteHRNet:
    @pytest.mark.parametrize("branches", [2, 3, 4])
    def test_a_fusion_is_the_published_one_to_the_last_bit(self, branches):
        widths = (6, 12, 24, 48)[:branches]
        fusion = alive(lite.Fusion(widths, STYLE)).eval()
        given = maps(widths)
        kept = [x.clone() for x in given]
        with torch.no_grad():
            found, expected = fusion(given), published_fusion(fusion, given)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        assert all(torch.equal(a, b) for a, b in zip(given, kept, strict=True))

    def test_a_fusion_is_not_the_ordinary_sum(self):
        widths = (6, 12)
        fusion = alive(lite.Fusion(widths, STYLE)).eval()
        first, second = maps(widths)
        with torch.no_grad():
            ordinary = (first + fusion.paths["0_1"](second)).clamp(min=0)
            assert (fusion([first, second])[0] - ordinary).norm() > 0.3 * ordinary.norm()

    def test_weighting_across_resolutions_pools_as_adaptive_pooling_does_to_the_last_bit(self):
        widths = (4, 8, 16)
        weighting = alive(CrossResolutionWeighting(widths, STYLE)).eval()
        given = maps(widths, size=32)
        with torch.no_grad():
            found = weighting(given)
            pooled = torch.cat([F.adaptive_avg_pool2d(x, given[-1].shape[2:]) for x in given], dim=1)
            weights = weighting.conv2(weighting.conv1(pooled)).split(list(widths), dim=1)
            expected = [
                x * F.interpolate(weight, size=x.shape[2:], mode="nearest")
                for x, weight in zip(given, weights, strict=True)
            ]
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        assert all((weight > 0).all() and (weight < 1).all() for weight in weights)

    def test_spatial_weighting_has_biases_and_no_norm(self):
        weighting = alive(SpatialWeighting(8, STYLE))
        x = maps((8,))[0]
        with torch.no_grad():
            hidden = F.conv2d(F.adaptive_avg_pool2d(x, 1), weighting.conv1.conv.weight, weighting.conv1.conv.bias)
            gate = F.conv2d(hidden.clamp(min=0), weighting.conv2.conv.weight, weighting.conv2.conv.bias).sigmoid()
            assert torch.equal(weighting(x), x * gate)
        assert [name for name, _ in weighting.named_parameters()] == [
            f"conv{n}.conv.{kind}" for n in (1, 2) for kind in ("weight", "bias")
        ]

    def test_widths_inside_a_block(self):
        block = ConditionalChannelWeighting((40, 80, 160, 320), STYLE)
        assert block.across.conv1.conv.weight.shape == (37, 300, 1, 1)
        assert [part.conv1.conv.out_channels for part in block.spatial] == [5, 10, 20, 40]

    def test_half_the_channels_pass_and_both_halves_take_turns(self):
        block = alive(ConditionalChannelWeighting((8, 16), STYLE)).eval()
        given = maps((8, 16))
        with torch.no_grad():
            found = block(given)
        for x, y in zip(given, found, strict=True):
            half = x.shape[1] // 2
            assert torch.equal(y[:, 0::2], x[:, :half])
            assert not torch.isclose(y[:, 1::2], x[:, half:]).any(dim=(0, 2, 3)).all()

    def test_the_iterative_head_goes_up_with_corners_aligned(self):
        widths = (4, 8, 16, 32)
        head = alive(lite.IterativeHead(widths, STYLE)).eval()
        given = maps(widths)
        kept = [x.clone() for x in given]
        with torch.no_grad():
            y = head.projects[0](given[3])
            for place, x in ((1, given[2]), (2, given[1]), (3, given[0])):
                y = x + F.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=True)
                y = head.projects[place](y)
            assert torch.equal(head(given), y)
        assert all(torch.equal(a, b) for a, b in zip(given, kept, strict=True))
        assert head.projects[3].pointwise.conv.weight.shape == (4, 4, 1, 1)

    def test_names_count_the_layers(self):
        for name, plan in lite.LITE_HRNETS.items():
            assert name.endswith(str(2 + lite.BLOCKS * sum(plan.modules)))
