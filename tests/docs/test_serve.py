"""The commands and the Python block of the page about serving, with a real server on free ports."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgehrnet import sample_picture

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs" / "serve.md").read_text()
BLOCKS = re.findall(r"^```text\n(.*?)^```", TEXT, re.M | re.S)


def block(word):
    """The only block that has a word."""
    (found,) = [content for content in BLOCKS if word in content]
    return found


def line(start):
    """The only line of all blocks that begins with some words."""
    (found,) = [line for content in BLOCKS for line in content.splitlines() if line.startswith(start)]
    return found


@pytest.fixture(scope="module")
def ports(tmp_path_factory):
    """Run the server as the page says, on free ports. Yields what to replace in the other blocks."""
    pytest.importorskip("uvicorn", reason="needs edgehrnet[serve]")
    pytest.importorskip("tritonclient.grpc", reason="needs edgehrnet[serve]")
    program, *arguments = shlex.split(line("edgehrnet serve"))
    assert program == "edgehrnet"
    command = [sys.executable, "-m", "edgehrnet", *arguments, "--port", "0", "--grpc-port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        rest, rpc = (re.findall(r":\d+/", process.stdout.readline()) for _ in range(2))
        yield {":8000/": rest[0], ":8001/": rpc[0]}
        process.terminate()
        assert process.wait(30) == 0


def replaced(text, ports):
    for port, free in ports.items():
        text = text.replace(port, free)
    return text


def test_the_python_block(ports):
    pytest.importorskip("tritonclient.http", reason="needs edgehrnet[remote]")
    code = replaced(block("import numpy"), ports)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=120)


@pytest.mark.parametrize("start", ["curl", "edgehrnet predict"])
def test_the_commands_for_a_picture(ports, tmp_path, start):
    shutil.copy(sample_picture(), tmp_path / "photo.jpg")
    command = shlex.split(replaced(line(start), ports))
    if start == "curl" and shutil.which("curl") is None:
        pytest.skip("needs curl")
    if start != "curl":
        pytest.importorskip("tritonclient.http", reason="needs edgehrnet[remote]")
        command = [sys.executable, "-m", *command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert "bottom-left" in done.stdout
