"""How a command ends when it is interrupted."""

import errno
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from edgehrnet.cli.status import INTERRUPTED, TERMINATED, exit_status

STREAM = """
import sys, threading
from itertools import repeat
from edgehrnet import Predictor
from edgehrnet.cli.status import exit_status

def work():
    with Predictor(sys.argv[1]) as predictor:
        try:
            for result in predictor.stream(repeat(sys.argv[2])):
                print("result", flush=True)
        finally:
            print("released", flush=True)

sys.exit(exit_status(work))
"""


def interrupt():
    raise KeyboardInterrupt


def test_ctrl_c_is_no_traceback(capsys):
    assert exit_status(interrupt) == INTERRUPTED
    assert capsys.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that a process can catch")
def test_sigterm_inside_a_stream_releases_everything(null_model, tmp_path):
    from PIL import Image

    Image.fromarray(null_model.picture).save(tmp_path / "a.png")
    command = [sys.executable, "-c", STREAM, null_model.path, tmp_path / "a.png"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == TERMINATED
    assert printed.endswith("released\n")
    assert errors == ""


def test_handlers_of_others_are_left_alone():
    before = signal.getsignal(signal.SIGTERM)
    seen = []
    assert exit_status(lambda: seen.append(signal.getsignal(signal.SIGTERM))) == 0
    assert seen[0] != before
    assert signal.getsignal(signal.SIGTERM) == before
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        exit_status(lambda: seen.append(signal.getsignal(signal.SIGTERM)))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen[1] == signal.SIG_IGN


def test_a_command_runs_in_another_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(exit_status(lambda: None)))
    thread.start()
    thread.join()
    assert found == [0]


def test_a_full_disk_of_temporary_files_is_named(capsys):
    def work():
        raise OSError(errno.ENOSPC, "No space left on device")

    assert exit_status(work) == 2
    assert tempfile.gettempdir() in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_output_that_cannot_be_written_is_named(capsys, monkeypatch):
    full = Path("/dev/full").open("w")  # noqa: SIM115 - closing it fails
    monkeypatch.setattr(sys, "stdout", full)
    assert exit_status(lambda: print("text")) == 2
    with suppress(OSError):  # closing it writes, too
        full.close()
    assert "standard output" in capsys.readouterr().err
