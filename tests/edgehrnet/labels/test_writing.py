"""Choosing the least certain pictures of a stream, and copying them."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edgehrnet import Predictor
from edgehrnet.cli import main
from edgehrnet.errors import InputError
from edgehrnet.labels import FORMATS, labeled_before, write_labels
from edgehrnet.labels.candidates import LeastCertain
from edgehrnet.sources import Frame


@pytest.fixture
def predictor(null_model):
    with Predictor(null_model.path) as opened:
        yield opened


def save(folder, *names, orientation=1):
    folder.mkdir(exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for number, name in enumerate(names):
        Image.fromarray(np.full((64, 96, 3), 9 * number, np.uint8)).save(folder / name, exif=exif)
    return folder


def with_certainty(predictor, path, value):
    """A result whose confidences were replaced."""
    result = predictor.predict(path)
    conf = np.full_like(result.keypoints.conf, value)
    return replace(result, keypoints=replace(result.keypoints, conf=conf))


def test_the_least_certain_pictures_stay_in_their_order(predictor, tmp_path):
    pictures = save(tmp_path / "in", *(f"{n}.png" for n in range(6)))
    values = (0.5, 0.2, 0.9, 0.1, 0.3, 0.2)
    results = [with_certainty(predictor, pictures / f"{n}.png", value) for n, value in enumerate(values)]
    written = write_labels(results, tmp_path / "out", predictor.spec, format="coco", count=4)
    assert written.seen == 6
    assert written.certainties == pytest.approx([0.1, 0.2, 0.2, 0.3])
    rows = list(csv.DictReader((tmp_path / "out/pictures.csv").read_text().splitlines()))
    assert [row["file"] for row in rows] == [f"images/{n}.png" for n in (3, 1, 5, 4)]
    assert sorted(path.name for path in (tmp_path / "out/images").iterdir()) == ["1.png", "3.png", "4.png", "5.png"]
    images = json.loads((tmp_path / "out/annotations.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["3.png", "1.png", "5.png", "4.png"]


def test_copies_are_the_files_and_turned_pictures_are_stored_turned(predictor, tmp_path):
    plain, turned = save(tmp_path / "a", "x.jpg"), save(tmp_path / "b", "x.jpg", orientation=6)
    chosen = LeastCertain(tmp_path, None)
    for result in (*predictor.stream(plain), *predictor.stream(turned)):
        chosen.add(result)
    first, second = sorted(chosen.candidates(), key=lambda one: one.source)
    assert (tmp_path / first.name).read_bytes() == (plain / "x.jpg").read_bytes()
    assert (first.name, second.name) == ("x.jpg", "x.png")
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.size == (64, 96)
        assert second.size == (96, 64)


def test_names_are_unique_and_plain(predictor, tmp_path):
    array = np.zeros((64, 96, 3), np.uint8)
    chosen = LeastCertain(tmp_path, None)
    sources = [("v/?a b&.mp4", 3), ("w/?a b&.mp4", 3), ("w/A_b_.mp4", 3), (None, None)]
    frames = [Frame(array, source=source, frame=frame) for source, frame in sources]
    for result in predictor.stream(frames):
        chosen.add(result)
    names = [one.name for one in chosen.candidates()]
    assert names == ["a_b-000003.png", "a_b-000003-2.png", "A_b-000003-3.png", "picture.png"]


@pytest.mark.parametrize("name", FORMATS)
def test_the_command_writes_every_format(null_model, tmp_path, capsys, name):
    if name == "sleap":
        pytest.importorskip("sleap_io")
    pictures = save(tmp_path / "in", "a.png", "b.png")
    out = tmp_path / "out"
    assert main(["label", str(null_model.path), str(pictures), "--format", name, "--out", str(out), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["written"] == 2
    assert all(out.joinpath(path.rpartition("/")[2]).is_file() for path in facts["files"])


def test_pictures_of_earlier_folders_are_left_out(null_model, tmp_path, capsys):
    pictures = save(tmp_path / "in", "a.png", "b.png", "c.png")
    (pictures / "d.png").write_bytes(b"no picture")
    common = ["label", str(null_model.path), str(pictures), "--format", "coco", "--json"]
    assert main([*common, "--out", str(tmp_path / "1"), "--count", "2"]) == 2  # one cannot be read
    assert "d.png" in capsys.readouterr().err
    first = labeled_before([tmp_path / "1"])
    assert main([*common, "--out", str(tmp_path / "2"), "--done", str(tmp_path / "1")]) == 2
    second = labeled_before([tmp_path / "2"])
    assert (len(first), len(second), len(first | second)) == (2, 1, 3)


def test_boxes_of_a_file_become_instances(null_model, tmp_path, capsys):
    spec = null_model.spec.replace(crop="hrnet", cyclic=False, golden=None)
    (tmp_path / "spec.json").write_text(spec.to_json())
    pictures = save(tmp_path / "in", "a.png", "b.png")
    (tmp_path / "boxes.json").write_text(json.dumps({"a.png": [[1, 2, 30, 20], [40, 5, 30, 50]]}))
    arguments = ["label", str(null_model.path), str(pictures), "--format", "coco", "--out", str(tmp_path / "out")]
    arguments += ["--spec", str(tmp_path / "spec.json"), "--boxes", str(tmp_path / "boxes.json")]
    assert main(arguments) == 0
    content = json.loads((tmp_path / "out/annotations.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["a.png"]
    assert [one["bbox"] for one in content["annotations"]] == [[1, 2, 30, 20], [40, 5, 30, 50]]


def test_wrong_arguments_are_named(predictor, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    for given, folder, options in (
        ("cooc", "out", {"format": "cooc"}),
        ("0", "out", {"format": "coco", "count": 0}),
        ("full", "full", {"format": "coco"}),
        ("out", "out", {"format": "coco"}),
    ):
        with pytest.raises(InputError, match=given):
            write_labels([], tmp_path / folder, predictor.spec, **options)
    with pytest.raises(InputError, match="full"):
        labeled_before([tmp_path / "full"])


def test_a_camera_is_refused(null_model, tmp_path):
    assert main(["label", str(null_model.path), "0", "--format", "coco", "--out", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("format", FORMATS)
def test_what_fails_leaves_no_folder(predictor, tmp_path, format):
    if format == "sleap":
        pytest.importorskip("sleap_io")
    pictures = save(tmp_path / "in", "0.png")

    def broken():
        yield from predictor.stream(pictures)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_labels(broken(), tmp_path / "out", predictor.spec, format=format)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    written = write_labels(predictor.stream(pictures), tmp_path / "out", predictor.spec, format=format)
    assert all(path.is_file() and b".edgehrnet-writing" not in path.read_bytes() for path in written.files)
