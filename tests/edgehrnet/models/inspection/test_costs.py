"""Costs by stage and branch for every family of networks."""

import functools
from typing import Any

import pytest
import torch

from edgehrnet.errors import InputError
from edgehrnet.models import create
from edgehrnet.models.inspection.components import Component, component_of, named_tensors
from edgehrnet.models.inspection.costs import FLOAT32, cost_table
from edgehrnet.models.inspection.counting import convolutions, count

SIZE = (64, 96)
CELLS = (16 * 24, 8 * 12, 4 * 6, 2 * 3)
ALL_OPTIONS = {"gate": "coord", "fuse": "weighted", "fpn": "B", "down": "blur", "auxiliary": True, "modules": (1, 2, 1)}
# One network of each family and kind of block, and options that add components.
NETWORKS: dict[str, dict[str, Any]] = {
    "edgehrnet18": {},
    "edgehrnet18_hs": ALL_OPTIONS,
    "hrnet_w18_small_v1": {"offsets": True},
    "hrnetv2_w18": {},
    "litehrnet18": {},
    "naive_litehrnet18": {},
}


@functools.cache
def created(name):
    return create(name, **NETWORKS[name])


@functools.cache
def tabled(name):
    net = created(name)
    return count(net, SIZE), cost_table(net, SIZE, repeats=0)


def rows(name):
    return {str(row.component): row for row in tabled(name)[1].rows}


def conv(inputs, outputs, kernel, cells):
    """Parameters of a convolution and its BN, and MACs."""
    weights = inputs * outputs * kernel**2
    return weights + 2 * outputs, weights * cells


@pytest.mark.parametrize("name", NETWORKS)
class TestSums:
    def test_components_sum_to_the_count(self, name):
        counted, table = tabled(name)
        whole = counted["total"]
        assert (table.total.parameters, table.total.macs) == (whole.parameters, whole.macs)

    def test_stages_equal_the_count(self, name):
        counted, table = tabled(name)
        expected = {name: cost for name, cost in counted.items() if name != "total" and cost.parameters}
        found = {row.component.stage: (row.parameters, row.macs) for row in table.by_stage()}
        assert found == {name: (cost.parameters, cost.macs) for name, cost in expected.items()}

    @pytest.mark.parametrize("view", ["by_stage", "by_branch"])
    def test_views_sum_to_the_total(self, name, view):
        table = tabled(name)[1]
        for what in ("parameters", "macs", "activations"):
            assert sum(getattr(row, what) for row in getattr(table, view)()) == getattr(table.total, what)

    def test_stage_n_has_n_branches(self, name):
        for n in (2, 3, 4):
            branches = [row for row in rows(name) if row.startswith(f"stage{n} branch")]
            assert branches == [f"stage{n} branch {i}" for i in range(1, n + 1)]
        assert [row.component.name for row in tabled(name)[1].by_branch()][:4] == [f"branch {i}" for i in range(1, 5)]

    def test_no_row_is_empty(self, name):
        assert all(row.parameters or row.activations for row in tabled(name)[1].rows)

    def test_every_convolution_has_a_row(self, name):
        net = created(name)
        units = {id(unit) for unit in convolutions(net)}
        homes = {component_of(module) for module, unit in net.named_modules() if id(unit) in units}
        assert homes == {row.component for row in tabled(name)[1].rows if row.macs}


class TestArithmetic:
    def test_branch_of_basic_blocks(self):
        # Stage 2 of the small HRNet: one module of 2 blocks, 2 convolutions each, 32 channels at 1/8.
        parameters, macs = conv(32, 32, 3, CELLS[1])
        row = rows("hrnet_w18_small_v1")["stage2 branch 2"]
        assert (row.parameters, row.macs) == (4 * parameters, 4 * macs)
        # The sum overwrites the map of the second convolution, and the activation overwrites the sum.
        assert row.activations == FLOAT32 * 4 * 32 * CELLS[1]

    def test_branch_of_channel_weighting(self):
        # Stage 4 of Lite-HRNet: 2 modules of 2 blocks; half of 320 channels, at 1/32.
        half, hidden = 160, 40
        gate = half * hidden + hidden + hidden * half + half
        row = rows("litehrnet18")["stage4 branch 4"]
        assert row.parameters == 4 * (half * 9 + 2 * half + gate)
        assert row.macs == 4 * (half * 9 * CELLS[3] + 2 * half * hidden)
        # The depthwise map, two maps of the gate, and the gated map.
        assert row.activations == FLOAT32 * 4 * (half * CELLS[3] + hidden + half + half * CELLS[3])

    @pytest.mark.parametrize(("inplace", "sums"), [(True, 0), (False, 2)])
    def test_activations_of_the_stem(self, inplace, sums):
        table = cost_table(create("edgehrnet18", inplace=inplace), SIZE, repeats=0)
        # Two convolutions, and two blocks with two maps of 64 channels and one of 32.
        values = 32 * 4 * CELLS[0] + 32 * CELLS[0] + 2 * (64 + 64 + 32) * CELLS[0] + sums * 32 * CELLS[0]
        assert table.rows[0].component == Component("stem")
        assert table.rows[0].activations == FLOAT32 * values

    def test_each_head_has_a_row(self):
        found = rows("edgehrnet18")
        assert found["heads heatmaps"].parameters == 128 * 17 + 17
        assert found["heads offsets"].macs == 128 * 34 * CELLS[0]

    def test_rows_are_in_execution_order(self):
        names = list(rows("litehrnet18"))
        assert names[:4] == ["stem", "stage2 transition", "stage2 across branches", "stage2 branch 1"]
        assert names[-2:] == ["iterative_head", "head"]


class TestTime:
    def test_each_component_has_a_time_and_the_total_is_at_least_their_sum(self):
        table = cost_table(create("edgehrnet18", keypoints=2), (32, 32), repeats=2)
        times = [row.ms or 0.0 for row in table.rows]
        assert min(times) > 0
        assert table.ms is not None
        assert table.total.ms == table.ms >= sum(times)
        assert sum(row.ms or 0.0 for row in table.by_branch()) == pytest.approx(sum(times))
        assert table.threads == torch.get_num_threads()

    def test_times_are_none_without_repeats(self):
        table = tabled("edgehrnet18")[1]
        assert table.total.ms is None
        assert all(row.ms is None for row in (*table.rows, *table.by_stage()))

    def test_measuring_does_not_change_the_network(self):
        net = create("edgehrnet18", keypoints=2).train()
        before = {name: value.clone() for name, value in net.state_dict().items()}
        cost_table(net, (32, 32), repeats=1)
        assert net.training
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
        assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_negative_repeats_and_wrong_sizes_are_refused():
    net = created("edgehrnet18")
    with pytest.raises(InputError, match="repeats=-1"):
        cost_table(net, SIZE, repeats=-1)
    with pytest.raises(InputError, match="60x96"):
        cost_table(net, (60, 96), repeats=0)


def test_named_tensors_finds_nested_tensors():
    a, b = torch.zeros(1), torch.zeros(2)
    found = named_tensors({"x": [a, None], "y": (b, "text")})
    assert {name: len(value) for name, value in found.items()} == {".x[0]": 1, ".y[0]": 2}
