"""A whole benchmark, in processes of its own."""

import json
from xml.etree import ElementTree

import pytest
from PIL import Image

from edgehrnet.benchmarking import benchmark, cases_of
from edgehrnet.cli import main
from edgehrnet.errors import InputError
from runtimes.profiling import profile


@pytest.fixture
def picture(null_model, tmp_path):
    Image.fromarray(null_model.picture).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def coco(path, spec, points):
    """A COCO file with one picture, its keypoints in reverse order."""
    names = list(spec.keypoints)[::-1]
    values = [value for x, y in points[::-1].tolist() for value in (x, y, 2)]
    annotation = {"id": 1, "image_id": 7, "category_id": 1, "keypoints": values, "bbox": [0, 0, 9, 9]}
    content = {"images": [{"id": 7, "file_name": "a.png"}], "annotations": [annotation],
               "categories": [{"id": 1, "name": "sheet", "keypoints": names}]}  # fmt: skip
    path.write_text(json.dumps(content))
    return path


def test_the_command_measures_and_recommends(null_model, picture, tmp_path, capsys):
    truth = coco(tmp_path / "truth.json", null_model.spec, null_model.corners + 3)
    (tmp_path / "spec.json").write_text(null_model.spec.replace(golden=None).to_json())
    arguments = ["benchmark", str(null_model.path), str(tmp_path / "none.xml"), "--pictures", str(picture)]
    arguments += ["--spec", str(tmp_path / "spec.json"), "-", "--truth", str(truth), "--seconds", "0.01"]
    assert main([*arguments, "--json", str(tmp_path / "out.json"), "--html", str(tmp_path / "out.html")]) == 2
    report = json.loads((tmp_path / "out.json").read_text())
    found, missing = report["cases"]
    assert "none.xml" in missing["error"]
    assert set(found["stages"]) == {"read", "letterbox", "inference", "decode", "end to end"}
    assert all(0 < one["p50"] <= one["p95"] <= one["p99"] for one in found["stages"].values())
    assert found["error_px"]["mean"] == pytest.approx(3 * 2**0.5, abs=0.5)
    assert found["error_px"]["keypoints"] == 4
    assert found["per_second"] > 0
    assert report["cold"][0]["without_cache_s"] > 0
    assert report["recommendation"]["line"] == found["line"]
    assert found["line"] in capsys.readouterr().out
    text = (tmp_path / "out.html").read_text()
    assert "http" not in text
    assert ElementTree.fromstring(text.partition("\n")[2].replace("<meta", "<meta ").replace('"utf-8">', '"utf-8"/>')
                                  .replace('scale=1">', 'scale=1"/>')).find(".//svg") is not None  # fmt: skip


def test_nothing_to_measure_is_an_error(picture, tmp_path):
    with pytest.raises(InputError, match=r"none\.xml"):
        benchmark(cases_of([str(tmp_path / "none.xml")]), picture)
    with pytest.raises(InputError, match="0"):
        benchmark(cases_of(["document-corners"]), picture, seconds=0)


def test_both_engines_tell_their_slowest_operations(openvino_model, onnx_model):
    for model, kernel in ((openvino_model, "conv"), (onnx_model, "CPUExecutionProvider")):
        found = profile(model.path, threads=1, runs=2)
        assert [one.ms for one in found] == sorted((one.ms for one in found), reverse=True)
        assert any(kernel in one.kernel for one in found[:5])


def test_other_files_have_no_operations(null_model):
    assert profile(null_model.path) == []
