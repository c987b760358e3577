"""Write tasks with predictions for Label Studio."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np

from edgehrnet.labels.candidates import Candidate
from edgehrnet.spec import ModelSpec
from runtimes.writing import write_file

TASKS, CONFIG = "tasks.json", "config.xml"
POINT_WIDTH = 0.75
"""Width of a keypoint's mark, in percent of the picture's width."""


def write(candidates: Sequence[Candidate], spec: ModelSpec, folder: Path, min_confidence: float) -> list[Path]:
    """Write `TASKS` to import, and `CONFIG`, the labeling configuration.

    Pictures are addressed as files of a local storage, whose root is the folder above ``folder``.
    """
    tasks = [_task(one, spec, folder.resolve().name, min_confidence) for one in candidates]
    write_file(folder / TASKS, json.dumps(tasks, ensure_ascii=False, indent=1))
    write_file(folder / CONFIG, _config(spec))
    return [folder / TASKS, folder / CONFIG]


def _config(spec: ModelSpec) -> str:
    """Return the labeling configuration: rectangles for objects, keypoints, and choices for each keypoint."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name="image", value="$image", zoom="true")
    points = ElementTree.SubElement(view, "KeyPointLabels", name="keypoints", toName="image")
    for index, name in enumerate(spec.keypoints):
        ElementTree.SubElement(points, "Label", value=name, model_index=str(index))
    boxes = ElementTree.SubElement(view, "RectangleLabels", name="objects", toName="image")
    ElementTree.SubElement(boxes, "Label", value=spec.name)
    choices = ElementTree.SubElement(
        view, "Choices", name="visibility", toName="image", perRegion="true", choice="single"
    )
    for value in ("hidden", "absent"):
        ElementTree.SubElement(choices, "Choice", value=value)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def _task(candidate: Candidate, spec: ModelSpec, folder: str, min_confidence: float) -> dict[str, Any]:
    result: list[dict[str, Any]] = []
    for number, (points, confidence) in enumerate(zip(candidate.points, candidate.confidence, strict=True)):
        owner = None
        if candidate.boxes is not None:
            owner = f"object-{number}"
            x, y, width, height = _percent(candidate.boxes[number], candidate.size)
            value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": [spec.name]}
            result.append(_region(owner, "rectanglelabels", "objects", candidate, value))
        for name, point, score in zip(spec.keypoints, points, confidence.tolist(), strict=True):
            x, y = _percent(point, candidate.size)
            value = {"x": x, "y": y, "width": POINT_WIDTH, "keypointlabels": [name]}
            region = _region(f"{number}-{name}", "keypointlabels", "keypoints", candidate, value)
            region |= {"score": score} | ({} if owner is None else {"parentID": owner})
            result.append(region)
            if score < min_confidence:
                mark = {"x": x, "y": y, "width": POINT_WIDTH, "choices": ["absent"]}
                result.append(_region(region["id"], "choices", "visibility", candidate, mark))
    address = "/data/local-files/?d=" + quote(f"{folder}/images/{candidate.name}")
    prediction = {"model_version": spec.name, "score": candidate.certainty, "result": result}
    return {"data": {"image": address}, "predictions": [prediction]}


def _region(key: str, kind: str, control: str, candidate: Candidate, value: dict[str, Any]) -> dict[str, Any]:
    height, width = candidate.size
    return {
        "id": key, "type": kind, "from_name": control, "to_name": "image", "original_width": width,
        "original_height": height, "image_rotation": 0, "value": value,
    }  # fmt: skip


def _percent(values: Any, size: tuple[int, int]) -> list[float]:
    """Convert pixels, alternately across and down, to percent of the picture's width and height.

    Label Studio shows nothing outside the picture, so that points there are moved to its border.
    """
    sides = np.resize(size[::-1], len(values))
    percent = 100 * np.asarray(values, float) / sides
    if len(values) == 4:
        low, high = np.clip(percent[:2], 0, 100), np.clip(percent[:2] + percent[2:], 0, 100)
        return [*low.tolist(), *(high - low).tolist()]
    clipped: list[float] = np.clip(percent, 0, 100).tolist()
    return clipped
