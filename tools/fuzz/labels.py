"""Fuzz label files: COCO, Label Studio, CVAT, DeepLabCut's tables, Ultralytics and SLEAP."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from quant.data.annotations import Annotations
from quant.data.opening import open_annotations
from tools.fuzz.engine import Entry, NotFiniteError
from tools.fuzz.mutations import damaged_bytes, damaged_json_text, damaged_text

WIDTH, HEIGHT = 60, 40
COCO: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}, {"id": 2, "file_name": "b.png"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [9.5, 9, 2, 30, 20, 1], "num_keypoints": 2,
         "bbox": [5, 5, 40, 30], "area": 1200, "iscrowd": 0},
        {"id": 2, "image_id": 2, "category_id": 1, "keypoints": [0, 0, 0, 3, 4, 2], "bbox": [0, 0, 20, 20]},
    ],
    "categories": [{"id": 1, "name": "bird", "keypoints": ["left_eye", "right_eye"], "skeleton": [[1, 2]]}],
}  # fmt: skip
_STUDIO_SIZE = {"original_width": WIDTH, "original_height": HEIGHT}
_STUDIO_POINT = {"x": 20.5, "y": 30, "width": 0.3, "keypointlabels": ["nose"]}
_STUDIO_BOX = {"x": 10, "y": 10, "width": 40, "height": 60, "rotation": 0, "rectanglelabels": ["bird"]}
STUDIO: list[Any] = [
    {"id": 1, "file_upload": "0123abcd-a.png", "data": {"image": "/data/upload/1/a.png"}, "predictions": [],
     "annotations": [{"id": 10, "was_cancelled": False, "result": [
         {**_STUDIO_SIZE, "image_rotation": 0, "id": "r", "from_name": "box", "to_name": "image",
          "type": "rectanglelabels", "value": _STUDIO_BOX},
         {**_STUDIO_SIZE, "image_rotation": 0, "id": "k", "from_name": "kp", "to_name": "image",
          "type": "keypointlabels", "value": _STUDIO_POINT, "parentID": "r"},
         {"from_id": "k", "to_id": "r", "type": "relation", "direction": "right"}]}]},
]  # fmt: skip
STUDIO_MIN: list[Any] = [
    {"image": "/data/upload/1/a.png", "id": 1, "kp": [{**_STUDIO_POINT, **_STUDIO_SIZE}],
     "box": [{**_STUDIO_BOX, **_STUDIO_SIZE}], "annotator": 1, "annotation_id": 3, "lead_time": 3.2},
]  # fmt: skip
CVAT = f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><id>7</id><name>birds</name><labels>
    <label><name>bird</name><type>skeleton</type>
    <svg>&lt;line data-node-from="2" data-node-to="1"&gt;&lt;/line&gt;</svg></label>
    <label><name>nose</name><type>points</type><parent>bird</parent></label>
    <label><name>tail</name><type>points</type><parent>bird</parent></label>
  </labels></task></meta>
  <image id="0" name="a.png" width="{WIDTH}" height="{HEIGHT}">
    <skeleton label="bird" source="manual" z_order="0" group_id="3">
      <points label="nose" outside="0" occluded="1" points="30.00,4.75"></points>
      <points label="tail" outside="0" occluded="0" points="10.50,20.25"></points>
    </skeleton>
    <box label="body" occluded="0" xtl="5.00" ytl="2.00" xbr="35.00" ybr="25.00" z_order="0" group_id="3"></box>
    <points label="nose" occluded="0" points="41.00,31.00" z_order="0"></points>
  </image>
</annotations>
"""
TABLE = "scorer,me,me,me,me\nbodyparts,nose,nose,tail,tail\ncoords,x,y,x,y\na.png,1.5,2.25,3,4\nb.png,5,6,,\n"
ANIMALS = (
    "scorer,me,me,me,me\nindividuals,i1,i1,i2,i2\nbodyparts,nose,nose,nose,nose\ncoords,x,y,x,y\n"
    "labeled-data,v,a.png,1.5,2.25,3,4\n"
)
YAML = """path: .
train: images
val: images
kpt_shape: [2, 3]
flip_idx: [1, 0]
names: {0: mouse, 1: rat}
kpt_names: {0: [left_eye, right_eye]}
"""
ROWS = "0 0.5 0.4 0.2 0.6 0.25 0.5 2 0.5 0.125 1\n1 0.5 0.5 1 1 0.1 0.2 2 0 0 0\n"


@dataclass(frozen=True)
class Case:
    """A file of labels."""

    name: str
    content: bytes

    def __repr__(self) -> str:
        return f"{self.name}\n{self.content.decode('utf-8', 'backslashreplace')}"


def make(rng: Random) -> Case:
    """Return a damaged file of one of the formats."""
    kind = rng.randrange(8)
    if kind <= 1:
        return Case("coco.json", damaged_json_text(rng, [COCO]))
    if kind <= 3:
        return Case("studio.json", damaged_json_text(rng, [STUDIO, STUDIO_MIN]))
    if kind == 4:
        return Case("annotations.xml", damaged_text(rng, [CVAT]))
    if kind == 5:
        return Case("CollectedData_me.csv", damaged_text(rng, [TABLE, ANIMALS]))
    return (
        Case("data.yaml", damaged_text(rng, [YAML])) if kind == 6 else Case("labels/a.txt", damaged_text(rng, [ROWS]))
    )


def require_complete(found: Annotations) -> None:
    """Raise NotFiniteError unless all numbers of the instances are finite."""
    for instance in found.instances:
        numbers = [*instance.points.ravel(), *(instance.box or ()), instance.area or 0.0]
        if not np.isfinite(numbers).all():
            raise NotFiniteError(f"{instance.source}: {numbers}")


def _save_pictures(folder: Path) -> None:
    for part in (folder, folder / "images"):
        part.mkdir(exist_ok=True)
        for name in ("a.png", "b.png"):
            Image.new("L", (WIDTH, HEIGHT)).save(part / name)


def entry(folder: Path) -> Entry:
    """Return the entry of formats that are text. Each case is read and completed as for training."""
    _save_pictures(folder)
    (folder / "labels").mkdir()

    def check(case: Case) -> None:
        path, described = folder / case.name, folder / "data.yaml"
        path.write_bytes(case.content)
        if case.name == "labels/a.txt":
            described.write_text(YAML)
        elif case.name == "data.yaml":
            (folder / "labels/a.txt").write_text(ROWS)
        opened = described if case.name == "labels/a.txt" else path
        try:
            require_complete(open_annotations(str(opened)))
        finally:
            path.unlink()

    return Entry("labels", make, check)


def sleap_entry(folder: Path) -> Entry:
    """Return the entry of SLEAP's binary files. It needs the package sleap-io."""
    import sleap_io as sio

    _save_pictures(folder)
    video = sio.Video.from_filename([str(folder / "a.png"), str(folder / "b.png")])
    skeleton = sio.Skeleton(["left_eye", "right_eye"], edges=[("left_eye", "right_eye")], name="bird")
    points = np.array([[1.25, 2.5], [30, 20.5]])
    frames = [
        sio.LabeledFrame(video=video, frame_idx=k, instances=[sio.Instance.from_numpy(points + k, skeleton=skeleton)])
        for k in range(2)
    ]
    seed, path = folder / "seed.slp", folder / "m.slp"
    sio.Labels(frames).save(str(seed), verbose=False)
    content = seed.read_bytes()

    def check(case: bytes) -> None:
        path.write_bytes(case)
        require_complete(open_annotations(str(path)))

    return Entry("sleap", lambda rng: damaged_bytes(rng, [content], most=30), check, seconds=3)
