"""The samples run as a user runs them, and stay short."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import openvino
import pytest
from PIL import Image

import runtimes.null
from edgehrnet import sample_picture
from edgehrnet.models.checkpoints.published import published_spec
from quant.data.opening import open_annotations
from runtimes import cuda

ROOT = Path(__file__).parent.parent
SAMPLES = sorted((ROOT / "samples").glob("*.py"))


def start(*arguments, folder=None, warnings="error"):
    command = [sys.executable, "-W", warnings, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, cwd=folder)


def run(*arguments, folder=None):
    done = start(*arguments, folder=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fails(*arguments, folder=None):
    """Run a sample that must end with status 1, and return the single line that it prints as an error."""
    done = start(*arguments, folder=folder)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_a_sample_is_short_and_says_how_to_run_it(sample):
    text = sample.read_text()
    assert len(text.splitlines()) <= 60
    for word in ("Install:", "Run:", "Prints:"):
        assert word in text


def test_there_is_a_sample_for_a_picture_and_for_a_folder():
    assert {path.name for path in SAMPLES} >= {"picture.py", "folder.py"}


def test_gallery_draws_overlays_and_pages(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for index in range(6):
        shutil.copy(sample_picture("card"), pictures / f"{index}.jpg")
    Image.new("RGB", (320, 240)).save(pictures / "night.png")
    printed = run(ROOT / "samples" / "gallery.py", pictures, tmp_path / "gallery.png").splitlines()
    assert len(printed) == 7
    assert "night.png" in printed[-1]
    assert "rectify()" in printed[-1]
    with Image.open(tmp_path / "gallery.png") as sheet:
        assert sheet.size == (6 * 332 + 12, 4 * 332 + 12)
        cells = np.array(sheet.convert("L"))[12:, 12:].reshape(4, 332, 6, 332).swapaxes(1, 2)[..., :320, :320]
    middles = cells[..., 80:240, 120:200].mean(axis=(2, 3)).round().astype(int)
    assert len(set(middles[0])) == len(set(middles[1])) == 1  # six times the same picture and the same page
    assert middles[2, 0] < 20  # the black picture in the next row
    assert (cells[3] == 244).all()  # without a page
    assert (cells[2, 1:] == 244).all()
    assert 244 not in middles[:2]


def test_picture_prints_corners_and_saves_both_files(tmp_path):
    printed = run(ROOT / "samples" / "picture.py", sample_picture(), tmp_path)
    assert printed.count("confidence") == 4
    with Image.open(tmp_path / "page.png") as page:
        assert 0.7 < page.width / page.height < 0.9  # a portrait page; the true corners give 0.80
    assert (tmp_path / "corners.png").is_file()


def test_folder_writes_json_and_skips_broken_pictures(tmp_path):
    shutil.copy(sample_picture(), tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes(b"")
    done = start(ROOT / "samples" / "folder.py", tmp_path, tmp_path / "corners.json", warnings="default")
    assert done.returncode == 0
    assert "b.jpg" in done.stderr
    rows = json.loads((tmp_path / "corners.json").read_text())
    assert [Path(row["source"]).name for row in rows] == ["a.jpg"]
    assert len(rows[0]["instances"][0]["keypoints"]) == 4


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A folder with a network for people, three pictures of which one is broken, and boxes for the first."""
    folder = tmp_path_factory.mktemp("people")
    spec = published_spec("hrnet_w18_small_v1", 17).replace(input_size=(64, 64))
    heatmaps = np.zeros((1, 17, 16, 16), np.float32)
    heatmaps[0, range(17), [k % 16 for k in range(17)], 8] = 0.9
    features = np.zeros((1, 16, 16, 1), np.float32)
    runtimes.null.build(folder / "person.null", spec.to_json(), (64, 64), {"heatmaps": heatmaps, "hf": features})
    (folder / "pictures").mkdir()
    for name in ("000000000007.jpg", "street.jpg"):
        shutil.copy(sample_picture(), folder / "pictures" / name)
    (folder / "pictures" / "000000000008.jpg").write_bytes(b"")
    found = [(7, 1, 0.9), (7, 1, 0.6), (7, 1, 0.2), (7, 3, 0.9), (9, 1, 0.9)]
    box = [20, 30, 100, 200]
    rows = [{"image_id": n, "category_id": c, "bbox": box, "score": score} for n, c, score in found]
    (folder / "detections.json").write_text(json.dumps(rows))
    return folder


def test_people_uses_the_boxes_above_the_threshold(people, tmp_path):
    arguments = ROOT / "samples" / "people.py", people / "person.null", people / "pictures"
    lines = run(*arguments, people / "detections.json", folder=tmp_path).splitlines()
    assert [line.split(",")[0] for line in lines[::2]] == [
        "people/000000000007.png: 2 people",  # without the weak box and the box of another category
        "people/street.png: 0 people",
    ]
    assert "skipped" in lines[1]
    with Image.open(tmp_path / "people" / "000000000007.png") as overlay, Image.open(sample_picture()) as picture:
        assert overlay.size == picture.size
    whole = run(*arguments, folder=tmp_path)
    assert whole.count(": 1 people") == 2


def test_people_takes_the_last_digits_of_a_name_as_the_image_id(people, tmp_path):
    (tmp_path / "pictures").mkdir()
    shutil.copy(sample_picture(), tmp_path / "pictures" / "COCO_val2014_000000000007.jpg")
    arguments = ROOT / "samples" / "people.py", people / "person.null", "pictures", people / "detections.json"
    assert "000000000007.png: 2 people" in run(*arguments, folder=tmp_path)


def test_people_says_that_no_picture_has_a_box(people, tmp_path):
    (tmp_path / "pictures").mkdir()
    shutil.copy(sample_picture(), tmp_path / "pictures" / "street-3.jpg")
    arguments = ROOT / "samples" / "people.py", people / "person.null", "pictures", people / "detections.json"
    said = fails(*arguments, folder=tmp_path)
    assert "detections.json" in said
    assert "street-3" in said


def test_people_names_a_missing_model(people, tmp_path):
    assert "typo.xml" in fails(ROOT / "samples" / "people.py", "typo.xml", people / "pictures", folder=tmp_path)


def test_intel_cpu_runs_all_convolutions_in_int8():
    printed = run(ROOT / "samples" / "intel_cpu.py", 1)
    assert "126 convolutions in u8" in printed or "126 convolutions in i8" in printed
    assert printed.count(" ms") == 4


def test_intel_gpu_names_the_device_if_it_is_missing():
    if "GPU" in openvino.Core().available_devices:
        assert "inference" in run(ROOT / "samples" / "intel_gpu.py")
    else:
        assert "'gpu'" in fails(ROOT / "samples" / "intel_gpu.py")


@pytest.fixture
def no_gpu():
    pytest.importorskip("tensorrt_rtx")
    if cuda.device_count():
        pytest.skip("for machines without an NVIDIA GPU; on one, run samples/gpu_check.py")


def test_nvidia_needs_a_gpu(no_gpu, tmp_path):
    # The GPU is missing before the content of the file matters.
    (tmp_path / "model.tensorrt.onnx").write_bytes(b"graph")
    printed = fails(ROOT / "samples" / "nvidia.py", tmp_path / "model.tensorrt.onnx", folder=tmp_path)
    assert "GPU" in printed


def test_nvidia_names_a_missing_file(no_gpu, tmp_path):
    assert "typo.onnx" in fails(ROOT / "samples" / "nvidia.py", tmp_path / "typo.onnx", folder=tmp_path)


def test_gpu_check_reports_missing_gpus_and_goes_on(no_gpu, checkpoint_model, tmp_path):
    printed = run(ROOT / "samples" / "gpu_check.py", checkpoint_model.path, tmp_path, 2, "int8")
    assert (tmp_path / "model.parity.md").is_file()
    assert "model-int8.onnx: not run: device 'cuda'" in printed
    assert "model-int8.engine: not built: " in printed


def test_label_loop_draws_and_corrects(tmp_path):
    folder = tmp_path / "figures"
    run("samples/label_loop.py", "draw", folder, folder=ROOT)
    (folder / "round-1/images").mkdir(parents=True)
    shutil.copy(folder / "all/0020.png", folder / "round-1/images/0020.png")
    tasks = [{"data": {"image": "/data/local-files/?d=round-1/images/0020.png"}, "predictions": []}]
    (folder / "round-1/tasks.json").write_text(json.dumps(tasks))
    text = run("samples/label_loop.py", "correct", folder, folder / "round-1/tasks.json", folder=ROOT)
    assert text.startswith("17 labeled pictures")
    labels = open_annotations(str(folder / "export.json"))
    assert [len(labels.pictures), len(labels.instances), len(labels.keypoints)] == [17, 17, 5]
    assert all(picture.path.is_file() for picture in labels.pictures)
