"""Observed values and the ranges of each method, compared with values that are computed independently."""

import numpy as np
import pytest
import torch
from torch import nn

from edgehrnet.errors import InputError
from edgehrnet.models import create
from edgehrnet.models.deploy.export_module import network_input
from edgehrnet.models.deploy.folding import fold_batchnorm
from edgehrnet.models.layers.blocks import ConvBNAct, initialize_convolutions
from edgehrnet.models.layers.style import Style
from edgehrnet.picture.letterbox import letterbox
from edgehrnet.preparation import formatted, prepare
from edgehrnet.spec import ModelSpec
from quant.data.documents.corners import validation_scene
from quant.int8.calibration import (
    BATCH,
    METHODS,
    WIDER,
    Seen,
    choose_range,
    input_range,
    network_inputs,
    observe,
    quantization,
    range_table,
)
from quant.int8.placement import Placement, place
from quant.int8.scheme import SCHEMES
from quant.int8.torch_ao import HistogramObserver

SPEC = ModelSpec("corners", ("a", "b"), input_size=(64, 96))
UNSIGNED, SIGNED = SCHEMES["openvino"], SCHEMES["tensorrt"]


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = ConvBNAct(4, 8, 3, Style(), stride=2), ConvBNAct(8, 8, 3, Style())
        initialize_convolutions(self)

    def forward(self, x):
        return self.second(self.first(x))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Two().eval()


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return network_inputs([rng.integers(0, 256, (50, 70, 3), dtype=np.uint8) for _ in range(BATCH + 1)], SPEC)


def rounded(x, scale, zero, scheme):
    """Quantize and dequantize in float64."""
    return (np.clip(np.rint(x / scale) + zero, *scheme.limits) - zero) * scale


def squared_error(x, ends, scheme):
    low, high = ends
    return float(((rounded(x, *quantization(low, high, scheme), scheme) - x) ** 2).mean())


def silu_of_normals(rng, count=40_000):
    x = rng.normal(size=count) * 2
    return x / (1 + np.exp(-x))


DISTRIBUTIONS = {
    "silu": silu_of_normals,
    "laplace": lambda rng: rng.laplace(size=40_000),
    "student": lambda rng: rng.standard_t(3, size=40_000),
    "positive": lambda rng: rng.exponential(size=40_000),
    "negative": lambda rng: -rng.gamma(0.5, size=40_000),
}


@pytest.fixture(scope="module", params=list(DISTRIBUTIONS))
def values(request):
    return DISTRIBUTIONS[request.param](np.random.default_rng(0)).astype(np.float32)


def seen_of(values):
    """Return what an observer sees of values that arrive in ten batches."""
    observer = HistogramObserver(dtype=torch.uint8)
    for part in np.array_split(values, 10):
        observer(torch.from_numpy(part))
    return Seen(float(observer.min_val), float(observer.max_val), observer.histogram.double().numpy())


class TestHistogram:
    @pytest.mark.parametrize("scheme", [UNSIGNED, SIGNED], ids=["unsigned", "signed"])
    def test_histogram_range_is_close_to_the_best(self, values, scheme):
        ends = choose_range(seen_of(values), scheme, "histogram")
        x = values.astype(np.float64)
        low, high = min(x.min(), 0.0), max(x.max(), 0.0)
        shares = np.arange(1, 101) / 100
        if scheme.symmetric:
            most = max(high, -low)
            best = min(squared_error(x, (-share * most, share * most), scheme) for share in shares)
        else:
            # Search one end after the other, twice. Clipping at one end does not depend on the other end.
            best_low, best_high = low, high
            for _ in range(2):
                best_high = min(shares * high, key=lambda end: squared_error(x, (best_low, end), scheme))
                best_low = min(shares * low, key=lambda end: squared_error(x, (end, best_high), scheme))
            best = squared_error(x, (best_low, best_high), scheme)
        # The search has steps of 1/64 of the range, and assumes rounding errors that are evenly spread over a step.
        # Half of SiLU's values crowd at its minimum and share one rounding error.
        assert squared_error(x, ends, scheme) <= 1.12 * best

    @pytest.mark.parametrize("scheme", [UNSIGNED, SIGNED], ids=["unsigned", "signed"])
    def test_histogram_range_beats_the_full_range(self, values, scheme):
        seen, x = seen_of(values), values.astype(np.float64)
        ends = {method: choose_range(seen, scheme, method) for method in ("histogram", "minmax")}
        errors = {method: squared_error(x, ends[method], scheme) for method in ends}
        crowded = np.mean(np.abs(x - x.min()) < 0.1) > 0.1  # as values of SiLU are at its minimum
        assert errors["histogram"] <= (1.12 if crowded else 1) * errors["minmax"]
        # A histogram range is never wider than the full range.
        widths = {method: max(-low, high) if scheme.symmetric else high - low for method, (low, high) in ends.items()}
        assert widths["histogram"] <= widths["minmax"]

    @pytest.mark.parametrize("count", [80_000, 800_000, 5_000_000])
    @pytest.mark.parametrize("scheme", [UNSIGNED, SIGNED], ids=["unsigned", "signed"])
    def test_histogram_clips_an_outlier_at_the_optimum(self, count, scheme):
        """N values next to 0 and one at 1: (1 - h)^2 + N (a h)^2 / 12 is least at h = 1 / (1 + N a^2 / 12)."""
        counts = np.zeros(2048)
        counts[0], counts[-1] = count, 1
        step = 1 / 127 if scheme.symmetric else 1 / 255
        expected = 1 / (1 + count * step**2 / 12)
        _, high = choose_range(Seen(0.0, 1.0, counts), scheme, "histogram")
        assert high == pytest.approx(expected, abs=1 / 64 + 1 / 2048)


class TestOthers:
    def test_percentile_cuts_the_same_share_at_both_ends(self):
        # 10,000 equal bins between -1 and 1, one value each: a ten thousandth is one bin at either end.
        seen = Seen(-1.0, 1.0, np.ones(10_000))
        low, high = choose_range(seen, UNSIGNED, "percentile")
        assert low == pytest.approx(-1, abs=3e-4)
        assert high == pytest.approx(1, abs=3e-4)
        seen = Seen(-1.0, 1.0, np.r_[1e-9, np.ones(98), 1e-9])
        assert choose_range(seen, UNSIGNED, "percentile") == pytest.approx((-0.98, 0.98))

    def test_percentile_clips_real_values(self):
        values = np.random.default_rng(0).normal(size=400_000).astype(np.float32)
        low, high = choose_range(seen_of(values), UNSIGNED, "percentile")
        # A ten thousandth of 400,000 values is 40, which vary by 1/sqrt(40): some 0.04 of a standard deviation.
        assert (low, high) == pytest.approx((-3.72, 3.72), abs=0.15)
        assert values.max() > 4.3

    @pytest.mark.parametrize("method", ["minmax", "moving-average"])
    def test_minmax_methods_keep_the_observed_range(self, method):
        assert choose_range(Seen(-1.5, 4.0, np.zeros(0)), UNSIGNED, method) == (-1.5, 4.0)

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize(("low", "high"), [(1.0, 3.0), (-3.0, -1.0), (2.0, 2.0), (-2.0, -2.0), (0.0, 0.0)])
    def test_range_includes_zero(self, method, low, high):
        first, last = choose_range(Seen(low, high, np.ones(16)), UNSIGNED, method)
        assert first <= 0 <= last
        if high >= 0:
            assert last > 0.9 * high or high == 0
        assert last - first <= max(high, 0) - min(low, 0)


class TestQuantization:
    @pytest.mark.parametrize("scheme", [UNSIGNED, SIGNED], ids=["unsigned", "signed"])
    @pytest.mark.parametrize(
        ("low", "high"), [(-0.278, 7.3), (-1, 1), (0, 6), (-5, 0), (2, 3), (-3, -2), (0, 0), (-1e-30, 1e-30), (-1e6, 1)]
    )
    def test_zero_is_exact_and_the_range_is_covered(self, scheme, low, high):
        scale, zero = quantization(low, high, scheme)
        first, last = scheme.limits
        assert scale > 0
        assert first <= zero <= last
        assert rounded(np.zeros(1), scale, zero, scheme) == 0
        # Rounding the zero point moves both ends by half a step at most; of 256 signed levels, the topmost is missing.
        assert (first - zero) * scale <= min(low, 0) + scale * 0.501
        assert (last - zero) * scale >= max(high, 0) - scale * 0.501

    def test_gray_levels_do_not_round_as_ties(self):
        for scheme in (SIGNED, UNSIGNED):
            scale, _ = quantization(*input_range(SPEC), scheme)
            rest = np.arange(256) / 255 / scale % 1
            # The nearest is 127 / 255, which is 0.002 away. float32 moves 127 by 0.00001.
            assert np.abs(rest - 0.5).min() > 0.001

    @pytest.mark.parametrize(("low", "high"), [(-0.278, 7.3), (-7, 1), (0, 6), (-5, 0)])
    def test_int8_range_is_symmetric(self, low, high):
        scale, zero = quantization(low, high, SIGNED)
        assert zero == 0
        assert scale == pytest.approx(max(-low, high) / 127)

    def test_uint8_range_has_256_levels(self):
        assert quantization(-1.0, 1.55, UNSIGNED) == pytest.approx((0.01, 100))
        assert quantization(0.0, 2.55, UNSIGNED) == pytest.approx((0.01, 0))
        assert quantization(-2.55, 0.0, UNSIGNED) == pytest.approx((0.01, 255))


class TestInput:
    def test_bytes_map_to_the_same_integers(self, network, images):
        placement = place(network, UNSIGNED)
        table = range_table(observe(network, placement.sites, images, SPEC), placement, UNSIGNED, SPEC)
        assert table.sites["first.input"] == (1 / 255, 0)
        # The range does not depend on the pictures. Dark ones give no smaller range.
        dark = [torch.zeros_like(image) for image in images]
        table = range_table(observe(network, placement.sites, dark, SPEC), placement, UNSIGNED, SPEC)
        assert table.sites["first.input"] == (1 / 255, 0)

    def test_signed_and_scaled_inputs(self):
        assert quantization(*input_range(SPEC), SIGNED) == (1 / 127, 0)
        spec = SPEC.replace(mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.5))
        assert input_range(spec) == pytest.approx((-2.5 * WIDER, 2.5 * WIDER))
        spec = SPEC.replace(mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0))
        assert input_range(spec) == (-0.5 * WIDER, WIDER)  # the mask
        assert input_range(spec.replace(channels=3)) == (-0.5 * WIDER, 0.5 * WIDER)

    @pytest.mark.parametrize("scheme", [UNSIGNED, SIGNED], ids=["unsigned", "signed"])
    def test_bytes_do_not_round_as_ties(self, scheme):
        """With a mean of 0.5, all 256 levels would lie halfway between two integers."""
        spec = SPEC.replace(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), channels=3)
        scale, zero = quantization(*input_range(spec), scheme)
        places = (np.arange(256) / 255 - 0.5) / 0.25 / scale + zero
        # float32 rounds a place of up to 255 by 2^-17 at most.
        assert np.abs(places % 1 - 0.5).min() > 2**-10

    @pytest.mark.parametrize(("channels", "color"), [(1, "rgb"), (3, "rgb"), (3, "bgr")])
    def test_gray_and_bgr_are_those_of_the_runtime(self, channels, color):
        spec = SPEC.replace(channels=channels, color=color, mean=0.4, std=0.2)
        image = validation_scene(0).image
        (found,) = network_inputs([image], spec)
        inputs = prepare(image, spec)[0]
        expected = formatted(inputs, spec.replace(input_format="float NCHW"))
        assert found.shape == (1, 64, 96, channels)
        np.testing.assert_allclose(network_input(found, spec.mean, spec.std).numpy(), expected, atol=1e-6)

    @pytest.mark.parametrize("size", [(64, 96), (96, 64), (128, 128)])
    def test_pictures_are_letterboxed_as_the_runtime_does(self, size):
        pictures = [validation_scene(0).image, np.zeros((10, 300, 3), np.uint8), np.full((64, 96, 3), 255, np.uint8)]
        spec = SPEC.replace(input_size=size)
        seen = network_inputs(pictures, spec)
        assert [(image.shape, image.dtype) for image in seen] == [((1, *size, 4), torch.uint8)] * 3
        for image, picture in zip(seen, pictures, strict=True):
            assert image.numpy().tobytes() == letterbox(picture, size)[0].tobytes()


class TestObserve:
    @pytest.mark.parametrize("method", METHODS)
    def test_the_same_pictures_give_the_same_ranges(self, network, images, method):
        placement = place(network, UNSIGNED)
        tables = []
        for _ in range(2):
            seen = observe(network, placement.sites, images, SPEC, method)
            tables.append(range_table(seen, placement, UNSIGNED, SPEC, method))
        assert tables[0] == tables[1]
        assert list(tables[0].sites) == list(placement.sites)
        assert tables[0].convolutions == placement.convolutions
        assert (tables[0].target, tables[0].activations, tables[0].weight_bits) == ("openvino", "uint8", 8)

    def test_observed_values_of_a_known_network(self, network, images):
        """Compare with the tensors of the folded network: their largest and smallest values, averaged over batches."""
        folded = fold_batchnorm(network)
        batches = [torch.cat(images[:BATCH]), torch.cat(images[BATCH:])]
        with torch.no_grad():
            maps = [folded.first(network_input(batch, SPEC.mean, SPEC.std)) for batch in batches]
        lows, highs = [float(m.min()) for m in maps], [float(m.max()) for m in maps]
        seen = observe(network, ["first"], images, SPEC, "minmax")["first"]
        assert (seen.low, seen.high) == (min(lows), max(highs))
        seen = observe(network, ["first"], images, SPEC, "moving-average")["first"]
        # torch's averaging constant: 0.01 of each further batch.
        assert seen.low == pytest.approx(0.99 * lows[0] + 0.01 * lows[1], rel=1e-5)
        assert seen.high == pytest.approx(0.99 * highs[0] + 0.01 * highs[1], rel=1e-5)
        seen = observe(network, ["first"], images, SPEC, "histogram")["first"]
        assert seen.counts.sum() == sum(m.numel() for m in maps)
        assert seen.low == pytest.approx(min(lows), abs=0.01 * max(highs))
        assert seen.high == pytest.approx(max(highs), rel=0.01)

    def test_observing_leaves_the_network_unchanged(self, network, images):
        before = {name: value.clone() for name, value in network.state_dict().items()}
        observe(network, ["first"], images, SPEC)
        assert not any(module._forward_hooks for module in network.modules())
        assert list(network.state_dict()) == list(before)
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())

    def test_unknown_method_and_no_pictures_are_refused(self, network, images):
        with pytest.raises(InputError, match="histogramm"):
            observe(network, ["first"], images, SPEC, "histogramm")
        with pytest.raises(InputError):
            observe(network, ["first"], [], SPEC)

    def test_targets_have_separate_ranges(self, images):
        torch.manual_seed(0)
        network = create("edgehrnet18", keypoints=2)
        placement = place(network, SIGNED)
        table = range_table(observe(network, placement.sites, images[:2], SPEC), placement, SIGNED, SPEC)
        assert {zero for _, zero in table.sites.values()} == {0}
        assert all(scale > 0 for scale, _ in table.sites.values())
        assert table.activations == "int8"


def test_unobserved_site_is_an_error():
    with pytest.raises(KeyError):
        range_table({}, Placement({"first": ("second",)}), UNSIGNED, SPEC)
