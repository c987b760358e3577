"""Commands of quant where torch is not installed: help, or one line that says what to install."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import quant

COMMANDS = sorted(path.stem for path in Path(quant.__file__).parent.glob("*.py") if "__main__" in path.read_text())


def test_the_commands_that_need_torch_exist():
    assert set(quant.NEED_TORCH) < set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_without_torch(command, tmp_path):
    # Python imports sitecustomize at its start; a module that is None cannot be imported.
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    root = str(Path(quant.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", f"quant.{command}", "--help"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), root])},
    )
    assert "Traceback" not in done.stderr
    if command in quant.NEED_TORCH:
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "pip install 'edgehrnet[train]'" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("usage: ")
