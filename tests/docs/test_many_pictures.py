"""The commands and the Python block of the page about many pictures, with real workers on this machine."""

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from edgehrnet import sample_picture
from edgehrnet.many.listing import LARGEST_PART
from edgehrnet.many.work import LINEAGE
from edgehrnet.many.worker import TRIES

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs" / "many-pictures.md").read_text()
BLOCKS = re.findall(r"^```text\n(.*?)^```", TEXT, re.M | re.S)
LINES = [line for block in BLOCKS for line in block.splitlines()]
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs edgehrnet[ray]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "pictures").mkdir()
    for name in ("document", "card"):
        shutil.copy(sample_picture(name), folder / "pictures")
    return folder


def started(command, folder, **options):
    """Start a command of the page with this Python, and a home of its own for Ray's token."""
    program, *arguments = shlex.split(command)
    words = {
        "edgehrnet": [sys.executable, "-m", "edgehrnet"],
        "python": [sys.executable],
        "ray": [str(Path(sys.executable).with_name("ray"))],
    }[program]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HOME": str(folder), **options}
    return subprocess.Popen([*words, *arguments], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)


def output(command, folder, **options):
    with started(command, folder, **options) as process:
        assert process.stdout is not None
        text = process.stdout.read()
    assert process.returncode == 0, command
    return text


def line(start):
    """The first line of all blocks that begins with some words."""
    return next(line for line in LINES if line.startswith(start))


def test_the_numbers_and_columns_are_those_of_the_code():
    assert [name for name in LINEAGE if f"| `{name}` |" not in TEXT] == []
    assert f"at most {LARGEST_PART} pictures each" in TEXT
    assert f"| {('one', 'two', 'three', 'four', 'five')[TRIES - 1]} workers at the same part |" in TEXT


@needs_ray
@pytest.mark.slow
def test_the_commands_for_one_machine(folder):
    for command in [one for one in LINES if one.startswith("edgehrnet") and "--ray local" in one]:
        assert output(command, folder).startswith("2 pictures, 0 errors; 2 now") or "--resume" in command
    assert (folder / "results.parquet").is_file()
    sample = line("python samples").replace("samples/", f"{ROOT}/samples/")
    assert "2 pictures, 0 without a result, in corners.parquet" in output(sample, folder)
    (code,) = [block for block in BLOCKS if "import predict_many" in block]
    (folder / "block.py").write_text(code)
    assert output("python block.py", folder).strip() == "2 0"


@needs_ray
@pytest.mark.slow
def test_the_commands_for_a_cluster(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    settings = dict(word.split("=") for word in line("export").split()[1:])
    output(line("ray get-auth-token"), folder, **settings)
    head = started(line("ray start --head").replace("6379", port) + " --num-cpus 0 --block", folder, **settings)
    other = None
    try:
        wait_for(port)
        join = line("ray start --address").replace("FIRST:6379", f"127.0.0.1:{port}")
        other = started(f"{join} --num-cpus 1 --block", folder, **settings)
        command = line("edgehrnet predict document-corners pictures --parquet cluster").replace(
            "auto", f"127.0.0.1:{port}"
        )
        assert output(command, folder, **settings).startswith("2 pictures, 0 errors; 2 now")
    finally:
        for process in (other, head):
            if process is not None:
                process.terminate()
                process.communicate(timeout=60)


def wait_for(port):
    """Wait until something listens on a port."""
    end = time.monotonic() + 120
    while True:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", int(port))) == 0:
                return
        assert time.monotonic() < end
        time.sleep(0.2)
