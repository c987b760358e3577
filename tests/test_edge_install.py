"""Install the wheel in a new environment with numpy, Pillow and OpenVINO, and without torch."""

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import edgehrnet

ROOT = Path(__file__).parent.parent
MEGABYTE = 1_000_000


def run(*command, folder):
    done = subprocess.run([str(c) for c in command], cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out, ROOT, folder=out)
    (path,) = out.glob("edgehrnet-*.whl")
    return path


@pytest.fixture(scope="module")
def edge(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("edge")
    venv.create(folder / "venv", with_pip=True, symlinks=True)
    python = folder / "venv" / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    run(python, "-m", "pip", "install", "--quiet", "--constraint", constraints, f"{wheel}[openvino]", folder=folder)
    return python


def test_the_wheel_is_small_and_holds_engine_files_only(wheel):
    assert wheel.stat().st_size <= 20 * MEGABYTE
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"edgehrnet/assets/document-corners-{kind}.bin" for kind in ("hs", "silu", "fp16")} <= set(names)
    assert "edgehrnet/assets/document-corners-hs.certificate.json" in names
    assert {"edgehrnet/py.typed", "runtimes/py.typed", "quant/py.typed"} <= set(names)
    assert not [name for name in names if name.endswith(".pt")]
    metadata = f"edgehrnet-{edgehrnet.__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {"edgehrnet", "runtimes", "quant", metadata}


def test_the_demo_runs_without_torch(edge):
    answer = json.loads(run(edge, "-W", "error", "-m", "edgehrnet", "demo", "--json", folder=edge.parent))
    assert len(answer["instances"][0]["keypoints"]) == 4
    assert set(answer["speed_ms"]) == {"read", "letterbox", "inference", "decode"}
    assert Path(answer["overlay"]).is_file()
    found = subprocess.run([str(edge), "-c", "import torch"], capture_output=True, text=True)
    assert "ModuleNotFoundError" in found.stderr


def test_the_edge_install_is_at_most_280_megabytes(edge):
    (packages,) = edge.parent.parent.glob("lib/python3*/site-packages")
    size = sum(
        path.stat().st_size
        for path in packages.rglob("*")
        if path.is_file()
        and path.suffix != ".pyc"
        and not path.relative_to(packages).parts[0].startswith(("pip", "setuptools", "_distutils", "pkg_resources"))
    )
    assert size <= 280 * MEGABYTE
