"""Real workers of Ray on this machine, and what remains when one of them or the whole run is killed."""

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from edgehrnet import sample_picture

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_spec("ray") is None, reason="needs edgehrnet[ray]")]
ROOT = Path(__file__).parent.parent.parent.parent
SAMPLES = ("document", "receipt", "card", "book")


def start(folder, file, *options):
    command = [sys.executable, "-m", "edgehrnet", "predict", "document-corners", "in", "--parquet", file, "--quiet"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*command, "--threads", "1", *options], cwd=folder, env=environment)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """200 pictures, a broken one, and the file of one process."""
    folder = tmp_path_factory.mktemp("ray")
    (folder / "in").mkdir()
    for number in range(200):
        (folder / "in" / f"{number:03}.jpg").symlink_to(sample_picture(SAMPLES[number % 4]))
    (folder / "in" / "100-broken.jpg").write_bytes(b"no picture")
    assert start(folder, "one.parquet").wait(300) == 2
    return folder


def wait_for(folder, pattern, count):
    """Wait until there are so many files, and return them."""
    end = time.monotonic() + 200
    while len(found := sorted(folder.glob(pattern))) < count:
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def check(folder, name):
    """Every picture is there once, with the results of one process."""
    pq = pytest.importorskip("pyarrow.parquet")
    table, expected = (pq.read_table(folder / file) for file in (name, "one.parquet"))
    assert table["image"].unique().to_pylist() == [f"in/{path.name}" for path in sorted((folder / "in").iterdir())]
    is_good = table["error"].is_null()
    assert table.filter(is_good).select(expected.column_names).equals(expected)
    assert table.num_rows - expected.num_rows == 1
    assert not (folder / f"{name}.parts").exists()


def test_a_killed_worker_loses_nothing(folder):
    process = start(folder, "worker.parquet", "--ray", "local", "--workers", "2")
    wait_for(folder, "worker.parquet.parts/*.parquet", 2)
    (mark,) = wait_for(folder, "worker.parquet.parts/*.0.try", 1)[:1]
    os.kill(int(mark.read_text().split()[1]), signal.SIGKILL)
    assert process.wait(300) == 2  # for the broken picture
    check(folder, "worker.parquet")


def test_a_killed_run_goes_on(folder):
    process = start(folder, "run.parquet", "--ray", "local", "--workers", "2")
    done = {path: path.stat().st_mtime_ns for path in wait_for(folder, "run.parquet.parts/*.parquet", 3)}
    process.kill()
    process.wait(60)
    assert start(folder, "run.parquet", "--ray", "local").wait(60) == 2  # names --resume
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert start(folder, "run.parquet", "--ray", "local", "--workers", "2", "--resume").wait(300) == 2
    check(folder, "run.parquet")
