"""Hold the output of predict(): keypoints in picture pixels and the arrays they were decoded from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgehrnet.conversions import coco_results, frame_of, result_values, supervision_keypoints
from edgehrnet.decoding import CONFIDENCE_THRESHOLD
from edgehrnet.decoding.peaks import find_peaks
from edgehrnet.errors import InputError, UnsupportedError, check_keywords
from edgehrnet.picture.limits import MAX_PIXELS, MAX_SIDE
from edgehrnet.picture.picture import Picture
from edgehrnet.preparation import Transform
from edgehrnet.spec import ModelSpec

Points = NDArray[np.float64]
Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Keypoints:
    """Keypoints of N instances with K names each.

    ``len(keypoints)`` is N. ``keypoints[n]`` and slices return Keypoints of the chosen instances, so that
    ``keypoints[0].xy`` is ``(1, K, 2)``.

    >>> k = Keypoints(np.array([[[9.0, 4.0]]]), np.array([[0.9]], np.float32), (5, 10), ("tip",))
    >>> k.xyn.tolist(), len(k), k[0].xy.shape
    ([[[0.9, 0.8]]], 1, (1, 1, 2))
    """

    xy: Points
    """``(N, K, 2)`` x, y in pixels of the picture. Always finite, possibly slightly outside the picture. Pixel centers
    are integers."""
    conf: Array
    """``(N, K)`` confidence, at least 0. The probability that the keypoint is at this position if the spec has a
    calibration (ModelSpec.confidence), else the peak value of the heatmap: 0..1 for logits, not limited to 1 for linear
    heatmaps. A low value is the only sign of an absent keypoint."""
    size: tuple[int, int]
    """(height, width) of the picture in pixels."""
    names: tuple[str, ...]
    """K keypoint names."""

    @property
    def xyn(self) -> Points:
        """``xy`` divided by the picture's width and height."""
        return self.xy / self.size[::-1]

    def __getitem__(self, index: int | slice | NDArray[Any]) -> Keypoints:
        rows = slice(index, index + 1 or None) if isinstance(index, int) else index
        if isinstance(index, int) and not -len(self) <= index < len(self):
            raise IndexError(f"instance {index} of {len(self)}")
        return replace(self, xy=self.xy[rows], conf=self.conf[rows])

    def __len__(self) -> int:
        return len(self.xy)


@dataclass(frozen=True, eq=False)
class Result:
    """The output for one picture. ``xy, conf = result`` unpacks the keypoints.

    Keypoint k, ``heatmaps[:, k]`` and ``peaks[k]`` belong together. In an outline (``spec.cyclic``) the first keypoint
    is the one with the smallest x/W + y/H if all are confident. Otherwise only their cyclic order is known. With
    ``sdf`` among the outputs (a signed distance field), the keypoints are chosen together, and need not be at the
    highest peaks of their heatmaps. See `outline`.
    """

    keypoints: Keypoints
    """Keypoints of all instances."""
    heatmaps: Array
    """``(N, K, h, w)`` float32. Values are in 0..1 for logits, and not limited to 1 for linear heatmaps. Of a file with
    SimCC vectors they are made from these. h and w are 0 if a file gives coordinates."""
    offsets: Array | None
    """``(N, 2K, h, w)`` float32 offsets in cells. None if the file has no such output."""
    hf: Array | None
    """``(N, C, h, w)`` float32 high-resolution features, the same array as ``features``. None if the file has none."""
    outputs: Mapping[str, Array]
    """Further outputs of the network: ``boundary`` logits, ``sdf`` in cells (negative inside), pyramid features."""
    transforms: tuple[Transform, ...]
    """Transform between picture pixels and network input, one per instance."""
    speed: Mapping[str, float]
    """Milliseconds of each stage."""
    source: str | None
    """Path of the picture or the video, ``camera 0``, or an address without its password. None for data."""
    picture: Picture = field(repr=False)
    """The picture as it was read."""
    spec: ModelSpec = field(repr=False)
    """Spec of the model."""
    boxes: Points | None = None
    """``(N, 4)`` xywh in pixels of the picture: the boxes that were given. None if there were none."""
    frame: int | None = None
    """Number of the frame in a video, or of the page in a file of several pages, from 0. None for other pictures."""
    time: float | None = None
    """Seconds from the beginning of the video to this frame. None for other pictures."""
    compile_ms: float = 0.0
    """Milliseconds that the engine compiled for a new input size, which are not part of ``speed``. 0 for most pictures.
    `Predictor.warmup` compiles before."""
    ids: NDArray[np.int_] | None = None
    """``(N,)`` ids of the instances in a video, -1 for none. None before `track` or `smooth`."""
    predicted: NDArray[np.bool_] | None = None
    """``(N, K)`` keypoints that were not confident, and predicted from other frames. None before `smooth`."""

    def __iter__(self) -> Iterator[Any]:
        yield from (self.keypoints.xy, self.keypoints.conf)

    def __repr__(self) -> str:
        height, width = self.keypoints.size
        if len(self.keypoints) != 1:
            return f"Result({width}x{height}: {len(self.keypoints)} instances)"
        points = ", ".join(
            f"{name} ({x:.1f}, {y:.1f}) {conf:.2f}"
            for name, (x, y), conf in zip(
                self.keypoints.names, self.keypoints.xy[0], self.keypoints.conf[0], strict=True
            )
        )
        return f"Result({width}x{height}: {points})"

    @property
    def image(self) -> NDArray[np.uint8]:
        """``(H, W, 3)`` u8 RGB. A JPEG that was read at a reduced scale is read in full when it is first asked for."""
        return self.picture.full

    @property
    def features(self) -> Array | None:
        """``(N, C, h, w)`` float32 features, the same array as ``hf``."""
        return self.hf

    @property
    def score(self) -> Array:
        """``(N,)`` mean keypoint confidence of each instance."""
        scores: Array = self.keypoints.conf.mean(axis=1)
        return scores

    @property
    def transform(self) -> Transform:
        """Transform of the only instance. Raises UnsupportedError unless there is exactly one."""
        if len(self.transforms) != 1:
            raise UnsupportedError(
                f"transform needs one instance, this result has {len(self.transforms)}; use transforms"
            )
        return self.transforms[0]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """``(h, w)`` mask of the only instance, False in the padding. Raises UnsupportedError as `transform` does."""
        return self.transform.cell_mask(self.spec.grid)

    @property
    def peaks(self) -> list[Points]:
        """Peaks of each heatmap: K arrays ``(M, 3)`` of x, y in picture pixels and score, best first."""
        self._check_not_slim("peaks")
        self._check_heatmaps("peaks")
        found, mask = [], self.mask
        for k in range(len(self.keypoints.names)):
            offsets = None if self.offsets is None else self.offsets[0, 2 * k : 2 * k + 2]
            peaks = find_peaks(self.heatmaps[0, k], offsets, mask=mask)
            peaks[:, :2] = self.transform.inverse(self.spec.grid.to_pixels(peaks[:, :2]))
            found.append(peaks)
        return found

    @check_keywords
    def plot(self, *, heatmaps: bool = False) -> Image.Image:
        """Draw the keypoints over the picture, and the heatmaps if ``heatmaps`` is True."""
        from edgehrnet.drawing.overlay import blend_heatmap, draw_keypoints  # on demand: a server draws nothing

        self._check_not_slim("plot()")
        picture = Image.fromarray(self.image)
        if heatmaps:
            self._check_heatmaps("heatmaps=True")
            for maps, transform in zip(self.heatmaps, self.transforms, strict=True):
                picture = blend_heatmap(picture, maps.max(axis=0), transform, self.spec.grid)
        return draw_keypoints(
            picture,
            self.keypoints.xy,
            self.keypoints.conf,
            self.keypoints.names,
            self.spec.skeleton,
            also=self.predicted,
            colors=self.ids,
        )

    def save(self, path: str | Path) -> Path:
        """Write plot() to a file and return its path. The suffix chooses the format.

        Raises:
            InputError: The suffix is of no format that can be written.
            WriteError: The file cannot be written.
        """
        from edgehrnet.drawing.files import save_picture  # on demand, as in plot()

        path = Path(path)
        try:
            save_picture(self.plot(), path)
        except ValueError as error:
            raise InputError(f"cannot save {str(path)!r}: {error}; use .png or .jpg") from None
        return path

    @check_keywords
    def rectify(self, size: tuple[int, int] | None = None, *, instance: int = 0) -> Image.Image:
        """Flatten an outlined page into a picture whose top-left corner is the first keypoint.

        Args:
            size: (height, width) in pixels. None keeps the proportions of the page in space, as far as four corners
                determine them (``rectification.sheet_size``), at the resolution of its longest sides.
            instance: Number of the page, if boxes were given.

        Raises:
            UnsupportedError: The model does not find the four corners of an outline, or one is not confident.
            InputError: There is no such instance, or the size is not accepted.
        """
        from edgehrnet.drawing.rectification import checked_size, flatten_quadrilateral  # on demand, as in plot()

        self._check_not_slim("rectify()")
        if not self.spec.cyclic or len(self.spec.keypoints) != 4:
            raise UnsupportedError(f"rectify() needs the four corners of an outline, {self.spec.name!r} has none")
        if instance not in range(len(self.keypoints)):
            raise InputError(f"instance={instance!r}; this result has {len(self.keypoints)}, counted from 0")
        corners, conf = self.keypoints.xy[instance], self.keypoints.conf[instance]
        if conf.min() < CONFIDENCE_THRESHOLD:
            found = replace(self, keypoints=self.keypoints[instance])
            raise UnsupportedError(f"rectify() needs all four corners, found {found!r}; check keypoints.conf first")
        height, width = self._sheet_size(corners) if size is None else checked_size(size)
        return flatten_quadrilateral(Image.fromarray(self.image), corners, (width, height))

    def _sheet_size(self, corners: Points) -> tuple[int, int]:
        """Return (height, width) of a page, limited to what Pillow can draw."""
        from edgehrnet.drawing.rectification import sheet_size  # on demand, as in plot()

        width, height = sheet_size(corners, self.keypoints.size[::-1])
        shrink = min(1.0, MAX_SIDE / max(width, height, 1), (MAX_PIXELS / max(width * height, 1)) ** 0.5)
        return max(1, int(height * shrink)), max(1, int(width * shrink))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values: model, source, width, height, instances with score and named keypoints, speed.

        Results of a video also have ``frame`` and ``time``, and instances of boxes their ``box`` as xywh.
        """
        return result_values(self)

    def to_json(self) -> str:
        """Return to_dict() as JSON."""
        return json.dumps(self.to_dict())

    def to_coco(self, image_id: int = 0, category_id: int = 1) -> list[dict[str, Any]]:
        """Return COCO keypoint results. ``keypoints`` lists x, y, confidence of each keypoint in turn."""
        return coco_results(self, image_id, category_id)

    def to_df(self) -> Any:
        """Return a pandas DataFrame with one row per keypoint of each instance.

        Its columns are image (the path, None for data), instance (its id in a video, or counted from 0), keypoint (its
        name), x, y and confidence. Smoothed results also have predicted, and those of boxes box_left, box_top,
        box_width and box_height.
        ``pandas.concat`` joins the frames of several results.
        """
        points = self.keypoints
        return frame_of(points.xy, points.conf, points.names, self.source, self.boxes, self.ids, self.predicted)

    def to_supervision(self) -> Any:
        """Return supervision.KeyPoints, for the annotators of that package.

        Keypoints that `plot` leaves out are not ``visible`` there. ``detection_confidence`` is `score`.
        """
        return supervision_keypoints(self.keypoints.xy, self.keypoints.conf, self.score)

    def slim(self) -> Result:
        """Return a copy without the picture, the network's outputs and the spec's golden pair, to store or send.

        Pickled, it has about 2 KB instead of megabytes. `plot`, `save`, `rectify` and `peaks` raise UnsupportedError.
        Keypoints, scores, boxes, transforms and everything that ``to_`` methods return are the same.
        """
        shape = (*self.keypoints.conf.shape, 0, 0)
        return replace(
            self,
            heatmaps=np.zeros(shape, np.float32),
            offsets=None,
            hf=None,
            outputs={},
            picture=Picture.of(np.zeros((0, 0, 3), np.uint8)),
            spec=self.spec.replace(golden=None),
        )

    def _check_not_slim(self, what: str) -> None:
        if not self.picture.pixels.size:
            raise UnsupportedError(f"{what} needs the picture and the heatmaps, which slim() left out; call it before")

    def _check_heatmaps(self, what: str) -> None:
        if self.spec.decode == "points":
            raise UnsupportedError(f"{what} needs heatmaps; {self.spec.name!r} gives coordinates, see keypoints")
