"""What is said of an INT8 file that runs mostly in float, or whose keypoints drift too far."""

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from quant.commandline import MOSTLY_FLOAT, add_allow_float, add_max_drift, int8_status, warn_of_drift
from quant.files.build import LEAST_INT8, mostly_float
from quant.files.parity import File


def file(share, target="onnx", precision="int8"):
    certificate: Any = SimpleNamespace(int8_share=share, engine="engine 1.2")
    return File(Path("m-int8.onnx"), target, precision, certificate)


@pytest.mark.parametrize("target", ["openvino", "onnx", "plan"])
def test_a_file_mostly_in_float_is_named_with_its_share(target):
    line = mostly_float(file(0.003, target))
    assert line is not None
    for part in ("m-int8.onnx", "engine 1.2", "0.3%", "90%", "--allow-float"):
        assert part in line
    assert "--targets openvino" in line or target != "onnx"


@pytest.mark.parametrize(
    "built",
    [
        file(LEAST_INT8),
        file(0.0, precision="fp16"),
        file(0.0, target="tensorrt"),
        File(Path("m.engine"), "plan", "int8", None, "needs a GPU"),
    ],
    ids=["enough", "not asked for", "source of plans", "not built"],
)
def test_other_files_are_fine(built):
    assert mostly_float(built) is None


@pytest.mark.parametrize(
    ("shares", "options", "status", "lines"),
    [
        ((0.95,), [], 0, 0),
        ((0.95, 0.2, 0.1), [], MOSTLY_FLOAT, 2),
        ((0.2,), ["--allow-float"], 0, 1),
    ],
)
def test_exit_status(shares, options, status, lines, capsys):
    parser = argparse.ArgumentParser()
    add_allow_float(parser)
    assert int8_status(map(file, shares), parser.parse_args(options).allow_float) == status
    assert len(capsys.readouterr().err.splitlines()) == lines


@pytest.mark.parametrize(("drift", "far"), [(2.0, True), (1.0, False), (None, False)])
def test_a_drift_over_the_limit_is_a_warning(drift, far, capsys):
    certificate: Any = SimpleNamespace(drift_median_px=drift)
    parser = argparse.ArgumentParser()
    add_max_drift(parser)
    files = [File(Path("m-int8.xml"), "openvino", precision, certificate) for precision in ("int8", "fp16")]
    warn_of_drift(files, parser.parse_args([]).max_drift)
    warn_of_drift(files, parser.parse_args(["--max-drift", "3"]).max_drift)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == far
    assert all("m-int8.xml" in line and "2.00 px" in line and "--max-drift 1" in line for line in lines)
