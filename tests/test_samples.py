"""The samples run as a user would run them, and stay short."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from edgehrnet import sample_picture

ROOT = Path(__file__).parent.parent
SAMPLES = sorted((ROOT / "samples").glob("*.py"))


def run(*arguments):
    command = [sys.executable, "-W", "error", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_a_sample_is_short_and_says_how_to_run_it(sample):
    text = sample.read_text()
    assert len(text.splitlines()) < 60
    for word in ("Install:", "Run:", "Prints:"):
        assert word in text


def test_there_is_a_sample_for_a_picture_and_for_a_folder():
    assert {path.name for path in SAMPLES} >= {"picture.py", "folder.py"}


def test_picture(tmp_path):
    printed = run(ROOT / "samples" / "picture.py", sample_picture(), tmp_path)
    assert printed.count("confidence") == 4
    with Image.open(tmp_path / "page.png") as page:
        assert 0.7 < page.width / page.height < 0.9  # an upright letter, as its true corners tell: 0.80
    assert (tmp_path / "corners.png").is_file()


def test_folder(tmp_path):
    shutil.copy(sample_picture(), tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes(b"")
    printed = run(ROOT / "samples" / "folder.py", tmp_path, tmp_path / "corners.json")
    assert "skipped" in printed
    rows = json.loads((tmp_path / "corners.json").read_text())
    assert [Path(row["source"]).name for row in rows] == ["a.jpg"]
    assert len(rows[0]["instances"][0]["keypoints"]) == 4
