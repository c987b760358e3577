"""A small labeled data set and an untrained checkpoint for the tests of training."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from edgehrnet.models import create
from edgehrnet.models.checkpoints import load_checkpoint, save_checkpoint
from edgehrnet.spec import ModelSpec

NAMES = ("top-left", "top-right", "bottom-right", "bottom-left")
COUNT = 6


@pytest.fixture(scope="session")
def labeled(tmp_path_factory):
    """A folder with a table of light quadrilaterals on dark pictures."""
    folder = tmp_path_factory.mktemp("data") / "corners"
    folder.mkdir()
    lines = [
        ",".join(["scorer", *["me"] * 8]),
        ",".join(["bodyparts", *(name for name in NAMES for _ in "xy")]),
        ",".join(["coords", *"xy" * 4]),
    ]
    rng = np.random.default_rng(0)
    for index in range(COUNT):
        picture = Image.fromarray(rng.integers(0, 90, (60, 80, 3), dtype=np.uint8))
        corners = np.array([(20, 15), (60, 15), (60, 45), (20, 45)]) + rng.uniform(-8, 8, (4, 2)).round(2)
        ImageDraw.Draw(picture).polygon([tuple(corner) for corner in corners], fill=(210, 200, 190))
        picture.save(folder / f"{index}.png")
        lines.append(",".join([f"{index}.png", *(f"{value:.2f}" for value in corners.ravel())]))
    (folder / "CollectedData.csv").write_text("\n".join(lines) + "\n")
    return str(folder)


@pytest.fixture(scope="session")
def tiny(labeled):
    """Settings of the shortest run with two validations."""
    return {
        "data": labeled,
        "steps": 4,
        "batch": 2,
        "sizes": ((64, 64),),
        "workers": 0,
        "validate_every": 2,
        "validate_count": 2,
    }


@pytest.fixture(scope="session")
def save_untrained():
    """Function that saves a network with random weights, and returns its checkpoint."""

    def save(path, keypoints=4):
        torch.manual_seed(0)
        network = create("edgehrnet18", keypoints=keypoints)
        names = NAMES if keypoints == 4 else tuple(f"point {index}" for index in range(keypoints))
        spec = ModelSpec("corners", names, input_size=(64, 64))
        save_checkpoint(path, "edgehrnet18", {"keypoints": keypoints}, network.state_dict(), spec.to_dict(), {})
        return load_checkpoint(path)

    return save


@pytest.fixture(scope="session")
def untrained(tmp_path_factory, save_untrained):
    """An untrained checkpoint as (path, content)."""
    path = tmp_path_factory.mktemp("untrained") / "random.pt"
    return str(path), save_untrained(path)
