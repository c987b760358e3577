#!/usr/bin/env bash
# sleap-io: one gray picture at the start of an image sequence makes all of them gray, from their red channel alone.
#
# Guess:  Each picture keeps its colors. Where a picture becomes gray, it is the usual weighted sum of all channels.
# Seen:   sleap-io 0.9.5 (numpy 2.4.6, pillow 13.0.0), the same with OpenCV 5.0.0.93 installed. If the first picture is
#         gray, also if it is an RGB file with equal channels, then every picture is read with one channel. It is the
#         red one. Pictures embedded in a .pkg.slp and those that save_ultralytics writes are gray, too, so the colors
#         are lost in what you pass on. With a colored picture in front, the same files keep their colors.
# Matters: Lists of labeled pictures often mix day and infrared, and are sorted by name. Marks that differ only in green
#         or blue disappear, and the network later sees color pictures that it has not been trained on.
# Pass grayscale=False to load_video.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    sleap-io==0.9.5 numpy==2.4.6 pillow==13.0.0 h5py==3.16.0
cd "$folder"
"$folder/venv/bin/python" -W error::UserWarning - <<'PYTHON'
import numpy as np
import sleap_io
from PIL import Image

COLOR = (200, 120, 40)
Image.new("RGB", (200, 100), COLOR).save("color.png")
Image.new("RGB", (200, 100), COLOR).save("other.png")
Image.new("L", (200, 100), 90).save("gray.png")
Image.new("RGB", (200, 100), (90, 90, 90)).save("equal.png")
skeleton = sleap_io.Skeleton(nodes=["nose"])


def pixel(first, **options):
    """The second picture's pixel as it is read, embedded and exported."""
    video = sleap_io.load_video([first, "other.png"], **options)
    points = np.array([[60.0, 20.0]])
    frames = [
        sleap_io.LabeledFrame(
            video=video, frame_idx=k, instances=[sleap_io.Instance.from_numpy(points, skeleton=skeleton)]
        )
        for k in (0, 1)
    ]
    labels = sleap_io.Labels(frames)
    sleap_io.save_slp(labels, "package.pkg.slp", embed="user", verbose=False)
    sleap_io.save_ultralytics(labels, f"from_{first}", split_ratios={"train": 1.0}, verbose=False)
    embedded = sleap_io.load_slp("package.pkg.slp")[1].image
    exported = np.atleast_3d(Image.open(f"from_{first}/train/images/0000001.png"))
    return [tuple(int(level) for level in image[0, 0]) for image in (video[1], embedded, exported)]


for first, expected in (("color.png", COLOR), ("gray.png", COLOR[:1]), ("equal.png", COLOR[:1])):
    found = pixel(first)
    print(f"after {first:10} read {found[0]}, embedded {found[1]}, exported {found[2]}")
    assert found == [expected] * 3, "the behavior has changed"
assert pixel("gray.png", grayscale=False)[:2] == [COLOR] * 2, "grayscale=False keeps the colors"
PYTHON
