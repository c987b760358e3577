"""EdgeHRNet: shapes, options, memory formats, in-place operations, gradient checkpointing, export."""

import copy

import pytest
import torch
from torch import nn

from edgehrnet.errors import InputError
from edgehrnet.models import create
from edgehrnet.models.networks.edgehrnet18 import unchanged_buffers

EXTRAS = {
    "boundary": {"boundary": (1, 4)},
    "sdf": {"sdf": (1, 4)},
    "pyramid": {"p3_td": (128, 8), "p4_td": (128, 16), "p5": (128, 32)},
    "auxiliary": {"aux_p3": (3, 8), "aux_p4": (3, 16)},
}
COMBINATIONS = [
    {},
    {"fuse": "weighted", "gate": "se", "down": "avgpool", "boundary": True},
    {"fuse": "weighted", "gate": "coord", "down": "blur", "pyramid": True, "activation": "hardswish"},
    {"fpn": "B", "gate": "se", "hidden_heads": True, "sdf": True, "auxiliary": True},
    {
        "gate": "coord",
        "modules": (2, 1, 2),
        "pyramid": True,
        "auxiliary": True,
        "boundary": True,
        "sdf": True,
    },
    {"fpn": "B", "fuse": "weighted", "checkpointing": True},
]
EVERYTHING = {
    "fuse": "weighted",
    "gate": "coord",
    "down": "blur",
    "modules": (1, 2, 1),
    "hidden_heads": True,
    "boundary": True,
    "sdf": True,
    "pyramid": True,
    "auxiliary": True,
}


def net_of(seed=0, keypoints=3, name="edgehrnet18", **options):
    torch.manual_seed(seed)
    return create(name, keypoints=keypoints, **options)


@pytest.fixture(scope="module")
def plain():
    """A network with default options, not to be changed."""
    return net_of().eval()


def picture(batch=1, height=32, width=64, dtype=torch.float32):
    return torch.rand(batch, 4, height, width, generator=torch.Generator().manual_seed(1), dtype=dtype)


def tensors(output):
    return {"hf": output.hf, "heatmaps": output.heatmaps, "offsets": output.offsets, **output.extras}


def backward(net, x):
    """Gradients of a loss that depends on every output."""
    net.zero_grad()
    weights = torch.Generator().manual_seed(2)
    loss = sum((torch.randn(t.shape, generator=weights) * t).mean() for t in tensors(net(x)).values())
    loss.backward()
    return {name: p.grad for name, p in net.named_parameters()}


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96), (256, 512), (160, 32)])
def test_output_shapes(height, width):
    net = net_of(keypoints=5).eval()
    with torch.no_grad():
        out = net(picture(2 if height < 256 else 1, height, width))
    batch = out.hf.shape[0]
    assert out.hf.shape == (batch, 128, height // 4, width // 4)
    assert out.heatmaps.shape == (batch, 5, height // 4, width // 4)
    assert out.offsets.shape == (batch, 10, height // 4, width // 4)
    assert out.extras == {}
    assert out._fields == ("hf", "heatmaps", "offsets", "extras")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 4, 250, 512), "250x512.*224x512.*256x512"),
        ((1, 4, 256, 500), "256x500.*256x480.*256x512"),
        ((1, 4, 33, 65), "33x65.*32x64.*64x96"),
        ((1, 4, 16, 16), "16x16.*32x32"),
        ((1, 4, 0, 32), "0x32"),
        ((1, 3, 64, 64), r"\[1, 3, 64, 64\].*\[B, 4, H, W\]"),
        ((4, 64, 64), r"\[4, 64, 64\]"),
    ],
)
def test_wrong_input_shape_is_refused(plain, shape, message):
    with pytest.raises(InputError, match=message):
        plain(torch.zeros(shape))


def test_uint8_input_is_refused(plain):
    with pytest.raises(InputError, match="uint8"):
        plain(torch.zeros(1, 4, 32, 32, dtype=torch.uint8))


@pytest.mark.parametrize("options", COMBINATIONS, ids=str)
def test_every_option_gives_its_outputs_and_gradients(options):
    net, x = net_of(**options), picture(2)
    expected = {"hf": (128, 4), "heatmaps": (3, 4), "offsets": (6, 4)}
    for option, extras in EXTRAS.items():
        expected |= extras if options.get(option) else {}
    shapes = {name: tuple(t.shape) for name, t in tensors(net(x)).items()}
    assert shapes == {name: (2, c, 32 // s, 64 // s) for name, (c, s) in expected.items()}
    for name, gradient in backward(net, x).items():
        assert gradient is not None, f"{name} is not used"
        assert gradient.isfinite().all(), name
        assert gradient.abs().max() > 0, name


def test_every_input_channel_and_every_branch_reaches_the_heatmaps():
    net = net_of().eval()
    nn.init.normal_(net.heads.heatmaps.predict.weight)
    x = picture()
    with torch.no_grad():
        base = net(x).heatmaps
        for channel in range(4):
            changed = x.clone()
            changed[:, channel] += 0.1
            assert (net(changed).heatmaps - base).abs().max() > 1e-4
        for lateral in (net.fpn.lateral2, net.fpn.lateral3, net.fpn.lateral4, net.fpn.lateral5):
            kept = lateral.bn.weight.clone()
            lateral.bn.weight.zero_()
            assert (net(x).heatmaps - base).abs().max() > 1e-4
            lateral.bn.weight.copy_(kept)


def test_p5_is_the_lateral_map_before_smoothing():
    net = net_of(pyramid=True).eval()
    seen: dict[str, torch.Tensor] = {}
    net.fpn.lateral5.register_forward_hook(lambda m, i, o: seen.update(p5=o.clone()))
    with torch.no_grad():
        assert torch.equal(net(picture()).extras["p5"], seen["p5"])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "options", [{}, EVERYTHING, {"activation": "hardswish", "fpn": "B"}], ids=["plain", "all", "B"]
)
def test_in_place_gives_equal_outputs_and_gradients_and_keeps_the_input(options, training):
    plain = net_of(inplace=False, **options).train(training)
    fast = net_of(inplace=True, **options).train(training)
    assert any(getattr(m, "inplace", False) for m in fast.modules())
    assert not any(getattr(m, "inplace", False) for m in plain.modules())
    x = picture(2)
    kept = x.clone()
    # The same operations in the same order give exactly equal values.
    first, second = tensors(plain(x)), tensors(fast(x))
    assert all(torch.equal(first[name], second[name]) for name in first)
    expected, got = backward(plain, x), backward(fast, x)
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    assert torch.equal(x, kept)


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "all"])
def test_checkpointing_gives_the_same_gradients_and_statistics(options):
    plain, saving = net_of(**options), net_of(checkpointing=True, **options)
    runs = []
    saving.stage3.register_forward_pre_hook(lambda *_: runs.append(1))
    for step in range(2):
        x = picture(2) + step
        expected, got = backward(plain, x), backward(saving, x)
        assert all(torch.equal(expected[name], got[name]) for name in expected)
    first, second = plain.state_dict(), saving.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert first["stage3.transition.down.depthwise.bn.num_batches_tracked"] == 2
    assert len(runs) == 4, "the stage was not recomputed"


def test_checkpointing_keeps_frozen_norms_and_is_off_in_eval_mode():
    plain, saving = net_of(), net_of(checkpointing=True)
    for net in (plain, saving):
        net.stage3.eval()
    x = picture(2)
    expected, got = backward(plain, x), backward(saving, x)
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    assert saving.stage3.transition.down.depthwise.bn.num_batches_tracked == 0
    runs = []
    saving.stage4.register_forward_pre_hook(lambda *_: runs.append(1))
    backward(saving.eval(), x)
    assert len(runs) == 1


def test_unchanged_buffers_restores_after_an_error():
    norm = nn.BatchNorm2d(3)
    mean = norm.get_buffer("running_mean")
    with pytest.raises(InputError, match="stopped"), unchanged_buffers(norm):
        _work_and_fail(norm)
    assert norm.num_batches_tracked == 0
    assert norm.running_mean is mean
    assert not mean.any()


def _work_and_fail(norm):
    norm(torch.randn(2, 3, 4, 4))
    assert norm.num_batches_tracked == 1
    raise InputError("stopped")


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "all"])
def test_channels_last_gives_the_same_values_in_channels_last(options):
    net = net_of(**options).eval()
    other = copy.deepcopy(net).to(memory_format=torch.channels_last)
    x = picture(2)
    with torch.no_grad():
        expected, got = tensors(net(x)), tensors(other(x.to(memory_format=torch.channels_last)))
    for name, value in got.items():
        assert value.is_contiguous(memory_format=torch.channels_last), name
        # Another order of summation. Rounding errors scale with the largest value of the map.
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-5 * expected[name].abs().max().item())


@pytest.mark.slow
@pytest.mark.parametrize("options", [EVERYTHING, {"fpn": "B", "gate": "se"}], ids=["all", "B"])
def test_exported_graph_gives_the_same_values(options):
    net = net_of(**options).eval()
    x = picture()
    program = torch.export.export(net, (x,))
    with torch.no_grad():
        expected, got = tensors(net(x)), tensors(program.module()(x))
    assert expected.keys() == got.keys()
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value)


def test_networks_from_one_seed_are_equal_and_share_no_memory():
    first, second = net_of(3), net_of(3)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not {p.data_ptr() for p in first.parameters()} & {p.data_ptr() for p in second.parameters()}
