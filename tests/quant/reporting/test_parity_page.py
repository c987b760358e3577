"""The parity page: its verdict, its tables of what ran, and its table of what did not."""

import json

import pytest

from quant.files.parity import Difference, Parity, ParityRow
from quant.reporting.parity_page import agrees, markdown, reason, verdict, write_report

CLOSE = Difference(keypoints=8, max_px=0.2, p99_px=0.1, pck1_points=0.5, correlation=0.999)
FAR = Difference(keypoints=8, max_px=33.0, p99_px=9.0, pck1_points=-4.0, correlation=0.97)
FP32 = ParityRow("OpenVINO, CPU", "fp32", "a-fp32.xml", 12.0, 0.0, CLOSE)
INT8 = ParityRow("OpenVINO, CPU", "int8", "a-int8.xml", 4.0, 0.99, FAR, CLOSE, 0.2)
TORCH = ParityRow("torch in float64", "int8", "", 0.0, None, FAR, CLOSE, 0.17)
ABSENT = ParityRow("TensorRT", "int8", "a.engine", 4.0, 0.99, not_run="needs an NVIDIA GPU")
NOT_BUILT = ParityRow("TensorRT", "int8", "a.sm86.engine", 0.0, not_run="pass compute_capability=(8, 6)")


def page(*rows):
    return markdown(Parity(rows, 8, "2.0"), "a")


def table(text, heading):
    """Rows of the table under a heading, without its head."""
    lines = text.split(f"## {heading}\n")[1].split("\n## ")[0].splitlines()
    return [line for line in lines if line.startswith("|")][2:]


def test_every_row_is_in_the_tables_where_it_belongs():
    text = page(FP32, INT8, ABSENT, NOT_BUILT, TORCH)
    assert table(text, "Files") == [
        "| OpenVINO, CPU | fp32 | a-fp32.xml | 12.0 | 0.0% |",
        "| OpenVINO, CPU | int8 | a-int8.xml | 4.0 | 99.0% |",
        "| TensorRT | int8 | a.engine | 4.0 | 99.0% |",
    ]
    assert table(text, "Against the float network") == [
        "| OpenVINO, CPU | fp32 | 0.200 | 0.100 | +0.50 | 0.99900 |",
        "| OpenVINO, CPU | int8 | 33.000 | 9.000 | -4.00 | 0.97000 |",
        "| torch in float64 | int8 | 33.000 | 9.000 | -4.00 | 0.97000 |",
    ]
    assert table(text, "Against the fake-quantized network") == [
        "| OpenVINO, CPU | int8 | 0.200 | 0.100 | +0.50 | 0.99900 | 0.200 |",
        "| torch in float64 | int8 | 0.200 | 0.100 | +0.50 | 0.99900 | 0.170 |",
    ]
    assert table(text, "Did not run here") == [
        "| TensorRT | a.engine | needs an NVIDIA GPU |",
        "| TensorRT | a.sm86.engine | pass --compute-capability 8.6 |",
    ]


def test_the_page_begins_with_the_verdict():
    assert page(FP32, INT8, ABSENT).splitlines()[2] == verdict([FP32, INT8, ABSENT])


def test_the_verdict_counts_runs_of_files_and_names_those_that_disagree():
    assert verdict([FP32, INT8, TORCH]).startswith("**All 2 files")
    other = ParityRow("OpenVINO, GPU", "fp32", "a-fp32.xml", 12.0, 0.0, FAR)
    text = verdict([FP32, other, ABSENT])
    assert text.startswith("**1 of the 2 files")
    assert "`a-fp32.xml` (OpenVINO, GPU)" in text
    assert "1 more did not run" in text
    assert "no file ran" in verdict([ABSENT, NOT_BUILT])


def test_int8_files_are_judged_against_the_fake_quantized_network():
    assert agrees(INT8)
    assert not agrees(ParityRow("OpenVINO, CPU", "int8", "a-int8.xml", 4.0, 0.99, CLOSE, FAR, 0.9))


@pytest.mark.parametrize(
    ("px", "correlation", "expected"), [(2.0, 0.99, True), (2.1, 1.0, False), (0.0, 0.98, False), (None, 1.0, True)]
)
def test_the_limits_of_agreement(px, correlation, expected):
    found = Difference(8, px, px, None, correlation)
    assert agrees(ParityRow("OpenVINO, CPU", "fp32", "a.xml", 1.0, 0.0, found)) is expected


def test_without_confident_keypoints_and_labels_the_cells_say_so():
    row = ParityRow("OpenVINO, CPU", "fp32", "a.xml", 1.0, None, Difference(0, None, None, None, 1.0))
    text = page(row)
    assert "| none confident | none confident | no labels | 1.00000 |" in text
    assert "## Did not run here" not in text
    assert "| 1.0 | unknown |" in text


def test_reasons_are_short_and_name_the_option():
    error = (
        "CUDA finds no usable GPU (cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime "
    )
    text = reason(f"{error}version); TensorRT needs an NVIDIA GPU; or pass compute_capability=(8, 6)")
    assert text == "CUDA finds no usable GPU; TensorRT needs an NVIDIA GPU; or pass --compute-capability 8.6"
    assert reason("it is for compute capability (8, 6)").endswith("(8, 6)")
    assert len(reason("word " * 100)) <= 120


def test_the_report_is_written_as_markdown_and_json(tmp_path):
    out = write_report(Parity((FP32, ABSENT), 8, "2.0"), tmp_path / "a.parity.md", "a")
    assert out.read_text().startswith("# a: do its files agree?")
    content = json.loads((tmp_path / "a.parity.json").read_text())
    assert [row["not_run"] for row in content["rows"]] == ["", "needs an NVIDIA GPU"]
