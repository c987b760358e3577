"""The C++ sample, compiled against the openvino package: it has the same input and the same corners as Python."""

import itertools
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import openvino
import pytest
from PIL import Image

from edgehrnet import Predictor, sample_picture, shipped_model
from edgehrnet.decoding import probability
from edgehrnet.picture.letterbox import letterbox
from quant.data.documents.corners import SAMPLES

SOURCE = Path(__file__).parent.parent / "samples" / "cpp" / "corners.cpp"
STRIP = (900, 40)  # so flat that no corners are found
PACKAGE = Path(openvino.__path__[0])
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("g++") is None, reason="built with g++ on Linux"
)


@pytest.fixture(scope="module")
def corners(tmp_path_factory):
    program = tmp_path_factory.mktemp("cpp") / "corners"
    (library,) = PACKAGE.glob("libs/libopenvino.so.*")
    command = ["g++", "-std=c++17", "-O2", "-ffp-contract=off", "-Wall", "-Werror", str(SOURCE)]
    command += [f"-isystem{PACKAGE / 'include'}", str(library)]
    subprocess.run([*command, f"-Wl,-rpath,{PACKAGE / 'libs'}", "-o", program], check=True, timeout=300)
    return program


@pytest.fixture(scope="module")
def predictor():
    with Predictor(shipped_model("document-corners"), shapes=1) as predictor:
        yield predictor


def resized(size):
    with Image.open(sample_picture()) as picture:
        return np.array(picture.convert("RGB").resize(size))


def rotated(name, degrees):
    with Image.open(sample_picture(name)) as picture:
        return np.array(picture.convert("RGB").rotate(degrees, Image.Resampling.BILINEAR, fillcolor=(120, 110, 100)))


def highest_peaks(result):
    """Return whether each corner is within four cells of its heatmap's highest peak."""
    highest = [np.unravel_index(heat.argmax(), heat.shape)[::-1] for heat in result.heatmaps[0]]
    cells = result.spec.grid.to_cells(result.transforms[0].forward(result.keypoints.xy[0]))
    return np.abs(cells - highest).max() <= 4


def check(corners, predictor, tmp_path, image, *, found=True):
    """Run the sample, and compare its input with Python's, and its corners too if some are found."""
    Image.fromarray(image).save(tmp_path / "picture.ppm")
    command = [corners, shipped_model("document-corners"), tmp_path / "picture.ppm", tmp_path / "input"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    ours = np.array([line.split() for line in done.stdout.splitlines()], float)

    pixels, _ = letterbox(image, predictor.spec.input_size)
    theirs = np.fromfile(tmp_path / "input", np.uint8).reshape(pixels.shape)
    np.testing.assert_array_equal(theirs, pixels)

    result = predictor.predict(image)
    assert len(ours) == 4
    if found:
        # Printed with six digits, so 0.005 px at a thousand. Equal inputs give equal outputs.
        np.testing.assert_allclose(ours[:, :2], result.keypoints.xy[0], atol=0.006)
        conf = probability(ours[:, 2].astype(np.float32), predictor.spec.confidence)
        # Six digits of a score of 0.99, where the confidence changes a hundred times as fast as the score.
        np.testing.assert_allclose(conf, result.keypoints.conf[0], atol=1e-3)


# Shrunk by 5 with a remainder, by 2 exactly, by a little, portrait, landscape, enlarged, and a strip.
@pytest.mark.parametrize("size", [(1203, 1607), (512, 512), (300, 280), (960, 1280), (1280, 960), (100, 90), STRIP])
def test_input_and_corners_equal_those_of_python(corners, predictor, tmp_path, size):
    # If no corner is found, the highest cell depends on the last bit.
    check(corners, predictor, tmp_path, resized(size), found=size != STRIP)


def test_chooses_the_same_peaks_as_python(corners, predictor, tmp_path):
    # Rotated until the highest peaks are not the corners. Which angles do that depends on the model.
    pictures = (rotated(name, degrees) for degrees in range(3, 360, 15) for name in SAMPLES)
    ambiguous = (image for image in pictures if not highest_peaks(predictor.predict(image)))
    images = list(itertools.islice(ambiguous, 3))
    assert len(images) == 3
    for image in images:
        check(corners, predictor, tmp_path, image)


@pytest.mark.parametrize("content", [b"P5 2 2 255\n1234", b"P6 9 9 255\n12", b"", b"P6 0 0 255\n", b"P6 -2 -2 255\n"])
def test_an_invalid_picture_prints_one_error_line(corners, tmp_path, content):
    (tmp_path / "bad.ppm").write_bytes(content)
    command = [corners, shipped_model("document-corners"), tmp_path / "bad.ppm"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_comments_in_a_picture_are_skipped(corners, tmp_path):
    Image.fromarray(resized((120, 90))).save(tmp_path / "a.ppm")
    content = (tmp_path / "a.ppm").read_bytes()
    assert content.startswith(b"P6\n")
    (tmp_path / "b.ppm").write_bytes(content.replace(b"P6\n", b"P6\n# made by hand\n", 1))
    command = [corners, shipped_model("document-corners")]
    printed = [
        subprocess.run([*command, tmp_path / name], capture_output=True, check=True) for name in ("a.ppm", "b.ppm")
    ]
    assert printed[0].stdout == printed[1].stdout
