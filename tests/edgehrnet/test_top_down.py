"""Boxes -> crops -> keypoints: the whole way through Predictor, without an engine."""

import numpy as np
import pytest
from PIL import Image

import runtimes.null
from edgehrnet import ModelSpec, Predictor
from edgehrnet.drawing.overlay import blend_heatmap
from edgehrnet.errors import InputError, NoBoxesWarning, UnsupportedError
from edgehrnet.golden import Golden
from edgehrnet.picture.crops import Crop
from edgehrnet.preparation import as_xywh, check_boxes, formatted, prepare
from edgehrnet.selfcheck import correlation

SIZE, CELLS = (64, 96), (16, 24)
PEAKS = np.array([[5, 7], [18, 3]])  # x, y in cells
SPEC = ModelSpec(
    "person",
    ("left_hand", "right_hand"),
    skeleton=((0, 1),),
    flip_pairs=((0, 1),),
    input_size=SIZE,
    crop="hrnet",
    cell_offset=0.0,
    heatmap_values="linear",
    decode="argmax",
    outputs=(("heatmaps", "NCHW"),),
)
BOXES = [[20.0, 30.0, 60.0, 40.0], [90.0, 10.0, 45.0, 80.0]]


@pytest.fixture(scope="module")
def picture():
    small = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((192, 128)))


def write(folder, spec=SPEC):
    """Write a file that outputs the same peak for each keypoint, for every input."""
    heatmaps = np.zeros((1, 2, *CELLS), np.float32)
    heatmaps[0, [0, 1], PEAKS[:, 1], PEAKS[:, 0]] = 0.5, 0.75
    runtimes.null.build(folder / "person.null", spec.to_json(), SIZE, {"heatmaps": heatmaps})
    return folder / "person.null"


@pytest.mark.parametrize("convention", ["hrnet", "udp"])
def test_each_box_is_an_instance(tmp_path, picture, convention):
    spec = SPEC.replace(crop=convention)
    with Predictor(write(tmp_path, spec)) as predictor:
        result = predictor.predict(picture, boxes=BOXES)
    assert result.keypoints.xy.shape == (2, 2, 2)
    assert result.keypoints.conf.tolist() == [[0.5, 0.75]] * 2
    assert result.score.tolist() == [0.625] * 2
    assert result.heatmaps.shape == (2, 2, *CELLS)
    for n, box in enumerate(BOXES):
        crop = Crop.fit(tuple(box), (192, 128), SIZE, convention)
        assert result.transforms[n] == crop
        np.testing.assert_allclose(result.keypoints.xy[n], crop.inverse(spec.grid.to_pixels(PEAKS)), atol=1e-9)
    with pytest.raises(UnsupportedError, match="2"):
        _ = result.transform
    assert len(result.to_dict()["instances"]) == len(result.to_coco()) == 2


def test_without_boxes_the_whole_picture_is_used(tmp_path, picture):
    with Predictor(write(tmp_path)) as predictor, pytest.warns(NoBoxesWarning):
        result = predictor(picture)
    inside = result.transform.forward([[0, 0], [191, 127]])
    assert (inside > -1).all()
    assert (inside < (97, 65)).all()
    assert len(result.keypoints) == 1
    assert result.boxes is None
    assert result.mask.all()
    assert result.peaks[0][0].tolist() == pytest.approx([*result.keypoints.xy[0, 0], 0.5])


WITHOUT_BOXES = {
    "predict": lambda predictor, picture: predictor.predict(picture),
    "call": lambda predictor, picture: predictor(picture),
    "list": lambda predictor, picture: predictor.predict([picture, picture], boxes=[BOXES, None]),
    "stream": lambda predictor, picture: list(predictor.stream([picture, picture])),
}


@pytest.mark.parametrize("way", WITHOUT_BOXES)
def test_without_boxes_each_predictor_warns_once_at_the_line_that_called(tmp_path, picture, way):
    for _ in range(2):
        with Predictor(write(tmp_path)) as predictor:
            predictor.predict(picture, boxes=BOXES)
            with pytest.warns(NoBoxesWarning, match="person.*boxes=") as caught:
                WITHOUT_BOXES[way](predictor, picture)
            assert [warning.filename for warning in caught] == [__file__]
            WITHOUT_BOXES[way](predictor, picture)


def test_nothing_warns_that_takes_the_whole_picture_on_purpose(tmp_path, picture):
    with Predictor(write(tmp_path)) as predictor, pytest.warns(NoBoxesWarning):
        result = predictor(picture)
    golden = Golden.pack(picture, result.keypoints.xy[0], result.keypoints.conf[0], result.heatmaps[0])
    with Predictor(write(tmp_path, SPEC.replace(golden=golden))) as predictor:
        assert predictor.selfcheck().passed
        assert predictor.predict([]) == []
        assert predictor.predict(picture, boxes=[]).keypoints.xy.shape == (0, 2, 2)


@pytest.mark.parametrize("box_format", ["xywh", "xyxy"])
def test_result_has_the_boxes_as_xywh(tmp_path, picture, box_format):
    expected = np.array(BOXES, np.float64)
    boxes = expected.copy()
    if box_format == "xyxy":
        boxes[:, 2:] += boxes[:, :2]
    with Predictor(write(tmp_path)) as predictor:
        result = predictor.predict(picture, boxes=boxes, box_format=box_format)
    boxes += 1  # The caller may use the array again.
    np.testing.assert_array_equal(result.boxes, expected)


def test_empty_boxes_give_no_instances(tmp_path, picture):
    with Predictor(write(tmp_path)) as predictor:
        result = predictor.predict(picture, boxes=[])
        assert result.keypoints.xy.shape == (0, 2, 2)
        assert result.to_dict()["instances"] == result.to_coco() == []
        assert repr(result) == "Result(192x128: 0 instances)"
        assert result.plot(heatmaps=True).size == (192, 128)
        many = predictor.predict([picture, picture], boxes=[BOXES, BOXES[:1]])
    assert [len(result.keypoints) for result in many] == [2, 1]


@pytest.mark.parametrize(
    ("boxes", "shown"),
    [
        ([1, 2, 3, 4], r"\(4,\).*\[\[x, y, w, h\]\]"),
        ([[1, 2, 3]], r"\(1, 3\).*\[\[x, y, w, h\]\]"),
        ("all", "str"),
        (5, r"shape \(\)"),
        ([[1j, 2, 3, 4]], "list"),
        (10**400, r"1e\+07"),
        ([[1, 2, 3, 4], [1, 2, 0, 4]], r"boxes\[1\] = \[1\.0, 2\.0, 0\.0, 4\.0\]"),
        ([[1, 2, 3, float("nan")]], r"boxes\[0\] = \[1\.0, 2\.0, 3\.0, nan\]"),
        ([[0, 0, float("inf"), 1]], r"boxes\[0\] = \[0\.0, 0\.0, inf, 1\.0\]"),
        ([[1, 2, 3, 4], [10**400, 0, 1, 1]], r"boxes\[1\]"),
        ([[1, 2, 3, 4], [1, 2, 3, 10**6000]], r"boxes\[1\]"),
        ([[1, 2, 3, 4], [0, 0, 1e307, 1e307]], r"boxes\[1\].*1e\+307"),
        ([[-1e308, 0, 1e308, 1]], r"boxes\[0\].*1e\+308"),
        ([[1e50, 0, 1, 1]], r"boxes\[0\].*1e\+50"),
        ([[0, 0, 1.01e7, 1]], r"boxes\[0\].*10100000"),
        ([[0, 0, 1, 1e-310]], r"boxes\[0\].*1e-310"),
    ],
)
def test_invalid_boxes(tmp_path, picture, boxes, shown):
    with pytest.raises(InputError, match=shown):
        check_boxes(boxes)
    with Predictor(write(tmp_path)) as predictor, pytest.raises(InputError, match=shown):
        predictor.predict(picture, boxes=boxes)
    with Predictor(write(tmp_path)) as predictor, pytest.raises(InputError, match=r"picture 1: .*boxes"):
        predictor.predict([picture, picture], boxes=[BOXES, boxes])


LIMITS = [[1e7, -1e7, 1e-6, 1e-6], [-1e7, 1e7, 1e7, 1e-6], [0, 0, 1e7, 1e7], [1e7, 1e7, 1e-6, 1e7]]


@pytest.mark.parametrize("convention", ["hrnet", "udp"])
def test_the_largest_and_smallest_boxes_give_finite_keypoints(tmp_path, picture, convention):
    with Predictor(write(tmp_path, SPEC.replace(crop=convention))) as predictor:
        result = predictor.predict(picture, boxes=LIMITS)
        result.plot(heatmaps=True)
    for transform, xy, (x, y, width, height) in zip(result.transforms, result.keypoints.xy, LIMITS, strict=True):
        assert (np.abs(xy - (x + width / 2, y + height / 2)) <= 2 * max(width, height) + 1e-6).all()
        np.testing.assert_allclose(transform.inverse(transform.forward(xy)), xy, atol=1e-6)


@pytest.mark.parametrize(("boxes", "said"), [([BOXES], r"\b1 .*\b2 "), (5, "int"), (np.array(5.0), "ndarray")])
def test_number_of_box_arrays_must_match_pictures(tmp_path, picture, boxes, said):
    with Predictor(write(tmp_path)) as predictor, pytest.raises(InputError, match=said):
        predictor.predict([picture, picture], boxes=boxes)


def test_the_flip_test_is_the_mean_with_the_mirrored_picture(tmp_path, picture):
    with Predictor(write(tmp_path), flip_test=True) as predictor:
        heatmaps = predictor.predict(picture, boxes=BOXES[:1]).heatmaps[0]
    # The file gives the same maps for the mirrored crop. They are mirrored back, left and right are swapped, and the
    # columns are shifted by one.
    found = {(k, int(y), int(x)): float(heatmaps[k, y, x]) for k, y, x in np.argwhere(heatmaps)}
    mirrored = 24 - 1 - PEAKS[:, 0] + 1
    assert found == {
        (0, 7, 5): 0.25, (1, 3, 18): 0.375,
        (1, 7, int(mirrored[0])): 0.25, (0, 3, int(mirrored[1])): 0.375,
    }  # fmt: skip


def test_the_overlay_lies_where_the_points_are(tmp_path, picture):
    with Predictor(write(tmp_path)) as predictor:
        result = predictor.predict(picture, boxes=BOXES)
    black = Image.new("RGB", (192, 128))
    for n, transform in enumerate(result.transforms):
        for k, (x, y) in enumerate(result.keypoints.xy[n]):
            blended = blend_heatmap(black, result.heatmaps[n, k], transform, SPEC.grid)
            light = np.array(blended, np.float64)[..., 0]
            rows, columns = np.mgrid[:128, :192]
            middle = (light * columns).sum() / light.sum(), (light * rows).sum() / light.sum()
            # The bilinear blob of a cell is symmetric; sampling it at whole pixels costs less than this.
            np.testing.assert_allclose(middle, (x, y), atol=0.1)


def test_input_has_the_layout_and_scale_of_the_spec(picture):
    inputs, crops = prepare(picture, SPEC, BOXES)
    assert inputs.shape == (2, *SIZE, 4)
    rgb = SPEC.replace(channels=3)
    assert formatted(inputs, rgb).shape == (2, *SIZE, 3)
    scaled = formatted(inputs, rgb.replace(input_format="float NCHW", mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.5)))
    assert scaled.dtype == np.float32
    assert scaled.shape == (2, 3, *SIZE)
    expected = (inputs[1, 9, 8, :3] / 255 - (0.5, 0.4, 0.3)) / (0.2, 0.25, 0.5)
    np.testing.assert_allclose(scaled[1, :, 9, 8], expected, atol=1e-6)
    reds = inputs[..., 0].astype(np.float32)
    assert correlation(reds[0], reds[1]) < 0.99
    assert crops[0].forward([[50.0, 50.0]]).tolist() == [[48.0, 32.0]]  # the middle of the first box


def test_corner_boxes_are_converted():
    np.testing.assert_array_equal(as_xywh([[10, 20, 40, 60]], "xyxy"), [[10, 20, 30, 40]])
    np.testing.assert_array_equal(as_xywh([[10, 20, 40, 60]], "xywh"), [[10, 20, 40, 60]])
    assert as_xywh(None, "xyxy") is None
    none = as_xywh([], "xyxy")
    assert none is not None
    assert none.shape == (0, 4)


@pytest.mark.parametrize(
    ("boxes", "box_format", "said"),
    [
        ([[1, 2, 3, 4]], "cxcywh", "cxcywh"),
        ([[1, 2, 3, 4], [10, 20, 5, 60]], "xyxy", r"boxes\[1\] = \[10\.0, 20\.0, 5\.0, 60\.0\] \(left"),
        ([[-1e308, 0, 1e308, 1]], "xyxy", r"boxes\[0\] = \[-1e\+308, 0\.0, 1e\+308"),
        ([[float("inf"), 0, float("inf"), 1]], "xyxy", r"boxes\[0\] = \[inf"),
        (3, "xyxy", "one box is"),
    ],
)
def test_wrong_box_format_or_corners(boxes, box_format, said):
    with pytest.raises(InputError, match=said):
        as_xywh(boxes, box_format)


def test_corner_boxes_give_the_same_keypoints(tmp_path, picture):
    corners = [[x, y, x + width, y + height] for x, y, width, height in BOXES]
    with Predictor(write(tmp_path)) as predictor:
        expected = predictor.predict(picture, boxes=BOXES)
        for found in (
            predictor.predict(picture, boxes=corners, box_format="xyxy"),
            predictor.predict([picture], boxes=[corners], box_format="xyxy")[0],
        ):
            np.testing.assert_allclose(found.keypoints.xy, expected.keypoints.xy, atol=1e-9)


def test_boxes_come_from_a_detector(tmp_path, picture):
    def bright(given):
        return (BOXES[:1], [0.9]) if (given[0, 0] == picture[0, 0]).all() else ([], [])

    with Predictor(write(tmp_path), boxes_from=bright) as predictor:
        result = predictor.predict(picture)
        assert result.boxes is not None
        assert result.boxes.tolist() == BOXES[:1]
        assert result.speed["detect"] > 0
        assert [len(one.keypoints) for one in predictor.stream([picture, 255 - picture])] == [1, 0]
        results = predictor.predict([picture, picture], boxes=[BOXES, None])
        assert [len(one.keypoints) for one in results] == [2, 1]
