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
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads in a process that forks
for state in ("open", "busy", "dropped", "closed"):
    first = runtimes.load(sys.argv[1], shapes=2)
    expected = first.run(image)["heatmaps"]
    if state == "busy":
        (compiled,) = first._compiled.values()
        request = compiled._take()  # as a thread that does not exist in the forked process
    if state == "dropped":
        for height in (96, 128):
            first.run(np.zeros((1, height, 96, 4), np.uint8))
    if state == "closed":
        first.close()
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        print(state, os.waitstatus_to_exitcode(status))
        continue
    signal.alarm(30)  # ends a process that waits forever
    found = [opened().run(image)["heatmaps"]]
    if state in ("open", "busy"):
        found.append(first.run(image)["heatmaps"])
    first.close()
    del first
    os._exit(int(not all(np.array_equal(heatmaps, expected) for heatmaps in found)))
"""


def output_of(code, path):
    command = [sys.executable, "-W", "error", "-c", HEAD + code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, f"{done.returncode} {done.stdout} {done.stderr}"
    return done.stdout.splitlines()


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="Windows has no signals of this kind")
def test_a_signal_after_files_were_closed_reaches_its_handler(openvino_model):
    code = IN_ORDER + INTERRUPTED + BY_ANOTHER_THREAD + INTERRUPTED
    assert output_of(code, openvino_model.path) == ["interrupted"] * 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_opens_uses_and_closes_files(openvino_model):
    found = output_of(FORKED, openvino_model.path)
    assert found == [f"{state} 0" for state in ("open", "busy", "dropped", "closed")]
