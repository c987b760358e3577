import json
import pickle
import re
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from edgehrnet import Keypoints, Predictor, Result
from edgehrnet.drawing.coordinates import LARGEST_COORDINATE
from edgehrnet.drawing.overlay import PALETTE, blend_heatmap, draw_keypoints
from edgehrnet.drawing.rectification import flatten_quadrilateral, perspective_coefficients
from edgehrnet.errors import InputError, MissingExtraError, UnknownKeywordError, UnsupportedError, WriteError
from edgehrnet.picture.cells import CellGrid
from edgehrnet.picture.letterbox import Letterbox
from edgehrnet.picture.picture import Picture

RED, GREEN, BLUE, WHITE = (200, 30, 30), (30, 180, 40), (40, 50, 220), (240, 240, 240)


@pytest.fixture(scope="module")
def result(null_model):
    with Predictor(null_model.path) as predictor:
        return predictor(null_model.picture)


def changed(result, **fields):
    """The same result with other fields; the picture as ``image``."""
    if "image" in fields:
        fields["picture"] = Picture.of(fields.pop("image"))
    values = {name: getattr(result, name) for name in Result.__dataclass_fields__}
    return Result(**{**values, **fields})


def twice(keypoints):
    """The same keypoints as two instances, the second 5 pixels to the right."""
    xy = np.concatenate([keypoints.xy, keypoints.xy + np.array([5, 0])])
    return replace(keypoints, xy=xy, conf=np.concatenate([keypoints.conf] * 2))


class TestExport:
    def test_dict_and_json(self, result, null_model):
        values = result.to_dict()
        assert json.loads(result.to_json()) == values
        assert {key: values[key] for key in ("model", "width", "height")} == {
            "model": "corners",
            "width": 192,
            "height": 128,
        }
        assert values["speed_ms"].keys() == result.speed.keys()
        (instance,) = values["instances"]
        assert [point["name"] for point in instance["keypoints"]] == list(null_model.spec.keypoints)
        found = [(point["x"], point["y"]) for point in instance["keypoints"]]
        # Rounded to three digits, on top of the float32 offsets' 2e-5.
        np.testing.assert_allclose(found, null_model.corners, atol=6e-4)
        assert instance["score"] == pytest.approx(float(result.score[0]), abs=5e-5)

    def test_coco(self, result, null_model):
        (entry,) = result.to_coco(image_id=7, category_id=3)
        json.dumps(entry)
        assert (entry["image_id"], entry["category_id"]) == (7, 3)
        triples = np.array(entry["keypoints"]).reshape(4, 3)
        np.testing.assert_allclose(triples[:, :2], null_model.corners, atol=6e-4)
        np.testing.assert_allclose(triples[:, 2], result.keypoints.conf[0], atol=5e-4)
        assert entry["score"] == pytest.approx(float(result.score[0]), abs=5e-6)

    @pytest.mark.parametrize(("method", "package"), [("to_df", "pandas"), ("to_supervision", "supervision")])
    def test_missing_package_is_named(self, result, monkeypatch, method, package):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingExtraError, match=package) as caught:
            getattr(result, method)()
        assert isinstance(caught.value, ImportError)

    def test_frame_has_a_row_for_each_keypoint(self, result):
        pytest.importorskip("pandas")
        frame = result.to_df()
        assert list(frame.columns) == ["image", "instance", "keypoint", "x", "y", "confidence"]
        assert list(frame["keypoint"]) == list(result.keypoints.names)
        np.testing.assert_array_equal(frame[["x", "y"]], result.keypoints.xy[0])
        np.testing.assert_array_equal(frame["confidence"], result.keypoints.conf[0])
        assert set(frame["instance"]) == {0}
        assert frame["image"].isna().all()  # The picture was passed as data.

    def test_frame_of_two_boxes_and_of_none(self, result):
        pandas = pytest.importorskip("pandas")
        boxes = np.array([[1.0, 2, 30, 40], [5, 6, 70, 80]])
        two = changed(result, keypoints=twice(result.keypoints), boxes=boxes, source="folder/a.jpg")
        frame = two.to_df()
        assert list(frame["instance"]) == [0] * 4 + [1] * 4
        assert list(frame["image"]) == ["folder/a.jpg"] * 8
        found = frame[["box_left", "box_top", "box_width", "box_height"]]
        np.testing.assert_array_equal(found, np.repeat(boxes, 4, axis=0))
        none = changed(two, keypoints=two.keypoints[:0], boxes=boxes[:0]).to_df()
        assert (len(none), list(none.columns)) == (0, list(frame.columns))
        assert len(pandas.concat([frame, frame])) == 16
        marks = np.array([[True, False, False, True], [False] * 4])
        assert changed(two, predicted=marks).to_df()["predicted"].tolist() == marks.ravel().tolist()

    @pytest.mark.parametrize("name", ["confidence", "keypoint_confidence"])
    def test_supervision_gets_float32_under_the_name_of_its_release(self, result, monkeypatch, name):
        def before_0_29(xy, confidence=None):
            return {"xy": xy, "confidence": confidence}

        def since_0_29(xy, confidence=None, keypoint_confidence=None):
            assert confidence is None, "deprecated"
            return {"xy": xy, "keypoint_confidence": keypoint_confidence}

        key_points = before_0_29 if name == "confidence" else since_0_29
        monkeypatch.setitem(sys.modules, "supervision", SimpleNamespace(KeyPoints=key_points))
        points = result.to_supervision()
        assert points["xy"].shape == (1, 4, 2)
        assert points[name].shape == (1, 4)
        assert {array.dtype for array in points.values()} == {np.dtype(np.float32)}

    def test_supervision_itself_takes_the_values(self, result):
        supervision = pytest.importorskip("supervision")
        conf = np.array([[0.9, 0.2, 0.25, 0.0], [0.5, 0.6, 0.7, 0.8]], np.float32)
        two = changed(result, keypoints=replace(twice(result.keypoints), conf=conf))
        points = two.to_supervision()
        assert isinstance(points, supervision.KeyPoints)
        np.testing.assert_array_equal(points.xy, two.keypoints.xy.astype(np.float32))
        np.testing.assert_array_equal(points.keypoint_confidence, conf)
        np.testing.assert_array_equal(points.detection_confidence, two.score)
        assert points.visible.tolist() == [[True, False, True, False], [True] * 4]
        picture = two.image.copy()
        drawn = supervision.VertexAnnotator(radius=3).annotate(picture, points[1:])
        x, y = two.keypoints.xy[1, 0].round().astype(int)
        assert (drawn[y, x] != two.image[y, x]).any()
        assert len(changed(two, keypoints=two.keypoints[:0]).to_supervision()) == 0

    def test_repr_is_short(self, result):
        assert repr(result).startswith("Result(192x128: top-left (40.3, 25.6) 0.")
        assert len(repr(result)) < 200


class TestSlim:
    def test_keeps_what_is_known_about_the_keypoints(self, result):
        boxes = np.array([[1.0, 2, 30, 40]])
        full = changed(result, source="a.jpg", boxes=boxes)
        slim = pickle.loads(pickle.dumps(full.slim()))
        assert slim.to_dict() == full.to_dict()
        assert slim.to_coco() == full.to_coco()
        assert repr(slim) == repr(full)
        np.testing.assert_array_equal(slim.keypoints.xy, full.keypoints.xy)
        np.testing.assert_array_equal(slim.boxes, boxes)
        np.testing.assert_array_equal(slim.mask, full.mask)
        assert slim.transforms == full.transforms
        assert slim.spec == full.spec.replace(golden=None)
        assert slim.slim().to_dict() == full.to_dict()

    def test_leaves_out_the_picture_and_the_outputs(self, result):
        slim = result.slim()
        assert len(pickle.dumps(slim)) < 3000 < result.image.nbytes
        assert slim.heatmaps.shape == (1, 4, 0, 0)
        assert (slim.offsets, slim.hf, slim.features, slim.outputs) == (None, None, None, {})
        assert result.image.size

    @pytest.mark.parametrize(
        ("name", "use"),
        [
            ("plot", lambda r: r.plot()),
            ("plot", lambda r: r.plot(heatmaps=True)),
            ("plot", lambda r: r.save("never.png")),
            ("rectify", lambda r: r.rectify()),
            ("peaks", lambda r: r.peaks),
        ],
    )
    def test_what_needs_the_picture_is_refused(self, result, name, use):
        with pytest.raises(UnsupportedError, match=rf"{name}.*slim\(\)"):
            use(result.slim())


def test_keypoints_are_indexed_by_instance():
    xy, conf = np.arange(12.0).reshape(3, 2, 2), np.arange(6, dtype=np.float32).reshape(3, 2)
    keypoints = Keypoints(xy, conf, (20, 10), ("a", "b"))
    for index, rows in ((0, [0]), (-1, [2]), (slice(1, None), [1, 2]), (conf[:, 0] > 1, [1, 2])):
        found = keypoints[index]
        np.testing.assert_array_equal(found.xy, xy[rows])
        np.testing.assert_array_equal(found.conf, conf[rows])
        assert (found.size, found.names) == ((20, 10), ("a", "b"))
    assert [len(keypoints[n]) for n in range(3)] == [1, 1, 1]
    for index in (3, -4):
        with pytest.raises(IndexError, match=str(index)):
            keypoints[index]


def test_features_are_hf(result):
    assert result.features is result.hf is not None


def test_unknown_keyword_lists_the_accepted_ones(result):
    with pytest.raises(UnknownKeywordError, match=r"'width'.* size$"):
        result.rectify(width=800)


def test_peaks(result, null_model):
    assert len(result.peaks) == 4
    for k, peaks in enumerate(result.peaks):
        assert peaks.shape == (1, 3)
        # As in the predictor's test: float32 offsets.
        np.testing.assert_allclose(peaks[0, :2], null_model.corners[k], atol=2e-5)
        assert peaks[0, 2] == result.keypoints.conf[0, k]


class TestPlot:
    def test_new_picture_with_a_mark_at_each_keypoint(self, result, null_model):
        before = result.image.copy()
        drawn = np.array(result.plot())
        assert drawn.shape == before.shape
        np.testing.assert_array_equal(result.image, before)
        np.testing.assert_array_equal(before, null_model.picture)
        for x, y in np.rint(null_model.corners).astype(int):
            assert (drawn[y - 1 : y + 2, x - 1 : x + 2] != before[y - 1 : y + 2, x - 1 : x + 2]).any(axis=2).all()

    def test_disc_is_centered_on_the_keypoint(self):
        # The name and number are drawn below, from six pixels off.
        picture = Image.new("RGB", (320, 200))
        drawn = np.array(draw_keypoints(picture, np.array([[[100.0, 80.0]]]), np.ones((1, 1)), [""], []), float)
        disc = drawn[75:85, 90:111].max(axis=2) > 60
        rows, columns = np.nonzero(disc)
        assert rows.mean() + 75 == pytest.approx(80, abs=0.25)  # a quarter of a pixel: drawn at twice the size
        assert columns.mean() + 90 == pytest.approx(100, abs=0.25)
        assert columns.min() + 90 == 97  # a radius of three

    def draw(self, count, names, conf=1.0, skeleton=(), size=(320, 200), step=24):
        """``count`` instances, each a vertical line of keypoints, in columns of the picture."""
        k = len(names)
        xy = np.stack([np.stack([np.full(k, 40.0 + 60 * n), 20 + step * np.arange(k)], axis=1) for n in range(count)])
        return np.array(draw_keypoints(Image.new("RGB", size), xy, np.full((count, k), conf), names, skeleton), int)

    def test_names_are_drawn_for_at_most_eight_keypoints(self):
        names = ["nose", "left_eye", "right_eye", "left_ear"]
        beside = slice(0, None), slice(110, 140)  # right of the second instance's marks, where its names end
        assert self.draw(2, names)[beside].any()
        assert not self.draw(3, names)[:, 52:88].any()  # between the first instance and the next
        assert not self.draw(2, names, conf=0.1).any()

    def test_several_instances_have_different_colors_and_left_is_lighter(self):
        names = ["left_a", "left_b", "right_a", "right_b", "nose"]
        drawn = self.draw(2, names, skeleton=[(0, 1), (2, 3), (1, 2)])
        colors = {(n, k): drawn[20 + 24 * k, 40 + 60 * n] for n in range(2) for k in range(5)}
        for n in range(2):
            assert colors[n, 4].tolist() == list(PALETTE[n])
            assert (colors[n, 0] == colors[n, 1]).all()
            assert colors[n, 0].sum() > colors[n, 4].sum() > colors[n, 2].sum()
        lines = drawn[[32, 56, 80], 40]  # on the left, across, on the right
        assert [line.tolist() for line in lines] == [colors[0, k].tolist() for k in (0, 4, 2)]

    def test_a_single_instance_has_a_color_for_each_side(self):
        drawn = self.draw(1, ["left_a", "right_a", "nose"])
        assert [drawn[20 + 24 * k, 40].tolist() for k in range(3)] == [list(PALETTE[1]), list(PALETTE[0]), [255] * 3]

    def test_marks_without_names_are_smaller_for_a_smaller_instance(self):
        names = [f"left_{k}" for k in range(9)]
        small, large = (self.draw(1, names, step=step, size=(960, 600)).any(axis=2) for step in (10, 40))
        widths = small.any(axis=0).sum(), large.any(axis=0).sum()
        assert widths[0] < 0.5 * widths[1]
        assert widths[1] <= 2 * 4.0 * 960 / 320 + 1

    def test_keypoints_with_a_low_confidence_are_not_drawn(self, result):
        unsure = Keypoints(result.keypoints.xy, np.full((1, 4), 0.1, np.float32), (128, 192), result.keypoints.names)
        np.testing.assert_array_equal(np.array(changed(result, keypoints=unsure).plot()), result.image)

    def test_heatmaps(self, result, null_model):
        dark = changed(result, image=np.zeros_like(result.image))
        with_maps, without = np.array(dark.plot(heatmaps=True)), np.array(dark.plot())
        assert with_maps.shape == without.shape
        difference = np.abs(with_maps.astype(int) - without).sum(axis=2)
        # A peak is 1.5 cells of 8 px wide: 10 px right of the mark it is visible, in the far corner it is not.
        x, y = null_model.corners[2].astype(int)
        assert difference[y, x + 10] > 50
        assert difference[127, 0] < 10

    def test_heatmap_lies_on_the_picture_without_its_padding(self):
        box = Letterbox.fit(192, 32, (64, 96))
        heatmap = np.zeros((16, 24), np.float32)
        heatmap[:6] = heatmap[10:] = 1  # the padding, rows 6 to 9 hold the picture
        blended = np.array(blend_heatmap(Image.new("RGB", (192, 32)), heatmap, box, CellGrid(4, 1.5)))
        assert blended[16].max() == 0

    @pytest.mark.parametrize("far", [1e4, 1e7, 1e12, 1e300])
    def test_points_far_outside_do_not_overflow(self, result, far):
        xy = np.array([[[far, -far], [-far, far], [50.0, 50.0], [far, far]]])
        keypoints = Keypoints(xy, np.ones((1, 4), np.float32), (128, 192), result.keypoints.names)
        plain = changed(result, keypoints=keypoints)
        assert plain.plot().size == (192, 128)
        assert plain.rectify((30, 20)).size == (20, 30)
        np.testing.assert_array_equal(keypoints.xy, xy)
        assert LARGEST_COORDINATE > 16_384 * 10


class TestSave:
    @pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
    def test_writes_what_plot_draws(self, result, tmp_path, name):
        assert result.save(str(tmp_path / name)) == tmp_path / name
        with Image.open(tmp_path / name) as picture:
            assert picture.size == (192, 128)
            if name.endswith(".png"):
                np.testing.assert_array_equal(np.array(picture), np.array(result.plot()))

    @pytest.mark.parametrize("name", ["a.xyz", "a"])
    def test_bad_suffix(self, result, tmp_path, name):
        with pytest.raises(InputError, match=rf"{re.escape(str(tmp_path / name))}'.* \.png .*\.jpg"):
            result.save(tmp_path / name)
        assert list(tmp_path.iterdir()) == []

    def test_folder_that_does_not_exist(self, result, tmp_path):
        with pytest.raises(WriteError, match=re.escape(str(tmp_path / "none" / "a.png"))):
            result.save(tmp_path / "none" / "a.png")


def page(corners, size):
    """A picture with a page of four colors, red at the first corner, then clockwise."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    to_page = perspective_coefficients(np.array(corners), np.array([[0, 0], [1, 0], [1, 1], [0, 1]]))
    weight = to_page[6] * x + to_page[7] * y + 1
    u = (to_page[0] * x + to_page[1] * y + to_page[2]) / weight
    v = (to_page[3] * x + to_page[4] * y + to_page[5]) / weight
    picture = np.zeros((height, width, 3), np.uint8)
    for color, left, above in ((RED, True, True), (GREEN, False, True), (BLUE, False, False), (WHITE, True, False)):
        inside = (u >= 0) & (u <= 1) & (v >= 0) & (v <= 1)
        picture[inside & ((u < 0.5) == left) & ((v < 0.5) == above)] = color
    return picture


def outline(*corners):
    """Return certain corners of one page in a picture of 192x128 pixels."""
    return Keypoints(np.array([corners]), np.ones((1, 4), np.float32), (128, 192), ("a",) * 4)


class TestRectify:
    @pytest.mark.parametrize("scale", [1, 4])
    def test_page_is_flat_and_upright(self, result, null_model, scale):
        corners = (null_model.corners + 0.5) * scale - 0.5
        picture = page(corners, (128 * scale, 192 * scale))
        keypoints = Keypoints(corners[None], np.ones((1, 4), np.float32), picture.shape[:2], null_model.spec.keypoints)
        flat = np.array(changed(result, image=picture, keypoints=keypoints).rectify((40, 60)))
        assert flat.shape == (40, 60, 3)
        # Each quarter without its edges: halved first, bicubic reaches four pixels of the picture, three of the page.
        upper, lower, left, right = slice(4, 15), slice(25, 36), slice(4, 25), slice(35, 56)
        for part, color in (
            (flat[upper, left], RED),
            (flat[upper, right], GREEN),
            (flat[lower, right], BLUE),
            (flat[lower, left], WHITE),
        ):
            # Pillow's bicubic cuts fractions off, so that 29.999 becomes 29.
            assert np.abs(part - np.array(color)).max() <= 1

    def test_identity_gives_the_same_pixels(self):
        picture = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
        corners = np.array([[0, 0], [49, 0], [49, 29], [0, 29]], float)
        flat = np.array(flatten_quadrilateral(Image.fromarray(picture), corners, (50, 30)))
        # The least-squares answer is exact to about 1e-12 px; Pillow then cuts fractions off, 122.999 becomes 122.
        # Half a pixel's shift would change this noise by dozens of levels.
        np.testing.assert_allclose(flat.astype(int), picture, atol=1, rtol=0)

    def test_part_of_a_picture_is_cut_out_pixel_by_pixel(self):
        picture = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
        corners = np.array([[10, 5], [39, 5], [39, 24], [10, 24]], float)
        flat = np.array(flatten_quadrilateral(Image.fromarray(picture), corners, (30, 20)))
        np.testing.assert_allclose(flat.astype(int), picture[5:25, 10:40], atol=1, rtol=0)  # as above

    @pytest.mark.parametrize("factor", [2, 3, 5])
    def test_shrinking_keeps_positions(self, factor):
        # A ramp is its own average. With every filter, each pixel must have the value of its own position.
        width, height = 40, 20
        ramp = np.broadcast_to(np.arange(width * factor, dtype=np.float64), (height * factor, width * factor))
        picture = Image.fromarray(np.repeat(np.rint(ramp)[..., None], 3, axis=2).astype(np.uint8))
        outer = [[-0.5, -0.5], [width * factor - 0.5, -0.5], [width * factor - 0.5, height * factor - 0.5]]
        corners = np.array([*outer, [-0.5, height * factor - 0.5]]) + factor / 2 * np.array(
            [[1, 1], [-1, 1], [-1, -1], [1, -1]]
        )
        flat = np.array(flatten_quadrilateral(picture, corners, (width, height)), float)[..., 0]
        expected = (np.arange(width) + 0.5) * factor - 0.5
        # Two roundings to gray levels, in the ramp's reduction and at the end, each half a level.
        np.testing.assert_allclose(
            flat[1:-1, 1:-1], np.broadcast_to(expected[1:-1], (height - 2, width - 2)), atol=1.01
        )

    def test_corners_on_a_line_give_a_picture(self, result):
        line = outline([5.0, 5.0], [9.0, 9.0], [20.0, 20.0], [5.0, 5.0])
        assert changed(result, keypoints=line).rectify((10, 20)).size == (20, 10)

    def test_without_a_size_the_page_keeps_its_proportions(self, result):
        page = outline([20.0, 20.0], [80.0, 20.0], [80.0, 110.0], [20.0, 110.0])
        assert changed(result, keypoints=page).rectify().size == (60, 90)

    def test_the_sides_of_a_page_are_limited(self, result):
        page = outline([0.0, 0.0], [9e5, 0.0], [9e5, 30.0], [0.0, 30.0])
        assert max(changed(result, keypoints=page).rectify().size) <= 16384

    def test_rectifying_without_an_outline_raises(self, result):
        loose = changed(result, spec=result.spec.replace(cyclic=False, golden=None))
        with pytest.raises(UnsupportedError, match="'corners'"):
            loose.rectify((10, 20))

    @pytest.mark.parametrize("size", [(0, 10), (10, -1), (10,), 10, (10.5, 10), "ab", (10**6, 10)])
    def test_bad_size(self, result, size):
        with pytest.raises(InputError, match=re.escape(f"size={size!r}")):
            result.rectify(size)


def test_perspective_coefficients_map_corners_onto_corners():
    source = np.array([[0, 0], [10, 1], [9, 12], [-1, 8]], float)
    target = np.array([[3, 4], [100, 8], [90, 70], [5, 60]], float)
    a, b, c, d, e, f, g, h = perspective_coefficients(source, target)
    x, y = source.T
    mapped = np.stack([a * x + b * y + c, d * x + e * y + f], axis=1) / (g * x + h * y + 1)[:, None]
    # Condition number of the 8 equations about 1e5, times 1e-16, times coordinates of 100.
    np.testing.assert_allclose(mapped, target, atol=1e-8)
