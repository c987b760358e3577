"""Describe how to prepare a model's input and decode its output. A model file carries this description as JSON."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import math
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgehrnet.errors import InputError, SpecError, check_keywords, nearest
from edgehrnet.picture.cells import CellGrid
from edgehrnet.picture.crops import CropConvention
from edgehrnet.picture.letterbox import VERSION as LETTERBOX_VERSION
from edgehrnet.picture.letterbox import check_input_size
from edgehrnet.picture.sources import read_image
from edgehrnet.records import LATER, check_types, for_each_channel, frozen, pack_record, unpack_record

FORMAT = 2
DecodeMethod = Literal["argmax", "quarter", "quarter-mmpose", "dark", "udp", "udp-offset", "offset", "softargmax"]
DECODE_METHODS: tuple[DecodeMethod, ...] = get_args(DecodeMethod)
Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
GOLDEN_PICTURE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Golden:
    """A picture with the float network's output, to check a file on any device."""

    png: str
    """The picture as PNG in base64, at most 64 KB."""
    xy: tuple[tuple[float, float], ...]
    """Keypoints (x, y) in pixels of the picture."""
    conf: tuple[float, ...]
    """Confidence of each keypoint, 0..1."""
    heatmaps: str
    """Probabilities ``(K, h, w)`` as little-endian float16, compressed by zlib, in base64."""
    shape: tuple[int, int, int]
    """Shape (K, h, w) of the heatmaps."""

    def __post_init__(self) -> None:
        check_types(self)

    @classmethod
    def pack(
        cls,
        image: NDArray[np.uint8],
        xy: NDArray[np.floating[Any]],
        conf: NDArray[np.floating[Any]],
        heatmaps: NDArray[np.floating[Any]],
    ) -> Golden:
        """Pack a picture and the float network's output.

        Args:
            image: ``(H, W, 3)`` u8 RGB.
            xy: ``(K, 2)`` keypoints in pixels of the picture.
            conf: ``(K,)`` confidences, 0..1.
            heatmaps: ``(K, h, w)`` probabilities, 0..1.

        Raises:
            SpecError: The picture is larger than 64 KB as PNG.
        """
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG", optimize=True)
        if buffer.tell() > GOLDEN_PICTURE_BYTES:
            raise SpecError(f"the golden picture has {buffer.tell()} bytes as PNG; at most {GOLDEN_PICTURE_BYTES} fit")
        packed = zlib.compress(heatmaps.astype("<f2").tobytes(), 9)
        count, height, width = heatmaps.shape
        return cls(
            png=base64.b64encode(buffer.getvalue()).decode(),
            xy=tuple((round(float(x), 4), round(float(y), 4)) for x, y in xy),
            conf=tuple(round(float(c), 5) for c in conf),
            heatmaps=base64.b64encode(packed).decode(),
            shape=(count, height, width),
        )

    def image(self) -> NDArray[np.uint8]:
        """Unpack the picture, ``(H, W, 3)`` u8 RGB."""
        try:
            return read_image(base64.b64decode(self.png))
        except ValueError as error:  # raised by base64, and the base class of ImageError
            raise SpecError(f"the golden picture is damaged: {error}") from None

    def heatmap_array(self) -> NDArray[np.float32]:
        """Unpack the heatmaps, ``(K, h, w)`` float32 in 0..1."""
        size = 2 * math.prod(self.shape)
        try:
            # Limit the output, because a damaged or hostile file may unpack to more than its shape says.
            raw = zlib.decompressobj().decompress(base64.b64decode(self.heatmaps), max(1, size))
            return np.frombuffer(raw, "<f2").reshape(self.shape).astype(np.float32)
        except (ValueError, zlib.error) as error:
            raise SpecError(f"the golden heatmaps are damaged: {error}") from None


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
    """Decoding method."""
    kernel: int = 11
    """Cells that ``dark``, ``udp`` and ``udp-offset`` blur over, an odd number."""
    cyclic: bool = False
    """The keypoints are a closed outline, clockwise. The first is the one with the smallest x/W + y/H."""
    outputs: tuple[tuple[str, str], ...] = (("heatmaps", "NCHW"), ("offsets", "NCHW"), ("hf", "NHWC"))
    """Pairs of output name and layout. Heatmaps are the output of that name, or the first one if there is none. The
    output ``hf`` is the high-resolution features."""
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
    extra: dict[str, Any] = field(default_factory=dict, hash=False)
    """Optional fields of a newer release, kept and written back."""

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            object.__setattr__(self, name, for_each_channel(getattr(self, name)))
        check_types(self)
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

    @cached_property
    def grid(self) -> CellGrid:
        """Positions of the heatmap cells in the input."""
        if self.crop == "udp":
            return CellGrid.corners(self.stride, self.input_size)
        return CellGrid(self.stride, self.cell_offset)

    @property
    def heatmaps_output(self) -> str:
        """Name of the output that holds the heatmaps."""
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
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
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
        except (TypeError, AttributeError) as error:
            raise SpecError(f"the spec is incomplete: {error}") from None

    def _check_input(self) -> None:
        if self.input_format.startswith("float") and self.channels == 4:
            raise SpecError(f"channels={self.channels}; a file with a float input takes 3 (RGB) or 1 (gray)")
        if self.channels == 1 and (len(set(self.mean)) > 1 or len(set(self.std)) > 1):
            raise SpecError(f"mean={self.mean}, std={self.std}; one channel takes one number each, such as mean=0.5")
        if 0 in self.std:
            raise SpecError(f"std={self.std}; no value may be 0")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if max(map(abs, values)) > 1:
                raise SpecError(f"{name}={values}; values are for pixels in 0..1: divide by 255")
        if self.letterbox != LETTERBOX_VERSION:
            text = f"letterbox={self.letterbox}; this release has letterbox version {LETTERBOX_VERSION}"
            raise SpecError(f"{text}: install the release that made the file, or train again")

    def _check_outputs(self) -> None:
        if self.stride < 1:
            raise SpecError(f"stride={self.stride}; it must be at least 1")
        try:
            check_input_size(self.input_size, self.stride)
        except InputError as error:
            raise SpecError(str(error)) from None
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise SpecError(f"kernel={self.kernel}; use an odd number of cells, such as 11")
        if not self.outputs or self.heatmaps_output in ("offsets", "hf", "sdf"):
            raise SpecError(f"outputs={self.outputs}; name the heatmaps: outputs=(('heatmaps', 'NCHW'),)")
        if self.layout("offsets") == "NHWC":
            raise SpecError(f"outputs={self.outputs}; offsets must be NCHW")
        if self.maps is not None and self.maps < len(self.keypoints):
            raise SpecError(f"maps={self.maps}; there are {len(self.keypoints)} keypoints, one map for each")
        for name, layout in self.outputs:
            if layout not in ("NCHW", "NHWC"):
                raise SpecError(f"output {name!r} has layout {layout!r}; accepted: NCHW, NHWC")

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
