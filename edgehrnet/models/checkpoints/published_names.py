"""Table from our names of weights to those in the published checkpoints of HRNet and Lite-HRNet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

CONV_BN, FIRST, SECOND = ("conv", "bn"), ("0", "1"), ("2", "3")
MODULE = "stage{s}.hr_modules.{m}"
PATH = MODULE + ".fusion.paths.{i}_{j}"
LAST_LAYER = "final_layer"

# Our name of a `ConvBNAct`, its published name, and the values of {layer} for the convolution and for the BN. All other
# braces are numbers, where {u} is {s} - 1 and {t} is {s} - 2.
Rule = tuple[str, str, tuple[str, str]]
RULES: Mapping[str, Sequence[Rule]] = MappingProxyType(
    {
        "hrnet": (
            ("stem.conv{n}", "{layer}{n}", CONV_BN),
            ("layer1.{b}.conv{n}", "layer1.{b}.{layer}{n}", CONV_BN),
            ("layer1.{b}.shortcut", "layer1.{b}.downsample.{layer}", FIRST),
            ("stage{s}.transition.keep.{i}", "transition{u}.{i}.{layer}", FIRST),
            ("stage{s}.transition.new", "transition{u}.{u}.0.{layer}", FIRST),
            (MODULE + ".branches.{i}.{b}.conv{n}", "stage{s}.{m}.branches.{i}.{b}.{layer}{n}", CONV_BN),
            (PATH + ".pointwise", "stage{s}.{m}.fuse_layers.{i}.{j}.{layer}", FIRST),
            (PATH + ".{k}", "stage{s}.{m}.fuse_layers.{i}.{j}.{k}.{layer}", FIRST),
            ("mix.conv", "conv_layers.{layer}", FIRST),
        ),
        "litehrnet": (
            ("stem.conv1", "stem.conv1.{layer}", CONV_BN),
            ("stem.left.depthwise", "stem.branch1.0.{layer}", CONV_BN),
            ("stem.left.pointwise", "stem.branch1.1.{layer}", CONV_BN),
            ("stem.expand", "stem.expand_conv.{layer}", CONV_BN),
            ("stem.right.depthwise", "stem.depthwise_conv.{layer}", CONV_BN),
            ("stem.right.pointwise", "stem.linear_conv.{layer}", CONV_BN),
            ("stage{s}.transition.keep.{i}.depthwise", "transition{t}.{i}.{layer}", FIRST),
            ("stage{s}.transition.keep.{i}.pointwise", "transition{t}.{i}.{layer}", SECOND),
            ("stage{s}.transition.new.depthwise", "transition{t}.{u}.0.{layer}", FIRST),
            ("stage{s}.transition.new.pointwise", "transition{t}.{u}.0.{layer}", SECOND),
            (
                MODULE + ".blocks.{b}.across.conv{n}",
                "stage{t}.{m}.layers.{b}.cross_resolution_weighting.conv{n}.{layer}",
                CONV_BN,
            ),
            (MODULE + ".blocks.{b}.depthwise.{i}", "stage{t}.{m}.layers.{b}.depthwise_convs.{i}.{layer}", CONV_BN),
            (
                MODULE + ".blocks.{b}.spatial.{i}.conv{n}",
                "stage{t}.{m}.layers.{b}.spatial_weighting.{i}.conv{n}.{layer}",
                CONV_BN,
            ),
            # With shuffle units, the published name has the branch before the block.
            (MODULE + ".blocks.{b}.units.{i}.conv1", "stage{t}.{m}.layers.{i}.{b}.branch2.0.{layer}", CONV_BN),
            (MODULE + ".blocks.{b}.units.{i}.depthwise", "stage{t}.{m}.layers.{i}.{b}.branch2.1.{layer}", CONV_BN),
            (MODULE + ".blocks.{b}.units.{i}.conv2", "stage{t}.{m}.layers.{i}.{b}.branch2.2.{layer}", CONV_BN),
            (PATH + ".pointwise", "stage{t}.{m}.fuse_layers.{i}.{j}.{layer}", FIRST),
            (PATH + ".{k}.depthwise", "stage{t}.{m}.fuse_layers.{i}.{j}.{k}.{layer}", FIRST),
            (PATH + ".{k}.pointwise", "stage{t}.{m}.fuse_layers.{i}.{j}.{k}.{layer}", SECOND),
            ("iterative_head.projects.{i}.depthwise", "head_layer.projects.{i}.depthwise_conv.{layer}", CONV_BN),
            ("iterative_head.projects.{i}.pointwise", "head_layer.projects.{i}.pointwise_conv.{layer}", CONV_BN),
        ),
    }
)


def published_name(name: str, family: str) -> str:
    """Translate one of our names of a weight to its published name, without the prefix that a repository adds.

    Args:
        name: Name in the state dict of our network.
        family: ``hrnet`` or ``litehrnet``.

    Raises:
        KeyError: The weight has no published name.

    >>> published_name("stage3.transition.new.bn.running_mean", "hrnet")
    'transition2.2.0.1.running_mean'
    >>> published_name("stage3.transition.new.pointwise.conv.weight", "litehrnet")
    'transition1.2.0.2.weight'
    >>> published_name("head.predict.bias", "hrnet")
    'final_layer.bias'
    """
    unit, layer, leaf = name.rsplit(".", 2)
    if unit == "head":
        return f"{LAST_LAYER}.{leaf}"
    for ours, theirs, (conv, bn) in RULES[family]:
        found = re.fullmatch(re.sub(r"\\{(\w)\\}", r"(?P<\1>[0-9]+)", re.escape(ours)), unit)
        if found:
            numbers = found.groupdict()
            if "s" in numbers:
                numbers |= {"u": str(int(numbers["s"]) - 1), "t": str(int(numbers["s"]) - 2)}
            return theirs.format(**numbers, layer=conv if layer == "conv" else bn) + f".{leaf}"
    raise KeyError(f"{name} of {family} has no published name")
