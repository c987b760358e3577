"""Feature maps of any layer, and the sheets drawn of them."""

import numpy as np
import pytest
import torch

from edgehrnet.errors import InputError
from edgehrnet.models import create
from edgehrnet.models.inspection.feature_pictures import channel_tiles, layer_picture, mean_tile, overview_picture
from edgehrnet.models.inspection.features import feature_maps, overview
from edgehrnet.models.inspection.tiles import NOT_FINITE, RAMP, Row, Sheet, Tile, colors

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
    def test_every_branch_of_every_stage(self, net, x):
        maps = feature_maps(net, x)
        for n in (2, 3, 4):
            for i in range(n):
                shape = (1, 32 * 2**i, 16 // 2**i, 24 // 2**i)
                assert maps[f"stage{n}[{i}]"].shape == shape
                assert maps[f"stage{n}.hr_modules.0.branches.{i}"].shape == shape
        assert {"stem", "fpn.hf", "fpn.p5", "heads.heatmaps", "heads.offsets"} <= set(maps)

    def test_they_are_what_the_network_computes(self, net, x):
        maps = feature_maps(net, x, ["heads", "fpn", "stem.conv1"])
        with torch.no_grad():
            output, stem = net(x), net.stem.conv1(x)
        for name, expected in {"heads.heatmaps": output.heatmaps, "fpn.hf": output.hf, "stem.conv1": stem}.items():
            torch.testing.assert_close(maps[name], expected, rtol=0, atol=0)

    def test_working_in_place_does_not_change_them(self, net, x):
        other = create("edgehrnet18", keypoints=4, inplace=False).eval()
        other.load_state_dict(net.state_dict())
        names = ["stage2.hr_modules.0.branches.0.0.project", "stem.conv1.bn", "stage3.hr_modules.0.fusion.paths.A12"]
        ours, theirs = feature_maps(net, x, names), feature_maps(other, x, names)
        for name in names:
            torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=0)

    @pytest.mark.parametrize("name", ["hrnet_w18_small_v1", "litehrnet18", "naive_litehrnet18", "hrnetv2_w18"])
    def test_other_families(self, name):
        other = create(name)
        maps = feature_maps(other, torch.rand(1, 3, 32, 32))
        before = [n for n in maps if n.startswith("stage4.")]
        assert [maps[n].shape[2] for n in before] == [8, 4, 2, 1]
        assert list(overview(other))[-1] == "head"

    def test_the_network_stays_as_it_is(self, x):
        net = create("edgehrnet18", keypoints=4).train()
        net.stage3.eval()
        before = {name: value.clone() for name, value in net.state_dict().items()}
        feature_maps(net, x, ["stem"])
        assert net.training
        assert net.stage4.training
        assert not net.stage3.training
        assert not net.stage3.transition.training
        assert not any(module._forward_hooks for module in net.modules())
        assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())

    def test_after_a_failure_too(self, net):
        with pytest.raises(InputError, match="multiples of 32"):
            feature_maps(net, torch.rand(1, 4, 60, 96))
        assert not any(module._forward_hooks for module in net.modules())

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("stge3", "no layer 'stge3'; the network has stage3, stage"),
            ("stage3.hr_module", "no layer 'stage3.hr_module'; stage3 has stage3.hr_modules, stage3.transition"),
            ("stem.conv1.bn.x", "stem.conv1.bn has no layers inside"),
            ("stage2.hr_modules", "never runs, it only holds others; stage2.hr_modules has stage2.hr_modules.0"),
            ("", "no layer ''"),
        ],
    )
    def test_layers_that_are_not_there(self, net, x, name, told):
        with pytest.raises(InputError) as caught:
            feature_maps(net, x, [name])
        assert told in str(caught.value)


class TestTiles:
    def test_strongest_channels_vary_most_where_the_picture_is(self, pixels):
        values = torch.zeros(1, 3, 16, 24)
        values[0, 0, :, :8] = torch.rand(16, 8) * 100  # all of it padding
        values[0, 1, :, 8:] = torch.rand(16, 16)
        values[0, 2, :, 8:] = torch.rand(16, 16) * 9
        tiles = channel_tiles("a", values, pixels, 2)
        assert [tile.caption for tile in tiles] == ["a channel 2", "a channel 1"]
        assert tiles[0].inside.sum() == 16 * 16

    def test_few_channels(self, pixels):
        assert len(channel_tiles("a", torch.rand(1, 2, 4, 6), pixels, 5)) == 2

    def test_what_is_not_finite_comes_first_and_is_counted(self, pixels):
        values = torch.rand(1, 3, 16, 24)
        values[0, 1, 0, :5] = torch.inf
        values[0, 0, 0, 0] = -torch.inf
        tiles = channel_tiles("", values, pixels, 3)
        assert [tile.note.endswith("not finite") for tile in tiles] == [True, True, False]
        assert {tile.note for tile in tiles[:2]} == {"5 values not finite", "1 values not finite"}
        assert mean_tile("a", values, pixels).note.endswith("6 values not finite")

    def test_mean_has_shape_and_range_of_all_channels(self, pixels):
        tile = mean_tile("a", torch.tensor([-1.0, 2.0])[None, :, None, None].expand(1, 2, 4, 6), pixels)
        assert tile.note.split("    ") == ["2 x 4 x 6", "-1 to 2"]
        np.testing.assert_array_equal(tile.cells, 0.5)

    def test_a_gate_is_one_column_of_cells(self, pixels):
        assert mean_tile("a", torch.rand(1, 8), pixels).cells.shape == (1, 1)


class TestColors:
    def test_brighter_is_more(self):
        shades = colors(np.linspace(-3, 7, 50)[None])[0].astype(int)
        gray = shades @ (0.299, 0.587, 0.114)
        assert (np.diff(gray) >= 0).all()
        assert tuple(shades[0]) == RAMP[0]
        assert tuple(shades[-1]) == RAMP[-1]

    def test_scale_is_that_of_the_inside(self):
        cells, inside = np.array([[0.0, 1.0, 50.0]]), np.array([[True, True, False]])
        assert colors(cells, inside)[0].tolist() == [[*RAMP[0]], [*RAMP[-1]], [*RAMP[-1]]]

    @pytest.mark.parametrize("value", [0.0, 3.0])
    def test_constant_maps_are_dark(self, value):
        assert (colors(np.full((2, 2), value)) == RAMP[0]).all()

    def test_nothing_finite(self):
        assert (colors(np.full((2, 2), np.nan)) == NOT_FINITE).all()


class TestSheets:
    def test_overview(self, net, x, pixels):
        sheet = overview_picture(net, x, pixels, "a network")
        # A cell of the first branch has 10 px, of 24 x 16 cells: 240 x 160; four tiles wide.
        assert sheet.width == 2 * 28 + 4 * 240 + 3 * 14
        assert sheet.mode == "RGB"
        assert len(sheet.getcolors(maxcolors=10**6)) > 100

    def test_layer_of_two_maps_has_a_row_for_each(self, net, x, pixels):
        one = layer_picture(net, x, pixels, "stem", channels=3)
        two = layer_picture(net, x, pixels, "stage2", channels=3)
        assert two.height - one.height == 2 * 16 + 14 + 160 + 13 + 12 + 12 + 14

    def test_tiles_are_where_they_belong(self):
        dark, bright = np.zeros((2, 2)), np.array([[0.0, 0.0], [1.0, 1.0]])
        tiles = tuple(Tile("a", "b", cells) for cells in (dark, bright, dark))
        sheet = np.array(Sheet((40, 40), 2).draw("t", ("x",), np.zeros((8, 8, 3), np.uint8), [Row("r", tiles)]))
        found = np.argwhere((sheet == RAMP[-1]).all(axis=-1) & (np.arange(sheet.shape[0]) > 200)[:, None])
        assert found.min(axis=0)[1] == 28 + 40 + 14
        assert len(found) == 40 * 20

    def test_long_captions_stay_within_their_tile(self):
        tiles = (Tile("stage4.hr_modules.2.branches.3 " * 2, "", np.zeros((2, 2))),)
        sheet = np.array(Sheet((200, 40), 2).draw("", (), np.zeros((8, 8, 3), np.uint8), [Row("", tiles)]))
        caption = sheet[28 + 130 + 28 + 32 + 41 :]
        lit = np.argwhere((caption > 100).any(axis=(0, 2)))
        assert len(lit) > 0
        assert lit.max() <= 28 + 200 + 2
