import base64
import json
import re
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehrnet.errors import EdgeHRNetError, SpecError, UnknownKeywordError
from edgehrnet.golden import GOLDEN_PICTURE_BYTES, Golden
from edgehrnet.picture.letterbox import VERSION
from edgehrnet.spec import DECODE_METHODS, FORMAT, PRECISIONS, ModelSpec

SPEC = ModelSpec("test", ("a", "b"), input_size=(64, 96))


def golden(image=None):
    heat = np.random.default_rng(0).random((2, 16, 24))
    image = np.zeros((20, 30, 3), np.uint8) if image is None else image
    return Golden.pack(image, np.array([[1.5, 2.0], [3.0, 4.0]]), np.array([0.5, 1.0]), heat), heat


def refuses(text, **changes):
    """Expect the same SpecError from values and from JSON."""
    with pytest.raises(SpecError, match=text) as caught:
        SPEC.replace(**changes)
    assert isinstance(caught.value, EdgeHRNetError)
    with pytest.raises(SpecError, match=text):
        ModelSpec.from_json(json.dumps({**SPEC.to_dict(), **changes}))


NUMBERS = st.floats(-4096, 4096)
UNITS = st.floats(-1, 1)


@st.composite
def specs(draw):
    names = draw(st.lists(st.text(), min_size=1, max_size=6).map(tuple))
    index = st.integers(0, len(names) - 1)
    stride = draw(st.integers(1, 64))
    pairs = st.lists(st.tuples(index, index), max_size=4).map(tuple)
    return ModelSpec(
        draw(st.text()),
        names,
        skeleton=draw(pairs),
        flip_pairs=draw(pairs),
        oks_sigmas=draw(st.sampled_from([(), tuple(0.1 + i for i in range(len(names)))])),
        input_size=(stride * draw(st.integers(1, 40)), stride * draw(st.integers(1, 40))),
        mean=draw(st.tuples(UNITS, UNITS, UNITS)),
        std=draw(st.tuples(*[UNITS.filter(lambda number: abs(number) >= 0.001)] * 3)),
        stride=stride,
        cell_offset=draw(NUMBERS),
        decode=draw(st.sampled_from(DECODE_METHODS)),
        cyclic=draw(st.booleans()),
        precision=draw(st.sampled_from(PRECISIONS)),
        golden=draw(st.sampled_from([None, golden()[0]])),
        color=draw(st.sampled_from(["rgb", "bgr"])),
        maps=draw(st.sampled_from([None, len(names), len(names) + 1])),
    )


@given(spec=specs())
def test_json_round_trip(spec):
    assert ModelSpec.from_json(spec.to_json()) == spec
    assert ModelSpec.from_dict(spec.to_dict()) == spec


def test_json_is_one_line():
    assert "\n" not in SPEC.replace(name="two\nlines", golden=golden()[0]).to_json()


def test_lists_become_tuples():
    spec = ModelSpec("test", ["a", "b"], skeleton=[[0, 1]], input_size=[64, 96])  # type: ignore[arg-type] # on purpose
    assert spec == ModelSpec("test", ("a", "b"), skeleton=((0, 1),), input_size=(64, 96))
    assert hash(spec) == hash(ModelSpec.from_json(spec.to_json()))


def test_grid_follows_stride_and_offset():
    assert SPEC.replace(stride=8, cell_offset=3.5).grid.to_pixels(2.0) == 19.5


def test_layout():
    assert SPEC.layout("hf") == "NHWC"
    assert SPEC.layout("boundary") is None


def test_plain_heatmap_network_has_no_offsets():
    spec = ModelSpec.heatmaps("pose", ("a", "b"), input_size=(256, 192), decode="quarter")
    assert spec.outputs == (("heatmaps", "NCHW"),)
    assert (spec.channels, spec.heatmap_values, spec.decode) == (3, "linear", "quarter")
    with pytest.raises(UnknownKeywordError, match=r"'channel'.*'channels'"):
        ModelSpec.heatmaps("pose", ("a",), channel=3)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"outputs": (("simcc_x", "NKW"),)}, "simcc_y"),
        ({"outputs": (("simcc_x", "NCHW"), ("simcc_y", "NCHW"))}, "NKW"),
        ({"heatmap_values": "logits"}, "heatmap_values='logits'"),
        ({"cyclic": True}, "cyclic=True"),
        ({"unit": "inch"}, "'inch'"),
    ],
)
def test_specs_of_vectors(fields, named):
    spec = ModelSpec.simcc("pose", ("a", "b"), input_size=(256, 192))
    assert ModelSpec.from_json(spec.to_json()) == spec
    assert not spec.has_heatmaps
    with pytest.raises(SpecError, match=named):
        spec.replace(**fields)


def test_specs_of_coordinates():
    spec = ModelSpec.points("pose", ("a", "b"), input_size=(257, 193), unit="normalized")
    assert ModelSpec.from_json(spec.to_json()) == spec
    with pytest.raises(SpecError, match="NKC"):
        spec.replace(outputs=(("keypoints", "NCHW"),))


def test_one_number_stands_for_all_channels():
    spec = ModelSpec("gray", ("a",), channels=1, mean=0.5, std=(0.25,))  # type: ignore[arg-type] # as users write it
    assert (spec.mean, spec.std) == ((0.5,) * 3, (0.25,) * 3)
    with pytest.raises(SpecError, match=r"mean=\(0\.1, 0\.2, 0\.3\).*one channel"):
        spec.replace(mean=(0.1, 0.2, 0.3))


def test_later_fields_are_written_only_where_they_differ():
    assert not {"color", "maps", "unit"} & SPEC.to_dict().keys()
    changed = SPEC.replace(color="bgr", maps=3)
    assert {name: changed.to_dict()[name] for name in ("color", "maps")} == {"color": "bgr", "maps": 3}
    assert changed.to_dict()["format"] == SPEC.to_dict()["format"]


def test_heatmaps_may_have_another_name():
    assert SPEC.heatmaps_output == "heatmaps"
    assert SPEC.replace(outputs=(("stage2", "NHWC"), ("hf", "NHWC"))).heatmaps_output == "stage2"


class TestRefused:
    def test_no_keypoints(self):
        refuses(r"keypoints=\(\)", keypoints=[])

    def test_keypoints_as_one_word(self):
        refuses("keypoints='ab'", keypoints="ab")

    def test_unknown_decode_names_the_nearest(self):
        refuses("'offsets'.*'offset'", decode="offsets")

    @pytest.mark.parametrize("field", ["skeleton", "flip_pairs"])
    @pytest.mark.parametrize("pair", [(0, 2), (-1, 0)])
    def test_index_out_of_range(self, field, pair):
        refuses(rf"{re.escape(str(pair))} .*0\.\.1", **{field: [pair]})

    @pytest.mark.parametrize("pair", [(0,), (0, 1, 1), ("a", "b"), (0.0, 1.0)])
    def test_wrong_pair_of_indices(self, pair):
        refuses(re.escape(f"skeleton={(pair,)}"), skeleton=[pair])

    def test_sigma_count(self):
        refuses(r"\b3 .*\b2 ", oks_sigmas=[0.1, 0.2, 0.3])

    def test_letterbox_version(self):
        refuses("letterbox=99", letterbox=99)
        assert VERSION == 1

    @pytest.mark.parametrize("size", [(62, 96), (0, 96), (-32, 96)])
    def test_input_size(self, size):
        refuses(f" {size[0]}x{size[1]} ", input_size=size)

    def test_input_size_that_the_stride_does_not_divide(self):
        assert SPEC.replace(input_size=(60, 100)).input_size == (60, 100)
        refuses(" 60x96 .*multiples of 8; .*56x96 and 64x96", input_size=(60, 96), stride=8)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("name", 5),
            ("input_size", 64),
            ("input_size", (64,)),
            ("input_size", (64.0, 96.0)),
            ("stride", 0),
            ("stride", "4"),
            ("cell_offset", None),
            ("mean", (0.0, 0.0)),
            ("std", (1.0, 0.0, 1.0)),
            ("cyclic", "no"),
            ("mean", (123.7, 116.3, 103.5)),
            ("std", (58.4, 57.1, 57.4)),
            ("kernel", 4),
            ("precision", None),
            ("precision", "float32"),
            ("outputs", [("hf", "NHWC")]),
            ("outputs", []),
            ("outputs", [("sdf", "NCHW"), ("hf", "NHWC")]),
            ("color", "brg"),
            ("maps", 1),
            ("maps", 2.0),
            ("outputs", [("heatmaps", "NCHW"), ("offsets", "NHWC")]),
        ],
    )
    def test_unsupported_value(self, field, value):
        refuses(f"{field}=", **{field: value})

    def test_unknown_layout(self):
        refuses("'heatmaps' .*'NWHC'", outputs=[("heatmaps", "NWHC")])

    def test_stride_and_std_have_their_own_messages(self):
        with pytest.raises(SpecError, match="stride=0") as stride:
            SPEC.replace(stride=0)
        with pytest.raises(SpecError, match=r"std=\(1\.0, 0\.0, 1\.0\)") as std:
            SPEC.replace(std=(1.0, 0.0, 1.0))
        assert "std" not in str(stride.value)
        assert "stride" not in str(std.value)

    @pytest.mark.parametrize("field", ["mean", "std"])
    def test_mean_and_std_in_0_to_255(self, field):
        refuses(rf"{field}=\(123\.7, 116\.3, 103\.5\)", **{field: (123.7, 116.3, 103.5)})

    @pytest.mark.parametrize("make", [lambda **fields: ModelSpec("a", ("b",), **fields), SPEC.replace])
    def test_misspelled_field_names_the_nearest(self, make):
        with pytest.raises(UnknownKeywordError, match=r"'sceleton'.*'skeleton'"):
            make(sceleton=())

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_numbers_that_are_not_finite(self, value):
        refuses(f"cell_offset={value}", cell_offset=value)


class TestJson:
    @pytest.mark.parametrize("text", ["", "{", "<xml/>", "[" * 100_000], ids=["empty", "cut", "xml", "deep"])
    def test_text_that_is_not_json(self, text):
        with pytest.raises(SpecError):
            ModelSpec.from_json(text)

    @pytest.mark.parametrize(("text", "kind"), [("null", "NoneType"), ("5", "int"), ('"a"', "str"), ("[]", "list")])
    def test_json_that_is_not_an_object(self, text, kind):
        with pytest.raises(SpecError, match=rf"\b{kind}\b"):
            ModelSpec.from_json(text)

    @pytest.mark.parametrize("version", [None, 0, FORMAT - 1, str(FORMAT), True])
    def test_missing_or_older_format(self, version):
        with pytest.raises(SpecError, match=f"format {version!r}"):
            ModelSpec.from_dict({**SPEC.to_dict(), "format": version})

    def test_absent_format(self):
        values = SPEC.to_dict()
        del values["format"]
        with pytest.raises(SpecError, match="format None"):
            ModelSpec.from_dict(values)

    def test_newer_format_without_new_fields_is_read(self):
        assert ModelSpec.from_dict({**SPEC.to_dict(), "format": FORMAT + 1}) == SPEC

    def test_optional_field_of_a_newer_release_is_kept(self):
        newer = {**SPEC.to_dict(), "format": FORMAT + 1, "depth": [1, {"unit": "m"}], "optional": ["depth", "unused"]}
        spec = ModelSpec.from_json(json.dumps(newer))
        assert spec.replace(extra={}) == SPEC
        assert spec.extra == {"depth": [1, {"unit": "m"}]}
        changed = json.loads(spec.replace(name="other").to_json())
        assert (changed["depth"], changed["optional"]) == ([1, {"unit": "m"}], ["depth"])
        assert ModelSpec.from_dict(changed) == spec.replace(name="other")
        assert hash(spec) == hash(SPEC)

    @pytest.mark.parametrize("optional", [{}, {"optional": []}, {"optional": ["other"]}])
    def test_required_field_of_a_newer_release_is_refused_by_name(self, optional):
        with pytest.raises(SpecError, match="'depth'"):
            ModelSpec.from_dict({**SPEC.to_dict(), "format": FORMAT + 1, "depth": 1, **optional})

    @pytest.mark.parametrize("optional", ["depth", 3, [3], None])
    def test_optional_that_is_not_a_list_of_names(self, optional):
        with pytest.raises(SpecError, match=re.escape(f"optional={optional!r}")):
            ModelSpec.from_dict({**SPEC.to_dict(), "depth": 1, "optional": optional})

    def test_unknown_field_names_the_nearest(self):
        with pytest.raises(SpecError, match=r"'sceleton'.*'skeleton'"):
            ModelSpec.from_dict({**SPEC.to_dict(), "sceleton": []})

    def test_unknown_field_of_the_golden_pair_is_named(self):
        values = SPEC.replace(golden=golden()[0]).to_dict()
        values["golden"]["depth"] = 1
        with pytest.raises(SpecError, match="'depth'"):
            ModelSpec.from_dict(values)

    @pytest.mark.parametrize("field", ["name", "keypoints"])
    def test_missing_field(self, field):
        values = SPEC.to_dict()
        del values[field]
        with pytest.raises(SpecError, match=f"'{field}'"):
            ModelSpec.from_dict(values)

    @pytest.mark.parametrize("bad", [5, [], {}, {"png": ""}, {"image": ""}])
    def test_golden_that_is_not_a_pair(self, bad):
        with pytest.raises(SpecError):
            ModelSpec.from_dict({**SPEC.to_dict(), "golden": bad})


class TestGolden:
    def test_round_trip(self):
        image = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        pair, heat = golden(image)
        back = ModelSpec.from_json(SPEC.replace(golden=pair).to_json()).golden
        assert back is not None
        np.testing.assert_array_equal(back.image(), image)
        assert back.xy == ((1.5, 2.0), (3.0, 4.0))
        assert back.conf == (0.5, 1.0)
        assert back.heatmap_array().dtype == np.float32
        # float16 keeps 11 bits of a number below 1: half a unit of the last place is 2^-12.
        np.testing.assert_allclose(back.heatmap_array(), heat, atol=2**-12, rtol=0)

    def test_picture_too_big(self):
        noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
        assert noise.nbytes > GOLDEN_PICTURE_BYTES
        with pytest.raises(SpecError, match="65536"):
            golden(noise)

    @pytest.mark.parametrize("png", ["", "***", "AAAA", base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()])
    def test_damaged_picture(self, png):
        pair, _ = golden()
        damaged = Golden(png, pair.xy, pair.conf, pair.heatmaps, pair.shape)
        with pytest.raises(SpecError):
            damaged.image()

    @pytest.mark.parametrize("packed", [b"", b"no zlib", zlib.compress(b"too short"), zlib.compress(bytes(1536))[:-9]])
    def test_damaged_heatmaps(self, packed):
        pair, _ = golden()
        damaged = Golden(pair.png, pair.xy, pair.conf, base64.b64encode(packed).decode(), pair.shape)
        with pytest.raises(SpecError, match="heatmaps"):
            damaged.heatmap_array()

    def test_negative_shape(self):
        pair, _ = golden()
        with pytest.raises(SpecError, match="heatmaps"):
            Golden(pair.png, pair.xy, pair.conf, pair.heatmaps, (2, -1, 24)).heatmap_array()
