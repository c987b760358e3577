"""Cases, labeled pictures and the recommendation, without measuring."""

import json

import pytest

from edgehrnet.benchmarking import Report, cases_of, page
from edgehrnet.benchmarking.running import recommend
from edgehrnet.benchmarking.truth import read_truth
from edgehrnet.errors import InputError


def row(ms, *, threads=None, size=None, batch=1, error=None):
    return {
        "line": f"P({ms})", "title": "<t>", "threads": threads, "input_size": size, "batch": batch, "per_second": 9.0,
        "stages": {name: dict.fromkeys(("p50", "p95", "p99"), ms) for name in ("inference", "end to end")},
        "memory_mb": None, **({} if error is None else {"error_px": {"mean": error}}),
    }  # fmt: skip


def test_all_combinations_are_cases():
    cases = cases_of(["a.xml", "b.onnx"], threads=(1, 2), sizes=((64, 96), None), specs=["-", "b.json"])
    assert len(cases) == len(set(cases)) == 8
    assert [case.spec for case in cases] == [None] * 4 + ["b.json"] * 4


@pytest.mark.parametrize("options", [{"models": []}, {"models": ["a"] * 3, "specs": ["x", "y"]}])
def test_specs_must_fit(options):
    with pytest.raises(InputError):
        cases_of(**options)


def test_the_fastest_is_recommended():
    assert recommend([row(9.0), row(5.0), row(7.0)])["line"] == "P(5.0)"
    assert recommend([row(5.0, batch=2), row(7.0)])["line"] == "P(7.0)"
    assert recommend([{"error": "x"}]) == {}


def test_fewer_threads_are_recommended_if_they_are_as_fast():
    assert recommend([row(5.0, threads=8), row(5.2, threads=2), row(5.1)])["line"] == "P(5.2)"
    assert recommend([row(5.0, threads=8), row(5.6, threads=2)])["line"] == "P(5.0)"


def test_another_size_is_recommended_only_if_its_error_was_measured():
    assert recommend([row(5.0, size=(64, 64)), row(9.0)])["line"] == "P(9.0)"
    assert recommend([row(5.0, size=(64, 64), error=1.05), row(9.0, error=1.0)])["line"] == "P(5.0)"
    assert recommend([row(5.0, size=(64, 64), error=2.0), row(9.0, error=1.0)])["line"] == "P(9.0)"


def test_names_are_escaped_on_the_page():
    system = {"cpu": "<b>", "cpus": 1, "system": "s", "time": "t", "load": 5.0, "edgehrnet": "0"}
    text = page(Report(system, [], [row(5.0), {"title": "x", "error": "<i>"}]))
    assert "<b>" not in text
    assert "<t>" not in text
    assert "&lt;i&gt;" in text
    assert "busy" in text


@pytest.mark.parametrize(
    "content", ["[", "[]", '{"categories": []}', json.dumps({"categories": [{"keypoints": ["b"]}]})]
)
def test_other_files_are_no_truth(tmp_path, content):
    (tmp_path / "truth.json").write_text(content)
    with pytest.raises(InputError, match=r"truth\.json"):
        read_truth(tmp_path / "truth.json", ("a",))
    with pytest.raises(InputError, match=r"none\.json"):
        read_truth(tmp_path / "none.json", ("a",))
