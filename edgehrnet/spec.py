"""Describe how to prepare a model's input and decode its output. A model file carries this description as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

from edgehrnet.errors import InputError, SpecError, check_keywords, nearest
from edgehrnet.golden import Golden
from edgehrnet.picture.cells import CellGrid
from edgehrnet.picture.crops import CropConvention
from edgehrnet.picture.letterbox import VERSION as LETTERBOX_VERSION
from edgehrnet.picture.letterbox import check_input_size
from edgehrnet.records import LATER, check_types, for_each_channel, frozen, pack_record, unpack_record
from edgehrnet.spec_limits import check_ranges
from runtimes.json_files import parse_json

FORMAT = 2
HeatmapMethod = Literal["argmax", "quarter", "quarter-mmpose", "dark", "udp", "udp-offset", "offset", "softargmax"]
DECODE_METHODS: tuple[HeatmapMethod, ...] = get_args(HeatmapMethod)
DecodeMethod = Literal[HeatmapMethod, "simcc", "points"]
# decoding method of files without heatmaps -> their outputs and layouts: vectors along x and y, coordinates
OTHER_OUTPUTS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "simcc": (("simcc_x", "NKW"), ("simcc_y", "NKW")),
    "points": (("keypoints", "NKC"),),
}
Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True)
class ModelSpec:
    """Description of a model: how its input is prepared, and how its output is decoded."""

    name: str
    """Name of the model."""
    keypoints: tuple[str, ...]
    """Keypoint names in channel order."""
    skeleton: tuple[tuple[int, int], ...] = ()
    """Pairs of keypoint indices to connect in drawings."""
    flip_pairs: tuple[tuple[int, int], ...] = ()
    """Pairs of keypoint indices to swap in a mirrored picture."""
    oks_sigmas: tuple[float, ...] = ()
    """COCO's per-keypoint constants. Empty if there are none."""
    input_size: tuple[int, int] = (256, 512)
    """Network input (height, width) in pixels."""
    channels: Literal[1, 3, 4] = 4
    """Input channels: 4 is RGB + mask, 3 is RGB, 1 is gray (0.299 R + 0.587 G + 0.114 B)."""
    input_format: Literal["u8 NHWC", "u8 NCHW", "float NCHW", "float NHWC"] = "u8 NHWC"
    """``u8``: the graph computes ``(u8 / 255 - mean) / std``. ``float``: the input is that result."""
    crop: CropConvention | None = None
    """How a box becomes a network input, see crops.Crop. None letterboxes the whole picture."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Mean to subtract from values in 0..1, in the order of `color`. One number stands for all channels."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Standard deviation to divide by, for values in 0..1, as `mean`."""
    letterbox: int = LETTERBOX_VERSION
    """Version of the letterbox that the network was trained with."""
    stride: int = 4
    """Input pixels per heatmap cell."""
    cell_offset: float = 1.5
    """Input pixel of the first cell's center: pixel = stride * cell + cell_offset."""
    heatmap_values: Literal["logits", "linear"] = "logits"
    """``logits`` are converted by a sigmoid before decoding. ``linear`` values are decoded without one."""
    decode: DecodeMethod = "offset"
    """Decoding method. ``simcc`` and ``points`` are for files without heatmaps, see `simcc` and `points`."""
    kernel: int = 11
    """Cells that ``dark``, ``udp`` and ``udp-offset`` blur over, an odd number."""
    cyclic: bool = False
    """The keypoints are a closed outline, clockwise. The first is the one with the smallest x/W + y/H."""
    outputs: tuple[tuple[str, str], ...] = (("heatmaps", "NCHW"), ("offsets", "NCHW"), ("hf", "NHWC"))
    """Pairs of output name and layout. Heatmaps are the output of that name, or the first one if there is none. The
    output ``hf`` is the high-resolution features. For ``simcc``, the first two are the vectors of x and of y."""
    precision: Precision = "fp32"
    """Precision of the file: ``fp32``, ``fp16`` or ``int8``."""
    confidence: tuple[float, float, float] | None = None
    """Calibration from a peak value to a probability, see decoding.probability. None if it was not measured."""
    golden: Golden | None = None
    """Picture with the float network's output, for the self-check."""
    color: Literal["rgb", "bgr"] = field(default="rgb", metadata=LATER)
    """Order of the input's colors."""
    maps: int | None = field(default=None, metadata=LATER)
    """Number of heatmaps in the file, if further ones follow those of the keypoints, such as the background's."""
    unit: Literal["px", "normalized"] = field(default="px", metadata=LATER)
    """Unit of the coordinates that a file for ``points`` gives: pixels of the input, or shares of its width and height:
    x = 0.5 is pixel W / 2."""
    extra: dict[str, Any] = field(default_factory=dict, hash=False)
    """Optional fields of a newer release, kept and written back."""

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            object.__setattr__(self, name, for_each_channel(getattr(self, name)))
        check_types(self)
        check_ranges(self)
        self._check_input()
        self._check_outputs()
        self._check_keypoints()

    @classmethod
    def heatmaps(cls, name: str, keypoints: tuple[str, ...], **fields: Any) -> ModelSpec:
        """Return the spec of a plain heatmap network: RGB input, one output of linear heatmaps, no offsets.

        Args:
            name: Name of the model.
            keypoints: Keypoint names in channel order.
            **fields: Further fields of ModelSpec, such as ``input_size`` (height, width), ``mean`` and ``std``.

        >>> ModelSpec.heatmaps("pose", ("nose",), input_size=(256, 192)).decode
        'dark'
        """
        plain = {
            "channels": 3,
            "input_format": "float NCHW",
            "heatmap_values": "linear",
            "decode": "dark",
            "outputs": (("heatmaps", "NCHW"),),
        }
        return cls(name, keypoints, **{**plain, **fields})

    @classmethod
    def simcc(cls, name: str, keypoints: tuple[str, ...], **fields: Any) -> ModelSpec:
        """Return the spec of a SimCC network such as RTMPose: RGB input, two outputs ``(1, K, W')`` and ``(1, K, H')``.

        The keypoint is at the largest value of each vector, in units of W / W' and H / H' pixels of the input.

        Args:
            name: Name of the model.
            keypoints: Keypoint names in channel order.
            **fields: Further fields of ModelSpec, such as ``outputs`` if they are not ``simcc_x`` and ``simcc_y``.
        """
        return cls.heatmaps(name, keypoints, **{"decode": "simcc", "outputs": OTHER_OUTPUTS["simcc"], **fields})

    @classmethod
    def points(cls, name: str, keypoints: tuple[str, ...], **fields: Any) -> ModelSpec:
        """Return the spec of a network that gives coordinates: RGB input, an output ``(1, K, 2)`` or ``(1, K, 3)``.

        Args:
            name: Name of the model.
            keypoints: Keypoint names in the order of the output.
            **fields: Further fields of ModelSpec, such as ``unit="normalized"``.
        """
        return cls.heatmaps(
            name, keypoints, **{"decode": "points", "outputs": OTHER_OUTPUTS["points"], "stride": 1, **fields}
        )

    @cached_property
    def grid(self) -> CellGrid:
        """Positions of the heatmap cells in the input."""
        if self.crop == "udp":
            return CellGrid.corners(self.stride, self.input_size)
        return CellGrid(self.stride, self.cell_offset)

    @property
    def has_heatmaps(self) -> bool:
        """True if the file gives heatmaps, False for vectors or coordinates."""
        return self.decode not in OTHER_OUTPUTS

    @property
    def heatmaps_output(self) -> str:
        """Name of the output that holds the heatmaps, or of the first output if the file gives none."""
        return "heatmaps" if self.layout("heatmaps") else self.outputs[0][0]

    def layout(self, output: str) -> str | None:
        """Return the layout of an output (``NCHW`` or ``NHWC``), or None if the file has no such output."""
        return dict(self.outputs).get(output)

    def replace(self, **changes: Any) -> ModelSpec:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return pack_record(self, FORMAT)

    def to_json(self) -> str:
        """Return the spec as one line of JSON.

        >>> spec = ModelSpec("corners", ("a", "b"))
        >>> ModelSpec.from_json(spec.to_json()) == spec
        True
        """
        return json.dumps(self.to_dict(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Parse the output of to_json. Raises SpecError for anything else."""
        try:
            values = parse_json(text)
        except ValueError as error:
            raise SpecError(f"the spec is not valid JSON: {error}") from None
        return cls.from_dict(values)

    @classmethod
    def from_dict(cls, values: Any) -> ModelSpec:
        """Build a spec from the output of to_dict.

        Unknown fields that the file lists as ``optional`` are kept in ``extra``. Raises SpecError for other unknown
        fields, and for missing or wrong ones.
        """
        given = unpack_record(values, _names(cls), FORMAT, "spec")
        try:
            if given.get("golden") is not None:
                golden = {key: frozen(value) for key, value in given["golden"].items()}
                for key in sorted(golden.keys() - _names(Golden)):
                    raise SpecError(f"unknown field {key!r} in the golden pair; {nearest(key, _names(Golden))}")
                given["golden"] = Golden(**golden)
            return cls(**given)
        except RecursionError:
            raise SpecError("the spec has too many lists inside each other") from None
        except (TypeError, AttributeError) as error:
            raise SpecError(f"the spec is incomplete: {error}") from None

    def _check_input(self) -> None:
        if self.input_format.startswith("float") and self.channels == 4:
            raise SpecError(f"channels={self.channels}; a file with a float input takes 3 (RGB) or 1 (gray)")
        if self.channels == 1 and (len(set(self.mean)) > 1 or len(set(self.std)) > 1):
            raise SpecError(f"mean={self.mean}, std={self.std}; one channel takes one number each, such as mean=0.5")
        if self.letterbox != LETTERBOX_VERSION:
            text = f"letterbox={self.letterbox}; this release has letterbox version {LETTERBOX_VERSION}"
            raise SpecError(f"{text}: install the release that made the file, or train again")

    def _check_outputs(self) -> None:
        try:
            check_input_size(self.input_size, self.stride)
        except InputError as error:
            raise SpecError(str(error)) from None
        if self.kernel % 2 == 0:
            raise SpecError(f"kernel={self.kernel}; use an odd number of cells, such as 11")
        if not self.has_heatmaps:
            self._check_other_outputs()
            return
        if not self.outputs or self.heatmaps_output in ("offsets", "hf", "sdf"):
            raise SpecError(f"outputs={self.outputs}; name the heatmaps: outputs=(('heatmaps', 'NCHW'),)")
        if self.layout("offsets") == "NHWC":
            raise SpecError(f"outputs={self.outputs}; offsets must be NCHW")
        if self.maps is not None and self.maps < len(self.keypoints):
            raise SpecError(f"maps={self.maps}; there are {len(self.keypoints)} keypoints, one map for each")
        for name, layout in self.outputs:
            if layout not in ("NCHW", "NHWC"):
                raise SpecError(f"output {name!r} has layout {layout!r}; accepted: NCHW, NHWC")

    def _check_other_outputs(self) -> None:
        """Check a spec without heatmaps."""
        usual = OTHER_OUTPUTS[self.decode]
        if [layout for _, layout in self.outputs[: len(usual)]] != [layout for _, layout in usual]:
            raise SpecError(f"outputs={self.outputs}; decode={self.decode!r} needs outputs={usual}, or other names")
        for name, plain in (("heatmap_values", "linear"), ("cyclic", False), ("maps", None)):
            if getattr(self, name) != plain:
                raise SpecError(f"{name}={getattr(self, name)!r}; decode={self.decode!r} takes {name}={plain!r} only")

    def _check_keypoints(self) -> None:
        count = len(self.keypoints)
        if not count:
            raise SpecError("keypoints=(); a ModelSpec needs at least one keypoint name")
        for pair in (*self.skeleton, *self.flip_pairs):
            if not all(0 <= index < count for index in pair):
                raise SpecError(f"keypoint index in {pair} is outside 0..{count - 1}")
        if self.oks_sigmas and len(self.oks_sigmas) != count:
            raise SpecError(f"{len(self.oks_sigmas)} OKS sigmas for {count} keypoints; give one per keypoint")


# The generated constructor would raise a bare TypeError for a misspelled field.
ModelSpec.__init__ = check_keywords(ModelSpec.__init__)  # type: ignore[method-assign]


def _names(record: type[Any]) -> set[str]:
    return {item.name for item in dataclasses.fields(record)}
