"""Published checkpoints of HRNet and Lite-HRNet: which network a file holds, and its weights under our names.

Read are the files of the two papers' own repositories and of mmpose 0.x and 1.x. They name the same weights in the same
way, but for how a name begins.
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
from edgehrnet.models.factory import create
from edgehrnet.models.networks.hrnet import HRNETS, HRNetPlan
from edgehrnet.models.networks.litehrnet import LITE_HRNETS, LitePlan
from edgehrnet.models.variants import VARIANTS
from edgehrnet.spec import ModelSpec

Shapes = Mapping[str, tuple[int, ...]]
COCO, OFFSETS = 17, 3  # keypoints; channels of each in UDP's "combined" head. No published network has 51 keypoints
# Parts of a classification network, before and in its last layer.
CLASSIFIER = ("classifier.", "incre_modules.", "downsamp_modules.")
COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Published:
    """What a published file holds: the arguments of ``create``, the weights under our names, and a spec."""

    variant: str
    keypoints: int
    options: dict[str, Any]
    state: dict[str, Tensor]
    spec: dict[str, Any]


@dataclass(frozen=True)
class Naming:
    """How the names in one file begin, and what it calls the layers of the head.

    ``trunk``, ``head``: the beginnings. ``last``: the number that mmpose 0.x gives the last layer where it puts all
    layers of a head into one list, None elsewhere.
    """

    trunk: str = ""
    head: str = ""
    last: int | None = None

    @classmethod
    def of(cls, names: Mapping[str, Any]) -> Naming:
        """Recognize the repository from the names."""
        if not any(name.startswith("backbone.") for name in names):
            return cls()
        if not any(name.startswith("keypoint_head.") for name in names):
            return cls("backbone.", "head.")
        numbers = [int(m[1]) for m in (re.match(rf"keypoint_head\.{LAST_LAYER}\.(\d+)\.", n) for n in names) if m]
        return cls("backbone.", "keypoint_head.", max(numbers, default=None))

    def __call__(self, name: str) -> str:
        """Turn a name without a beginning into the file's.

        >>> Naming("backbone.", "keypoint_head.", 3)("conv_layers.0.weight")
        'keypoint_head.final_layer.0.weight'
        """
        layer, _, rest = name.partition(".")
        if layer not in (LAST_LAYER, "conv_layers"):
            return self.trunk + name
        if self.last is None:
            return self.head + name
        return f"{self.head}{LAST_LAYER}." + (rest if layer == "conv_layers" else f"{self.last}.{rest}")


def tensors_of(content: object) -> dict[str, Tensor] | None:
    """Return the weights in a file's content, None if there are none.

    Either the content itself, or its ``state_dict``. What DataParallel puts before names is taken off, and what mmpose
    1.x stores of the input's scaling left out.
    """
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state:
        return None
    if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()):
        return None
    plain = {name.removeprefix("module."): value for name, value in state.items()}
    return {name: value for name, value in plain.items() if not name.startswith("data_preprocessor.")}


def read_published(state: Mapping[str, Tensor], meta: object = None) -> Published | None:
    """Recognize the network that `tensors_of` a file belong to, and rename them; None if it is of neither family.

    ``meta``: what else the file says of itself, see `published_meta`; None where it has no such part.

    Raises:
        ModelFileError: it is of one of the families, but none of our networks, or its weights are not complete.
    """
    naming = Naming.of(state)
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    trunk = {name.removeprefix(naming.trunk): shape for name, shape in shapes.items()}
    variant = _variant(trunk, mixed=naming("conv_layers.0.weight") in shapes)
    if variant is None:
        return None
    last = naming(f"{LAST_LAYER}.weight")
    if last not in shapes:
        raise ModelFileError(f"it is a {variant} without a keypoint head (no {last})")
    said = stated_fields(meta)
    keypoints, combined = _channels(shapes[last][0], len(said.get("keypoints", ())))
    options = {"offsets": True} if combined else {}
    with torch.device("meta"):
        ours = create(variant, keypoints=keypoints, **options).state_dict()
    theirs = {name: naming(published_name(name, VARIANTS[variant].family)) for name in ours}
    _check(variant, {theirs[name]: tuple(value.shape) for name, value in ours.items()}, shapes)
    # Very old files have no such counters; nothing depends on them.
    zero = torch.zeros((), dtype=torch.int64)
    renamed = {name: state[theirs[name]] if theirs[name] in state else zero.clone() for name in ours}
    spec = published_spec(variant, keypoints, combined, said)
    return Published(variant, keypoints, options, renamed, spec.to_dict())


def _channels(channels: int, named: int) -> tuple[int, bool]:
    """Return how many keypoints a head of so many channels has, and whether it gives offsets too.

    ``named``: how many the file names, 0 if it does not say.
    """
    expected = named or (COCO if channels == OFFSETS * COCO else channels)
    if channels not in (expected, OFFSETS * expected):
        raise ModelFileError(
            f"its head gives {channels} maps for {named} keypoints; needed is a network for crops of boxes, with one "
            f"map for each keypoint, or {OFFSETS} (UDP's offsets)"
        )
    return expected, channels != expected


def published_spec(
    variant: str, keypoints: int, offsets: bool = False, said: Mapping[str, Any] = MappingProxyType({})
) -> ModelSpec:
    """Return the spec of a published network: 17 keypoints are COCO's, 16 are MPII's, others have no names.

    Networks for persons see crops around boxes, as HRNet cuts them, or UDP where the head gives offsets. What the file
    itself ``said``, see `published_meta`, goes over these.

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
    fields |= said
    if offsets:
        fields |= {"crop": "udp", "decode": "udp-offset"}
        fields["outputs"] = (("heatmaps", "NCHW"), ("offsets", "NCHW"), ("hf", "NHWC"))
    return ModelSpec(variant, **fields)


def _variant(shapes: Shapes, mixed: bool) -> str | None:
    """Name the network whose weights have these names (without their beginnings) and shapes.

    ``mixed``: its head has more layers than the last.
    """
    if "stem.conv1.conv.weight" in shapes and "transition0.1.0.2.weight" in shapes:
        return _planned("a Lite-HRNet", _lite_plan(shapes), LITE_HRNETS)
    if "layer1.0.conv1.weight" not in shapes or "transition1.0.0.weight" not in shapes:
        return None
    if any(name.startswith(CLASSIFIER) for name in shapes):
        raise ModelFileError(
            "it is a classification network (ImageNet), whose last layers are others; "
            "needed is one that was trained on keypoints"
        )
    return _planned("an HRNet", _hrnet_plan(shapes, mixed), HRNETS)


def _planned(what: str, plan: object, plans: Mapping[str, object]) -> str:
    for name, known in plans.items():
        if plan == known:
            return name
    raise ModelFileError(f"it is {what}, but none that is known: {plan}; known: {', '.join(plans)}")


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
    """How many different numbers the names have where the pattern has its group."""
    return len({found[1] for found in (re.match(pattern, name) for name in shapes) if found})


def _check(variant: str, expected: Shapes, given: Shapes) -> None:
    """Raise ModelFileError, with the file's own names, unless the shapes are the expected ones."""
    problems = {
        "missing": [name for name in expected if name not in given and not name.endswith(COUNTER)],
        "unexpected": [name for name in given if name not in expected],
        "of another shape": [
            f"{name} {list(given[name])} in place of {list(shape)}"
            for name, shape in expected.items()
            if given.get(name, shape) != shape
        ],
    }
    if any(problems.values()):
        listed = "; ".join(f"{what}: {shorten(names)}" for what, names in problems.items() if names)
        raise ModelFileError(f"its weights do not fit {variant}: {listed}")


def shorten(names: list[str], most: int = 5) -> str:
    """Join some names, and say how many more there are.

    >>> shorten(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
