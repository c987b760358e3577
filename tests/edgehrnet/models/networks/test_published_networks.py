"""HRNet and Lite-HRNet: shapes, options, fusions, quantizer placement, folding, export."""

import dataclasses
import functools
from typing import Any

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


def randomized(module, seed=0):
    """Give a module weights and statistics with which every layer matters. Initial weights are almost zero."""
    torch.manual_seed(seed)
    initialize_convolutions(module)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.0)
            nn.init.normal_(part.bias, 0, 0.2)
            nn.init.normal_(part.get_buffer("running_mean"), 0, 0.2)
            nn.init.uniform_(part.get_buffer("running_var"), 0.8, 1.5)
        elif isinstance(part, nn.Conv2d) and part.bias is not None:
            nn.init.normal_(part.bias, 0, 0.2)
    return module


@functools.cache
def network(name):
    net = randomized(create(name, keypoints=3)).eval()
    nn.init.normal_(net.head.predict.weight, 0, 0.1)
    return net


def picture(batch=1, height=64, width=96):
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


def maps(widths, size=16, batch=2):
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(batch, width, size >> i, size >> i, generator=generator) for i, width in enumerate(widths)]


@pytest.mark.parametrize("name", FEATURES)
def test_output_shapes(name):
    with torch.no_grad():
        out = network(name)(picture())
    assert out.hf.shape == (1, FEATURES[name], 16, 24)
    assert out.heatmaps.shape == (1, 3, 16, 24)
    assert (out.offsets, out.extras) == (None, {})
    torch.testing.assert_close(out.heatmaps, network(name).head(out.hf))
    assert out.heatmaps.std() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_every_network_states_its_inputs_and_outputs(weightless, name):
    net = weightless(name)
    assert isinstance(net, KeypointNetwork)
    assert (net.in_channels, net.keypoints, net.gives_offsets, net.extra_outputs) == (3, 17, False, ())


def test_edgehrnet_states_its_inputs_and_outputs():
    net = create("edgehrnet18", keypoints=2, boundary=True, pyramid=True)
    assert (net.in_channels, net.keypoints, net.gives_offsets) == (4, 2, True)
    assert net.extra_outputs == tuple(net.eval()(torch.zeros(1, 4, 32, 32)).extras)


@pytest.mark.parametrize("name", ["hrnet_w18_small_v1", "litehrnet18"])
def test_wrong_input_shape_is_refused(name):
    with pytest.raises(InputError, match=r"\[1, 4, 32, 32\].*\[B, 3, H, W\]"):
        network(name)(torch.zeros(1, 4, 32, 32))
    with pytest.raises(InputError, match="48x32"):
        network(name)(torch.zeros(1, 3, 48, 32))


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("hrnet_w32", {"fuse": "sum"}, UnknownKeywordError, "hrnet_w32.*'fuse'"),
        ("litehrnet18", {"fpn": "A"}, UnknownKeywordError, "litehrnet18.*'fpn'"),
        ("edgehrnet18", {"offsets": True}, UnknownKeywordError, "edgehrnet18.*'offsets'"),
        ("litehrnet18", {"offsets": 1}, InputError, "offsets=1"),
        ("litehrnet18", {"keypoints": 0}, InputError, "keypoints=0"),
    ],
)
def test_wrong_option_is_refused(name, options, error, message):
    with pytest.raises(error, match=message):
        create(name, **options)


@pytest.mark.parametrize("name", NAMES)
def test_spec_of_every_variant_is_valid(name):
    spec = ModelSpec(name, ("a",), **VARIANTS[name].spec)
    assert (spec.channels, spec.heatmap_values, spec.decode, spec.cell_offset) == (3, "linear", "quarter", 0.0)
    assert spec.input_size == ((256, 256) if name == "hrnetv2_w18" else (256, 192))


def test_offsets_are_scaled_to_cells_and_heatmaps_are_not():
    net = randomized(create("hrnet_w18_small_v1", keypoints=3, offsets=True)).eval()
    nn.init.normal_(net.head.predict.weight, 0, 0.1)
    with torch.no_grad():
        out = net(picture())
        raw = net.head(out.hf)
    assert net.gives_offsets
    assert out.offsets.shape == (1, 6, 16, 24)
    for k in range(3):
        assert torch.equal(out.heatmaps[:, k], raw[:, 3 * k])
        # The published factor is 3.5 cells on a 64x48 map. Here the longer side has 24 cells.
        torch.testing.assert_close(out.offsets[:, 2 * k], raw[:, 3 * k + 1] * 0.0546875 * 24)
        torch.testing.assert_close(out.offsets[:, 2 * k + 1], raw[:, 3 * k + 2] * 0.0546875 * 24)
    assert 0.0546875 * 64 == 3.5


@pytest.mark.parametrize("name", ["hrnet_w18_small_v1", "hrnetv2_w18", "litehrnet18", "naive_litehrnet18"])
def test_in_place_gives_equal_outputs_and_gradients_and_every_weight_has_one(name):
    torch.manual_seed(0)
    plain: Any = randomized(create(name, keypoints=3, inplace=False))
    fast: Any = create(name, keypoints=3)
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
            continue  # The head takes only the first branch.
        assert torch.equal(first.grad, second.grad), path
        assert first.grad.abs().max() > 0, f"{path} is not used"


@pytest.mark.parametrize("name", ["hrnet_w18_small_v1", "hrnetv2_w18", "litehrnet18", "naive_litehrnet18"])
def test_folding_does_not_change_outputs(name):
    net = network(name)
    folded = fold_batchnorm(net)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    with torch.no_grad():
        expected, got = net(picture()), folded(picture())
    for a, b in zip(expected[:2], got[:2], strict=True):
        torch.testing.assert_close(b, a, rtol=0, atol=1e-4 * a.abs().max().item())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hrnet_w18_small_v1", "litehrnet18"])
def test_exported_graph_gives_the_same_values(name):
    deployed = Deployed(network(name), PUBLISHED["mean"], PUBLISHED["std"]).eval()
    image = torch.randint(0, 256, (1, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    program = torch.export.export(deployed, (image,))
    with torch.no_grad():
        expected, got = deployed(image), program.module()(image)
    assert list(expected) == ["heatmaps", "hf"]
    assert expected["hf"].shape == (1, 16, 24, FEATURES[name])
    for key, value in expected.items():
        torch.testing.assert_close(got[key], value)


def test_input_with_three_channels_is_normalized_everywhere():
    mean, std = PUBLISHED["mean"], PUBLISHED["std"]
    image = torch.tensor([[[[0, 0, 0], [255, 51, 204]]]], dtype=torch.uint8)
    found = network_input(image, mean, std)
    expected = [
        [(v - m) / s for v in values] for values, m, s in zip([(0, 1), (0, 0.2), (0, 0.8)], mean, std, strict=True)
    ]
    torch.testing.assert_close(found, torch.tensor(expected).reshape(1, 3, 1, 2))
    assert torch.equal(network_input(image, (0, 0, 0), (1, 1, 1))[0, :, 0, 1] * 255, torch.tensor([255.0, 51, 204]))


@pytest.mark.parametrize("training", [True, False])
def test_bias_before_a_norm_is_kept_with_quantized_weights(training):
    unit = randomized(ConvBNAct(4, 6, 1, STYLE, bias=True)).train(training)
    rounded = randomized(ConvBNAct(4, 6, 1, STYLE, bias=True)).train(training)
    rounded.quantize_weight = nn.Identity()
    x = maps((4,))[0]
    torch.testing.assert_close(rounded(x), unit(x))
    assert unit.conv.bias.abs().max() > 0.1


class TestQuantizers:
    @pytest.mark.parametrize("name", ["hrnet_w18_small_v1", "hrnetv2_w18", "litehrnet18", "naive_litehrnet18"])
    @pytest.mark.parametrize("adds", ["identity", "all"])
    def test_all_convolutions_except_the_last_are_quantized(self, name, adds):
        net = network(name)
        found = place(net, SCHEMES["openvino"].replace(adds=adds))
        units = {path for path, module in net.named_modules() if type(module).__name__ == "ConvBNAct"}
        assert set(found.convolutions) == units
        assert len(found.convolutions) == len(units)
        assert found.inputs == {"stem.conv1.input"}

    def test_identity_of_a_block_is_quantized_after_its_activation(self):
        sites = place(network("hrnet_w18_small_v1"), SCHEMES["openvino"]).sites
        assert "stage2.hr_modules.0.branches.1.0.relu" in sites
        assert "stage2.hr_modules.0.branches.1.0.add" not in sites
        assert "stage2.hr_modules.0.fusion.relu.0" in sites

    def test_first_sum_of_a_lite_fusion_is_quantized_before_its_activation(self):
        sites = place(network("litehrnet18"), SCHEMES["openvino"]).sites
        module = "stage3.hr_modules.0.fusion"
        readers = sites[f"{module}.add.0"]
        assert readers == (f"{module}.paths.1_0.0.depthwise", f"{module}.paths.2_0.0.depthwise")


class TestHRNet:
    def test_fusion_is_relu_of_the_sum_over_all_branches(self):
        widths = (4, 8, 16)
        fusion = randomized(high.Fusion(widths, 3, "nearest", STYLE)).eval()
        given = maps(widths)
        kept = [x.clone() for x in given]
        with torch.no_grad():
            found = fusion(given)
            for i, branch in enumerate(given):
                total = torch.zeros_like(branch)
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

    def test_last_step_of_a_strided_chain_changes_the_width_and_is_linear(self):
        steps: list[Any] = list(high.strided_chain(4, 16, 2, STYLE))
        assert [(s.conv.in_channels, s.conv.out_channels, s.conv.stride) for s in steps] == [
            (4, 4, (2, 2)),
            (4, 16, (2, 2)),
        ]
        assert [type(s.act) for s in steps] == [nn.ReLU, nn.Identity]

    def test_last_module_computes_only_branches_that_the_head_takes(self, weightless):
        names = [name for name, _ in weightless("hrnet_w18").named_parameters()]
        assert {name.split(".paths.")[1][0] for name in names if "stage4.hr_modules.2.fusion" in name} == {"0"}
        mixed = [name for name, _ in weightless("hrnetv2_w18").named_parameters()]
        assert {name.split(".paths.")[1][0] for name in mixed if "stage4.hr_modules.2.fusion" in name} == set("0123")

    def test_hrnetv2_mixes_all_branches_at_a_quarter(self):
        widths = (4, 8, 16, 32)
        mix = randomized(high.Mix(widths, STYLE)).eval()
        given = maps(widths)
        resized = [F.interpolate(x, size=(16, 16), mode="bilinear", align_corners=False) for x in given]
        with torch.no_grad():
            plain = mix.conv.bn(mix.conv.conv(torch.cat(resized, 1))).clamp(min=0)
            torch.testing.assert_close(mix(given), plain)
        assert mix.conv.conv.bias is not None

    def test_plans_of_variants(self):
        assert high.HRNETS["hrnet_w48"].channels == (48, 96, 192, 384)
        assert set(high.HRNETS) | set(lite.LITE_HRNETS) == set(NAMES)
        assert dataclasses.replace(high.HRNETS["hrnetv2_w18"], mixed=False) == high.HRNETS["hrnet_w18"]


def published_fusion(fusion, branches):
    """The fusion as the published code computes it: in place, so that the first sum is an input of the others."""
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
    def test_fusion_equals_the_published_one_exactly(self, branches):
        widths = (6, 12, 24, 48)[:branches]
        fusion = randomized(lite.Fusion(widths, STYLE)).eval()
        given = maps(widths)
        kept = [x.clone() for x in given]
        with torch.no_grad():
            found, expected = fusion(given), published_fusion(fusion, given)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        assert all(torch.equal(a, b) for a, b in zip(given, kept, strict=True))

    def test_fusion_differs_from_the_ordinary_sum(self):
        widths = (6, 12)
        fusion = randomized(lite.Fusion(widths, STYLE)).eval()
        first, second = maps(widths)
        with torch.no_grad():
            ordinary = (first + fusion.paths["0_1"](second)).clamp(min=0)
            assert (fusion([first, second])[0] - ordinary).norm() > 0.3 * ordinary.norm()

    def test_cross_resolution_weighting_equals_adaptive_pooling_exactly(self):
        widths = (4, 8, 16)
        weighting = randomized(CrossResolutionWeighting(widths, STYLE)).eval()
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
        weighting = randomized(SpatialWeighting(8, STYLE))
        x = maps((8,))[0]
        with torch.no_grad():
            hidden = F.conv2d(F.adaptive_avg_pool2d(x, 1), weighting.conv1.conv.weight, weighting.conv1.conv.bias)
            gate = F.conv2d(hidden.clamp(min=0), weighting.conv2.conv.weight, weighting.conv2.conv.bias).sigmoid()
            assert torch.equal(weighting(x), x * gate)
        assert [name for name, _ in weighting.named_parameters()] == [
            f"conv{n}.conv.{kind}" for n in (1, 2) for kind in ("weight", "bias")
        ]

    def test_widths_inside_a_weighting_block(self):
        block: Any = ConditionalChannelWeighting((40, 80, 160, 320), STYLE)
        assert block.across.conv1.conv.weight.shape == (37, 300, 1, 1)
        assert [gate.conv1.conv.out_channels for gate in block.spatial] == [5, 10, 20, 40]

    def test_half_of_the_channels_pass_unchanged_and_are_interleaved(self):
        block = randomized(ConditionalChannelWeighting((8, 16), STYLE)).eval()
        given = maps((8, 16))
        with torch.no_grad():
            found = block(given)
        for x, y in zip(given, found, strict=True):
            half = x.shape[1] // 2
            assert torch.equal(y[:, 0::2], x[:, :half])
            assert not torch.isclose(y[:, 1::2], x[:, half:]).any(dim=(0, 2, 3)).all()

    def test_iterative_head_upsamples_with_aligned_corners(self):
        widths = (4, 8, 16, 32)
        head = randomized(lite.IterativeHead(widths, STYLE)).eval()
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

    def test_number_in_a_name_counts_the_layers(self):
        for name, plan in lite.LITE_HRNETS.items():
            assert name.endswith(str(2 + lite.BLOCKS * sum(plan.modules)))
