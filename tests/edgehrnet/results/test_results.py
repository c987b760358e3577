import csv
import json
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import runtimes.null
from edgehrnet import Predictor
from edgehrnet.errors import InputError, MissingExtraError, WriteError
from edgehrnet.results import ResultFiles, write
from edgehrnet.results.log import Log
from edgehrnet.sources import Frame
from edgehrnet.sources.opening import Source

COUNT = 40
# Writes the results of a slow generator: python -c PROGRAM MODEL RESUME FILE...
PROGRAM = """
import sys, time
import numpy as np
from edgehrnet import Predictor
from edgehrnet.results import write
from edgehrnet.sources import Frame
picture = np.zeros((128, 192, 3), np.uint8)
def frames():
    for number in range(40):
        yield Frame(picture, source="clip", frame=number, time=number / 25)
def slowly(results):
    for result in results:
        print("predicted", flush=True)
        time.sleep(0.004)
        yield result
stream = Predictor(sys.argv[1]).stream(frames())
if sys.argv[2] == "resume":
    print(write(stream, *sys.argv[3:], resume=True))
else:
    print(write(slowly(stream), *sys.argv[3:]))
"""
FILES = ("a.json", "a.jsonl", "a.csv", "a.coco.json", "a.parquet")


@pytest.fixture
def predictor(null_model):
    with Predictor(null_model.path) as opened:
        yield opened


def clip(null_model, count=COUNT, **values):
    return [Frame(null_model.picture, "clip", number, number / 25, **values) for number in range(count)]


def frames_in(path):
    """The number of the frame of each result in a file."""
    if path.name.endswith(".parquet"):
        table = pytest.importorskip("pyarrow.parquet").read_table(path)
        return table.column("frame").to_pylist()[::4]
    text = path.read_text()
    if path.suffix == ".csv":
        return [int(row["frame"]) for row in csv.DictReader(text.splitlines())][::4]
    if path.suffix == ".jsonl":
        return [json.loads(line)["frame"] for line in text.splitlines()]
    found = json.loads(text)
    return [row["frame"] for row in (found["images"] if "coco" in path.name else found)]


@pytest.mark.parametrize("name", FILES)
def test_every_format_has_every_result(predictor, null_model, tmp_path, name):
    if name == "a.parquet":
        pytest.importorskip("pyarrow")
    assert write(predictor.stream(clip(null_model)), tmp_path / name) == COUNT
    assert frames_in(tmp_path / name) == list(range(COUNT))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_rows_name_picture_instance_and_keypoint(predictor, null_model, tmp_path):
    pytest.importorskip("pyarrow")
    write(predictor.stream(clip(null_model, 2)), tmp_path / "a.csv", tmp_path / "a.parquet")
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert rows[4]["image"] == "clip"
    assert (rows[4]["frame"], rows[4]["time"], rows[4]["keypoint"]) == ("1", "0.04", "top-left")
    assert (float(rows[4]["x"]), float(rows[4]["y"])) == pytest.approx(tuple(null_model.corners[0]), abs=0.01)
    table = pytest.importorskip("pyarrow.parquet").read_table(tmp_path / "a.parquet")
    assert table.column_names == list(rows[0])
    assert table.column("x")[4].as_py() == float(rows[4]["x"])


def test_coco_is_read_by_its_own_package(predictor, null_model, tmp_path, capsys):
    coco = pytest.importorskip("pycocotools.coco")
    write(predictor.stream(clip(null_model, 3)), tmp_path / "a.coco.json")
    found = coco.COCO(tmp_path / "a.coco.json")
    (annotation,) = found.loadAnns(found.getAnnIds(imgIds=[2]))
    assert annotation["keypoints"][:2] == pytest.approx(list(null_model.corners[0]), abs=0.01)
    assert annotation["num_keypoints"] == 4
    assert found.loadCats([1])[0]["keypoints"][0] == "top-left"
    assert found.loadCats([1])[0]["skeleton"][0] == [1, 2]


def test_boxes_are_written(null_model, tmp_path):
    spec = null_model.spec.replace(crop="udp", golden=None, cyclic=False)
    runtimes.null.build(tmp_path / "crops.null", spec.to_json(), (64, 96), null_model.outputs)
    boxes = [[10.0, 20.0, 50.0, 40.0], [1.0, 2.0, 30.0, 40.0]]
    frames = [Frame(null_model.picture, "a"), Frame(null_model.picture, "b", boxes=boxes)]
    with Predictor(tmp_path / "crops.null") as predictor, pytest.warns(UserWarning, match="boxes"):
        write(predictor.stream(frames), tmp_path / "a.csv", tmp_path / "a.json")
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert [row["box_left"] for row in rows] == [""] * 4 + ["10.0"] * 4 + ["1.0"] * 4
    assert [i["box"] for i in json.loads((tmp_path / "a.json").read_text())[1]["instances"]] == boxes


def test_ids_of_tracks_are_written(predictor, null_model, tmp_path):
    results = (replace(result, ids=np.array([7])) for result in predictor.stream(clip(null_model, 2)))
    write(results, tmp_path / "a.csv", tmp_path / "a.coco.json")
    assert {row["id"] for row in csv.DictReader((tmp_path / "a.csv").read_text().splitlines())} == {"7"}
    annotations = json.loads((tmp_path / "a.coco.json").read_text())["annotations"]
    assert [annotation["track_id"] for annotation in annotations] == [7, 7]


def test_tables_say_which_points_were_predicted(predictor, null_model, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    marks = [[True, False, False, True]]
    plain, *_ = predictor.stream(clip(null_model, 1))
    smoothed = replace(plain, frame=1, predicted=np.array(marks))
    write([plain, smoothed], tmp_path / "a.csv", tmp_path / "a.parquet", tmp_path / "a.coco.json")
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert [row["predicted"] for row in rows] == [""] * 4 + ["True", "False", "False", "True"]
    assert parquet.read_table(tmp_path / "a.parquet").column("predicted").to_pylist() == [None] * 4 + marks[0]
    annotations = json.loads((tmp_path / "a.coco.json").read_text())["annotations"]
    assert [annotation.get("predicted") for annotation in annotations] == [None, marks[0]]


@pytest.mark.slow
@pytest.mark.parametrize("lines", [0, 3, 25])
def test_a_killed_process_leaves_valid_files_and_the_next_one_continues(null_model, tmp_path, lines):
    paths = [tmp_path / name for name in FILES if name != "a.parquet"]
    command = [sys.executable, "-c", PROGRAM, str(null_model.path)]
    (tmp_path / "a.csv").write_text("of last week\n")
    with subprocess.Popen([*command, "new", *map(str, paths)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(lines):
            process.stdout.readline()
        if lines == 0:
            time.sleep(0.2)
        process.kill()
    written = []
    for path in paths:
        log = path.with_name(path.name + ".partial")
        found = [json.loads(line) for line in log.read_bytes().splitlines()] if log.exists() else []
        written.append([row["frame"] for row in found[1:]])
        assert written[-1] == list(range(len(written[-1])))
        assert len(written[-1]) >= lines - 1
    assert [path for path in paths if path.exists()] == [tmp_path / "a.csv"]
    assert (tmp_path / "a.csv").read_text() == "of last week\n"
    if not all(map(len, written)):
        return  # killed before the first result
    done = subprocess.run([*command, "resume", *map(str, paths)], capture_output=True, text=True, check=True)
    assert int(done.stdout) == COUNT - min(map(len, written))
    for path in paths:
        assert frames_in(path) == list(range(COUNT))
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def interrupted(predictor, null_model, path, count=10):
    """Write results until an error, and return the path of the log."""

    def broken():
        yield from predictor.stream(clip(null_model, count))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(broken(), path)
    return path.with_name(path.name + ".partial")


class TestResuming:
    @pytest.mark.parametrize("cut", [1, 30, 200])
    def test_an_incomplete_line_is_removed(self, predictor, null_model, tmp_path, cut):
        log = interrupted(predictor, null_model, tmp_path / "a.jsonl")
        log.write_bytes(log.read_bytes()[:-cut])
        assert write(predictor.stream(clip(null_model)), tmp_path / "a.jsonl", resume=True) == COUNT - 9
        assert frames_in(tmp_path / "a.jsonl") == list(range(COUNT))

    def test_the_results_of_another_iterable_are_not_repeated(self, predictor, null_model, tmp_path):
        interrupted(predictor, null_model, tmp_path / "a.jsonl")
        results = (result.slim() for result in predictor.stream(clip(null_model)))
        assert write(results, tmp_path / "a.jsonl", resume=True) == COUNT - 10
        assert frames_in(tmp_path / "a.jsonl") == list(range(COUNT))

    def test_it_has_to_be_asked_for(self, predictor, null_model, tmp_path):
        log = interrupted(predictor, null_model, tmp_path / "a.jsonl")
        before = log.read_bytes()
        with pytest.raises(InputError, match=r"a\.jsonl\.partial"):
            write(predictor.stream(clip(null_model)), tmp_path / "a.jsonl")
        assert log.read_bytes() == before

    def test_what_failed_before_the_first_result_leaves_nothing(self, predictor, null_model, tmp_path):
        log = interrupted(predictor, null_model, tmp_path / "b.csv")
        with pytest.raises(InputError, match=r"b\.csv\.partial"):
            ResultFiles([tmp_path / "a.csv", tmp_path / "b.csv"])
        interrupted(predictor, null_model, tmp_path / "c.csv", 0)
        assert list(tmp_path.iterdir()) == [log]
        (tmp_path / "c.csv.partial").touch()  # of a process that was killed at once
        assert write(predictor.stream(clip(null_model, 1)), tmp_path / "c.csv") == 1

    def test_two_processes_do_not_write_to_one_file(self, predictor, null_model, tmp_path):
        pytest.importorskip("fcntl")
        log = tmp_path / "a.csv.partial"
        with ResultFiles([tmp_path / "a.csv"]) as first:
            for resume in (False, True):
                with pytest.raises(WriteError, match=log.name):
                    ResultFiles([tmp_path / "a.csv"], resume=resume)
            first.add(predictor.predict(null_model.picture))
        assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]

    def test_a_disk_that_is_full_at_the_second_file_keeps_both_in_step(
        self, predictor, null_model, tmp_path, monkeypatch
    ):
        paths = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
        write(predictor.stream(clip(null_model, 1)), *paths)

        def full(self, result):
            if self.path.name.startswith("b"):
                raise WriteError(self.path.name)
            add(self, result)

        add = Log.add
        monkeypatch.setattr(Log, "add", full)
        with pytest.raises(WriteError, match="b"):
            write(predictor.stream(clip(null_model, 2)), *paths)
        monkeypatch.undo()
        assert write(predictor.stream(clip(null_model, 2)), *paths, resume=True) == 2
        assert frames_in(paths[0]) == frames_in(paths[1]) == [0, 1]

    def test_a_link_is_not_written_through(self, tmp_path):
        (tmp_path / "a.csv.partial").symlink_to(tmp_path / "other")
        with pytest.raises(InputError, match=r"a\.csv\.partial"):
            ResultFiles([tmp_path / "a.csv"])
        assert not (tmp_path / "other").exists()

    def test_a_complete_file_stays(self, predictor, null_model, tmp_path):
        write(predictor.stream(clip(null_model, 2)), tmp_path / "a.csv")
        before = (tmp_path / "a.csv").read_bytes()
        assert write(predictor.stream(clip(null_model, 3)), tmp_path / "a.csv", resume=True) == 0
        assert (tmp_path / "a.csv").read_bytes() == before

    def test_a_log_that_is_complete_but_not_converted(self, predictor, null_model, tmp_path):
        interrupted(predictor, null_model, tmp_path / "a.csv", COUNT)
        assert write(predictor.stream(clip(null_model)), tmp_path / "a.csv", resume=True) == 0
        assert frames_in(tmp_path / "a.csv") == list(range(COUNT))

    def test_another_model(self, predictor, null_model, tmp_path):
        interrupted(predictor, null_model, tmp_path / "a.csv")
        spec = null_model.spec.replace(name="other", golden=None)
        runtimes.null.build(tmp_path / "other.null", spec.to_json(), (64, 96), null_model.outputs)
        with Predictor(tmp_path / "other.null") as other, pytest.raises(InputError, match="'other'"):
            write(other.stream(clip(null_model)), tmp_path / "a.csv", resume=True)

    def test_pictures_without_a_name(self, predictor, null_model, tmp_path):
        interrupted(predictor, null_model, tmp_path / "a.csv")
        with pytest.raises(InputError, match="name"):
            write(predictor.stream([null_model.picture]), tmp_path / "a.csv", resume=True)

    def test_a_file_that_is_no_log(self, predictor, null_model, tmp_path):
        (tmp_path / "a.csv.partial").write_text("a,b\n1,2\n")
        with pytest.raises(InputError, match=r"a\.csv\.partial"):
            write(predictor.stream([null_model.picture]), tmp_path / "a.csv", resume=True)

    def test_cameras_do_not_come_again(self, predictor, tmp_path):
        with pytest.raises(InputError, match="rtsp://camera/live"):
            write(predictor.stream("rtsp://user:secret@camera/live"), tmp_path / "a.csv", resume=True)


def test_odd_names_survive_in_every_format(predictor, null_model, tmp_path):
    pytest.importorskip("pyarrow")
    names = ['comma, and "quotes"', "two\nlines", "\u00e4\u65e5\U0001f600", "byte \udcff", "=1+1", " "]
    frames = [Frame(null_model.picture, name, 0) for name in names]
    paths = [tmp_path / name for name in FILES]
    write(predictor.stream(frames), *paths)
    for path in paths[:2]:
        text = path.read_text()
        rows = json.loads(text) if path.suffix == ".json" else map(json.loads, text.splitlines())
        assert [row["source"] for row in rows] == names
    shown = [name.replace("\udcff", "\\udcff") for name in names]
    with paths[2].open(newline="") as file:
        assert [row["image"] for row in csv.DictReader(file)][::4] == shown
    assert [image["file_name"] for image in json.loads(paths[3].read_text())["images"]] == names
    table = pytest.importorskip("pyarrow.parquet").read_table(paths[4])
    assert table.column("image").to_pylist()[::4] == shown


def test_nothing_to_write_gives_empty_files(predictor, tmp_path):
    paths = [tmp_path / name for name in FILES[:4]]
    assert write(predictor.stream([]), *paths) == 0
    assert json.loads(paths[0].read_text()) == []
    assert json.loads(paths[3].read_text())["images"] == []


def test_a_full_disk_keeps_the_results_so_far(predictor, null_model, tmp_path, full_disk):
    with full_disk(), pytest.raises(WriteError, match=r"a\.csv"):
        write(predictor.stream(clip(null_model)), tmp_path / "a.csv")
    lines = (tmp_path / "a.csv.partial").read_bytes().splitlines()
    assert len([json.loads(line) for line in lines]) > 2
    write(predictor.stream(clip(null_model)), tmp_path / "a.csv", resume=True)
    assert frames_in(tmp_path / "a.csv") == list(range(COUNT))


@pytest.mark.parametrize("paths", [(), ("a.xlsx",), ("json",)])
def test_names_without_a_format(predictor, paths):
    with pytest.raises(InputError, match="|".join(paths) or "name"):
        write(predictor.stream([]), *paths)


def test_parquet_without_pyarrow_fails_before_the_first_picture(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"edgehrnet\[parquet\]"):
        ResultFiles([tmp_path / "a.parquet"])


def test_memory_does_not_grow_with_the_number_of_pictures(null_model, tmp_path):
    with Predictor(null_model.path) as predictor:
        result = predictor.predict(null_model.picture).slim()

    def results(count):
        return (replace(result, source=f"{number:06}.jpg") for number in range(count))

    peaks = []
    for count in (50, 500):
        tracemalloc.start()
        write(results(count), tmp_path / f"{count}.json", tmp_path / f"{count}.csv")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 50_000


def test_frames_of_a_source_are_left_out_before_they_are_read(predictor, null_model, tmp_path):
    for name in ("a.png", "b.png"):
        Image.fromarray(null_model.picture).save(tmp_path / name)
    stream = predictor.stream(tmp_path)
    stream.leave_out(lambda frame: frame.name == str(tmp_path / "a.png"))
    (tmp_path / "a.png").write_bytes(b"no picture any more")
    assert [result.source for result in stream] == [str(tmp_path / "b.png")]
    assert Source(tmp_path).count() == 2
