"""Every block of the README runs as it stands."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
PYTHON = [code for language, code in BLOCKS if language == "python"]
COMMANDS = [line for language, text in BLOCKS if language == "console" for line in text.splitlines() if line]
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}


def run(command, folder):
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_block_has_a_language_and_is_run():
    assert len(PYTHON) >= 3
    assert {language for language, _ in BLOCKS} == {"python", "console"}


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_python_blocks_run(code, tmp_path):
    run([sys.executable, "-W", "error", "-c", code], tmp_path)


def test_commands_run_in_their_order(tmp_path):
    ran = [line for line in COMMANDS if not line.startswith("make ")]
    assert len(ran) >= 6
    (tmp_path / "checkpoints").symlink_to(ROOT / "checkpoints")  # the commands are typed in the project's folder
    for line in ran:
        program, *arguments = shlex.split(line)
        prefix = {"edgehrnet": [sys.executable, "-m", "edgehrnet"], "python": [sys.executable]}[program]
        run([*prefix, *arguments], tmp_path)
    assert (tmp_path / "overlay.png").is_file()
    assert list((tmp_path / "overlays").iterdir())
    assert (tmp_path / "runs" / "first" / "ema-fp16.xml").is_file()
    assert (tmp_path / "runs" / "qat" / "document-corners-int8.certificate.json").is_file()


def test_make_targets_exist():
    # Running them here would run these tests within themselves; CI calls them.
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    named = {line.split()[1] for line in COMMANDS if line.startswith("make ")}
    assert named == {"demo", "test"}
    assert named <= targets
