"""Real workers of Ray on this machine. One of them is killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from edgehrnet import sample_picture
from edgehrnet.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_spec("ray") is None, reason="needs edgehrnet[ray]")]
ROOT = Path(__file__).parent.parent.parent.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """200 pictures, one of them broken, and the table of one process."""
    folder = tmp_path_factory.mktemp("ray")
    (folder / "in").mkdir()
    for number in range(200):
        name = ("document", "receipt", "card", "book")[number % 4]
        os.link(sample_picture(name), folder / "in" / f"{number:03}.jpg") if _same_disk(folder) else shutil.copy(
            sample_picture(name), folder / "in" / f"{number:03}.jpg"
        )
    (folder / "in" / "100-broken.jpg").write_bytes(b"no picture")
    assert main(["predict", "document-corners", str(folder / "in"), "--parquet", str(folder / "one.parquet")]) == 2
    return folder


def start(folder, *options):
    command = [sys.executable, "-m", "edgehrnet", "predict", "document-corners", "in", "--parquet", "many.parquet"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, "--ray", "local", "--workers", "2", *options],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def wait_for(files, count):
    """Wait until there are so many files."""
    end = time.monotonic() + 200
    while len(found := sorted(files())) < count:
        assert time.monotonic() < end
        time.sleep(0.01)
    return found
