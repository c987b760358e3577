"""The commands that write files, with small inputs for them."""

from __future__ import annotations

import csv
import importlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from edgehrnet.models import create
from edgehrnet.models.checkpoints import save_checkpoint
from edgehrnet.models.checkpoints.state_dicts import read_file
from edgehrnet.shipped import sample_picture
from edgehrnet.spec import ModelSpec

NAMES = ("top-left", "top-right", "bottom-right", "bottom-left")
PICTURES = 4
SIZE = (64, 64)


@dataclass(frozen=True)
class Case:
    """A command that writes files.

    Its arguments may contain ``{out}``, the folder to write to, ``{in}``, that of the inputs, and ``{v}``, which is 0
    for older results and 1 for newer ones.
    """

    name: str
    module: str
    """Module with ``main``, which takes the arguments."""
    arguments: str
    together: Sequence[Sequence[str]] = ()
    """Patterns of the names of files that belong together."""
    varying: Sequence[str] = ()
    """Endings of the names of files that have times in them, so that two runs write other bytes."""
    older: bool = True
    """Whether it replaces older results. Otherwise it refuses a folder that has some."""
    resume: str = ""
    """Argument that continues a run that was interrupted."""
    weight: float = 1
    """Share of the kills."""
    check: Callable[[Path], None] = field(default=lambda _: None)
    """Raises AssertionError if files do not belong together."""

    def varies(self, name: str) -> bool:
        """Return whether two runs write other bytes to a file."""
        return name.endswith(tuple(self.varying))

    def run(self, inputs: Path, out: Path, version: int, *more: str) -> int:
        """Run the command in this process, and return its exit status."""
        main = importlib.import_module(self.module).main
        words = [word.format(**{"in": inputs, "out": out, "v": version}) for word in self.arguments.split()]
        return int(main([*words, *more]) or 0)


def _same_step(out: Path) -> None:
    """Check that the two checkpoints of a run are of the same step."""
    if (out / "last.pt").exists():
        steps = read_file(out / "last.pt")["step"], read_file(out / "ema.pt")["training"]["step"]
        assert steps[0] == steps[1], f"last.pt is of step {steps[0]}, ema.pt of {steps[1]}"


def _all_pictures(out: Path) -> None:
    """Check that the files whose content varies have every picture."""
    for name in ("a.json", "a.jsonl"):
        text = (out / name).read_text()
        found = text.splitlines() if name == "a.jsonl" else json.loads(text)
        assert len(found) == PICTURES, f"{name} has {len(found)} pictures"


TRAINING = "--batch 2 --sizes 64x64 --workers 0 --validate-every 1 --validate-count 2 --data {in}/labels1/labels.json"
PAIR = (("last.pt", "ema.pt"),)
FILES = "--csv {out}/a.csv --json {out}/a.json --jsonl {out}/a.jsonl --coco {out}/a.coco.json --parquet {out}/a.parquet"
CASES = (
    Case("predict to files and pictures", "edgehrnet.cli",
         "predict document-corners {in}/documents{v} --threads 1 --out {out} --rectify {out} "
         "--coco {out}/a.coco.json " + FILES,
         varying=("a.json", "a.jsonl"), resume="--resume", weight=3, check=_all_pictures),
    Case("predict a video", "edgehrnet.cli", "predict document-corners {in}/clip{v}/clip.mp4 --threads 1 --out {out}",
         resume="--resume", weight=2),
    Case("quant.export", "quant.export", "{in}/model{v}.pt --data {in}/labels{v}/labels.json --name m "
         "--targets openvino onnx --parity-pictures 2 --servers triton ovms --out {out}", weight=1.5,
         together=(("m-fp32.xml", "m-fp32.bin", "m-fp32.certificate.json"), ("m-fp32.onnx*",), ("m.parity.*",),
                   ("triton/*",), ("ovms/*",))),
    Case("quant.ptq", "quant.ptq", "{in}/model{v}.pt --data {in}/documents{v} --calibration 2 --name m --out {out}",
         together=(("m-int8.*",),), weight=0.5),
    Case("quant.ptq of an ONNX file", "quant.ptq", "{in}/model{v}.onnx --data {in}/documents{v} --calibration 2 "
         "--name m --targets onnx --allow-float --out {out}", together=(("m-int8.*",),)),
    Case("quant.train", "quant.train", TRAINING + " --steps 5 --recipe none --out {out}", together=PAIR, older=False,
         varying=("log.jsonl", "last.pt"), resume="--resume", weight=1.5, check=_same_step),
    Case("quant.qat", "quant.qat", "{in}/model1.pt --steps 3 --calibration 2 --name m " + TRAINING + " --out {out}",
         together=PAIR, older=False,
         varying=("log.jsonl", "last.pt"), resume="--resume", weight=0.5, check=_same_step),
    Case("quant.report", "quant.report", "{in}/model{v}.pt --data {in}/labels{v}/labels.json --out {out}/r.html"),
    Case("quant.evaluate", "quant.evaluate", "{in}/crops{v}.pt --data {in}/labels{v}/labels.json --json {out}/s.json "
         "--results {out}/d.json", varying=("s.json",)),
    Case("quant.check", "quant.check", "{in}/labels{v}/labels.json --out {out}/sheet.png"),
    Case("quant.contact", "quant.contact", "--data {in}/labels{v}/labels.json --count 4 --out {out}/sheet.png"),
    Case("quant.curve", "quant.curve", "{in}/run{v} --out {out}/curve.png"),
    Case("quant.average", "quant.average", "{in}/model{v}.pt {in}/model2.pt --out {out}/mean.pt"),
    Case("edgehrnet label", "edgehrnet.cli", "label document-corners {in}/documents1 --threads 1 --format label-studio "
         "--out {out}/labels", together=(("*",),), older=False, weight=2),
    Case("edgehrnet benchmark", "edgehrnet.cli", "benchmark {in}/model1.null --seconds 0.05 --json {out}/b.json "
         "--html {out}/b.html", varying=("b.json", "b.html")),
    Case("edgehrnet demo", "edgehrnet.cli", "demo --out {out}/overlay.png"),
    Case("edgehrnet models --features", "edgehrnet.cli", "models {in}/model{v}.pt --picture {in}/labels1/0.png "
         "--features {out}/f.png"),
    Case("tools.web_model", "tools.web_model", "{in}/model{v}.onnx {out}/web.onnx"),
)  # fmt: skip


def make_inputs(folder: Path) -> None:
    """Write pictures, labels, networks and logs for the commands, two versions of each."""
    for version in (0, 1, 2):
        _networks(folder, version)
    for version in (0, 1):
        _documents(folder / f"documents{version}", version)
        _labels(folder / f"labels{version}", version)
        lines = [json.dumps({"step": n, "seconds": n, "loss": {"a": version + 1 / n}}) for n in range(1, 5)]
        (folder / f"run{version}").mkdir()
        (folder / f"run{version}" / "log.jsonl").write_text("\n".join(lines) + "\n")


def _documents(folder: Path, version: int) -> None:
    folder.mkdir()
    clip = folder.parent / f"clip{version}"
    clip.mkdir()
    from edgehrnet.drawing.video import VideoWriter

    with Image.open(sample_picture()) as picture:
        small = picture.convert("RGB").resize((240, 320))
    frames = [small.rotate(3 * n + version, expand=True).resize((240, 320)) for n in range(PICTURES)]
    for number, frame in enumerate(frames):
        frame.save(folder / f"{number}.{('jpg', 'png')[number % 2]}")
    with VideoWriter(clip / "clip.mp4") as video:
        for frame in frames * 2:
            video.add(frame)


def _labels(folder: Path, version: int) -> None:
    """Write pictures of one light quadrilateral each, and their corners as a COCO file."""
    folder.mkdir()
    rng = np.random.default_rng(version)
    annotations = []
    for number in range(6):
        corners = np.array([(20, 15), (60, 15), (60, 45), (20, 45)]) + rng.uniform(-8, 8, (4, 2)).round(2)
        picture = Image.fromarray(rng.integers(0, 90, (60, 80, 3), dtype=np.uint8))
        ImageDraw.Draw(picture).polygon([tuple(corner) for corner in corners], fill=(210, 200, 190))
        picture.save(folder / f"{number}.png")
        annotations.append({"id": number + 1, "image_id": number, "category_id": 1, "bbox": [10, 5, 60, 50],
            "area": 3000, "iscrowd": 0, "num_keypoints": 4,
            "keypoints": np.c_[corners, np.full(4, 2)].ravel().tolist()})  # fmt: skip
    images = [{"id": n, "file_name": f"{n}.png", "width": 80, "height": 60} for n in range(6)]
    category = {"id": 1, "name": "page", "keypoints": list(NAMES), "skeleton": [], "sigmas": [0.05] * 4}
    text = json.dumps({"images": images, "annotations": annotations, "categories": [category]})
    (folder / "labels.json").write_text(text)


def _networks(folder: Path, version: int) -> None:
    """Write untrained checkpoints, and files of the engines."""
    import runtimes.null
    from quant.files.onnx_file import write_onnx
    from runtimes import onnx

    torch.manual_seed(version)
    network = create("edgehrnet18", keypoints=4)
    whole = ModelSpec("corners", NAMES, input_size=SIZE, cyclic=True)
    crops = ModelSpec("page", NAMES, input_size=SIZE, crop="hrnet", oks_sigmas=(0.05,) * 4)
    for name, spec in (("model", whole), ("crops", crops)):
        save_checkpoint(
            folder / f"{name}{version}.pt", "edgehrnet18", {"keypoints": 4}, network.state_dict(), spec.to_dict(), {}
        )
    if version < 2:
        write_onnx(network.eval(), whole, folder / "exported.onnx")
        onnx.build(folder / "exported.onnx", folder / f"model{version}.onnx", whole.to_json())
        arrays = {"heatmaps": np.random.default_rng(version).random((1, 4, 16, 16), np.float32)}
        runtimes.null.build(folder / f"model{version}.null", whole.replace(decode="udp").to_json(), SIZE, arrays)


def rows(path: Path) -> int:
    """Return the number of rows of a CSV file that are as long as its head."""
    with path.open(newline="", encoding="utf-8") as file:
        head, *rest = csv.reader(file)
    assert all(len(row) == len(head) for row in rest), f"{path} has a row of another length"
    return len(rest)
