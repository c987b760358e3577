import io
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgehrnet.errors import CorruptImageError, EdgeHRNetError, ImageError, ImageSizeError, MissingImageError
from edgehrnet.picture.limits import MAX_PIXELS, MAX_SIDE
from edgehrnet.picture.sources import read_image
from edgehrnet.sources import Source


def frames(source):
    return (frame.picture for frame in Source(source))


RGB = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def encoded(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth=8, color=2, rows=b"\0" * 100):
    """A PNG whose header may claim more than its data holds."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def refuses(error, text, image, *color):
    """Check the class of the error, and that it names the value that was wrong."""
    with pytest.raises(error, match=text) as caught:
        read_image(image, *color)
    assert isinstance(caught.value, EdgeHRNetError)
    assert type(caught.value) is error


class TestFilesThatAreRefused:
    def test_a_missing_file(self, tmp_path):
        refuses(MissingImageError, r"none\.png", tmp_path / "none.png")
        with pytest.raises(FileNotFoundError):
            read_image(str(tmp_path / "none.png"))

    def test_a_folder(self, tmp_path):
        refuses(MissingImageError, tmp_path.name, tmp_path)

    @pytest.mark.parametrize("kind", [str, Path])
    @pytest.mark.parametrize(
        "address", ["https://example.org/a.jpg", "http://example.org/a.jpg?size=1", "s3://b/a.png"]
    )
    def test_an_address(self, kind, address):
        refuses(MissingImageError, re.escape(str(kind(address))), kind(address))
        with pytest.raises(MissingImageError, match=re.escape(str(kind(address)))):
            [read_image(item) for item in frames(kind(address))]

    @pytest.mark.parametrize("name", ["", "a" * 5000, "a\0b.png"], ids=["empty", "too long", "null character"])
    def test_an_impossible_file_name(self, name):
        refuses(MissingImageError, re.escape(repr(name)), name)

    def test_a_file_without_permission(self, tmp_path, monkeypatch):
        def refuse(*args, **kwargs):
            raise PermissionError(13, "Permission denied")

        (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(RGB)))
        monkeypatch.setattr(Path, "open", refuse)
        refuses(ImageError, r"a\.png.*Permission denied", tmp_path / "a.png")

    def test_an_empty_file(self, tmp_path):
        (tmp_path / "a.jpg").touch()
        refuses(CorruptImageError, r"a\.jpg", tmp_path / "a.jpg")
        refuses(CorruptImageError, "bytes", b"")

    def test_a_text_file_named_jpg(self, tmp_path):
        (tmp_path / "a.jpg").write_text("these are not the pixels you are looking for")
        refuses(CorruptImageError, r"a\.jpg", tmp_path / "a.jpg")

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
    def test_data_truncated_anywhere(self, kind):
        data = encoded(Image.fromarray(RGB), kind)
        for part in (2, 9, 25, 60, len(data) // 4, len(data) // 2, len(data) * 3 // 4):
            refuses(CorruptImageError, "bytes", data[:part])

    @pytest.mark.parametrize("kind", ["JPEG", "PNG"])
    def test_a_truncated_file_is_named(self, tmp_path, kind):
        data = encoded(Image.fromarray(RGB), kind)
        (tmp_path / "half.pic").write_bytes(data[: len(data) // 2])
        refuses(CorruptImageError, r"half\.pic", tmp_path / "half.pic")

    def test_damaged_bytes_raise_an_image_error_or_decode(self):
        data = encoded(Image.fromarray(RGB), "JPEG", exif=oriented(6))
        rng = np.random.default_rng(1)
        for _ in range(200):
            damaged = np.frombuffer(data, np.uint8).copy()
            damaged[rng.integers(len(damaged), size=4)] = rng.integers(256, size=4)
            try:
                pixels = read_image(damaged.tobytes())
            except ImageError:
                continue
            assert pixels.dtype == np.uint8
            assert pixels.shape[2] == 3


class TestSize:
    def test_too_small(self):
        refuses(ImageSizeError, "1x1", encoded(Image.new("RGB", (1, 1))))
        refuses(ImageSizeError, "1x1", np.zeros((1, 1, 3), np.uint8))
        refuses(ImageSizeError, "100x7", Image.new("RGB", (100, 7)))

    def test_an_empty_array(self):
        refuses(ImageSizeError, "0x0", np.zeros((0, 0, 3), np.uint8))

    def test_too_wide(self):
        assert MAX_SIDE < 20_000
        refuses(ImageSizeError, "20000x8", np.zeros((8, 20_000, 3), np.uint8))
        refuses(ImageSizeError, "20000x8", encoded(Image.new("L", (20_000, 8))))

    def test_too_many_pixels_in_total(self):
        # A view of one pixel takes no memory; its copy would take 300 MB.
        wide = np.broadcast_to(np.zeros(3, np.uint8), (10_000, 10_000, 3))
        assert wide.shape[0] * wide.shape[1] > MAX_PIXELS
        refuses(ImageSizeError, "10000x10000", wide)

    def test_a_decompression_bomb_that_pillow_warns_of(self):
        # Pillow only warns, and the tests turn warnings into errors. Both have to give the same exception.
        assert Image.MAX_IMAGE_PIXELS is not None
        assert Image.MAX_IMAGE_PIXELS < 10_000**2 < 2 * Image.MAX_IMAGE_PIXELS
        refuses(ImageSizeError, "100000000|10000x10000", png(10_000, 10_000))

    @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
    def test_a_decompression_bomb_where_warnings_are_ignored(self):
        refuses(ImageSizeError, "10000x10000", png(10_000, 10_000))

    def test_a_decompression_bomb_is_not_unpacked(self):
        # 30000 x 30000 pixels would take 2.7 GB. The process has 1 GB of address space beyond its imports.
        program = f"""
import resource, sys
from edgehrnet.errors import ImageSizeError
from edgehrnet.picture.sources import read_image
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**30,) * 2)
try:
    read_image({png(30_000, 30_000)!r})
except ImageSizeError as error:
    print(error)
"""
        if not sys.platform.startswith("linux"):
            refuses(ImageSizeError, "900000000", png(30_000, 30_000))
            return
        command = [sys.executable, "-W", "error", "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert "900000000" in done.stdout, done.stderr

    def test_the_largest_side_is_accepted(self):
        assert read_image(np.zeros((8, MAX_SIDE), np.uint8)).shape == (8, MAX_SIDE, 3)


class TestArraysThatAreRefused:
    @pytest.mark.parametrize("shape", [(20, 30, 2), (20, 30, 5), (20, 30, 0), (20,), (1, 20, 30, 3), ()])
    def test_shape(self, shape):
        refuses(ImageError, re.escape(str(shape)), np.zeros(shape, np.uint8))

    def test_a_channels_first_array(self):
        refuses(ImageError, r"\(3, 20, 30\)", np.zeros((3, 20, 30), np.uint8))

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_nan_and_infinity(self, bad):
        array = np.zeros((20, 30, 3), np.float32)
        array[3, 4, 1] = bad
        refuses(ImageError, "NaN", array)

    @pytest.mark.parametrize("bad", [-0.01, 1.01, 255.0])
    def test_floats_outside_0_to_1(self, bad):
        array = np.zeros((20, 30, 3))
        array[3, 4, 1] = bad
        refuses(ImageError, re.escape(f"{bad:.4g}"), array)

    @pytest.mark.parametrize("kind", ["int32", "uint16", "int8", "int64", "bool", "complex64", "object", "U3"])
    def test_other_dtypes(self, kind):
        refuses(ImageError, "<U3" if kind == "U3" else kind, np.zeros((20, 30, 3), kind))

    def test_a_gray_file_with_16_bits(self):
        data = encoded(Image.fromarray(np.full((20, 30), 40_000, np.uint16)))
        refuses(ImageError, "I;16", data)

    @pytest.mark.parametrize("mode", ["I", "F", "I;16"])
    def test_a_pil_image_with_more_than_8_bits(self, mode):
        refuses(ImageError, rf"\b{mode} ", Image.new(mode, (30, 20)))

    def test_a_closed_pil_image(self):
        picture = Image.new("RGB", (30, 20))
        picture.close()
        refuses(CorruptImageError, "PIL", picture)

    @pytest.mark.parametrize("thing", [None, 5, 1.5, [[0, 0], [0, 0]], {"a": 1}, Ellipsis, ("a.png",)], ids=repr)
    def test_other_objects(self, thing):
        refuses(ImageError, type(thing).__name__, thing)

    @pytest.mark.parametrize("color", ["gbr", "RGB", "", None, ["rgb"], np.array(["rgb", "bgr"]), 1])
    def test_color_is_rgb_or_bgr(self, color):
        refuses(ImageError, re.escape(f"color={color!r}"), RGB, color)

    def test_bgr_is_only_for_arrays(self, tmp_path):
        for image in (tmp_path / "a.png", encoded(Image.fromarray(RGB)), Image.fromarray(RGB)):
            refuses(ImageError, "color='bgr'", image, "bgr")


def oriented(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


class TestGoodPictures:
    def check(self, pixels, expected):
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        np.testing.assert_array_equal(pixels, expected)

    def test_a_file_its_bytes_and_a_pil_image_agree(self, tmp_path):
        data = encoded(Image.fromarray(RGB))
        (tmp_path / "a.png").write_bytes(data)
        for image in (tmp_path / "a.png", str(tmp_path / "a.png"), data, bytearray(data), memoryview(data)):
            self.check(read_image(image), RGB)
        self.check(read_image(Image.fromarray(RGB)), RGB)

    def test_the_suffix_does_not_decide_the_format(self, tmp_path):
        (tmp_path / "a.jpg").write_bytes(encoded(Image.fromarray(RGB)))
        self.check(read_image(tmp_path / "a.jpg"), RGB)

    @pytest.mark.parametrize(
        ("orientation", "turn"),
        [
            (1, lambda a: a),
            (2, lambda a: a[:, ::-1]),
            (3, lambda a: a[::-1, ::-1]),
            (4, lambda a: a[::-1]),
            (5, lambda a: a.transpose(1, 0, 2)),
            (6, lambda a: np.rot90(a, -1)),
            (7, lambda a: a[::-1, ::-1].transpose(1, 0, 2)),
            (8, lambda a: np.rot90(a)),
        ],
    )
    def test_exif_orientation(self, orientation, turn):
        self.check(read_image(encoded(Image.fromarray(RGB), exif=oriented(orientation))), turn(RGB))
        opened = Image.open(io.BytesIO(encoded(Image.fromarray(RGB), exif=oriented(orientation))))
        self.check(read_image(opened), turn(RGB))

    def test_gray_pictures(self):
        gray = RGB[..., 0]
        expected = np.stack([gray] * 3, axis=2)
        for image in (gray, gray[..., None], Image.fromarray(gray), encoded(Image.fromarray(gray))):
            self.check(read_image(image), expected)

    def test_alpha_is_dropped(self):
        rgba = np.concatenate([RGB, RGB[..., :1]], axis=2)
        for image in (rgba, Image.fromarray(rgba), encoded(Image.fromarray(rgba))):
            self.check(read_image(image), RGB)

    def test_palettes_with_and_without_transparency(self):
        picture = Image.fromarray(RGB).quantize(16)
        expected = np.array(picture.convert("RGB"))
        assert expected.std() > 0
        self.check(read_image(picture), expected)
        self.check(read_image(encoded(picture)), expected)
        self.check(read_image(encoded(picture, transparency=bytes([0, 128] * 8))), expected)

    def test_cmyk_pictures(self):
        # Full cyan, no black: red is absent.
        pixels = read_image(Image.new("CMYK", (30, 20), (255, 0, 0, 0)))
        self.check(pixels, np.broadcast_to(np.array([0, 255, 255], np.uint8), (20, 30, 3)))

    def test_pictures_with_one_bit(self):
        self.check(read_image(Image.new("1", (30, 20), 1)), np.full((20, 30, 3), 255, np.uint8))

    def test_color_files_with_16_bits_keep_the_upper_8(self):
        rows = b"".join(b"\0" + b"\x12\xff\x34\x00\x56\x80" * 30 for _ in range(20))
        pixels = read_image(png(30, 20, depth=16, rows=rows))
        self.check(pixels, np.broadcast_to(np.array([0x12, 0x34, 0x56], np.uint8), (20, 30, 3)))

    def test_the_first_frame_is_used(self):
        frame = [Image.new("RGB", (30, 20), color) for color in ("red", "blue")]
        pixels = read_image(encoded(frame[0], "TIFF", save_all=True, append_images=frame[1:]))
        self.check(pixels, np.broadcast_to(np.array([255, 0, 0], np.uint8), (20, 30, 3)))

    def test_bgr_arrays(self):
        self.check(read_image(RGB[..., ::-1], "bgr"), RGB)
        alpha = np.zeros_like(RGB[..., :1])
        self.check(read_image(np.concatenate([RGB[..., ::-1], alpha], axis=2), "bgr"), RGB)

    @pytest.mark.parametrize(
        "view",
        [lambda a: a[::2, ::3], lambda a: a[::-1, ::-1], lambda a: a.transpose(1, 0, 2), np.asfortranarray],
        ids=["steps", "backwards", "transposed", "fortran"],
    )
    def test_strided_arrays(self, view):
        self.check(read_image(view(RGB)), view(RGB))

    @pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
    def test_float_arrays(self, kind):
        # float16 has 11 bits: its rounding error of 1/4096 times 255 is 0.06, far below the 0.5 that changes a value.
        self.check(read_image((RGB / 255).astype(kind)), RGB)

    def test_a_read_only_array(self):
        array = RGB.copy()
        array.flags.writeable = False
        self.check(read_image(array), RGB)

    @pytest.mark.parametrize("color", ["rgb", "bgr"])
    @pytest.mark.parametrize("kind", [np.uint8, np.float32])
    def test_the_array_given_is_neither_changed_nor_shared(self, kind, color):
        array = (RGB if kind is np.uint8 else RGB / 255).astype(kind)
        before = array.copy()
        pixels = read_image(array, color)
        assert not np.shares_memory(pixels, array)
        pixels[:] = 0
        np.testing.assert_array_equal(array, before)

    def test_the_pil_image_given_is_not_changed(self):
        picture = Image.open(io.BytesIO(encoded(Image.fromarray(RGB), exif=oriented(6))))
        read_image(picture)[:] = 0
        assert picture.size == (60, 40)
        np.testing.assert_array_equal(np.array(picture), RGB)


class TestFrames:
    def test_a_folder_is_sorted_by_name(self, tmp_path):
        for name in ("b.PNG", "a.jpg", "c.tif", "notes.txt"):
            (tmp_path / name).touch()
        (tmp_path / "sub").mkdir()
        assert [path.name for path in frames(tmp_path)] == ["a.jpg", "b.PNG", "c.tif"]
        assert list(frames(str(tmp_path))) == list(frames(tmp_path))

    def test_a_pattern_is_sorted_by_name(self, tmp_path):
        for name in ("b2.png", "b1.png", "a.png"):
            (tmp_path / name).touch()
        assert [path.name for path in frames(str(tmp_path / "b*.png"))] == ["b1.png", "b2.png"]

    def test_an_existing_file_is_not_a_pattern(self, tmp_path):
        (tmp_path / "a[1].png").touch()
        assert list(frames(tmp_path / "a[1].png")) == [tmp_path / "a[1].png"]

    def test_a_single_picture(self, tmp_path):
        data = encoded(Image.fromarray(RGB))
        for one in (RGB, data, bytearray(data), memoryview(data), Image.fromarray(RGB)):
            items = list(frames(one))
            assert len(items) == 1
            assert items[0] is one
        assert list(frames(tmp_path / "a.png")) == [tmp_path / "a.png"]

    def test_an_iterable_is_read_lazily(self):
        taken = []

        def camera():
            for number in range(3):
                taken.append(number)
                yield number

        stream = frames(camera())
        assert taken == []
        assert next(stream) == 0
        assert taken == [0]
        assert list(stream) == [1, 2]

    def test_files_with_a_dot_in_front_are_left_out(self, tmp_path):
        # macOS puts ._x.jpg beside x.jpg, which is not a picture.
        for name in ("x.jpg", "._x.jpg", ".hidden.png"):
            (tmp_path / name).touch()
        assert [path.name for path in frames(tmp_path)] == ["x.jpg"]

    def test_two_stars_stand_for_folders_at_any_depth(self, tmp_path):
        for name in ("a.jpg", "b/b.jpg", "b/c/c.jpg"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        assert [path.name for path in frames(str(tmp_path / "**" / "*.jpg"))] == ["a.jpg", "b.jpg", "c.jpg"]

    def test_a_folder_without_pictures_raises(self, tmp_path):
        (tmp_path / "notes.txt").touch()
        with pytest.raises(MissingImageError, match=tmp_path.name):
            next(frames(tmp_path))

    def test_a_pattern_without_matches_raises(self, tmp_path):
        with pytest.raises(MissingImageError, match=tmp_path.name):
            next(frames(str(tmp_path / "*.png")))

    def test_a_missing_file_raises_when_it_is_read(self, tmp_path):
        with pytest.raises(MissingImageError, match=r"none\.png"):
            [read_image(item) for item in frames(str(tmp_path / "none.png"))]

    def test_a_name_that_is_too_long_raises_when_it_is_read(self):
        with pytest.raises(MissingImageError, match="aaa"):
            [read_image(item) for item in frames("a" * 5000)]
