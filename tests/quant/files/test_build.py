"""Files of one checkpoint: where they are written, and what stays on a full disk."""

import pytest

from edgehrnet.errors import InputError, WriteError
from quant import report
from quant.files.build import BuildOptions, build_files, save_and_build
from quant.files.model_file import copy_model


@pytest.mark.parametrize("name", ["../up", "/absolute", "a/b", "a\\b", "..", "", "c:d", "line\nend"])
def test_a_name_that_leads_out_of_the_folder_is_refused(small_checkpoint, noise_pictures, tmp_path, name):
    with pytest.raises(InputError, match="--name"):
        save_and_build(small_checkpoint, tmp_path / "out", name, ["openvino"], noise_pictures)
    with pytest.raises(InputError, match="--name"):
        next(build_files(small_checkpoint, BuildOptions(tmp_path / "out", name, noise_pictures)))
    assert not (tmp_path / "out").exists()


def test_a_full_disk_keeps_an_older_export(openvino_model, tmp_path, full_disk):
    parts = list(openvino_model.path.parent.iterdir())
    for part in parts:
        (tmp_path / part.name).write_text(f"older {part.name}")
    with full_disk(), pytest.raises(WriteError, match=r"corners\.xml"):
        copy_model(tmp_path / "corners.xml", *parts)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {p.name: f"older {p.name}" for p in parts}


def test_a_full_disk_for_a_quantized_checkpoint_is_named(small_checkpoint, noise_pictures, tmp_path, full_disk):
    with full_disk(), pytest.raises(WriteError, match=r"corners\.pt"):
        save_and_build(small_checkpoint, tmp_path, "corners", ["openvino"], noise_pictures)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_for_a_report_is_one_line(tmp_path, monkeypatch, capsys, full_disk):
    monkeypatch.setattr(report, "make_report", lambda *args, **options: "page " * 1000)
    out = tmp_path / "page.html"
    out.write_text("before")
    with full_disk(), pytest.raises(SystemExit) as stop:
        report.main(["document-corners", "--out", str(out)])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "page.html" in line
    assert out.read_text() == "before"
