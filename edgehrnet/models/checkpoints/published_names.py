"""What the published checkpoints of HRNet and Lite-HRNet call the weights that we call otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

PARTS, FIRST, SECOND = ("conv", "bn"), ("0", "1"), ("2", "3")
MODULE = "stage{s}.hr_modules.{m}"
PATH = MODULE + ".fusion.paths.{i}_{j}"
LAST_LAYER = "final_layer"

# Our name of a `ConvBNAct`, its published name, and what {part} is there for the convolution and for the BN. All else
# in braces is a number; {u} is {s} - 1, and {t} is {s} - 2.
Rule = tuple[str, str, tuple[str, str]]
RULES: Mapping[str, Sequence[Rule]] = MappingProxyType(
    {
        "hrnet": (
            ("stem.conv{n}", "{part}{n}", PARTS),
            ("layer1.{b}.conv{n}", "layer1.{b}.{part}{n}", PARTS),
            ("layer1.{b}.shortcut", "layer1.{b}.downsample.{part}", FIRST),
            ("stage{s}.transition.keep.{i}", "transition{u}.{i}.{part}", FIRST),
            ("stage{s}.transition.new", "transition{u}.{u}.0.{part}", FIRST),
            (MODULE + ".branches.{i}.{b}.conv{n}", "stage{s}.{m}.branches.{i}.{b}.{part}{n}", PARTS),
            (PATH + ".pointwise", "stage{s}.{m}.fuse_layers.{i}.{j}.{part}", FIRST),
            (PATH + ".{k}", "stage{s}.{m}.fuse_layers.{i}.{j}.{k}.{part}", FIRST),
            ("mix.conv", "conv_layers.{part}", FIRST),
        ),
        "litehrnet": (
            ("stem.conv1", "stem.conv1.{part}", PARTS),
            ("stem.left.depthwise", "stem.branch1.0.{part}", PARTS),
            ("stem.left.pointwise", "stem.branch1.1.{part}", PARTS),
            ("stem.expand", "stem.expand_conv.{part}", PARTS),
            ("stem.right.depthwise", "stem.depthwise_conv.{part}", PARTS),
            ("stem.right.pointwise", "stem.linear_conv.{part}", PARTS),
            ("stage{s}.transition.keep.{i}.depthwise", "transition{t}.{i}.{part}", FIRST),
            ("stage{s}.transition.keep.{i}.pointwise", "transition{t}.{i}.{part}", SECOND),
            ("stage{s}.transition.new.depthwise", "transition{t}.{u}.0.{part}", FIRST),
            ("stage{s}.transition.new.pointwise", "transition{t}.{u}.0.{part}", SECOND),
            (
                MODULE + ".blocks.{b}.across.conv{n}",
                "stage{t}.{m}.layers.{b}.cross_resolution_weighting.conv{n}.{part}",
                PARTS,
            ),
            (MODULE + ".blocks.{b}.depthwise.{i}", "stage{t}.{m}.layers.{b}.depthwise_convs.{i}.{part}", PARTS),
            (
                MODULE + ".blocks.{b}.spatial.{i}.conv{n}",
                "stage{t}.{m}.layers.{b}.spatial_weighting.{i}.conv{n}.{part}",
                PARTS,
            ),
            # With shuffle units, the branch comes before the block.
            (MODULE + ".blocks.{b}.units.{i}.conv1", "stage{t}.{m}.layers.{i}.{b}.branch2.0.{part}", PARTS),
            (MODULE + ".blocks.{b}.units.{i}.depthwise", "stage{t}.{m}.layers.{i}.{b}.branch2.1.{part}", PARTS),
            (MODULE + ".blocks.{b}.units.{i}.conv2", "stage{t}.{m}.layers.{i}.{b}.branch2.2.{part}", PARTS),
            (PATH + ".pointwise", "stage{t}.{m}.fuse_layers.{i}.{j}.{part}", FIRST),
            (PATH + ".{k}.depthwise", "stage{t}.{m}.fuse_layers.{i}.{j}.{k}.{part}", FIRST),
            (PATH + ".{k}.pointwise", "stage{t}.{m}.fuse_layers.{i}.{j}.{k}.{part}", SECOND),
            ("iterative_head.projects.{i}.depthwise", "head_layer.projects.{i}.depthwise_conv.{part}", PARTS),
            ("iterative_head.projects.{i}.pointwise", "head_layer.projects.{i}.pointwise_conv.{part}", PARTS),
        ),
    }
)


def published_name(name: str, family: str) -> str:
    """Translate one of our names, of a network of ``hrnet`` or ``litehrnet``, without what a file puts before it.

    >>> published_name("stage3.transition.new.bn.running_mean", "hrnet")
    'transition2.2.0.1.running_mean'
    >>> published_name("stage3.transition.new.pointwise.conv.weight", "litehrnet")
    'transition1.2.0.2.weight'
    >>> published_name("head.predict.bias", "hrnet")
    'final_layer.bias'
    """
    unit, part, leaf = name.rsplit(".", 2)
    if unit == "head":
        return f"{LAST_LAYER}.{leaf}"
    for ours, theirs, (conv, bn) in RULES[family]:
        found = re.fullmatch(re.sub(r"\\{(\w)\\}", r"(?P<\1>[0-9]+)", re.escape(ours)), unit)
        if found:
            numbers = found.groupdict()
            if "s" in numbers:
                numbers |= {"u": str(int(numbers["s"]) - 1), "t": str(int(numbers["s"]) - 2)}
            return theirs.format(**numbers, part=conv if part == "conv" else bn) + f".{leaf}"
    raise KeyError(f"{name} of {family} has no published name")
