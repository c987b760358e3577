"""``import edgehrnet`` loads numpy and pillow, and nothing heavy. In a subprocess, or an earlier test would hide it."""

import subprocess
import sys

HEAVY = (
    "torch", "openvino", "onnx", "onnxruntime", "tensorrt", "cv2", "matplotlib", "pandas", "tqdm", "scipy", "quant",
    "tritonclient", "grpc", "starlette", "uvicorn",
)  # fmt: skip
PROGRAM = f"""
import sys
import edgehrnet, edgehrnet.cli
loaded = {{name.partition(".")[0] for name in sys.modules}}
print(*sorted(loaded & set({HEAVY!r})))
"""


def run(program):
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)


def test_no_engine_and_no_torch():
    done = run(PROGRAM)
    assert done.stdout.strip() == ""
    assert done.stderr == ""


def test_the_probe_sees_a_heavy_module():
    assert run(PROGRAM.replace("import edgehrnet,", "import quant, edgehrnet,")).stdout.strip() == "quant"


def test_nothing_but_numpy_and_pillow():
    program = """
import sys
before = set(sys.modules)
import edgehrnet
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(loaded - set(sys.stdlib_module_names)))
"""
    # What some releases of numpy compile with Cython shows as a module of Cython's.
    loaded = {name for name in run(program).stdout.split() if "cython" not in name}
    assert loaded == {"PIL", "edgehrnet", "numpy", "runtimes"}
