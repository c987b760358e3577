"""A JPEG that is read at a reduced scale gives the network input of the full picture."""

import io
import pickle
from functools import partial

import numpy as np
import pytest
from PIL import Image

from edgehrnet import Predictor
from edgehrnet.errors import CorruptImageError
from edgehrnet.picture.crops import Crop, crop
from edgehrnet.picture.letterbox import Letterbox, letterbox
from edgehrnet.picture.picture import Picture
from edgehrnet.picture.sources import read_image, read_picture
from edgehrnet.preparation import shrinkage
from edgehrnet.spec import ModelSpec

INPUT = (64, 96)
SPEC = ModelSpec("blob", ("center",), input_size=INPUT)
LIMIT = 0.02  # px of the network input
# Stored (width, height): step 2, 4 and 8, with sides that 8 divides and sides that leave 1 to 7 pixels.
SIZES = {2: (581, 403), 4: (1016, 683), 8: (1647, 1101)}
KINDS = {
    "color": {"quality": 90},
    "chroma 2x2": {"quality": 85, "subsampling": 2},
    "chroma 2x1, progressive": {"quality": 85, "subsampling": 1, "progressive": True},
    "gray": {"quality": 80},
    "CMYK": {"quality": 90},
}


def jpeg(width, height, kind="color", orientation=1):
    """A blob with a sigma of two input pixels in a picture as stored."""
    sigma = 2 * max(width / INPUT[1], height / INPUT[0])
    x = np.exp(-0.5 * ((np.arange(width) - 0.42 * width) / sigma) ** 2)
    y = np.exp(-0.5 * ((np.arange(height) - 0.56 * height) / sigma) ** 2)
    gray = 200 * np.outer(y, x) + np.random.default_rng(0).random((height, width))
    picture = Image.fromarray(gray.astype(np.uint8))
    if kind != "gray":
        colored = [picture.point([round(v * share) for v in range(256)]) for share in (1, 0.6, 0.8)]
        picture = Image.merge("RGB", colored).convert("CMYK" if kind == "CMYK" else "RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", exif=exif.tobytes(), **KINDS[kind])
    return buffer.getvalue()


def centroid(pixels):
    weight = np.maximum(pixels[..., :3].sum(axis=2, dtype=float) - 60, 0)
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", SIZES)
def test_a_blob_stays_in_its_place(step, kind):
    data = jpeg(*SIZES[step], kind)
    reduced, full = read_picture(data, shrink=partial(shrinkage, SPEC, None)), read_picture(data)
    assert (reduced.step, full.step, reduced.size) == (step, 1, full.size)
    inputs, box = letterbox(reduced, INPUT)
    expected, expected_box = letterbox(full.pixels, INPUT)
    assert box == expected_box
    assert np.abs(centroid(inputs) - centroid(expected)).max() <= LIMIT
    np.testing.assert_array_equal(inputs[..., 3], expected[..., 3])


@pytest.mark.parametrize(("orientation", "step"), [(n, step) for n in range(1, 9) for step in (2, 8)])
def test_every_orientation(orientation, step):
    # Mirrored, the incomplete blocks of pixels lie at the left or the top.
    data = jpeg(*SIZES[step], "gray", orientation)
    reduced = read_picture(data, shrink=partial(shrinkage, SPEC, None))
    expected = read_image(data)
    assert reduced.step > 1
    assert reduced.size == expected.shape[:2]
    moved = centroid(letterbox(reduced, INPUT)[0]) - centroid(letterbox(expected, INPUT)[0])
    assert np.abs(moved).max() <= LIMIT
    np.testing.assert_array_equal(reduced.full, expected)
    # The map of coordinates itself, which is exact: all blocks lie on the picture, and each begins where it should.
    ends = reduced.columns(np.array([-0.5, reduced.size[1] - 0.5])) + 0.5
    assert 0 <= ends[0] < 1
    assert reduced.pixels.shape[1] - 1 < ends[1] <= reduced.pixels.shape[1]


@pytest.mark.parametrize("convention", ["hrnet", "udp"])
def test_a_crop_of_a_large_box_is_read_at_a_reduced_scale(convention):
    spec = SPEC.replace(crop=convention, input_size=INPUT)
    width, height = SIZES[8]
    boxes = np.array([[250.0, 200, 850, 600], [300, 250, 700, 500]])
    data = jpeg(width, height, "color", 3)  # turned by 180 degrees
    reduced = read_picture(data, shrink=partial(shrinkage, spec, boxes))
    assert reduced.step == 4
    for box in boxes:
        where = Crop.fit(box, (width, height), INPUT, convention)
        moved = centroid(crop(reduced, where)) - centroid(crop(read_image(data), where))
        assert np.abs(moved).max() <= LIMIT


@pytest.mark.parametrize(
    ("boxes", "step"), [(None, 8), ([[0, 0, 1647, 1101], [5, 5, 100, 60]], 1), (np.zeros((0, 4)), 1)]
)
def test_the_smallest_box_decides(boxes, step):
    spec = SPEC.replace(crop="udp")
    boxes = None if boxes is None else np.array(boxes, float)
    assert read_picture(jpeg(*SIZES[8]), shrink=partial(shrinkage, spec, boxes)).step == step


@pytest.mark.parametrize("size", [(16_384, 8), (8, 3000), (97, 65), (384, 256), (383, 255), (9, 9)])
def test_two_pixels_remain_for_each_of_the_content(size):
    box = Letterbox.fit(size[0], size[1], INPUT)
    times = shrinkage(SPEC, None, size[0], size[1])
    assert times >= 1
    assert times == 1 or min(size[0] / box.content_width, size[1] / box.content_height) / times >= 2


def test_crops_turned_for_augmentation_are_the_same_from_blocks():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    full = pixels.repeat(4, axis=0).repeat(4, axis=1)
    smooth = Image.fromarray(full).resize((240, 160), Image.Resampling.BICUBIC)
    reduced = Picture(np.array(smooth.reduce(4)), (160, 240), 4)
    where = Crop.fit((60, 40, 120, 80), (240, 160), INPUT, "hrnet", rotation=30)
    difference = crop(reduced, where).astype(float) - crop(np.array(smooth), where)
    assert np.abs(difference.mean()) < 1
    upright = Crop.fit((60, 40, 120, 80), (240, 160), INPUT, "hrnet", rotation=1e-9)
    straight = Crop.fit((60, 40, 120, 80), (240, 160), INPUT, "hrnet")
    assert np.abs(crop(reduced, upright).astype(int) - crop(reduced, straight)).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "TIFF"])
def test_other_formats_are_read_in_full(kind):
    buffer = io.BytesIO()
    Image.new("RGB", SIZES[8], "green").save(buffer, kind)
    assert read_picture(buffer.getvalue(), shrink=partial(shrinkage, SPEC, None)).step == 1


def test_a_truncated_jpeg_is_refused():
    data = jpeg(*SIZES[8])
    with pytest.raises(CorruptImageError, match="bytes"):
        read_picture(data[: len(data) // 2], shrink=partial(shrinkage, SPEC, None))


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "a.jpg"
    path.write_bytes(jpeg(1203, 805, "color", 6))
    return path


class TestPredictor:
    def test_the_result_is_in_pixels_of_the_full_picture(self, null_model, photo):
        with Predictor(null_model.path) as predictor, Predictor(null_model.path, exact=True) as exact:
            ours, theirs = predictor.predict(photo), exact.predict(photo)
        assert (ours.picture.step, theirs.picture.step) == (8, 1)
        assert ours.keypoints.size == theirs.keypoints.size == (1203, 805)
        assert ours.transforms == theirs.transforms
        np.testing.assert_array_equal(ours.keypoints.xy, theirs.keypoints.xy)  # of a network that answers the same
        np.testing.assert_array_equal(theirs.image, read_image(photo))

    def test_the_full_picture_outlives_its_file(self, null_model, photo, tmp_path):
        copy = tmp_path / "b.jpg"
        copy.write_bytes(photo.read_bytes())
        with Predictor(null_model.path) as predictor:
            result = predictor.predict(copy)
        copy.unlink()
        expected = read_image(photo)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(result)).image, expected)
        np.testing.assert_array_equal(result.image, expected)
        assert result.image is result.image
        assert result.plot().size == (805, 1203)

    def test_exact_is_kept_when_pickled(self, null_model, photo):
        with Predictor(null_model.path, exact=True) as exact, pickle.loads(pickle.dumps(exact)) as again:
            assert again.predict(photo).picture.step == 1
