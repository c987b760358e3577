import gc
import json
import pickle
import re
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import runtimes.null
from edgehrnet import Keypoints, ModelSpec, Predictor, Result
from edgehrnet.errors import (
    ClosedError,
    DeviceError,
    EdgeHRNetError,
    ImageError,
    InputError,
    MissingExtraError,
    MissingFileError,
    MissingImageError,
    MissingSpecError,
    ModelFileError,
    SkippedPictureWarning,
    SpecError,
    UnknownKeywordError,
    UnknownSuffixError,
)
from quant.data.codecs import outline_maps
from runtimes.null import NullRuntime

# The file's offsets are float32 of up to 24 cells, exact to 24 * 2^-24 cells; a cell is 8 px of the picture.
EXACT = 2e-5


@pytest.fixture
def predictor(null_model):
    with Predictor(null_model.path) as predictor:
        yield predictor


def write_null(path, spec, outputs):
    runtimes.null.build(path, None if spec is None else spec.to_json(), (64, 96), outputs)
    return path


class TestPredict:
    def test_one_picture_gives_one_result(self, predictor, null_model):
        result = predictor.predict(null_model.picture)
        assert isinstance(result, Result)
        np.testing.assert_allclose(result.keypoints.xy[0], null_model.corners, atol=EXACT)

    def test_list_gives_a_list_of_results(self, predictor, null_model):
        wide = np.zeros((50, 300, 3), np.uint8)
        results = predictor.predict([null_model.picture, wide])
        assert isinstance(results, list)
        assert [result.keypoints.size for result in results] == [(128, 192), (50, 300)]

    def test_empty_list(self, predictor):
        assert predictor.predict([]) == []

    def test_calling_equals_predict(self, predictor, null_model):
        called, predicted = predictor(null_model.picture), predictor.predict(null_model.picture)
        np.testing.assert_array_equal(called.keypoints.xy, predicted.keypoints.xy)
        assert len(predictor([null_model.picture])) == 1

    def test_every_kind_of_picture(self, predictor, null_model, tmp_path):
        Image.fromarray(null_model.picture).save(tmp_path / "a.png")
        picture = tmp_path / "a.png"
        for image in (picture, str(picture), picture.read_bytes(), Image.open(picture), null_model.picture):
            np.testing.assert_array_equal(predictor(image).image, null_model.picture)
        np.testing.assert_array_equal(predictor(null_model.picture[..., ::-1], color="bgr").image, null_model.picture)

    def test_bad_picture(self, predictor):
        with pytest.raises(ImageError, match="tuple"):
            predictor.predict((1, 2))
        with pytest.raises(MissingImageError, match=r"none\.png"):
            predictor.predict([np.zeros((20, 20), np.uint8), "none.png"])

    def test_unknown_keyword_names_the_nearest(self, predictor, null_model):
        for call in (predictor.predict, predictor, predictor.stream):
            with pytest.raises(UnknownKeywordError, match=r"'colour'.*'color'") as caught:
                call(null_model.picture, colour="bgr")
            assert isinstance(caught.value, TypeError)


class TestResultFields:
    def test_shapes_types_and_values(self, predictor, null_model):
        result = predictor(null_model.picture)
        fields = {
            "heatmaps": ((1, 4, 16, 24), np.float32),
            "offsets": ((1, 8, 16, 24), np.float32),
            "hf": ((1, 8, 16, 24), np.float32),
            "mask": ((16, 24), np.bool_),
            "image": ((128, 192, 3), np.uint8),
            "score": ((1,), np.float32),
        }
        found = {name: getattr(result, name) for name in fields}
        assert {name: (array.shape, array.dtype.type) for name, array in found.items()} == fields
        assert isinstance(result.keypoints, Keypoints)
        assert result.keypoints.xy.shape == (1, 4, 2)
        assert result.keypoints.conf.shape == (1, 4)
        assert result.outputs == {}
        assert result.spec == predictor.spec
        # The peaks are 0.9 high, a cell's center at most 0.71 cells away: 0.9 exp(-0.71^2 / 4.5) = 0.805.
        assert ((result.keypoints.conf > 0.8) & (result.keypoints.conf <= 0.9)).all()
        assert result.score == pytest.approx(result.keypoints.conf.mean())
        np.testing.assert_array_equal(result.heatmaps.max(axis=(2, 3)), result.keypoints.conf)

    def test_features_are_a_transposed_view(self, predictor, null_model):
        features = predictor(null_model.picture).hf
        assert features.base is not None
        assert features.transpose(0, 2, 3, 1).flags.c_contiguous
        np.testing.assert_array_equal(features.transpose(0, 2, 3, 1), null_model.outputs["hf"])

    def test_two_results_share_no_memory(self, predictor, null_model):
        first, second = predictor([null_model.picture, null_model.picture])
        for name in ("hf", "heatmaps", "offsets", "mask", "image"):
            assert not np.shares_memory(getattr(first, name), getattr(second, name)), name
        assert not np.shares_memory(first.keypoints.xy, second.keypoints.xy)
        second.hf[:] = -1
        np.testing.assert_array_equal(first.hf.transpose(0, 2, 3, 1), null_model.outputs["hf"])

    def test_result_outlives_the_array_it_was_made_from(self, predictor, null_model):
        frame = null_model.picture.copy()
        result = predictor(frame)
        frame[:] = 0
        np.testing.assert_array_equal(result.image, null_model.picture)

    def test_result_unpacks_into_xy_and_conf(self, predictor, null_model):
        xy, conf = result = predictor(null_model.picture)
        assert xy is result.keypoints.xy
        assert conf is result.keypoints.conf

    def test_normalized_keypoints(self, predictor, null_model):
        keypoints = predictor(null_model.picture).keypoints
        np.testing.assert_allclose(keypoints.xyn * (192, 128), keypoints.xy)
        assert len(keypoints) == 1

    def test_fields_cannot_be_set(self, predictor, null_model):
        result = predictor(null_model.picture)
        with pytest.raises(AttributeError):
            result.hf = None
        with pytest.raises(AttributeError):
            result.keypoints.xy = None

    def test_speed_has_every_stage(self, predictor, null_model):
        speed = predictor(null_model.picture).speed
        assert list(speed) == ["read", "letterbox", "inference", "decode"]
        assert all(ms >= 0 for ms in speed.values())

    def test_mask_is_the_padding(self, predictor, null_model):
        assert predictor(null_model.picture).mask.all()
        # 96 x 16 of the 96 x 64 input, four cells in the middle of sixteen.
        wide = predictor(np.zeros((32, 192, 3), np.uint8)).mask
        np.testing.assert_array_equal(wide.any(axis=1), np.isin(np.arange(16), range(6, 10)))

    def test_no_peak_in_the_padding(self, predictor):
        result = predictor(np.zeros((32, 192, 3), np.uint8))
        rows = np.unravel_index(np.where(result.mask, result.heatmaps[0], 0).reshape(4, -1).argmax(axis=1), (16, 24))[0]
        assert set(rows) <= set(range(6, 10))

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e38])
    def test_keypoints_are_finite_for_every_output(self, null_model, tmp_path, bad):
        outputs = {name: np.full_like(array, bad) for name, array in null_model.outputs.items()}
        with Predictor(write_null(tmp_path / "bad.null", null_model.spec, outputs)) as predictor:
            result = predictor(null_model.picture)
            assert np.isfinite(result.keypoints.xy).all()
            assert np.isfinite(result.keypoints.conf).all()
            assert result.plot(heatmaps=False).size == (192, 128)
            assert not predictor.selfcheck().passed

    def test_further_outputs(self, null_model, tmp_path):
        outputs = {**null_model.outputs, "boundary": np.ones((1, 1, 16, 24), np.float32)}
        with Predictor(write_null(tmp_path / "more.null", null_model.spec, outputs)) as predictor:
            assert list(predictor(null_model.picture).outputs) == ["boundary"]

    def test_file_without_features_and_offsets(self, null_model, tmp_path):
        outputs = {"heatmaps": null_model.outputs["heatmaps"]}
        with Predictor(write_null(tmp_path / "less.null", null_model.spec, outputs), decode="dark") as predictor:
            result = predictor(null_model.picture)
        assert result.hf is None
        assert result.offsets is None
        with pytest.raises(SpecError, match="decode='offset'"):
            Predictor(tmp_path / "less.null")


class TestOpening:
    def test_unknown_suffix(self, tmp_path):
        with pytest.raises(UnknownSuffixError, match=r"model\.tflite"):
            Predictor(tmp_path / "model.tflite")

    def test_missing_file_is_not_downloaded(self, tmp_path):
        with pytest.raises(MissingFileError, match=r"model\.xml") as caught:
            Predictor(tmp_path / "model.xml")
        assert isinstance(caught.value, FileNotFoundError)
        with pytest.raises(MissingFileError, match=r"example\.org"):
            Predictor("https://example.org/model.xml")

    def test_unknown_keyword_names_the_nearest(self, null_model):
        with pytest.raises(UnknownKeywordError, match=r"'devise'.*'device'"):
            Predictor(null_model.path, devise="cpu")  # type: ignore[call-arg] # misspelled on purpose

    @pytest.mark.parametrize(
        ("argument", "value", "shown"),
        [
            ("threads", 0, "threads=0"),
            ("threads", -2, "threads=-2"),
            ("threads", 1.5, "threads=1.5"),
            ("threads", "2", "threads='2'"),
            ("threads", True, "threads=True"),
            ("decode", "offsets", "'offsets'.*'offset'"),
            ("decode", "", "decode=''"),
            ("decode", 5, "decode=5"),
            ("input_size", (60, 96), "60x96.*32x96.*64x96"),
            ("input_size", (0, 96), " 0x96"),
            ("input_size", (-64, 96), "-64x96"),
            ("input_size", 64, "input_size=64"),
            ("input_size", (64,), r"input_size=\(64,\)"),
            ("input_size", (64, 96, 4), r"input_size=\(64, 96, 4\)"),
            ("input_size", (64.0, 96.0), r"input_size=\(64\.0, 96\.0\)"),
            ("input_size", "64x96", "input_size='64x96'"),
        ],
    )
    def test_bad_values(self, null_model, argument, value, shown):
        with pytest.raises(InputError, match=shown) as caught:
            Predictor(null_model.path, **{argument: value})
        assert isinstance(caught.value, ValueError)

    def test_bad_device(self, null_model):
        with pytest.raises(DeviceError, match="'gpu'"):
            Predictor(null_model.path, device="gpu")

    @pytest.mark.parametrize("module", ["openvino", "onnxruntime"])
    def test_engine_that_is_not_installed(self, request, monkeypatch, module):
        extra = module.removesuffix("runtime")
        path = request.getfixturevalue(f"{extra}_model").path
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(MissingExtraError, match=rf"edgehrnet\[{extra}\]") as caught:
            Predictor(path)
        assert isinstance(caught.value, ImportError)


class TestSpec:
    def test_file_without_spec(self, null_model, tmp_path):
        path = write_null(tmp_path / "bare.null", None, null_model.outputs)
        with pytest.raises(MissingSpecError, match=re.escape(str(path))):
            Predictor(path)
        with Predictor(path, spec=null_model.spec) as predictor:
            np.testing.assert_allclose(predictor(null_model.picture).keypoints.xy[0], null_model.corners, atol=EXACT)

    def test_given_spec_replaces_that_of_the_file(self, null_model):
        spec = null_model.spec.replace(keypoints=("a", "b", "c", "d"), cyclic=False, golden=None)
        with Predictor(null_model.path, spec=spec) as predictor:
            assert predictor(null_model.picture).keypoints.names == ("a", "b", "c", "d")
            assert predictor.spec == spec

    def test_spec_as_dictionary_and_as_file(self, null_model, tmp_path):
        spec = null_model.spec.replace(name="renamed")
        (tmp_path / "spec.json").write_text(spec.to_json())
        for given in (spec.to_dict(), str(tmp_path / "spec.json"), tmp_path / "spec.json"):
            with Predictor(null_model.path, spec=given) as predictor:
                assert predictor.spec == spec

    def test_spec_that_cannot_be_read(self, null_model, tmp_path):
        with pytest.raises(MissingFileError, match=r"none\.json"):
            Predictor(null_model.path, spec=tmp_path / "none.json")
        for given in (5, {"name": "a"}, tmp_path):
            with pytest.raises(SpecError):
                Predictor(null_model.path, spec=given)  # type: ignore[arg-type] # no spec, on purpose

    def test_damaged_spec(self, null_model, tmp_path):
        runtimes.null.build(tmp_path / "a.null", "{", (64, 96), null_model.outputs)
        with pytest.raises(SpecError, match="line 1 column 2"):
            Predictor(tmp_path / "a.null")

    @pytest.mark.parametrize(
        ("changes", "shape"),
        [({"keypoints": ("a", "b"), "skeleton": (), "flip_pairs": ()}, (1, 2, 16, 24)), ({"stride": 8}, (1, 4, 8, 12))],
    )
    def test_spec_of_another_file(self, null_model, changes, shape):
        with pytest.raises(SpecError, match=rf"{re.escape(str(shape))}.*\(1, 4, 16, 24\)"):
            Predictor(null_model.path, spec=null_model.spec.replace(**changes))

    def test_file_without_heatmaps(self, null_model, tmp_path):
        path = write_null(tmp_path / "a.null", null_model.spec, {"offsets": null_model.outputs["offsets"]})
        with pytest.raises(SpecError, match=r"heatmaps .*\['offsets'\]"):
            Predictor(path)

    def test_a_signed_distance_of_another_shape(self, null_model, tmp_path):
        outputs = {**null_model.outputs, "sdf": np.zeros((1, 1, 8, 12), np.float32)}
        path = write_null(tmp_path / "a.null", null_model.spec, outputs)
        with pytest.raises(SpecError, match=r"sdf .*\(1, 1, 16, 24\).*\(1, 1, 8, 12\)"):
            Predictor(path)

    def test_decode(self, null_model):
        def decoded(decode):
            with Predictor(null_model.path, decode=decode) as predictor:
                return predictor(null_model.picture).keypoints.xy[0]

        cell = 8  # picture pixels
        on_cells = (decoded("argmax") + 0.5) / cell - 0.5
        np.testing.assert_allclose(on_cells, np.rint(on_cells), atol=1e-9)
        # Rounding to a cell is off by half a cell at most, and the corners are not on cells.
        distance = np.abs(decoded("argmax") - null_model.corners)
        assert distance.max() <= cell / 2 + EXACT
        assert distance.max() > 1
        np.testing.assert_array_equal(decoded(None), decoded("offset"))
        assert not np.array_equal(decoded("dark"), decoded("argmax"))


class TestOutlineOrder:
    def test_corners_are_chosen_on_the_outline(self, null_model, tmp_path):
        outputs = {name: array.copy() for name, array in null_model.outputs.items()}
        second = outputs["heatmaps"][0, 1]
        second[12, 5], outputs["offsets"][0, 2:4, 12, 5] = second.max() + 0.1, 0
        spec = null_model.spec
        with Predictor(null_model.path) as predictor:
            transform = predictor(null_model.picture).transform
        outline = outline_maps(transform.forward(null_model.corners), spec.grid, (16, 24))[1]
        errors = {}
        for name, extra in (("alone", {}), ("together", {"sdf": outline[None, None]})):
            path = write_null(tmp_path / f"{name}.null", spec, {**outputs, **extra})
            with Predictor(path) as predictor:
                found = predictor(null_model.picture).keypoints.xy[0]
            errors[name] = np.abs(found - null_model.corners).max()
        assert errors["together"] <= EXACT
        assert errors["alone"] > 10

    def test_maps_and_peaks_follow_the_keypoints(self, null_model, tmp_path):
        roll = {"heatmaps": 1, "offsets": 2, "hf": 0}
        outputs = {name: np.roll(array, roll[name], axis=1) for name, array in null_model.outputs.items()}
        with (
            Predictor(null_model.path) as predictor,
            Predictor(write_null(tmp_path / "rolled.null", null_model.spec, outputs)) as other,
        ):
            expected, found = predictor(null_model.picture), other(null_model.picture)
        np.testing.assert_array_equal(found.keypoints.xy, expected.keypoints.xy)
        np.testing.assert_array_equal(found.heatmaps, expected.heatmaps)
        np.testing.assert_array_equal(found.offsets, expected.offsets)
        for k, peaks in enumerate(found.peaks):
            np.testing.assert_allclose(peaks[0, :2], found.keypoints.xy[0, k], atol=1e-6)


class TestSelfcheck:
    def test_passes_exactly(self, predictor):
        report = predictor.selfcheck()
        assert report.passed
        assert report.max_px < EXACT + 5e-5  # the golden keypoints are rounded to 4 digits
        assert report.correlation > 0.9999

    def test_decode_is_ignored(self, null_model, predictor):
        with Predictor(null_model.path, decode="argmax") as other:
            assert other.selfcheck() == predictor.selfcheck()

    def test_flip_test_is_ignored(self, null_model, predictor):
        with Predictor(null_model.path, flip_test=True) as other:
            assert other.selfcheck() == predictor.selfcheck()

    def test_fails_where_the_device_computes_something_else(self, null_model, tmp_path):
        outputs = dict(null_model.outputs, heatmaps=null_model.outputs["heatmaps"][..., ::-1])
        with Predictor(write_null(tmp_path / "a.null", null_model.spec, outputs)) as predictor:
            report = predictor.selfcheck()
        assert not report.passed
        assert report.correlation < 0.5

    def test_rotated_outline_passes(self, null_model):
        golden = null_model.spec.golden
        rolled = type(golden).pack(
            golden.image(),
            np.roll(golden.xy, 1, axis=0),
            np.roll(golden.conf, 1),
            np.roll(golden.heatmap_array(), 1, axis=0),
        )
        for cyclic, passed in ((True, True), (False, False)):
            spec = null_model.spec.replace(golden=rolled, cyclic=cyclic)
            with Predictor(null_model.path, spec=spec) as predictor:
                assert predictor.selfcheck().passed is passed

    def test_position_of_an_absent_corner_is_ignored(self, null_model):
        golden = null_model.spec.golden
        moved = ((0.0, 0.0), *golden.xy[1:])
        for confidence, passed in ((0.0, True), (0.9, False)):
            other = replace(golden, xy=moved, conf=(confidence, *golden.conf[1:]))
            with Predictor(null_model.path, spec=null_model.spec.replace(golden=other)) as predictor:
                assert predictor.selfcheck().passed is passed

    def test_constant_output_fails_without_a_warning(self, null_model, tmp_path):
        outputs = {name: np.zeros_like(array) for name, array in null_model.outputs.items()}
        with Predictor(write_null(tmp_path / "a.null", null_model.spec, outputs)) as predictor:
            report = predictor.selfcheck()
        assert not report.passed
        assert report.correlation == 0.0

    def test_file_without_a_golden_pair(self, null_model):
        with (
            Predictor(null_model.path, spec=null_model.spec.replace(golden=None)) as predictor,
            pytest.raises(MissingSpecError, match=re.escape(str(null_model.path))),
        ):
            predictor.selfcheck()

    def test_golden_pair_of_another_size(self, null_model):
        golden = null_model.spec.golden
        other = type(golden).pack(golden.image(), np.array(golden.xy), np.array(golden.conf), np.zeros((4, 8, 12)))
        with (
            Predictor(null_model.path, spec=null_model.spec.replace(golden=other)) as predictor,
            pytest.raises(SpecError, match="8, 12"),
        ):
            predictor.selfcheck()


class TestLife:
    def test_use_after_close(self, null_model):
        predictor = Predictor(null_model.path)
        predictor.close()
        predictor.close()
        for use in (lambda: predictor(null_model.picture), predictor.warmup, predictor.info, predictor.selfcheck):
            with pytest.raises(ClosedError, match=re.escape(str(null_model.path))) as caught:
                use()
            assert isinstance(caught.value, EdgeHRNetError)

    def test_with_statement_closes(self, null_model):
        with Predictor(null_model.path) as predictor:
            predictor.warmup()
        with pytest.raises(ClosedError):
            predictor.warmup()

    def test_with_statement_does_not_hide_errors(self, null_model):
        with pytest.raises(KeyError), Predictor(null_model.path) as predictor:
            raise KeyError("the caller's own")
        with pytest.raises(ClosedError):
            predictor.warmup()

    def test_pickle(self, null_model):
        spec = null_model.spec.replace(name="renamed")
        with Predictor(null_model.path, decode="dark", spec=spec) as predictor:
            copy = pickle.loads(pickle.dumps(predictor))
            assert copy.spec == spec
            ours, theirs = predictor(null_model.picture), copy(null_model.picture)
        np.testing.assert_array_equal(ours.keypoints.xy, theirs.keypoints.xy)
        # The copy is independent: closing the first leaves it open.
        assert len(copy.predict([null_model.picture])) == 1

    def test_threads_agree(self, predictor):
        rng = np.random.default_rng(0)
        pictures = [rng.integers(0, 256, (rng.integers(20, 200), 150, 3), dtype=np.uint8) for _ in range(24)]
        expected = predictor(pictures)
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(predictor, pictures))
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_array_equal(ours.keypoints.xy, theirs.keypoints.xy)
            np.testing.assert_array_equal(ours.image, theirs.image)

    def test_repr(self, predictor, null_model):
        assert repr(predictor) == f"Predictor({str(null_model.path)!r}, corners, input 64x96)"

    def test_info_is_json(self, predictor, null_model):
        info = json.loads(json.dumps(predictor.info()))
        assert info["file"] == str(null_model.path)
        assert info["engine"] == "null"
        assert info["input_size"] == [64, 96]
        assert info["golden"] is True
        assert info["spec"]["golden"] is None
        assert ModelSpec.from_dict(info["spec"]) == null_model.spec.replace(golden=None)

    def test_info_of_an_engine_is_json(self, openvino_model):
        with Predictor(openvino_model.path) as predictor:
            assert json.loads(json.dumps(predictor.info()))["settings"]["convolutions"].keys() == {"f32"}

    def test_engine_is_released_when_the_file_is_not_usable(self, null_model, tmp_path, monkeypatch):
        closed = []
        monkeypatch.setattr(runtimes.null.NullRuntime, "close", lambda self: closed.append(self))
        path = write_null(tmp_path / "bare.null", None, null_model.outputs)
        with pytest.raises(MissingSpecError):
            Predictor(path)
        assert len(closed) == 1


class TestStream:
    def test_pictures_are_taken_one_at_a_time(self, predictor, null_model):
        taken = []

        def camera():
            for number in range(3):
                taken.append(number)
                yield null_model.picture

        stream = predictor.stream(camera())
        assert taken == []
        assert isinstance(next(stream), Result)
        assert taken == [0]
        assert len(list(stream)) == 2

    def test_results_are_not_kept(self, predictor, null_model):
        stream = predictor.stream(null_model.picture for _ in range(3))
        first = weakref.ref(next(stream))
        next(stream)
        gc.collect()
        assert first() is None

    def test_folder(self, predictor, null_model, tmp_path):
        for name, width in (("b.png", 50), ("a.png", 60)):
            Image.new("RGB", (width, 40)).save(tmp_path / name)
        assert [result.keypoints.size[1] for result in predictor.stream(tmp_path)] == [60, 50]
        assert len(list(predictor.stream(str(tmp_path / "*.png")))) == 2

    def test_folder_without_pictures(self, predictor, tmp_path):
        with pytest.raises(MissingImageError, match=tmp_path.name):
            list(predictor.stream(tmp_path))

    def test_error_names_the_bad_picture(self, predictor, tmp_path):
        (tmp_path / "a.png").touch()
        with pytest.raises(ImageError, match=r"a\.png"):
            list(predictor.stream(tmp_path))

    def test_skips_bad_pictures_on_request(self, predictor, null_model, tmp_path):
        paths = [tmp_path / f"{number}.png" for number in range(9)]
        for number, path in enumerate(paths):
            Image.new("RGB", (50 + number, 40)).save(path)
        paths[4].write_bytes(b"damaged")
        with pytest.warns(SkippedPictureWarning, match=r"4\.png") as caught:
            found = [result.keypoints.size[1] for result in predictor.stream(paths, on_error="skip")]
        assert found == [50, 51, 52, 53, 55, 56, 57, 58]
        assert [warning.filename for warning in caught] == [__file__]

    def test_results_before_an_error_come_first(self, predictor, tmp_path):
        Image.new("RGB", (50, 40)).save(tmp_path / "a.png")
        (tmp_path / "b.png").touch()
        stream = predictor.stream(tmp_path)
        assert next(stream).keypoints.size == (40, 50)
        with pytest.raises(ImageError, match=r"b\.png"):
            next(stream)

    def test_files_and_frames_keep_their_order(self, predictor, null_model, tmp_path):
        Image.new("RGB", (50, 40)).save(tmp_path / "a.png")
        mixed = [tmp_path / "a.png", null_model.picture, (tmp_path / "a.png").read_bytes()]
        sizes = [result.keypoints.size for result in predictor.stream(mixed)]
        assert sizes == [(40, 50), null_model.picture.shape[:2], (40, 50)]

    @pytest.mark.parametrize("end", ["close", "throw", "drop"])
    def test_no_thread_is_left(self, predictor, tmp_path, end):
        Image.new("RGB", (50, 40)).save(tmp_path / "a.png")
        before = threading.active_count()
        stream = predictor.stream([tmp_path / "a.png"] * 20)
        next(stream)
        assert threading.active_count() > before
        if end == "throw":
            with pytest.raises(KeyboardInterrupt):
                stream.throw(KeyboardInterrupt)
        elif end == "close":
            stream.close()
        del stream
        gc.collect()
        assert threading.active_count() == before

    def test_no_thread_is_left_after_an_error(self, predictor, null_model):
        before = threading.active_count()
        pictures = ["missing.png", *[null_model.picture] * 20]
        for predict in (predictor.predict, lambda pictures: list(predictor.stream(pictures))):
            with pytest.raises(ImageError) as error:
                predict(pictures)
            assert "missing.png" in str(error.value)  # the frames of its traceback still exist
            assert threading.active_count() == before

    @pytest.mark.parametrize("value", ["ignore", None, 1])
    def test_refuses_another_way_to_treat_errors(self, predictor, null_model, value):
        with pytest.raises(InputError, match=str(value)):
            predictor.stream([null_model.picture], on_error=value)

    def test_closed_in_the_middle(self, null_model):
        predictor = Predictor(null_model.path)
        stream = predictor.stream([null_model.picture] * 2)
        next(stream)
        predictor.close()
        with pytest.raises(ClosedError):
            next(stream)


def test_other_input_size_for_a_file_with_a_fixed_one(null_model):
    with pytest.raises(ModelFileError, match="64x96"):
        Predictor(null_model.path, input_size=(96, 96))


class TestEveryEngine:
    """The same network as an OpenVINO file, an ONNX file and a checkpoint."""

    @pytest.fixture(params=["openvino_model", "onnx_model", "checkpoint_model"])
    def path(self, request):
        return request.getfixturevalue(request.param).path

    @pytest.fixture
    def reference(self, openvino_model):
        with Predictor(openvino_model.path) as predictor:
            yield predictor

    def test_the_same_picture_gives_the_same_keypoints(self, path, reference, null_model):
        with Predictor(path) as predictor:
            found = predictor.predict(null_model.picture)
        expected = reference.predict(null_model.picture)
        # Two engines differ by 1e-4 of the outputs at most; see tests/runtimes/test_contract.py.
        for name in ("heatmaps", "offsets", "hf"):
            ours, theirs = getattr(found, name), getattr(expected, name)
            assert np.sqrt(np.mean((ours - theirs) ** 2)) < 2e-4 * np.sqrt(np.mean(theirs**2)), name
        np.testing.assert_allclose(found.keypoints.conf, expected.keypoints.conf, rtol=1e-3)
        # An offset of some cells by as much, and a cell is 8 px of the picture: 24 * 2e-4 * 8.
        np.testing.assert_allclose(found.keypoints.xy, expected.keypoints.xy, atol=0.04)

    def test_info_is_json(self, path, reference):
        with Predictor(path) as predictor:
            info = json.loads(json.dumps(predictor.info()))
        theirs = reference.info()
        assert info["file"] == str(path)
        assert info["spec"] == json.loads(json.dumps(theirs["spec"]))
        assert info["outputs"] == json.loads(json.dumps(theirs["outputs"]))

    def test_pickle(self, path, null_model):
        with Predictor(path, decode="argmax") as predictor, pickle.loads(pickle.dumps(predictor)) as copy:
            ours, theirs = predictor(null_model.picture), copy(null_model.picture)
        np.testing.assert_array_equal(ours.keypoints.xy, theirs.keypoints.xy)

    def test_selfcheck(self, path):
        with Predictor(path) as predictor:
            if path.suffix == ".pt":
                with pytest.raises(MissingSpecError, match=re.escape(str(path))):
                    predictor.selfcheck()
            else:
                assert predictor.selfcheck().passed


class TestTarget:
    def test_rounds_as_int8(self, checkpoint_model, null_model):
        with (
            Predictor(checkpoint_model.path) as exact,
            Predictor(checkpoint_model.path, target="onnx") as rounded,
            pickle.loads(pickle.dumps(rounded)) as copy,
        ):
            assert (exact.spec.precision, rounded.spec.precision) == ("fp32", "int8")
            features = [predictor(null_model.picture).hf for predictor in (exact, rounded, copy)]
        assert not np.array_equal(features[0], features[1])
        np.testing.assert_array_equal(features[1], features[2])

    def test_target_is_for_checkpoints_only(self, openvino_model):
        with pytest.raises(InputError, match="target='onnx'"):
            Predictor(openvino_model.path, target="onnx")

    def test_target_without_ranges(self, checkpoint_model):
        with pytest.raises(InputError, match=r"'tensorflow'.* openvino, onnx, tensorrt"):
            Predictor(checkpoint_model.path, target="tensorflow")

    def test_certificate_beside_a_checkpoint_is_of_another_file(self, checkpoint_model, tmp_path):
        path = tmp_path / "a.pt"
        path.write_bytes(checkpoint_model.path.read_bytes())
        path.with_suffix(".certificate.json").write_text("that of a.xml")
        with Predictor(path) as predictor:
            assert predictor.info()["certificate"] is None

    def test_torch_that_is_not_installed(self, checkpoint_model, monkeypatch):
        monkeypatch.setitem(sys.modules, "torch", None)
        with pytest.raises(MissingExtraError, match=r"edgehrnet\[train\]"):
            Predictor(checkpoint_model.path)


class TestDeviceIsChecked:
    """Opening compares every device except a CPU with the golden pair."""

    @pytest.fixture
    def on_gpu(self, monkeypatch):
        described = NullRuntime.describe
        monkeypatch.setattr(NullRuntime, "describe", lambda self: replace(described(self), device="GPU.0"))

    def test_a_correct_output_passes(self, on_gpu, null_model):
        with Predictor(null_model.path) as predictor:
            assert predictor.predict(null_model.picture).keypoints.xy.shape == (1, 4, 2)

    def test_a_wrong_output_raises_and_closes_the_file(self, on_gpu, null_model, tmp_path, monkeypatch):
        closed = []
        monkeypatch.setattr(NullRuntime, "close", lambda self: closed.append(self))
        outputs = {**null_model.outputs, "heatmaps": np.roll(null_model.outputs["heatmaps"], 5, axis=3)}
        runtimes.null.build(tmp_path / "wrong.null", null_model.spec.to_json(), null_model.spec.input_size, outputs)
        with pytest.raises(DeviceError, match=r"GPU\.0 .*wrong\.null"):
            Predictor(tmp_path / "wrong.null")
        assert closed

    @pytest.mark.parametrize("arguments", [{}, {"decode": "argmax"}, {"flip_test": True}, {"input_size": (64, 96)}])
    def test_opening_compiles_once_and_runs_the_golden_picture_once(self, on_gpu, null_model, monkeypatch, arguments):
        calls = []

        def noted(name, function):
            def call(*args, **more):
                calls.append(name)
                return function(*args, **more)

            return call

        monkeypatch.setattr(runtimes, "load", noted("load", runtimes.load))
        monkeypatch.setattr(NullRuntime, "run", noted("run", NullRuntime.run))
        Predictor(null_model.path, **arguments).close()
        assert calls == ["load", "run"]

    def test_cpu_is_not_checked(self, null_model, tmp_path):
        outputs = {**null_model.outputs, "heatmaps": np.roll(null_model.outputs["heatmaps"], 5, axis=3)}
        runtimes.null.build(tmp_path / "wrong.null", null_model.spec.to_json(), null_model.spec.input_size, outputs)
        with Predictor(tmp_path / "wrong.null") as predictor:
            assert not predictor.selfcheck().passed
