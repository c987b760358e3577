#!/usr/bin/env bash
# Kornia: AugmentationSequential warps the picture but not the keypoints with its elastic, thin-plate and fisheye transforms.
#
# Guess:  AugmentationSequential(..., data_keys=["input", "keypoints"]) moves the keypoints with the picture, or refuses
#         a transform for which it cannot.
# Seen:   kornia 0.9.0 (torch 2.13.0). RandomElasticTransform, RandomThinPlateSpline and RandomFisheye return the keypoints
#         exactly as they came, without an error or a warning, while the picture's content moves by pixels.
#         Flips, RandomAffine, RandomRotation and Resize move both, to a hundredth of a pixel.
# Matters: One line added to a keypoint network's augmentation teaches it labels that lie beside what they mark.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 packaging==26.4
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps kornia==0.9.0 kornia-rs==0.2.0
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W error::UserWarning - <<'PYTHON'
import kornia.augmentation as K
import torch

HEIGHT, WIDTH = 96, 128
POINT = (52.0, 40.0)
rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
image = torch.exp(-((columns - POINT[0]) ** 2 + (rows - POINT[1]) ** 2) / 18)[None, None]


def moved(transform):
    """How far the picture's content moves and how far the keypoint moves, both in px."""
    torch.manual_seed(2)
    both = K.AugmentationSequential(transform, data_keys=["input", "keypoints"])
    warped, keypoint = both(image, torch.tensor([[POINT]]))
    weight = warped[0, 0] / warped.sum()
    content = torch.stack([(weight * columns).sum(), (weight * rows).sum()])
    start = torch.tensor(POINT)
    return float((content - start).norm()), float((keypoint.reshape(2) - start).norm())


reach = [torch.tensor(ends) for ends in ([-0.3, 0.3], [-0.3, 0.3], [0.9, 1.0])]
for name, transform, follows in (
    ("RandomHorizontalFlip", K.RandomHorizontalFlip(p=1.0), True),
    ("RandomAffine", K.RandomAffine(degrees=(20.0, 20.0), p=1.0), True),
    ("RandomElasticTransform", K.RandomElasticTransform(alpha=(5.0, 5.0), sigma=(16.0, 16.0), p=1.0), False),
    ("RandomThinPlateSpline", K.RandomThinPlateSpline(scale=0.2, p=1.0), False),
    ("RandomFisheye", K.RandomFisheye(*reach, p=1.0), False),
):
    content, keypoint = moved(transform)
    print(f"{name:24} content moves {content:5.2f} px, keypoint {keypoint:5.2f} px")
    assert content > 0.3, "the behavior has changed"
    assert (abs(content - keypoint) < 0.05) if follows else keypoint == 0, "the behavior has changed"
PYTHON
