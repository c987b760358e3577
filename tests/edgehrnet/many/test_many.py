"""A run over many pictures, without Ray: its list, its parts, its workers in this process, and what it refuses."""

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from edgehrnet.cli import main
from edgehrnet.errors import EdgeHRNetError, ImageError, InputError, MissingExtraError, ModelFileError
from edgehrnet.many import Summary, predict_many
from edgehrnet.many import running as many_running
from edgehrnet.many.work import LINEAGE, Work
from edgehrnet.many.worker import TRIES, Worker
from edgehrnet.predictor import Predictor
from edgehrnet.results import write

pq = pytest.importorskip("pyarrow.parquet", reason="needs edgehrnet[parquet]")


@pytest.fixture
def folder(tmp_path, null_model, monkeypatch):
    """Six pictures, of which one is broken and one has two pages. Paths are relative."""
    monkeypatch.chdir(tmp_path)
    pictures = tmp_path / "in"
    pictures.mkdir()
    picture = Image.fromarray(null_model.picture)
    for name in ("a.jpg", "c.png", "d.png", "e.png"):
        picture.save(pictures / name)
    (pictures / "b.jpg").write_bytes(b"no picture")
    picture.save(pictures / "f.tif", save_all=True, append_images=[picture.rotate(90)])
    return "in"


def begun(null_model, sources, *, resume=False, **arguments):
    work = Work.of(Path("out.parquet"))
    work.begin(many_running._run(null_model.path, sources, False, {"threads": 1, **arguments}), resume=resume)
    return work


def finished(work, parts=None):
    """Let a worker in this process do the parts."""
    worker = Worker(work.folder)
    answers = [worker.write(number) for number in (work.missing() if parts is None else parts)]
    worker.close()
    return answers


def single(null_model, source):
    """The table of one process, and the errors."""
    errors: list[ImageError] = []
    with Predictor(null_model.path) as predictor:
        write(predictor.stream(source, on_error=errors.append), "single.parquet")
    return pq.read_table("single.parquet"), errors


def split(table):
    """The rows of results without lineage, and those of errors."""
    pc = pytest.importorskip("pyarrow.compute")
    is_good = pc.is_null(table["error"])
    return table.filter(is_good).drop_columns(LINEAGE), table.filter(pc.invert(is_good)).to_pylist()


def test_the_file_is_that_of_one_process_with_lineage_and_errors(null_model, folder, monkeypatch):
    expected, errors = single(null_model, folder)
    work = begun(null_model, [folder])
    answers = finished(work, reversed(range(len(work.parts))))
    assert [answer["pictures"] for answer in answers] == [3, 2, 2]
    assert work.finish(Path("out.parquet")) == {"pictures": 7, "errors": 1}
    table = pq.read_table("out.parquet")
    results, bad = split(table)
    assert results.equals(expected)
    assert [(row["image"], row["keypoint"]) for row in bad] == [("in/b.jpg", None)]
    assert len(errors) == 1
    assert table["model_sha256"].unique().to_pylist() == [work.run.sha256]
    assert not work.folder.exists()
    monkeypatch.setattr(many_running, "_import_ray", lambda address: None)
    assert predict_many(null_model.path, [folder], "out.parquet", resume=True) == Summary(7, 1, [])
    with pytest.raises(InputError, match="single"):  # of one process
        predict_many(null_model.path, [folder], "single.parquet", resume=True)


def test_rows_of_a_table_are_pictures(null_model, folder, tmp_path):
    pa = pytest.importorskip("pyarrow")
    data = [(tmp_path / folder / name).read_bytes() for name in ("a.jpg", "c.png", "b.jpg", "d.png")]
    pictures = [{"bytes": one, "path": None} for one in data] + [{"bytes": None, "path": "x"}]
    pq.write_table(pa.table({"label": [1, 2, 3, 4, 5], "image": pictures}), "in.parquet", row_group_size=2)
    expected, errors = single(null_model, "in.parquet")
    work = begun(null_model, ["in.parquet"])
    assert len(work.parts) == 3  # one for each row group
    finished(work)
    work.finish(Path("out.parquet"))
    results, bad = split(pq.read_table("out.parquet"))
    assert results.equals(expected)
    assert results["frame"].unique().to_pylist() == [0, 1, 3]
    assert [row["frame"] for row in bad] == [2, 4]
    assert len(errors) == 2


def test_a_table_without_pictures_is_named(null_model, folder):
    pa = pytest.importorskip("pyarrow")
    pq.write_table(pa.table({"label": [1]}), "in.parquet")
    with pytest.raises(ImageError, match="label"):
        begun(null_model, ["in.parquet"])
    assert not Work.of(Path("out.parquet")).folder.exists()


def test_only_what_is_missing_is_done_again(null_model, folder):
    work = begun(null_model, [folder])
    finished(work, [1])
    with pytest.raises(InputError, match=r"out\.parquet\.parts"):
        begun(null_model, [folder])
    with pytest.raises(InputError, match="argmax"):
        begun(null_model, [folder], resume=True, decode="argmax")
    again = begun(null_model, [folder], resume=True)
    assert again.missing() == [0, 2]


def test_a_picture_that_kills_workers_is_named(null_model, folder):
    work = begun(null_model, [folder])
    for attempt in range(TRIES):
        work.path_of(0, f".{attempt}.try").touch()
    with pytest.raises(EdgeHRNetError, match=r"in/a\.jpg"):
        finished(work)
    assert begun(null_model, [folder], resume=True).missing() == [0, 1, 2]
    assert len(finished(work)) == 3


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [("version", "0.0", EdgeHRNetError), ("sha256", "0", ModelFileError)],
)
def test_another_package_or_model_on_a_machine_is_refused(null_model, folder, name, value, error):
    work = begun(null_model, [folder])
    path = work.folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    with pytest.raises(error, match=value):
        Worker(work.folder)


@pytest.mark.parametrize(
    ("file", "arguments", "value"),
    [
        ("out.csv", {}, r"out\.csv"),
        ("in", {}, "in"),
        ("out.parquet", {"address": "ray://host:10001"}, "ray://"),
        ("out.parquet", {"workers": 0}, "0"),
        ("out.parquet", {"device": "cuda"}, "cuda"),
    ],
)
def test_what_is_refused(null_model, folder, monkeypatch, file, arguments, value):
    monkeypatch.setattr(many_running, "_import_ray", lambda address: None)
    with pytest.raises(InputError, match=value):
        predict_many(null_model.path, [folder], file, **arguments)


def test_without_ray_nothing_is_written(null_model, folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    for name in (*many_running.QUIET, *many_running.CLOSED):
        monkeypatch.setenv(name, "0")
    with pytest.raises(MissingExtraError, match=r"edgehrnet\[ray\]"):
        predict_many(null_model.path, [folder], "out.parquet")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("out")] == []


@pytest.mark.parametrize(
    "options",
    [
        ["--csv", "a.csv"],
        ["--parquet", "a.parquet", "--out", "drawn"],
        ["--parquet", "a.parquet", "--track"],
        ["--parquet", "a.parquet", "--trails", "3"],
    ],
)
def test_the_command_names_options_that_do_not_go_with_ray(null_model, folder, capsys, options):
    assert main(["predict", str(null_model.path), folder, "--ray", "local", *options]) == 2
    assert (options[2] if len(options) > 2 else options[0]) in capsys.readouterr().err


def test_a_camera_is_for_one_machine(null_model, folder):
    with pytest.raises(InputError, match="rtsp"):
        begun(null_model, ["rtsp://10.0.0.5/live"])


def test_the_error_of_a_worker_is_found_in_that_of_ray():
    class RayTaskError(EdgeHRNetError):  # as Ray makes it, with the class of its cause
        def __init__(self, cause):
            super().__init__("a long traceback")
            self.cause = cause

    own = ModelFileError("a sentence")
    around = RuntimeError("of the run")
    around.__cause__ = RayTaskError(own)
    assert many_running.own_error(around) is own
    assert many_running.own_error(RuntimeError("of Ray")) is None
