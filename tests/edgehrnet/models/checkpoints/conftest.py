"""Contents of checkpoint files that several test files share."""

import shlex
import sys

import numpy as np
import pytest
import torch

# Configuration as mmengine writes it: each setting starts at the beginning of a line.
CONFIG = """auto_scale_lr = dict(base_batch_size=512)
backend_args = dict(backend='local')
codec = dict(
    {more}heatmap_size=(
        72,
        96,
    ),
    input_size=(
        288,
        384,
    ),
    sigma=3,
    type='{kind}')
custom_hooks = [
    dict(type='SyncBuffersHook', unbiased=True, input_size=(1, 1)),
]
"""


@pytest.fixture
def saved(tmp_path):
    """A function that writes a value with torch.save and returns the path."""

    def save(value, **options):
        torch.save(value, tmp_path / "net.pth", **options)
        return tmp_path / "net.pth"

    return save


@pytest.fixture
def data_set():
    """Description of a data set with four keypoints of a hand, as mmpose 1.x stores it."""
    return {
        "dataset_name": "hand",
        "num_keypoints": 4,
        "keypoint_id2name": {0: "wrist", 1: "left_tip", 2: "right_tip", 3: "palm"},
        "keypoint_name2id": {"wrist": 0, "left_tip": 1, "right_tip": 2, "palm": 3},
        "flip_indices": [0, 2, 1, 3],
        "flip_pairs": [[2, 1], [1, 2]],
        "keypoint_colors": np.array([[255, 128, 0]] * 4, np.uint8),
        "skeleton_links": [[0, 3], [3, 1], (3, 2)],
        "dataset_keypoint_weights": np.array([1, 1.5, 1.5, 1], np.float32),
        "sigmas": np.array([0.5, 0.25, 0.25, 0.125], np.float32),
        "stats_info": {"bbox_center": np.array([528.0, 427.0], np.float32)},
    }


@pytest.fixture
def config():
    """A function that returns the configuration of mmpose 1.x with one kind of codec."""
    return lambda kind, more="": CONFIG.format(kind=kind, more=more)


@pytest.fixture
def run_printed_command(monkeypatch):
    """A function that runs the Python command at the end of an error message, in this process and in a folder."""

    def run(message, folder):
        monkeypatch.chdir(folder)
        python, option, code, *names = shlex.split(message.splitlines()[-1])
        assert (python, option) == ("python", "-c")
        monkeypatch.setattr(sys, "argv", ["-c", *names])
        exec(code, {})

    return run
