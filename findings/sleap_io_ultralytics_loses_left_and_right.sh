#!/usr/bin/env bash
# sleap-io: save_ultralytics writes that nothing changes sides in a mirrored picture, and writes predictions as labels.
#
# Guess:  `flip_idx` in data.yaml swaps the nodes that the skeleton declares symmetric, because Ultralytics mirrors half
#         of the training pictures and renumbers the keypoints by it. Predictions that were corrected are left out.
# Seen:   sleap-io 0.9.5 (numpy 2.4.6, pyyaml 6.0.4). `flip_idx` is 0, 1, 2, ... whatever the symmetries are, although the
#         same skeleton's get_flipped_node_inds() has them right. Predictions are written like labels, so an animal whose
#         prediction was corrected is there twice. A frame with nothing but predictions is written, too.
# Matters: In half of the training pictures the left ear is learned as the right one, and wrong predictions are learned.
#         No message says so. Without the entry, Ultralytics 8.4.190 would warn and not mirror.
# Write `flip_idx` into data.yaml by hand, and call labels.remove_predictions() first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    sleap-io==0.9.5 numpy==2.4.6 pillow==13.0.0 pyyaml==6.0.4
cd "$folder"
"$folder/venv/bin/python" -W error::UserWarning - <<'PYTHON'
from pathlib import Path

import numpy as np
import sleap_io
import yaml
from PIL import Image

NODES = ["nose", "left_ear", "right_ear"]
skeleton = sleap_io.Skeleton(nodes=NODES, symmetries=[("left_ear", "right_ear")])
for name, level in (("first.png", 90), ("second.png", 120)):
    Image.fromarray(np.full((100, 200, 3), level, np.uint8)).save(name)
video = sleap_io.load_video(["first.png", "second.png"])


def predicted(shift):
    points = np.array([[60.0, 40.0], [40.0, 20.0], [80.0, 20.0]]) + shift
    return sleap_io.PredictedInstance.from_numpy(points, skeleton=skeleton, score=0.1)


wrong = predicted(30.0)
corrected = sleap_io.Instance.from_numpy(wrong.numpy() - 30.0, skeleton=skeleton, from_predicted=wrong)
frames = [
    sleap_io.LabeledFrame(video=video, frame_idx=0, instances=[corrected, wrong]),
    sleap_io.LabeledFrame(video=video, frame_idx=1, instances=[predicted(50.0)]),
]
labels = sleap_io.Labels(frames)
sleap_io.save_ultralytics(labels, "out", split_ratios={"train": 1.0}, verbose=False)

written = yaml.safe_load(Path("out/data.yaml").read_text())["flip_idx"]
declared = [int(k) for k in skeleton.get_flipped_node_inds()]
rows = [len(path.read_text().splitlines()) for path in sorted(Path("out/train/labels").glob("*.txt"))]
print(f"flip_idx written {written}, by the skeleton {declared}")
print(f"one labeled animal in the first picture, none in the second; rows written: {rows}")
assert declared == [0, 2, 1], "the behavior has changed"
assert written == [0, 1, 2], "the behavior has changed"
assert rows == [2, 1], "the behavior has changed"
PYTHON
