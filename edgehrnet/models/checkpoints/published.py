"""Recognize the network in a published checkpoint of HRNet or Lite-HRNet, and rename its weights to our names.

Supported are files of the two papers' repositories and of mmpose 0.x and 1.x. They use the same names of weights with
different prefixes. `state_dicts` removes prefixes that other tools add.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from edgehrnet.errors import ModelFileError
from edgehrnet.keypoint_sets import BY_COUNT
from edgehrnet.models.checkpoints.published_meta import stated_fields
from edgehrnet.models.checkpoints.published_names import LAST_LAYER, published_name
from edgehrnet.models.checkpoints.state_dicts import shorten
from edgehrnet.models.factory import create
from edgehrnet.models.networks.hrnet import HRNETS, HRNetPlan
from edgehrnet.models.networks.litehrnet import LITE_HRNETS, LitePlan
from edgehrnet.models.variants import VARIANTS
from edgehrnet.spec import ModelSpec

Shapes = Mapping[str, tuple[int, ...]]
COCO = 17  # keypoints
# Channels per keypoint in UDP's "combined" head. No published network has 51 keypoints, so 51 channels mean 17.
OFFSETS = 3
# Prefixes of layers that only a classification network has.
CLASSIFIER = ("classifier.", "incre_modules.", "downsamp_modules.")
COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Published:
    """Content of a published file."""

    variant: str
    """Name of the network, see `edgehrnet.models.create`."""

    keypoints: int
    """Number K of keypoints."""

    options: dict[str, Any]
    """Other keyword arguments of ``create``."""

    state: dict[str, Tensor]
    """Weights under our names."""

    spec: dict[str, Any]
    """The ModelSpec, JSON values."""


@dataclass(frozen=True)
class Naming:
    """Prefixes of the names in one file, and the position of the last layer in its head."""

    trunk: str = ""
    """Prefix of weights in the trunk."""

    head: str = ""
    """Prefix of weights in the head."""

    last: int | None = None
    """Index of the last layer in files of mmpose 0.x that store the head as a list of layers, otherwise None."""

    @classmethod
    def of(cls, names: Mapping[str, Any]) -> Naming:
        """Determine the naming from the names in a file."""
        if not any(name.startswith("backbone.") for name in names):
            return cls()
        if not any(name.startswith("keypoint_head.") for name in names):
            return cls("backbone.", "head.")
        numbers = [int(m[1]) for m in (re.match(rf"keypoint_head\.{LAST_LAYER}\.(\d+)\.", n) for n in names) if m]
        return cls("backbone.", "keypoint_head.", max(numbers, default=None))

    def __call__(self, name: str) -> str:
        """Add the file's prefix to a name.

        >>> Naming("backbone.", "keypoint_head.", 3)("conv_layers.0.weight")
        'keypoint_head.final_layer.0.weight'
        """
        layer, _, rest = name.partition(".")
        if layer not in (LAST_LAYER, "conv_layers"):
            return self.trunk + name
        if self.last is None:
            return self.head + name
        return f"{self.head}{LAST_LAYER}." + (rest if layer == "conv_layers" else f"{self.last}.{rest}")


def read_published(state: Mapping[str, Tensor], meta: object = None) -> Published | None:
    """Recognize the network that a state dict belongs to, and rename its weights.

    Args:
        state: Weights of the file, from `state_dicts.tensors_of`.
        meta: Metadata of the file, see `published_meta`, or None.

    Returns:
        The renamed weights with the network's name and spec, or None if they belong to neither family.

    Raises:
        ModelFileError: The weights belong to one of the families but fit none of our networks.
    """
    naming = Naming.of(state)
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    trunk = {name.removeprefix(naming.trunk): shape for name, shape in shapes.items()}
    variant = _variant(trunk, mixed=naming("conv_layers.0.weight") in shapes)
    if variant is None:
        return None
    last = naming(f"{LAST_LAYER}.weight")
    if last not in shapes:
        others = [name for name in shapes if name.endswith(f".{LAST_LAYER}.weight")]
        but = f", but {shorten(others)}, which begins otherwise than the rest" if others else ""
        raise ModelFileError(f"it is a {variant} without a keypoint head (no {last}{but})")
    stated = stated_fields(meta)
    keypoints, combined = _channels(shapes[last][0], len(stated.get("keypoints", ())))
    options = {"offsets": True} if combined else {}
    with torch.device("meta"):
        ours = create(variant, keypoints=keypoints, **options).state_dict()
    theirs = {name: naming(published_name(name, VARIANTS[variant].family)) for name in ours}
    _check(variant, {theirs[name]: tuple(value.shape) for name, value in ours.items()}, shapes)
    # Very old files have no BN batch counters. Nothing uses them at inference.
    zero = torch.zeros((), dtype=torch.int64)
    renamed = {name: state[theirs[name]] if theirs[name] in state else zero.clone() for name in ours}
    spec = published_spec(variant, keypoints, combined, stated)
    return Published(variant, keypoints, options, renamed, spec.to_dict())


def _channels(channels: int, named: int) -> tuple[int, bool]:
    """Return the number of keypoints of a head, and whether it predicts offsets.

    Args:
        channels: Output channels of the head.
        named: Number of keypoints in the file's metadata, 0 if it has none.
    """
    expected = named or (COCO if channels == OFFSETS * COCO else channels)
    if channels not in (expected, OFFSETS * expected):
        raise ModelFileError(
            f"its head has {channels} output channels for {named} keypoints; supported are top-down networks with 1 "
            f"channel per keypoint, or {OFFSETS} (UDP's offsets)"
        )
    return expected, channels != expected


def published_spec(
    variant: str, keypoints: int, offsets: bool = False, stated: Mapping[str, Any] = MappingProxyType({})
) -> ModelSpec:
    """Return the spec of a published network.

    17 keypoints are those of COCO and 16 those of MPII, in crops around boxes as HRNet cuts them. Other keypoints have
    no names.

    Args:
        variant: Name of the network.
        keypoints: Number of keypoints.
        offsets: True if the head predicts offsets, which implies the crops and the decoding of UDP.
        stated: Fields from the file's metadata, see `published_meta`, which take precedence.

    >>> published_spec("litehrnet18", 16).keypoints[:2], published_spec("hrnetv2_w18", 98).keypoints[:2]
    (('right_ankle', 'right_knee'), ('keypoint-0', 'keypoint-1'))
    """
    fields = dict(VARIANTS[variant].spec)
    if keypoints in BY_COUNT:
        found = BY_COUNT[keypoints]
        fields |= {"skeleton": found.skeleton, "flip_pairs": found.flip_pairs, "oks_sigmas": found.sigmas}
        fields |= {"keypoints": found.names, "crop": "hrnet"}
    else:
        fields["keypoints"] = tuple(f"keypoint-{index}" for index in range(keypoints))
    fields |= stated
    if offsets:
        fields |= {"crop": "udp", "decode": "udp-offset"}
        fields["outputs"] = (("heatmaps", "NCHW"), ("offsets", "NCHW"), ("hf", "NHWC"))
    return ModelSpec(variant, **fields)


def _variant(shapes: Shapes, mixed: bool) -> str | None:
    """Return the name of the network whose weights have these names and shapes, or None.

    Args:
        shapes: Shape of each weight, by its name without a prefix.
        mixed: True if the head has other layers before the last one, as in HRNetV2.
    """
    if "stem.conv1.conv.weight" in shapes and "transition0.1.0.2.weight" in shapes:
        return _planned("Lite-HRNet", _lite_plan(shapes), LITE_HRNETS)
    if "layer1.0.conv1.weight" not in shapes or "transition1.0.0.weight" not in shapes:
        return None
    if any(name.startswith(CLASSIFIER) for name in shapes):
        raise ModelFileError(
            "it is a classification network (ImageNet), which has other last layers; "
            "use a checkpoint that was trained on keypoints"
        )
    return _planned("HRNet", _hrnet_plan(shapes, mixed), HRNETS)


def _planned(family: str, plan: object, plans: Mapping[str, object]) -> str:
    """Return the name of the network with this plan."""
    for name, known in plans.items():
        if plan == known:
            return name
    raise ModelFileError(f"unsupported {family} architecture {plan}; supported: {', '.join(plans)}")


def _hrnet_plan(shapes: Shapes, mixed: bool) -> HRNetPlan:
    modules = _modules(shapes, (2, 3, 4))
    last = [name for name in shapes if name.startswith(f"stage4.{modules[2] - 1}.")]
    return HRNetPlan(
        width=shapes["transition1.0.0.weight"][0],
        bottlenecks=_numbers(shapes, r"layer1\.(\d+)\."),
        planes=shapes["layer1.0.conv1.weight"][0],
        modules=modules,
        blocks=_numbers(shapes, r"stage2\.0\.branches\.0\.(\d+)\."),
        mixed=mixed,
        whole=not mixed and any(re.match(r"stage4\.\d+\.fuse_layers\.3\.0\.2\.", name) for name in last),
    )


def _lite_plan(shapes: Shapes) -> LitePlan:
    return LitePlan(
        width=shapes["transition0.1.0.2.weight"][0] // 2,
        modules=_modules(shapes, (0, 1, 2)),
        naive=any(".branch2." in name for name in shapes),
    )


def _modules(shapes: Shapes, stages: tuple[int, int, int]) -> tuple[int, int, int]:
    first, second, third = (_numbers(shapes, rf"stage{stage}\.(\d+)\.") for stage in stages)
    return first, second, third


def _numbers(shapes: Shapes, pattern: str) -> int:
    """Count the distinct numbers that the pattern's group captures in the names."""
    return len({found[1] for found in (re.match(pattern, name) for name in shapes) if found})


def _check(variant: str, expected: Shapes, given: Shapes) -> None:
    """Check the shapes of the weights.

    Raises:
        ModelFileError: Weights are missing, unexpected, or of another shape. The message has the file's names.
    """
    problems = {
        "missing": [name for name in expected if name not in given and not name.endswith(COUNTER)],
        "unexpected": [name for name in given if name not in expected],
        "of another shape": [
            f"{name} {list(given[name])} instead of {list(shape)}"
            for name, shape in expected.items()
            if given.get(name, shape) != shape
        ],
    }
    if any(problems.values()):
        listed = "; ".join(f"{what}: {shorten(names)}" for what, names in problems.items() if names)
        raise ModelFileError(f"its weights do not fit {variant}: {listed}")
