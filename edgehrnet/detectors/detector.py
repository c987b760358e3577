"""Read boxes from a detector: a model file, a file of detections, or a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgehrnet.detectors.layouts import Detections, class_names, detect, layout_of
from edgehrnet.errors import InputError, check_keywords, nearest
from edgehrnet.picture.boxes import read_boxes
from edgehrnet.picture.matching import PictureBoxes
from edgehrnet.preparation import as_xywh
from runtimes.plain import SUFFIXES, PlainModel, open_plain

Function = Callable[[NDArray[np.uint8]], Any]
ALL = "all"
SHOWN = 6  # names of classes in a message


class Detector:
    """A detector of another project.

    Args:
        source: What gives the boxes.

            - ``.onnx`` or ``.xml``: a detector that Ultralytics or MMDeploy (RTMDet) exported, see `layouts`. It runs
              on the CPU.
            - ``.json``: detections of picture files in COCO's format, see `picture.boxes`.
            - a function: takes a picture ``(H, W, 3)`` u8 RGB, and returns boxes ``(N, 4)``, or boxes and scores.
        classes: Names or numbers of the classes to keep, or ``all``. Required for files that find several.
        min_score: Smallest score of a box that is used.
        box_format: Format of the boxes of a function or a JSON file: ``xywh`` or ``xyxy``.
        refresh: In a video, the detector runs at least every so many frames. In between, the box of each instance is
            taken from its keypoints in the last frame, as long as they are confident. 1 runs it on every frame.
        threads: CPU threads of a model file. None uses all that may be used.

    >>> corner = Detector(lambda picture: [[0, 0, 40, 30]])
    >>> corner.find(np.zeros((60, 80, 3), np.uint8)).boxes.tolist()
    [[0.0, 0.0, 40.0, 30.0]]
    """

    @check_keywords
    def __init__(
        self,
        source: str | Path | Function,
        *,
        classes: str | Sequence[str | int] | None = None,
        min_score: float = 0.3,
        box_format: str = "xywh",
        refresh: int = 15,
        threads: int | None = None,
    ) -> None:
        if not isinstance(source, str | Path) and not callable(source):
            raise InputError(f"boxes_from={source!r}; pass a model file, a JSON file, a function or a Detector")
        if not isinstance(refresh, int) or isinstance(refresh, bool) or refresh < 1:
            raise InputError(f"refresh={refresh!r}; use a number of frames of at least 1")
        if isinstance(min_score, bool) or not isinstance(min_score, int | float) or not 0 <= min_score <= 1:
            raise InputError(f"min_score={min_score!r}; use a number from 0 to 1")
        self._settings: dict[str, Any] = {
            "classes": classes,
            "min_score": min_score,
            "box_format": box_format,
            "refresh": refresh,
            "threads": threads,
        }
        self._source, self._classes, self._format = source, classes, box_format
        self.min_score, self.refresh, self._threads = min_score, refresh, threads
        as_xywh(None, box_format)  # checks it
        if isinstance(source, str | Path):
            self._open(Path(source))

    @classmethod
    def of(cls, source: str | Path | Function | Detector) -> Detector:
        """Return a Detector as it is, or one with the usual settings for anything else."""
        return source if isinstance(source, Detector) else cls(source)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Detector, **self._settings), (self._source,)

    def __repr__(self) -> str:
        return f"Detector({self._source!r})"

    def _open(self, path: Path) -> None:
        """Open the file now, so that what is wrong with it is said before the first picture."""
        if path.suffix.lower() == ".json":
            self._boxes: PictureBoxes | None = read_boxes(path, self._format, min_score=self.min_score)
            return
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(f"boxes_from={str(path)!r}; accepted: {', '.join((*SUFFIXES, '.json'))}")
        self._boxes = None
        self._model: PlainModel = open_plain(path, self._threads)
        self._layout = layout_of(self._model)
        self._chosen  # noqa: B018  (raises)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the classes of a model file, empty if it states none."""
        return class_names(self._model.metadata) if hasattr(self, "_model") else ()

    @cached_property
    def _chosen(self) -> list[int] | None:
        """Numbers of the classes to keep, None for all."""
        count = len(self.names) or self._columns() - 4
        if self._classes == ALL or (self._classes is None and count == 1):
            return None
        names = f"{', '.join(self.names[:SHOWN])}{', ...' if len(self.names) > SHOWN else ''}"
        if self._classes is None:
            first = self.names[0] if self.names else 0
            raise InputError(
                f"{self._source} finds {count if count > 0 else 'several'} classes{f' ({names})' if names else ''}; "
                f"choose some with classes=[{first!r}], or --classes on the command line"
            )
        wanted = [self._classes] if isinstance(self._classes, str | int) else list(self._classes)
        for one in wanted:
            if one not in self.names and not (isinstance(one, int) and one >= 0 and (count < 1 or one < count)):
                raise InputError(f"classes={one!r}; {nearest(str(one), self.names or range(max(count, 0)))}")
        return [self.names.index(one) if isinstance(one, str) else one for one in wanted]

    def _columns(self) -> int:
        """Return the rows of an output with a score for each class, 0 if the file does not tell."""
        shape = next(iter(self._model.outputs.values()))
        return (shape[1] or 0) if self._layout == "ultralytics" else 0

    def find(self, picture: NDArray[np.uint8], source: str | None = None) -> Detections:
        """Return the boxes in a picture ``(H, W, 3)`` u8 RGB, the best first.

        Args:
            picture: The picture.
            source: Its path, by which detections of a JSON file are found.

        Raises:
            InputError: The function returned no boxes, or a JSON file was given and the picture has no path.
        """
        if callable(self._source):
            found = self._called(self._source(picture))
        elif self._boxes is not None:
            if source is None:
                raise InputError(f"{self._source} has boxes by file name; pass the path of the picture, not its pixels")
            boxes = as_xywh(self._boxes.of(source), "xywh")
            assert boxes is not None
            found = Detections(boxes, np.ones(len(boxes)), np.zeros(len(boxes), int))
        else:
            found = detect(self._model, self._layout, picture, len(self.names))
            if self._chosen is not None:
                found = found.kept(np.isin(found.labels, self._chosen))
        found = found.kept(found.scores >= self.min_score)
        return found.kept(np.argsort(-found.scores, kind="stable"))

    def _called(self, answer: Any) -> Detections:
        """Return what a function gave: boxes, or boxes and scores."""
        boxes, scores = answer if isinstance(answer, tuple) and len(answer) == 2 else (answer, None)
        rows = as_xywh([] if boxes is None else boxes, self._format)
        assert rows is not None
        numbers = np.ones(len(rows)) if scores is None else np.asarray(scores, np.float64)
        if numbers.shape != (len(rows),):
            raise InputError(
                f"the detector gave {len(rows)} boxes and scores of shape {numbers.shape}; one for each box"
            )
        return Detections(rows, numbers, np.zeros(len(rows), int))
