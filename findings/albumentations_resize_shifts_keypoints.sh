#!/usr/bin/env bash
# Albumentations: Resize and LongestMaxSize place keypoints by another pixel convention than flips and Affine.
#
# Guess:  One library uses one pixel convention, so that a keypoint stays on the content it marks through every transform.
# Seen:   albumentations 2.0.8 (numpy 2.4.6, opencv-python-headless 5.0.0.93).
#         HorizontalFlip sends x to width - 1 - x, which is right if the center of the first pixel is 0. Resize
#         multiplies by the scale alone, which is right only if the first pixel's edge is 0. The content goes to
#         scale * (x + 0.5) - 0.5. Enlarged four times, a keypoint is 1.5 px away from its content; halved, 0.25 px.
#         RandomResizedCrop does the same.
# Matters: With a heatmap of stride 4, training pictures enlarged by 4 teach a shift of 0.4 cells, and a horizontal flip
#         turns the sign of its x part. No average over flips takes the y part away.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    albumentations==2.0.8 albucore==0.0.24 opencv-python-headless==5.0.0.93 numpy==2.4.6 scipy==1.17.1
cd "$folder"
NO_ALBUMENTATIONS_UPDATE=1 "$folder/venv/bin/python" - <<'PYTHON'
import albumentations as A
import cv2
import numpy as np

HEIGHT, WIDTH = 48, 64
POINT = (26.0, 20.0)
rows, columns = np.mgrid[:HEIGHT, :WIDTH]
blob = np.exp(-((columns - POINT[0]) ** 2 + (rows - POINT[1]) ** 2) / 18).astype(np.float32)
image = np.repeat(blob[..., None], 3, axis=2)


def difference(transform):
    """Keypoint minus centroid of the content it marks, x and y in px."""
    done = A.Compose([transform], keypoint_params=A.KeypointParams(format="xy"))(image=image, keypoints=[POINT])
    weight = done["image"][..., 0].astype(np.float64)
    y, x = (np.average(axis, weights=weight) for axis in np.mgrid[: weight.shape[0], : weight.shape[1]])
    return done["keypoints"][0][0] - x, done["keypoints"][0][1] - y


for name, transform, expected in (
    ("HorizontalFlip", A.HorizontalFlip(p=1), 0.0),
    ("Affine, 90 degrees", A.Affine(rotate=(90, 90), fit_output=True, p=1), 0.0),
    ("Resize to 4 times", A.Resize(HEIGHT * 4, WIDTH * 4), -1.5),
    ("LongestMaxSize, 4 times", A.LongestMaxSize(WIDTH * 4), -1.5),
    ("Resize to a half", A.Resize(HEIGHT // 2, WIDTH // 2, interpolation=cv2.INTER_AREA), 0.25),
):
    x, y = difference(transform)
    print(f"{name:24} keypoint minus content: x {x:+.2f}, y {y:+.2f} px")
    assert abs(x - expected) < 0.05, "the behavior has changed"
    assert abs(y - expected) < 0.05, "the behavior has changed"
PYTHON
