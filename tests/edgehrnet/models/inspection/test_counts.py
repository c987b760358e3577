"""Parameters and MACs of EdgeHRNet, against the table of its design and against arithmetic in this file."""

from typing import Any

import pytest
import torch

from edgehrnet.models import create
from edgehrnet.models.inspection.counting import Cost, count
from edgehrnet.models.layers.blocks import ConvBNAct, Down, LiteBlock, Up, smooth
from edgehrnet.models.layers.style import Style

K = 17
NET: Any = create("edgehrnet18")
WIDTHS = (32, 64, 128, 256)
CELLS = (64 * 128, 32 * 64, 16 * 32, 8 * 16)  # of each branch at 256x512
STYLE = Style()

DESIGN = {
    "stem": Cost(20_480, 189_792_256),
    "stage2": Cost(100_864, 321_519_616),
    "stage3": Cost(420_128, 473_513_984),
    "stage4": Cost(1_701_568, 637_841_408),
    "fpn": Cost(653_312, 1_667_235_840),
    "heads": Cost(6_579, 53_477_376),
    "total": Cost(2_902_931, 3_343_380_480),
}
PIECES: dict[str, tuple[Any, int]] = {
    "LiteBlock 32": (lambda: LiteBlock(32, STYLE), 4_992),
    "LiteBlock 64": (lambda: LiteBlock(64, STYLE), 18_176),
    "LiteBlock 128": (lambda: LiteBlock(128, STYLE), 69_120),
    "LiteBlock 256": (lambda: LiteBlock(256, STYLE), 269_312),
    "T2.b1_keep": (lambda: NET.stage2.transition.keep, 1_088),
    "T2.b2_down": (lambda: NET.stage2.transition.down, 2_528),
    "T3.b3_down": (lambda: NET.stage3.transition.down, 9_152),
    "T4.b4_down": (lambda: NET.stage4.transition.down, 34_688),
    "Smooth 32": (lambda: smooth(32, STYLE), 9_280),
    "Smooth 64": (lambda: smooth(64, STYLE), 36_992),
    "Smooth 128": (lambda: smooth(128, STYLE), 147_712),
    "Smooth 256": (lambda: smooth(256, STYLE), 590_336),
    "L5": (lambda: NET.fpn.lateral5, 33_024),
    "L4": (lambda: NET.fpn.lateral4, 16_640),
    "L3": (lambda: NET.fpn.lateral3, 8_448),
    "L2": (lambda: NET.fpn.lateral2, 4_352),
}


def conv(inputs: int, outputs: int, kernel: int, cells: int, groups: int = 1) -> Cost:
    """Convolution without bias followed by BN (scale and shift)."""
    weights = outputs * inputs // groups * kernel * kernel
    return Cost(weights + 2 * outputs, weights * cells)


def total(costs) -> Cost:
    return sum(costs, Cost())


def down(i: int, outputs: int, kind: str = "dw", inputs: int | None = None) -> Cost:
    """Down from branch i to the resolution of branch i + 1."""
    inputs = inputs or WIDTHS[i]
    depthwise = Cost() if kind == "avgpool" else conv(inputs, inputs, 3, CELLS[i + 1], inputs)
    blur = Cost(0, 9 * inputs * CELLS[i]) if kind == "blur" else Cost()
    return total([blur, depthwise, conv(inputs, outputs, 1, CELLS[i + 1])])


def lite_block(i: int) -> Cost:
    width, cells = WIDTHS[i], CELLS[i]
    return total(
        [
            conv(width, 2 * width, 1, cells),
            conv(2 * width, 2 * width, 3, cells, 2 * width),
            conv(2 * width, width, 1, cells),
        ]
    )


def module(branches: int, kind: str = "dw") -> Cost:
    costs = [lite_block(i) for i in range(branches) for _ in range(2)]
    for i in range(branches):
        costs.append(conv(WIDTHS[i], WIDTHS[i], 3, CELLS[i]))
        for j in range(branches):
            if j > i:  # 1x1 at the low resolution, then interpolation
                costs.append(conv(WIDTHS[j], WIDTHS[i], 1, CELLS[j]))
            for step in range(j, i):  # i - j steps down, the last one widens
                outputs = WIDTHS[i] if step == i - 1 else WIDTHS[j]
                costs.append(down(step, outputs, kind, WIDTHS[j]))
    return total(costs)


def stage(branches: int, modules: int = 1, kind: str = "dw") -> Cost:
    keep = conv(32, 32, 1, CELLS[0]) if branches == 2 else Cost()
    start = down(branches - 2, WIDTHS[branches - 1], kind)
    return total([keep, start, *[module(branches, kind)] * modules])


def head(outputs: int, cells: int = CELLS[0], inputs: int = 128) -> Cost:
    return Cost(inputs * outputs + outputs, inputs * outputs * cells)


SE = Cost((128 * 8 + 8) + (8 * 128 + 128), 2 * 128 * 8)  # on one cell, the mean


def coord(height: int, width: int) -> Cost:
    shared = conv(128, 8, 1, height + width)
    rows, columns = Cost(8 * 128 + 128, 8 * 128 * height), Cost(8 * 128 + 128, 8 * 128 * width)
    return total([shared, rows, columns])


def plus(part: str, *costs: Cost) -> dict[str, Cost]:
    return {part: total([DESIGN[part], *costs])}


HIDDEN = conv(128, 64, 3, CELLS[0])
DENSE = [Cost(128 + 1, 128 * CELLS[0])]
# Costs that each option changes. All other costs are those of the design.
OPTIONS: list[tuple[dict, dict[str, Cost]]] = [
    ({"fuse": "weighted"}, plus("fpn", Cost(3 * 2, 0))),
    ({"gate": "se"}, plus("fpn", *[SE] * 6)),
    ({"gate": "coord"}, plus("fpn", *(coord(16 * f, 32 * f) for f in (1, 2, 4) for _ in range(2)))),
    ({"fpn": "B"}, plus("fpn", Cost(128 * 128 * 9, 128 * 128 * 9 * CELLS[0]))),
    ({"fpn": "B", "fuse": "weighted"}, plus("fpn", Cost(128 * 128 * 9 + 2 * 2, 128 * 128 * 9 * CELLS[0]))),
    ({"fpn": "B", "gate": "se"}, plus("fpn", Cost(128 * 128 * 9, 128 * 128 * 9 * CELLS[0]), *[SE] * 4)),
    *(({"down": kind}, {f"stage{n}": stage(n, 1, kind) for n in (2, 3, 4)}) for kind in ("avgpool", "blur")),
    ({"modules": (2, 3, 2)}, {"stage2": stage(2, 2), "stage3": stage(3, 3), "stage4": stage(4, 2)}),
    (
        {"hidden_heads": True, "boundary": True},
        {"heads": total([*[HIDDEN] * 3, *(head(n, inputs=64) for n in (K, 2 * K, 1))])},
    ),
    ({"boundary": True}, plus("heads", *DENSE)),
    ({"sdf": True}, plus("heads", *DENSE)),
    ({"boundary": True, "sdf": True}, plus("heads", *DENSE * 2)),
    ({"auxiliary": True}, {"auxiliary": total([head(K, CELLS[1]), head(K, CELLS[2])])}),
    ({"activation": "hardswish"}, {}),
    ({"pyramid": True}, {}),
    ({"inplace": False}, {}),
    ({"checkpointing": True}, {}),
]


def test_counts_equal_the_table_of_the_design():
    assert count(NET) == DESIGN


def test_arithmetic_of_this_file_equals_the_table():
    assert {f"stage{n}": stage(n) for n in (2, 3, 4)} == {f"stage{n}": DESIGN[f"stage{n}"] for n in (2, 3, 4)}
    assert total([head(K), head(2 * K)]) == DESIGN["heads"]
    assert total(DESIGN[part] for part in DESIGN if part != "total") == DESIGN["total"]


@pytest.mark.parametrize("piece", PIECES)
def test_parameters_of_each_block(piece):
    build, expected = PIECES[piece]
    assert sum(p.numel() for p in build().parameters()) == expected


@pytest.mark.parametrize(("options", "changed"), OPTIONS, ids=lambda value: str(value)[:60])
def test_costs_with_each_option(options, changed):
    net = create("edgehrnet18", **options)
    parts = {**{part: cost for part, cost in DESIGN.items() if part != "total"}, **changed}
    assert count(net) == {**parts, "total": total(parts.values())}
    assert sum(p.numel() for p in net.parameters()) == total(parts.values()).parameters


def test_hardswish_variant_has_the_same_costs():
    assert count(create("edgehrnet18_hs")) == DESIGN


def test_macs_scale_with_the_picture_and_parameters_with_the_keypoints():
    assert count(NET, (512, 512))["total"].macs == 2 * DESIGN["total"].macs
    assert count(create("edgehrnet18", keypoints=4))["heads"] == total([head(4), head(8)])


def test_counting_does_not_change_the_network():
    net = create("edgehrnet18").train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    count(net)
    assert net.training
    assert next(net.parameters()).device.type == "cpu"
    assert not any(module._forward_hooks for module in net.modules())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_parameters_of_blocks_equal_the_arithmetic():
    block = torch.nn.ModuleDict(
        {"down": Down(32, 64, STYLE), "up": Up(64, 32, 2, STYLE), "c": ConvBNAct(4, 8, 3, STYLE)}
    )
    sizes = {name: sum(p.numel() for p in child.parameters()) for name, child in block.items()}
    assert sizes == {
        "down": 32 * 9 + 64 + 32 * 64 + 128,
        "up": 64 * 32 + 64,
        "c": 4 * 8 * 9 + 16,
    }
