"""Each reader keeps its promises on a few damaged inputs, and each harness reports a planted fault."""

import importlib
import math
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import pytest

import edgehrnet.predictor
from edgehrnet import ModelSpec, Predictor
from edgehrnet.errors import InputError
from runtimes.tensorrt_plan import Sidecar
from tools.fuzz import boxes, certificates, labels, models, pictures, specs
from tools.fuzz.children import run_in_child
from tools.fuzz.engine import STATUS, Entry, Worst, as_bytes, judge, make_case, run
from tools.fuzz.entries import ENTRIES, open_entry
from tools.fuzz.files import null_file
from tools.fuzz.guided import ChosenBytes
from tools.fuzz.mutations import damaged_bytes, damaged_json, damaged_json_text, damaged_text

ROOT = Path(__file__).parents[2]
# More run in `make fuzz`. Checkpoints need torch, and model files their engine.
QUICK = {
    "pictures": 150,
    "arrays": 150,
    "boxes": 100,
    "box-files": 200,
    "specs": 150,
    "certificates": 60,
    "sidecars": 200,
}
SLOW = {"labels": 100, "checkpoints": 15, "onnx": 30, "ir": 10}


@pytest.mark.parametrize("name", [*QUICK, *SLOW])
def test_damaged_input_raises_our_errors(name, tmp_path):
    if name in SLOW:
        pytest.importorskip("torch")
    failures = run(open_entry(name, tmp_path), range({**QUICK, **SLOW}[name]), seed=0)
    assert not failures, "\n".join(f"{failure.details}\n{failure.command}" for failure in failures)


def test_every_entry_is_tested():
    assert {*QUICK, *SLOW} == {*ENTRIES}


def every_50th(function, error):
    """A function that fails at every 50th call."""
    calls = 0

    def failing(*args, **options):
        nonlocal calls
        calls += 1
        if calls % 50 == 0:
            raise error
        return function(*args, **options)

    return failing


@pytest.mark.parametrize(
    ("module", "reader", "name"),
    [
        (Predictor, "predict", "pictures"),
        (Predictor, "predict", "arrays"),
        (Predictor, "predict", "boxes"),
        (boxes, "read_boxes", "box-files"),
        (ModelSpec, "from_json", "specs"),
        (certificates, "Predictor", "certificates"),
        (Sidecar, "read", "sidecars"),
        (labels, "open_annotations", "labels"),
        (models, "predict", "onnx"),
        (models, "predict", "ir"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("error", [KeyError("planted"), ValueError("planted")], ids=["KeyError", "ValueError"])
def test_a_foreign_error_in_one_of_50_cases_is_reported(module, reader, name, error, tmp_path, monkeypatch):
    if name in SLOW:
        pytest.importorskip("torch")
    if name in ("onnx", "ir"):
        monkeypatch.setattr(models, "predict", lambda path: None)
    entry = open_entry(name, tmp_path)
    monkeypatch.setattr(module, reader, every_50th(getattr(module, reader), error))
    kinds = [failure.kind for failure in run(entry, range(60), seed=0)]
    assert any(kind.startswith(f"{type(error).__name__} at test_fuzz.py") for kind in kinds)


def test_a_foreign_error_of_a_checkpoint_is_reported(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from tools.fuzz import checkpoints

    entry = open_entry("checkpoints", tmp_path)
    monkeypatch.setattr(
        checkpoints, "load_checkpoint", every_50th(lambda path: (_ for _ in ()).throw(InputError("")), KeyError())
    )
    assert [failure.kind.split()[0] for failure in run(entry, range(60), seed=0)] == ["KeyError"]


@pytest.mark.parametrize("name", ["pictures", "arrays", "boxes", "specs"])
def test_an_answer_that_is_not_finite_is_reported(name, tmp_path, monkeypatch):
    entry = open_entry(name, tmp_path)
    predict = Predictor.predict
    planted: list[float] = []

    def sometimes_wrong(self, *args, **options):
        result = predict(self, *args, **options)
        if not isinstance(result, list) and len(result.keypoints):
            planted.append(0 if planted else math.nan)
            result.keypoints.xy[0, 0, 0] += planted[-1]
        return result

    monkeypatch.setattr(edgehrnet.predictor.Predictor, "predict", sometimes_wrong)
    assert [failure.kind.split()[0] for failure in run(entry, range(60), seed=0)] == ["NotFiniteError"]


def judged(check, **limits):
    return judge(Entry("planted", lambda rng: b"", check, **limits), b"")


def test_much_time_and_memory_are_reported():
    def spin(case):
        end = time.process_time() + 0.1
        while time.process_time() < end:
            pass

    found = judged(spin, seconds=0.05)
    assert found is not None
    assert found[0] == "slow"
    assert judged(spin, seconds=20) is None
    if not STATUS.exists():
        pytest.skip("the memory of a process is known on Linux only")
    # So much memory is never left over from an earlier test.
    found = judged(lambda case: np.ones(200 << 20, np.uint8).sum(), megabytes=10)
    assert found is not None
    assert found[0] == "memory"
    assert judged(lambda case: np.ones(20 << 20, np.uint8).sum(), megabytes=50) is None


DYING = """
import os, time
from tools.fuzz.engine import Entry

def dying(name, folder):
    return Entry(name, lambda rng: rng.randrange(7), check)

def check(case):
    if case == 1:
        os.abort()
    if case == 2:
        time.sleep(600)
"""


def test_a_crash_and_a_hang_are_reported_and_the_next_cases_run(tmp_path, monkeypatch):
    (tmp_path / "dying_entry.py").write_text(DYING)
    monkeypatch.syspath_prepend(tmp_path)
    dying = importlib.import_module("dying_entry").dying
    entry = dying("dying", tmp_path)
    numbers = [make_case(entry, 0, index) for index in range(200)]
    failures = run_in_child("dying", max(numbers.index(1), numbers.index(2)) + 1, 0, opens=dying, hang=6)
    places = {failure.kind.split()[0]: failure.index for failure in failures}
    assert places == {"the": numbers.index(1), "no": numbers.index(2)}


def test_a_failure_is_written_with_its_seed_and_command(tmp_path):
    entry = open_entry("box-files", tmp_path)
    broken = Entry(entry.name, entry.make, lambda case: json_of(case))
    failures = run(broken, range(5), seed=3)
    path = failures[0].write(tmp_path / "out")
    assert path.read_bytes() == as_bytes(make_case(entry, 3, failures[0].index))
    assert f"box-files --seed 3 --case {failures[0].index}" in path.with_suffix(".txt").read_text()


def json_of(case):
    raise LookupError(case)


def test_the_command_runs_entries_and_repeats_a_case(tmp_path):
    def fuzz(*args):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "tools.fuzz", *args]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    done = fuzz("sidecars", "--cases", "20")
    assert (done.returncode, done.stdout.split()[1]) == (0, "20"), done.stderr
    assert fuzz("sidecars", "--case", "3").returncode == 0
    assert "accepted: pictures" in fuzz("sidecar").stderr


def test_chosen_bytes_are_choices():
    sequences = [bytes([first, second, 7]) for first in range(0, 200, 40) for second in (0, 99)]
    found = [[rng.randrange(200), rng.random(), rng.choice("abc")] for rng in map(ChosenBytes, sequences)]
    assert len({str(values) for values in found}) == len(found)
    assert ChosenBytes(b"").choice("abc") == "a"
    assert len(damaged_bytes(ChosenBytes(bytes(range(50))), SEEDS)) > 10


def test_no_case_begins_after_the_end():
    worst, entry = Worst(), Entry("planted", lambda rng: b"", lambda case: None)
    run(entry, range(100), 0, worst=worst)
    assert worst.cases == 100
    run(entry, range(100), 0, worst=worst, until=time.time() - 1)
    assert worst.cases == 100


SEEDS = [b"abcdefgh" * 20, b"0123" * 30]
VALUES = [{"a": [1, {"b": "c"}], "d": None}]


@pytest.mark.parametrize(
    "damage",
    [
        partial(damaged_bytes, seeds=SEEDS),
        partial(damaged_text, seeds=["a 1\nb 2.5\n", "c,3\n"]),
        partial(damaged_json, seeds=VALUES),
        partial(damaged_json_text, seeds=VALUES),
    ],
    ids=["bytes", "text", "json", "json text"],
)
def test_damages_differ_and_are_the_same_for_the_same_seed(damage):
    found = [repr(damage(Random(number))) for number in range(200)]
    assert len(set(found)) > 100
    assert found == [repr(damage(Random(number))) for number in range(200)]
    assert VALUES == [{"a": [1, {"b": "c"}], "d": None}]


def test_seeds_are_valid(tmp_path):
    predictor = Predictor(null_file(tmp_path))
    for seed in pictures.seeds():
        if b"\x10\0" not in seed[:30]:  # all but the 16-bit PNG
            predictor.predict(seed)
    for values in specs.seeds():
        ModelSpec.from_dict(values)
