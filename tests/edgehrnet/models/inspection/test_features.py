"""Feature maps of any layer, and figures of them."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from edgehrnet.errors import InputError
from edgehrnet.models import create
from edgehrnet.models.inspection.feature_pictures import (
    Tile,
    channel_tiles,
    layer_picture,
    mean_tile,
    overview_picture,
)
from edgehrnet.models.inspection.features import feature_maps, overview
from edgehrnet.models.layers.base import KeypointNetwork

SIZE = (64, 96)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return create("edgehrnet18", keypoints=4).eval()


@pytest.fixture(scope="module")
def x():
    return torch.rand(1, 4, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def pixels():
    made = np.random.default_rng(0).integers(0, 256, (*SIZE, 4), np.uint8)
    made[..., 3] = 255
    made[:, :32, 3] = 0
    return made


class TestMaps:
    def test_default_layers_include_every_branch_of_every_stage(self, net, x):
        maps = feature_maps(net, x)
        for n in (2, 3, 4):
            for i in range(n):
                shape = (1, 32 * 2**i, 16 // 2**i, 24 // 2**i)
                assert maps[f"stage{n}[{i}]"].shape == shape
                assert maps[f"stage{n}.hr_modules.0.branches.{i}"].shape == shape
        assert {"stem", "fpn.hf", "fpn.p5", "heads.heatmaps", "heads.offsets"} <= set(maps)

    def test_maps_equal_those_of_a_forward_pass(self, net, x):
        maps = feature_maps(net, x, ["heads", "fpn", "stem.conv1"])
        with torch.no_grad():
            output, stem = net(x), net.stem.conv1(x)
        for name, expected in {"heads.heatmaps": output.heatmaps, "fpn.hf": output.hf, "stem.conv1": stem}.items():
            torch.testing.assert_close(maps[name], expected, rtol=0, atol=0)

    def test_in_place_operations_do_not_change_maps(self, net, x):
        other = create("edgehrnet18", keypoints=4, inplace=False).eval()
        other.load_state_dict(net.state_dict())
        names = ["stage2.hr_modules.0.branches.0.0.project", "stem.conv1.bn", "stage3.hr_modules.0.fusion.paths.A12"]
        ours, theirs = feature_maps(net, x, names), feature_maps(other, x, names)
        for name in names:
            torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=0)

    @pytest.mark.parametrize("name", ["hrnet_w18_small_v1", "litehrnet18", "naive_litehrnet18", "hrnetv2_w18"])
    def test_published_networks_have_four_branches_in_stage_4(self, name):
        other = create(name, keypoints=2)
        maps = feature_maps(other, torch.rand(1, 3, 32, 32))
        before = [n for n in maps if n.startswith("stage4.")]
        assert [maps[n].shape[2] for n in before] == [8, 4, 2, 1]
        assert list(overview(other))[-1] == "head"

    def test_mode_hooks_and_weights_are_not_changed(self, x):
        net: Any = create("edgehrnet18", keypoints=4).train()
        net.stage3.eval()
        before = {name: value.clone() for name, value in net.state_dict().items()}
        feature_maps(net, x, ["stem"])
        assert net.training
        assert net.stage4.training
        assert not net.stage3.training
        assert not net.stage3.transition.training
        assert not any(module._forward_hooks for module in net.modules())
        assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())

    def test_hooks_are_removed_after_a_failure(self, net):
        with pytest.raises(InputError, match="60x96"):
            feature_maps(net, torch.rand(1, 4, 60, 96))
        assert not any(module._forward_hooks for module in net.modules())

    @pytest.mark.parametrize(
        ("name", "suggested"),
        [
            ("stge3", "the network has stage3, stage"),
            ("stage3.hr_module", "stage3 has stage3.hr_modules, stage3.transition"),
            ("stem.conv1.bn.x", "stem.conv1.bn has no layers"),
            ("stage2.hr_modules", "stage2.hr_modules has stage2.hr_modules.0"),
            ("", "the network has"),
        ],
    )
    def test_unknown_layer_suggests_the_nearest(self, net, x, name, suggested):
        with pytest.raises(InputError) as caught:
            feature_maps(net, x, [name])
        assert f"layer {name!r}" in str(caught.value)
        assert suggested in str(caught.value)


class TestTiles:
    def test_strongest_channels_vary_most_inside_the_picture(self, pixels):
        values = torch.zeros(1, 3, 16, 24)
        values[0, 0, :, :8] = torch.rand(16, 8) * 100  # in the padding only
        values[0, 1, :, 8:] = torch.rand(16, 16)
        values[0, 2, :, 8:] = torch.rand(16, 16) * 9
        tiles = channel_tiles("a", values, pixels, 2)
        assert [tile.caption for tile in tiles] == ["a channel 2", "a channel 1"]
        assert tiles[0].inside.sum() == 16 * 16

    def test_map_with_few_channels_has_few_tiles(self, pixels):
        assert len(channel_tiles("a", torch.rand(1, 2, 4, 6), pixels, 5)) == 2

    def test_channels_that_are_not_finite_come_first_and_are_counted(self, pixels):
        values = torch.rand(1, 3, 16, 24)
        values[0, 1, 0, :5] = torch.inf
        values[0, 0, 0, 0] = -torch.inf
        tiles = channel_tiles("", values, pixels, 3)
        assert [tile.note.endswith("not finite") for tile in tiles] == [True, True, False]
        assert {tile.note for tile in tiles[:2]} == {"5 values not finite", "1 values not finite"}
        assert mean_tile("a", values, pixels).note.endswith("6 values not finite")

    def test_mean_tile_has_shape_and_range_of_all_channels(self, pixels):
        tile = mean_tile("a", torch.tensor([-1.0, 2.0])[None, :, None, None].expand(1, 2, 4, 6), pixels)
        assert tile.note.split("    ") == ["2 x 4 x 6", "-1 to 2"]
        np.testing.assert_array_equal(tile.cells, 0.5)

    def test_gate_without_resolution_is_one_cell(self, pixels):
        assert mean_tile("a", torch.rand(1, 8), pixels).cells.shape == (1, 1)


def tile_of(cells, inside=None):
    cells = np.asarray(cells, np.float32)
    return Tile("a", "b", cells, np.ones(cells.shape, bool) if inside is None else np.asarray(inside))


class TestLimits:
    def test_limits_are_percentiles(self):
        assert tile_of([np.arange(101.0)]).limits() == (1.0, 99.0)

    def test_padding_and_values_that_are_not_finite_are_ignored(self):
        cells, inside = [[0.0, 1.0, np.nan, np.inf, 50.0]], [[True, True, True, True, False]]
        assert tile_of(cells, inside).limits() == pytest.approx((0.01, 0.99))

    def test_nothing_finite(self):
        assert tile_of([[np.nan, np.inf]]).limits() == (0.0, 0.0)


def drawn(figure):
    """Tiles of a figure as (title, image), without the input picture at the top."""
    axes = [one for one in figure.get_axes() if one.get_images()]
    return [(one.get_title(loc="left"), one.get_images()[0]) for one in axes[1:]]


def rendered(figure):
    """Pixels of a figure, ``(H, W, 4)`` u8."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=50)
    with Image.open(buffer) as picture:
        return np.array(picture)


class TestFigures:
    def test_overview_has_a_tile_for_each_branch(self, net, x, pixels):
        figure = overview_picture(net, x, pixels, "a network")
        titles = [title.split("\n")[0] for title, _ in drawn(figure)]
        # One map and three channels of the stem, 2 x (2 + 3 + 4) branches, four maps of the FPN and two heads.
        assert len(titles) == 4 + 18 + 4 + 2
        assert {"stem", "stage4[3]", "stage4.hr_modules.0.branches.3", "fpn.hf", "heads.offsets"} <= set(titles)
        assert any(text.get_text() == "a network" for axes in figure.get_axes() for text in axes.texts)

    def test_layer_with_two_maps_has_a_row_for_each(self, net, x, pixels):
        figure = layer_picture(net, x, pixels, "stage2", channels=5)
        assert [part.get_suptitle() for part in figure.subfigs] == ["", "stage2[0]", "stage2[1]"]
        assert len(drawn(figure)) == 2 * (1 + 5)

    def test_tiles_show_the_maps(self, net, x, pixels):
        maps = feature_maps(net, x, ["stage2"])
        images = dict(drawn(layer_picture(net, x, pixels, "stage2", channels=1)))
        [mean] = [image for title, image in images.items() if title.startswith("mean") and "32 x" in title]
        np.testing.assert_allclose(mean.get_array(), maps["stage2[0]"][0].mean(dim=0).numpy(), rtol=1e-5, atol=1e-6)

    def test_bright_cells_are_brighter_and_cells_that_are_not_finite_have_their_own_color(self):
        net = Constant(torch.tensor([[0.0, 1.0], [2.0, torch.nan]])).eval()
        figure = layer_picture(net, torch.zeros(1, 3, 32, 32), np.zeros((32, 32, 3), np.uint8), "layer", channels=1)
        image = drawn(figure)[-1][1]
        colors = image.to_rgba(image.get_array())
        gray = colors[..., :3] @ (0.299, 0.587, 0.114)
        assert gray[0, 0] < gray[0, 1] < gray[1, 0]
        assert colors[1, 1].tolist() == [1, 0, 1, 1]

    def test_figure_renders_with_its_colors(self, net, x, pixels):
        found = rendered(layer_picture(net, x, pixels, "stem", channels=3))
        assert len(np.unique(found[..., :3].reshape(-1, 3), axis=0)) > 100
        assert found[-1, -1, :3].max() < 40  # a dark background


class Constant(KeypointNetwork):
    """A network with one layer, which returns the same map for any input."""

    def __init__(self, values):
        super().__init__(1, 3, gives_offsets=False)
        self.layer = torch.nn.Identity()
        self.values = values

    def forward(self, x):
        return self.layer(self.values[None, None])
