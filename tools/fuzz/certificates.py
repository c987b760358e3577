"""Fuzz the JSON files beside a model file: its certificate, and the sidecar of a TensorRT plan."""

from __future__ import annotations

import contextlib
import io
from functools import partial
from pathlib import Path
from typing import Any

from edgehrnet.certificate import Certificate, certificate_path, digest
from edgehrnet.cli import main
from edgehrnet.errors import EdgeHRNetError
from edgehrnet.predictor import Predictor
from runtimes.tensorrt_plan import Sidecar, sidecar_path
from tools.fuzz.engine import Entry
from tools.fuzz.files import null_file
from tools.fuzz.mutations import damaged_json_text


def seeds(model: Path) -> list[object]:
    """Return certificates of a model file, as JSON values."""
    drift = {"drift_median_px": 0.1, "drift_mean_px": 0.2, "drift_max_px": 0.3}
    common: dict[str, Any] = {
        "file": model.name, "digest": digest(model), "bytes": model.stat().st_size, "engine": "null 1",
        "device": "cpu", "convolutions": 3, "convolutions_expected": 3, "macs": 1000, "pictures": 2,
        "kernels": {"jit": 3}, "versions": {"numpy": "2"},
    }  # fmt: skip
    int8 = Certificate(
        **common, precision="int8", convolutions_int8=3, macs_int8=900, parity=1.0, distance=0.1, sqnr_db=30.0, **drift,
        sizes=({"input_size": [32, 32], "pictures": 2, "sqnr_db": 30.0, **drift},),
    )  # fmt: skip
    nothing: dict[str, Any] = dict.fromkeys(drift)
    plain = Certificate(
        **{**common, "pictures": 0}, precision="fp32", convolutions_int8=0, macs_int8=0, parity=None, distance=None,
        sqnr_db=None, **nothing,
    )  # fmt: skip
    return [int8.to_dict(), plain.to_dict()]


def entry(folder: Path) -> Entry:
    """Return the entry. It loads the model and shows its certificate."""
    path = null_file(folder)

    def check(case: bytes) -> None:
        certificate_path(path).write_bytes(case)
        with Predictor(path) as predictor:
            predictor.info()
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
            status = main(["info", str(path)])
        if "\x1b" in shown.getvalue():
            raise AssertionError("a control character reaches the terminal")
        if status:
            raise EdgeHRNetError(shown.getvalue())

    return Entry("certificates", partial(damaged_json_text, seeds=seeds(path)), check)


def sidecar_entry(folder: Path) -> Entry:
    """Return the entry that reads sidecars of plans."""
    path = folder / "m.engine"
    layer = {"name": "conv", "kind": "Convolution", "precision": "int8", "sources": ["a"]}
    seed = {
        "engine": "tensorrt", "version": "10.8", "compute_capability": [8, 9], "input_shape": [1, 32, 32, 4],
        "source": "0" * 64, "plan": "0" * 64, "metadata": "{}", "layers": [layer],
    }  # fmt: skip

    def check(case: bytes) -> None:
        sidecar_path(path).write_bytes(case)
        Sidecar.read(path)

    return Entry("sidecars", partial(damaged_json_text, seeds=[seed]), check)
