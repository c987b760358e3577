"""ModelSpec: everything a file must say about itself to be run right. It travels inside the file, as JSON."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import math
import zlib
from dataclasses import dataclass
from functools import cached_property
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgehrnet.errors import InputError, SpecError, nearest
from edgehrnet.picture.cells import CellGrid
from edgehrnet.picture.crops import CropConvention
from edgehrnet.picture.letterbox import VERSION as LETTERBOX_VERSION
from edgehrnet.picture.letterbox import check_input_size
from edgehrnet.picture.sources import read_image

FORMAT = 1
DecodeMethod = Literal["argmax", "quarter", "quarter-mmpose", "dark", "udp", "udp-offset", "offset", "softargmax"]
DECODE_METHODS: tuple[DecodeMethod, ...] = get_args(DecodeMethod)
GOLDEN_PICTURE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Golden:
    """A picture and what the float network gave for it, so that a file can check itself on any device.

    ``png``: the picture, base64 PNG, at most 64 KB. ``xy``: keypoints in its pixels. ``conf``: 0..1.
    ``heatmaps``: base64 of the zlib-packed float16 ``(K, h, w)`` probabilities; ``shape`` is (K, h, w).
    """

    png: str
    xy: tuple[tuple[float, float], ...]
    conf: tuple[float, ...]
    heatmaps: str
    shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        _check_types(self)

    @classmethod
    def pack(
        cls,
        image: NDArray[np.uint8],
        xy: NDArray[np.floating[Any]],
        conf: NDArray[np.floating[Any]],
        heatmaps: NDArray[np.floating[Any]],
    ) -> Golden:
        """Pack a picture ``(H, W, 3)`` u8, keypoints ``(K, 2)``, ``(K,)`` and heatmaps ``(K, h, w)`` 0..1."""
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG", optimize=True)
        if buffer.tell() > GOLDEN_PICTURE_BYTES:
            raise SpecError(f"golden picture is {buffer.tell()} bytes as PNG, at most {GOLDEN_PICTURE_BYTES}")
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
        except ValueError as error:  # of base64, and every ImageError
            raise SpecError(f"the golden picture is damaged: {error}") from None

    def heatmap_array(self) -> NDArray[np.float32]:
        """Unpack the heatmaps, ``(K, h, w)`` float32 in 0..1."""
        size = 2 * math.prod(self.shape)
        try:
            # A damaged or hostile file may unpack to more than it says, so no more than that is unpacked.
            raw = zlib.decompressobj().decompress(base64.b64decode(self.heatmaps), max(1, size))
            return np.frombuffer(raw, "<f2").reshape(self.shape).astype(np.float32)
        except (ValueError, zlib.error) as error:
            raise SpecError(f"the golden heatmaps are damaged: {error}") from None


@dataclass(frozen=True)
class ModelSpec:
    """How a file's input is prepared and its output decoded.

    ``keypoints``: names, in channel order. ``skeleton``: index pairs to draw. ``flip_pairs``: indices that swap in
    a mirrored picture. ``oks_sigmas``: COCO's per-keypoint constants, empty if there are none.
    ``input_size``: (height, width). ``channels``: 4 is RGB + mask, 3 is RGB alone. ``input_format``: of ``u8 NHWC``
    files, the graph itself computes ``(u8 / 255 - mean) / std``; into ``float NCHW`` files goes what came out of it.
    ``crop``: how boxes become network inputs, see crops.Crop; None: the whole picture is letterboxed.
    ``letterbox``: version of the letterbox the network was trained with. ``stride``, ``cell_offset``: input
    pixel = stride * cell + cell_offset. ``cyclic``: the keypoints are a closed outline, clockwise, and which
    comes first is a convention (smallest x/W + y/H). ``outputs``: (name, layout) pairs. ``heatmap_values``: ``logits``
    go through a sigmoid before they are decoded, ``linear`` ones are heights already. ``kernel``: cells that the decode
    methods ``dark``, ``udp`` and ``udp-offset`` blur over.
    ``quantization``: how the numbers inside were rounded (``float32``, ``float16``, ...). ``confidence``: what makes
    a peak's height a probability, see decoding.probability; None if nobody measured it.
    """

    name: str
    keypoints: tuple[str, ...]
    skeleton: tuple[tuple[int, int], ...] = ()
    flip_pairs: tuple[tuple[int, int], ...] = ()
    oks_sigmas: tuple[float, ...] = ()
    input_size: tuple[int, int] = (256, 512)
    channels: Literal[3, 4] = 4
    input_format: Literal["u8 NHWC", "float NCHW"] = "u8 NHWC"
    crop: CropConvention | None = None
    colour_order: Literal["rgb"] = "rgb"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    pad_value: int = 0
    placement: Literal["centre"] = "centre"
    letterbox: int = LETTERBOX_VERSION
    stride: int = 4
    cell_offset: float = 1.5
    heatmap_values: Literal["logits", "linear"] = "logits"
    decode: DecodeMethod = "offset"
    kernel: int = 11
    cyclic: bool = False
    outputs: tuple[tuple[str, str], ...] = (("heatmaps", "NCHW"), ("offsets", "NCHW"), ("hf", "NHWC"))
    quantization: str = "float32"
    confidence: tuple[float, float, float] | None = None
    golden: Golden | None = None

    def __post_init__(self) -> None:
        _check_types(self)
        count = len(self.keypoints)
        if not count:
            raise SpecError("a ModelSpec needs at least one keypoint name")
        if self.pad_value != 0:
            raise SpecError(f"pad_value={self.pad_value}: the padding is always 0, the mask tells it from black")
        if self.input_format == "float NCHW" and self.channels != 3:
            raise SpecError("a float NCHW file reads RGB: channels=3")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise SpecError(f"kernel={self.kernel}: an odd number of cells, such as 11")
        if self.stride < 1 or 0 in self.std:
            raise SpecError(f"stride={self.stride}, std={self.std}: the one must be at least 1, the other never 0")
        if dict(self.outputs).get("heatmaps") != "NCHW" or dict(self.outputs).get("offsets", "NCHW") != "NCHW":
            raise SpecError(f"outputs={self.outputs}: heatmaps must be there, and as offsets be NCHW")
        for name, layout in self.outputs:
            if layout not in ("NCHW", "NHWC"):
                raise SpecError(f"output {name!r} has layout {layout!r}; accepted: NCHW, NHWC")
        for pair in (*self.skeleton, *self.flip_pairs):
            if not all(0 <= index < count for index in pair):
                raise SpecError(f"keypoint index in {pair} outside 0..{count - 1}")
        if self.oks_sigmas and len(self.oks_sigmas) != count:
            raise SpecError(f"{len(self.oks_sigmas)} OKS sigmas for {count} keypoints")
        if self.letterbox != LETTERBOX_VERSION:
            raise SpecError(
                f"trained with letterbox version {self.letterbox}, this release has version {LETTERBOX_VERSION}: "
                "install the release that made the file, or train again"
            )
        try:
            check_input_size(self.input_size)
        except InputError as error:
            raise SpecError(str(error)) from None

    @cached_property
    def grid(self) -> CellGrid:
        """Where the heatmap cells lie in the input."""
        if self.crop == "udp":
            return CellGrid.corners(self.stride, self.input_size)
        return CellGrid(self.stride, self.cell_offset)

    def layout(self, output: str) -> str | None:
        """Return the layout of an output (``NCHW`` or ``NHWC``), None if the file has no such output."""
        return dict(self.outputs).get(output)

    def replace(self, **changes: Any) -> ModelSpec:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-able values; ``from_dict`` is the inverse."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    def to_json(self) -> str:
        """Return the spec as one line of JSON.

        >>> spec = ModelSpec("corners", ("a", "b"))
        >>> ModelSpec.from_json(spec.to_json()) == spec
        True
        """
        return json.dumps(self.to_dict(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Parse what to_json wrote; SpecError if it is anything else."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SpecError(f"the spec is no JSON: {error}") from None
        return cls.from_dict(values)

    @classmethod
    def from_dict(cls, values: Any) -> ModelSpec:
        """Build a spec from what to_dict gave; SpecError names what is wrong."""
        if not isinstance(values, dict):
            raise SpecError(f"a spec is a JSON object, not {type(values).__name__}")
        if values.get("format") != FORMAT:
            raise SpecError(
                f"spec format {values.get('format')!r}, this release reads {FORMAT}: "
                "update edgehrnet, or export the file again"
            )
        fields = {field.name for field in dataclasses.fields(cls)}
        for key in values.keys() - fields - {"format"}:
            raise SpecError(f"unknown field {key!r} in the spec; {nearest(key, fields)}")
        given = {key: _frozen(value) for key, value in values.items() if key in fields}
        try:
            if given.get("golden") is not None:
                given["golden"] = Golden(**{k: _frozen(v) for k, v in values["golden"].items()})
            return cls(**given)
        except (TypeError, AttributeError) as error:
            raise SpecError(f"incomplete spec: {error}") from None


def _check_types(record: Any) -> None:
    """Make lists tuples, and raise SpecError unless every field holds what its annotation says."""
    for name, hint in get_type_hints(type(record)).items():
        value = _frozen(getattr(record, name))
        object.__setattr__(record, name, value)
        if _fits(value, hint):
            continue
        if get_origin(hint) is Literal:
            raise SpecError(f"{name}={value!r}; {nearest(str(value), get_args(hint))}")
        raise SpecError(f"{name}={value!r} is no {hint.__name__ if isinstance(hint, type) else hint}")


def _fits(value: Any, hint: Any) -> bool:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in args
    if origin in (Union, UnionType):
        return any(_fits(value, arg) for arg in args)
    if origin is tuple:
        hints = args[:1] * len(value) if isinstance(value, tuple) and args[-1] is ... else args
        return isinstance(value, tuple) and len(value) == len(hints) and all(map(_fits, value, hints))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _frozen(value: Any) -> Any:
    """JSON lists -> tuples, all the way down."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value
