"""Write predictions as skeletons for CVAT, in its format ``CVAT 1.1``."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from edgehrnet.labels.candidates import Candidate
from edgehrnet.spec import ModelSpec
from runtimes.writing import write_file

FILE, LABELS, ORDER = "annotations.xml", "labels.json", "order.txt"
COLORS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#46f0f0", "#f032e6", "#bcf60c")


def write(candidates: Sequence[Candidate], spec: ModelSpec, folder: Path, min_confidence: float) -> list[Path]:
    """Write `FILE` to upload as annotations, `LABELS` for the task's constructor, and `ORDER`, the names in order.

    CVAT keeps two digits after the decimal point. Keypoints that are not labeled are ``outside``.
    """
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    boxed = any(one.boxes is not None for one in candidates)
    _meta(root, spec, len(candidates), boxed)
    for number, one in enumerate(candidates):
        height, width = one.size
        image = SubElement(root, "image", id=str(number), name=one.name, width=str(width), height=str(height))
        for index in range(len(one.points)):
            _instance(image, one, index, spec, min_confidence)
    ElementTree.indent(root)
    write_file(folder / FILE, ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
    write_file(folder / LABELS, json.dumps(_constructor(spec, boxed), ensure_ascii=False, indent=1))
    write_file(folder / ORDER, "".join(f"{one.name}\n" for one in candidates))
    return [folder / FILE, folder / LABELS, folder / ORDER]


def _instance(image: Element, one: Candidate, index: int, spec: ModelSpec, min_confidence: float) -> None:
    """Add the skeleton of one instance, and its box if it was given one, in a group of their own."""
    common = {"source": "auto", "occluded": "0", "z_order": "0"}
    group = {} if one.boxes is None else {"group_id": str(index + 1)}
    skeleton = SubElement(image, "skeleton", {"label": spec.name, **common, **group})
    for name, (x, y), confidence in zip(spec.keypoints, one.points[index], one.confidence[index], strict=True):
        outside = "1" if confidence < min_confidence else "0"
        SubElement(skeleton, "points", {"label": name, "outside": outside, "points": f"{x:.2f},{y:.2f}", **common})
    if one.boxes is not None:
        x, y, width, height = one.boxes[index]
        sides = {"xtl": x, "ytl": y, "xbr": x + width, "ybr": y + height}
        texts = {name: f"{value:.2f}" for name, value in sides.items()}
        SubElement(image, "box", {"label": box_label(spec), **common, **texts, **group})


def box_label(spec: ModelSpec) -> str:
    """Return the label of boxes. A task of CVAT has each name once."""
    return f"{spec.name}-box"


def _meta(root: Element, spec: ModelSpec, count: int, boxed: bool) -> None:
    task = SubElement(SubElement(root, "meta"), "task")
    SubElement(task, "name").text = spec.name
    SubElement(task, "size").text = str(count)
    labels = SubElement(task, "labels")
    listed = [(spec.name, "skeleton", "svg", _drawing(spec))]
    listed += [(name, "points", "parent", spec.name) for name in spec.keypoints]
    listed += [(box_label(spec), "rectangle", "color", COLORS[0])] if boxed else []
    for name, kind, tag, text in listed:
        label = SubElement(labels, "label")
        SubElement(label, "name").text = name
        SubElement(label, "type").text = kind
        SubElement(label, "attributes")
        SubElement(label, tag).text = text


def _constructor(spec: ModelSpec, boxed: bool) -> list[dict[str, Any]]:
    """Return the labels for the field 'Raw' of a new task."""
    points = [
        {"name": name, "type": "points", "color": COLORS[index % len(COLORS)], "attributes": []}
        for index, name in enumerate(spec.keypoints)
    ]
    skeleton = {"name": spec.name, "type": "skeleton", "color": COLORS[2], "attributes": [], "sublabels": points,
                "svg": _drawing(spec)}  # fmt: skip
    box = {"name": box_label(spec), "type": "rectangle", "color": COLORS[0], "attributes": []}
    return [skeleton, box] if boxed else [skeleton]


def _drawing(spec: ModelSpec) -> str:
    """Return the picture of the skeleton, with its keypoints on a circle and its lines."""
    count = len(spec.keypoints)
    places = [
        (50 + 40 * math.sin(2 * math.pi * index / count), 50 - 40 * math.cos(2 * math.pi * index / count))
        for index in range(count)
    ]
    root = Element("svg")
    for a, b in spec.skeleton:
        ends = dict(zip(("x1", "y1", "x2", "y2"), (f"{side:.2f}" for side in (*places[a], *places[b])), strict=True))
        nodes = {"data-type": "edge", "data-node-from": str(a + 1), "data-node-to": str(b + 1)}
        SubElement(root, "line", {**ends, "stroke": "black", **nodes, "stroke-width": "0.5"})
    for number, (name, (x, y)) in enumerate(zip(spec.keypoints, places, strict=True), start=1):
        about = {"data-type": "element node", "data-element-id": str(number), "data-node-id": str(number)}
        SubElement(root, "circle", {"r": "1.5", "stroke": "black", "fill": "#b3b3b3", "cx": f"{x:.2f}",
                                    "cy": f"{y:.2f}", "stroke-width": "0.1", **about,
                                    "data-label-name": name})  # fmt: skip
    return "".join(ElementTree.tostring(part, encoding="unicode") for part in root)
