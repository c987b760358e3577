"""One Core of OpenVINO serves the whole process: signals arrive after files were closed, and forked processes go on."""

import os
import signal
import subprocess
import sys

import pytest

HEAD = """
import os, signal, sys, threading, time, warnings
import numpy as np
import runtimes

image = np.full((1, 64, 96, 4), 255, np.uint8)

def opened():
    runtime = runtimes.load(sys.argv[1])
    runtime.run(image)
    return runtime
"""
IN_ORDER = """
first, second = opened(), opened()
first.close()
del first
second.close()
del second
"""
BY_ANOTHER_THREAD = """
held = [opened()]
def close():
    held.pop().close()
thread = threading.Thread(target=close)
thread.start()
thread.join()
"""
INTERRUPTED = """
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(10)
except KeyboardInterrupt:
    print("interrupted")
"""
FORKED = """
first = runtimes.load(sys.argv[1], shapes=2)
expected = first.run(image)["heatmaps"]
if sys.argv[2] == "dropped":
    for height in (96, 128):
        first.run(np.zeros((1, height, 96, 4), np.uint8))
if sys.argv[2] == "closed":
    first.close()
if sys.argv[2] == "busy":
    (compiled,) = first._compiled.values()
    request = compiled._take()  # as a thread that does not exist in the forked process
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads in a process that forks
child = os.fork()
if child:
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status))
else:
    signal.alarm(60)  # ends a process that waits forever
    found = [opened().run(image)["heatmaps"]]
    if sys.argv[2] in ("open", "busy"):
        found.append(first.run(image)["heatmaps"])
    first.close()
    del first
    os._exit(int(not all(np.array_equal(heatmaps, expected) for heatmaps in found)))
"""


def output_of(code, *arguments):
    command = [sys.executable, "-W", "error", "-c", HEAD + code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{done.returncode} {done.stdout} {done.stderr}"
    return done.stdout


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="Windows has no signals of this kind")
@pytest.mark.parametrize("close", [IN_ORDER, BY_ANOTHER_THREAD], ids=["in order of opening", "by another thread"])
def test_a_signal_after_files_were_closed_reaches_its_handler(openvino_model, close):
    assert output_of(close + INTERRUPTED, openvino_model.path) == "interrupted\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("state", ["open", "dropped", "closed", "busy"])
def test_a_forked_process_opens_and_runs_files(openvino_model, state):
    assert output_of(FORKED, openvino_model.path, state) == "0\n"
