"""A command of quant whose output is closed by its reader, as `head` does."""

import os
import subprocess
import sys

PROGRAM = """
import argparse, sys
from edgehrnet.cli.status import run
sys.exit(run(argparse.ArgumentParser(), lambda args: print("a line"), []))
"""


def test_a_reader_that_closes_the_output_is_not_an_error():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=120, check=False)
    os.close(writing)
    assert done.stderr == b""
    assert done.returncode == 0
