#!/usr/bin/env bash
# Ultralytics: `path: .` in data.yaml means the folder you are in, not the folder of data.yaml.
#
# Guess:  A data.yaml that says `path: .` lies in its dataset's folder and can be used from anywhere, as one without
#         `path` can. sleap-io 0.9.5 writes `path: .` into the data.yaml of every dataset it exports.
# Seen:   ultralytics 8.4.190 (torch 2.13.0, torchvision 0.28.0). `path` is looked up in the current folder. Started in the
#         folder of another dataset with the same inner folders, that dataset's pictures are used with the names and
#         keypoints of the file that was passed. Started elsewhere, it says that the pictures are missing. Without
#         `path`, the folder of data.yaml is used.
# Matters: A training started in the wrong folder learns other pictures, or is validated on them, and no message says so.
# Delete `path: .` from data.yaml, or write the absolute folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 torchvision==0.28.0 \
    numpy==2.4.6 opencv-python-headless==5.0.0.93 pyyaml==6.0.4 pillow==13.0.0 requests==2.34.2 matplotlib==3.11.2
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps ultralytics==8.4.190
cd "$folder"
export HOME="$folder" YOLO_CONFIG_DIR="$folder/settings" YOLO_OFFLINE=true YOLO_VERBOSE=false OMP_NUM_THREADS=1
"$folder/venv/bin/python" - <<'PYTHON'
import os
from pathlib import Path

from PIL import Image
from ultralytics.data.utils import check_det_dataset

root = Path.cwd()
for animal in ("mice", "flies"):
    for part in ("train", "val"):
        pictures = root / animal / "images" / part
        pictures.mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(pictures / f"{animal}.png")
    content = f"train: images/train\nval: images/val\nkpt_shape: [3, 3]\nnames: {{0: {animal}}}\n"
    (root / animal / "data.yaml").write_text("path: .\n" + content)
    (root / animal / "without.yaml").write_text(content)


def used(start, file):
    """Folder of the training pictures if `mice/file` is passed from the folder `start`."""
    os.chdir(root / start)
    try:
        found = check_det_dataset(str(root / "mice" / file), autodownload=False)
    except FileNotFoundError:
        return "missing"
    return Path(found["train"]).resolve().relative_to(root.resolve()).parts[0] + " as " + found["names"][0]


for start, dot, without in (
    ("mice", "mice as mice", "mice as mice"),
    ("flies", "flies as mice", "mice as mice"),
    (".", "missing", "mice as mice"),
):
    found = used(start, "data.yaml"), used(start, "without.yaml")
    print(f"mice/data.yaml from {start:5} with `path: .` {found[0]:13}, without it {found[1]}")
    assert found == (dot, without), "the behavior has changed"
PYTHON
