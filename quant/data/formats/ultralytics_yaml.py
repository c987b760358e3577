"""Read the description of a data set of Ultralytics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgehrnet.errors import InputError, MissingExtraError
from edgehrnet.keypoint_sets import COCO_PERSON
from edgehrnet.sides import pair_sides
from edgehrnet.spec_limits import KEYPOINTS
from quant.data.annotations import ImageId
from quant.data.formats.pairs import left_first
from quant.data.formats.values import NAMELESS, numbers, shortened
from quant.data.remarks import Remarks

CLASSES = 100_000  # at most


def read_yaml(path: Path) -> Mapping[str, Any]:
    """Return the content of a data.yaml.

    Raises:
        InputError: the file cannot be read, or has no keys.
        MissingExtraError: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError(f"{path.name} needs PyYAML ({error}); type: pip install 'edgehrnet[formats]'") from None
    try:
        text = path.read_text(encoding="utf-8-sig")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise ValueError("it has aliases (*name), a few of which stand for lists of any length")
        content = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    if not isinstance(content, Mapping):
        raise InputError(f"{path} holds {shortened(content)}, and must hold keys such as kpt_shape and train")
    return content


@dataclass(frozen=True)
class Description:
    """Content of a data.yaml."""

    keypoints: tuple[str, ...]
    columns: int
    """Numbers of each keypoint in a row: 2 for x and y, 3 for x, y and visibility."""
    classes: dict[ImageId, str]
    """Names of the classes by their number from 0."""
    skeleton: tuple[tuple[int, int], ...]
    flip_pairs: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...]

    @classmethod
    def read(cls, path: Path, content: Mapping[str, Any], remarks: Remarks) -> Description:
        """Check the content. Raise InputError, which names the key, if it is not of a pose data set."""
        count, columns = _shape(path, content.get("kpt_shape"))
        names = _names(path, content, count)
        skeleton = content.get("skeleton") if "node_names" in content else None  # sleap-io's keys
        if names == _numbered(count):
            remarks.add("derived", NAMELESS, f"{path.name}: {shortened(names)}")
        return cls(
            keypoints=names,
            columns=columns,
            classes=_classes(path, content),
            skeleton=tuple(dict.fromkeys(_lines(skeleton, count))),
            flip_pairs=_flip_pairs(path, content.get("flip_idx"), names, remarks),
            sigmas=_sigmas(path, content.get("kpt_oks_sigmas"), names),
        )


def _shape(path: Path, value: Any) -> tuple[int, int]:
    if not (isinstance(value, list) and len(value) == 2 and all(type(number) is int for number in value)
            and 0 < value[0] <= KEYPOINTS and value[1] in (2, 3)):  # fmt: skip
        raise InputError(f"{path}: kpt_shape is {shortened(value)}, and must be [K, 2] or [K, 3] for K keypoints, at "
                         f"most {KEYPOINTS}")  # fmt: skip
    return value[0], value[1]


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"keypoint-{index}" for index in range(count))


def _names(path: Path, content: Mapping[str, Any], count: int) -> tuple[str, ...]:
    """Return the names of the keypoints. Ultralytics has them in kpt_names, by class, and sleap-io in node_names."""
    key = "kpt_names" if content.get("kpt_names") else "node_names"
    value = content.get(key)
    if not value:
        return _numbered(count)
    lists = list(value.values()) if isinstance(value, dict) else [value]
    if any(names != lists[0] for names in lists):
        raise InputError(f"{path}: {key} has different lists of keypoints, and must have the same for each class: "
                         f"{shortened(value)}")  # fmt: skip
    names = lists[0]
    if not isinstance(names, list) or len(names) != count or len(set(map(str, names))) < count:
        raise InputError(f"{path}: {key} is {shortened(value)}, and must be {count} different names, as in kpt_shape")
    return tuple(map(str, names))


def _classes(path: Path, content: Mapping[str, Any]) -> dict[ImageId, str]:
    value = content.get("names")
    if value is None:
        count = content.get("nc", 1)
        value = [f"class_{index}" for index in range(count)] if type(count) is int and count <= CLASSES else None
    try:
        items = value.items() if isinstance(value, dict) else enumerate(value or [])
        classes: dict[ImageId, str] = {int(key): str(name) for key, name in items}
    except (TypeError, ValueError):
        classes = {}
    if not classes:
        raise InputError(f"{path}: names is {shortened(value)}, and must be the names of the classes")
    return dict(sorted(classes.items()))


def _lines(skeleton: Any, count: int) -> list[tuple[int, int]]:
    pairs = [pair for pair in skeleton if isinstance(pair, list)] if isinstance(skeleton, list) else []
    return [(pair[0], pair[1]) for pair in pairs
            if len(pair) == 2 and all(type(end) is int and 0 <= end < count for end in pair)]  # fmt: skip


def _flip_pairs(path: Path, value: Any, names: tuple[str, ...], remarks: Remarks) -> tuple[tuple[int, int], ...]:
    """Return the pairs that flip_idx exchanges, or those that the names tell if it exchanges none."""
    if not value:
        return pair_sides(names)
    count = len(names)
    if not isinstance(value, list) or len(value) != count or any(
            type(other) is not int or not 0 <= other < count or value[other] != index
            for index, other in enumerate(value)):  # fmt: skip
        raise InputError(f"{path}: flip_idx is {shortened(value)}, and must be {count} indices from 0 that exchange "
                         "keypoints in pairs: if index a holds b, index b must hold a")  # fmt: skip
    pairs = left_first(((index, other) for index, other in enumerate(value) if index < other), names)
    by_names = pair_sides(names)
    if not pairs and by_names:
        kind = "flip_idx that exchanges nothing, although names have left and right; the pairs are those of the names"
        remarks.add("warning", kind, str(path))
    return pairs or by_names


def _sigmas(path: Path, value: Any, names: tuple[str, ...]) -> tuple[float, ...]:
    if not value:
        known = dict(zip(COCO_PERSON.names, COCO_PERSON.sigmas, strict=True))
        return tuple(known[name] for name in names) if set(names) == set(known) else ()
    found = numbers(value)
    if found is None or len(found) != len(names) or not all(sigma > 0 for sigma in found):
        raise InputError(f"{path}: kpt_oks_sigmas is {shortened(value)}, and must be {len(names)} positive numbers")
    return tuple(found)
