"""Which files are opened, how much memory they may take, and what is raised if they cannot be read."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from edgehrnet import Predictor
from edgehrnet.errors import CorruptImageError, ImageError, ImageSizeError, InputError
from edgehrnet.picture.headers import MAX_FILE, MAX_FILE_OF, _pixels_begin
from edgehrnet.picture.limits import FORMATS, MAX_MEMORY, Limits, memory_needed
from edgehrnet.picture.sources import read_image
from edgehrnet.sources import Source
from edgehrnet.sources.files import Files

RGB = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n"


def encoded(kind, picture=None, **options):
    buffer = io.BytesIO()
    (picture or Image.fromarray(RGB)).save(buffer, kind, **options)
    return buffer.getvalue()


class TestFormats:
    @pytest.mark.parametrize("kind", FORMATS)
    def test_these_are_opened(self, kind):
        assert read_image(encoded(kind)).shape == RGB.shape

    @pytest.mark.parametrize("kind", ["PPM", "TGA", "PCX", "ICO", "SGI", "JPEG2000"])
    def test_others_only_if_they_are_named(self, kind):
        data = encoded(kind)
        with pytest.raises(CorruptImageError, match="JPEG, PNG"):
            read_image(data)
        found = read_image(data, limits=Limits(formats=(*FORMATS, kind.lower())))
        assert found.shape[2] == 3

    def test_no_file_starts_a_program(self, monkeypatch):
        monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("a program was run"))
        with pytest.raises(CorruptImageError):
            read_image(EPS)
        with pytest.raises(InputError, match="EPS"):
            Limits(formats=("JPEG", "eps"))

    @pytest.mark.parametrize("formats", [("JPG",), "JPEG", (), (5,), ([],), None, 7])
    def test_wrong_names(self, formats):
        with pytest.raises(InputError, match="formats="):
            Limits(formats=formats)


class TestSize:
    def test_the_limit_of_pixels_can_be_set(self):
        data = encoded("PNG")
        assert read_image(data, limits=Limits(max_pixels=2400)).shape == RGB.shape
        with pytest.raises(ImageSizeError, match="60x40"):
            read_image(data, limits=Limits(max_pixels=2399))
        with pytest.raises(ImageSizeError, match="60x40"):
            read_image(RGB, limits=Limits(max_pixels=2399))

    @pytest.mark.parametrize("pixels", [0, -1, 1.5, True, "9", None])
    def test_wrong_limits(self, pixels):
        with pytest.raises(InputError, match="max_pixels="):
            Limits(max_pixels=pixels)

    def test_predictor_passes_its_limits_on(self, null_model):
        with Predictor(null_model.path, max_pixels=2399, formats=("PNG",)) as predictor:
            with pytest.raises(ImageSizeError, match="60x40"):
                predictor.predict(encoded("PNG"))
            with pytest.raises(CorruptImageError, match="PNG"):
                predictor.predict(encoded("BMP"))
        with pytest.raises(InputError, match="EPS"):
            Predictor(null_model.path, formats=("EPS",))

    @pytest.mark.parametrize(
        ("kind", "mode", "options"), [("WEBP", "RGB", {"lossless": True, "method": 0}), ("JPEG", "CMYK", {})]
    )
    def test_files_that_take_more_memory_have_fewer_pixels(self, kind, mode, options):
        data = encoded(kind, Image.new(mode, (7000, 7000)), **options)
        with pytest.raises(ImageSizeError, match="7000x7000"):
            read_image(data)
        with Image.open(io.BytesIO(data)) as picture:
            assert memory_needed(picture, len(data)) > MAX_MEMORY

    @pytest.mark.parametrize(
        ("options", "bytes_per_pixel"),
        [
            ({}, 7),  # read in parts: 4 of Pillow and 3 of ours
            ({"compression": "tiff_adobe_deflate", "tiffinfo": {278: 10}}, 7),
            ({"compression": "tiff_adobe_deflate", "tiffinfo": {278: 400, 274: 6}}, 11),  # one strip, and a turned copy
            ({"compression": "jpeg", "tiffinfo": {278: 400}}, 13),  # one strip, and its coefficients
        ],
    )
    def test_memory_of_a_tiff(self, options, bytes_per_pixel):
        data = encoded("TIFF", Image.new("RGB", (600, 400)), **options)
        with Image.open(io.BytesIO(data)) as picture:
            assert memory_needed(picture, 0) == pytest.approx(bytes_per_pixel * 600 * 400, rel=0.02)

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of memory from /proc")
    @pytest.mark.parametrize(
        ("kind", "mode", "options"),
        [
            ("TIFF", "1", {"compression": "group4"}),
            ("TIFF", "RGB", {"compression": "tiff_adobe_deflate", "tiffinfo": {278: 4000, 274: 6}}),
            ("PNG", "1", {}),
            ("JPEG", "RGB", {"progressive": True, "subsampling": 0}),
            ("WEBP", "RGBA", {"lossless": True, "method": 0}),
        ],
    )
    def test_unpacking_takes_no_more_memory_than_was_computed(self, tmp_path, kind, mode, options):
        path = tmp_path / "large"
        path.write_bytes(encoded(kind, Image.new(mode, (5000, 4000)), **options))
        program = """
import re, sys
from pathlib import Path
from PIL import Image
from edgehrnet.picture.limits import memory_needed
from edgehrnet.picture.sources import read_image
def kilobytes(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
Image.init()
before = kilobytes("VmRSS")
read_image(sys.argv[1])
taken = 1024 * (kilobytes("VmHWM") - before)
with Image.open(sys.argv[1]) as picture:
    print(taken, memory_needed(picture, Path(sys.argv[1]).stat().st_size))
"""
        command = [sys.executable, "-c", program, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        taken, computed = map(int, done.stdout.split())
        assert 60_000_000 < taken < computed + 20_000_000  # the picture itself, and code that is loaded meanwhile


def with_segments(data, segments):
    """Put segments, each of a marker and data, behind the first marker of a JPEG."""
    packed = [bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body for marker, body in segments]
    return data[:2] + b"".join(packed) + data[2:]


class TestFirstBytes:
    @pytest.mark.parametrize("marker", [0xE1, 0xE2, 0xFE], ids=["EXIF", "color profile", "comment"])
    def test_metadata_of_a_jpeg_are_limited(self, marker, monkeypatch):
        # Pillow copies all EXIF data for every further segment: minutes for 200 MB.
        start = {0xE1: b"Exif\0\0", 0xE2: b"ICC_PROFILE\0\1\1", 0xFE: b""}[marker]
        data = with_segments(encoded("JPEG"), [(marker, start + bytes(60_000))] * 3)
        assert read_image(data).shape == RGB.shape
        monkeypatch.setattr("edgehrnet.picture.headers.MAX_METADATA", 150_000)
        with pytest.raises(ImageSizeError, match="bytes"):
            read_image(data)

    @pytest.mark.parametrize("filling", [b"\0" * 1000, b"\xff" * 1000, b"\xff\0" * 500, b"abc", b"\xff\xd0\xff\x01"])
    def test_filling_between_the_markers_counts(self, filling, monkeypatch):
        data = encoded("JPEG")
        monkeypatch.setattr("edgehrnet.picture.headers.MAX_METADATA", 100_000)
        data = data[:2] + filling + data[2:]
        assert _pixels_begin(io.BytesIO(data)) == data.index(b"\xff\xda")
        assert _pixels_begin(io.BytesIO(data[:2] + bytes(200_000))) > 100_000

    @pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
    def test_files_are_limited(self, kind, monkeypatch):
        data = encoded(kind)
        start = data[:4]
        monkeypatch.setitem(MAX_FILE_OF, start, len(data))
        assert read_image(data).shape == RGB.shape
        monkeypatch.setitem(MAX_FILE_OF, start, len(data) - 1)
        with pytest.raises(ImageSizeError, match="bytes"):
            read_image(data)

    def test_a_file_larger_than_any_picture(self, tmp_path):
        with (tmp_path / "a.bmp").open("wb") as file:
            file.write(encoded("BMP"))
            file.truncate(MAX_FILE + 1)  # takes no space on the disk
        with pytest.raises(ImageSizeError, match=r"a\.bmp"):
            read_image(tmp_path / "a.bmp")


class Failing(io.RawIOBase):
    """A file on a disk that is damaged from some byte on."""

    def __init__(self, data, good):
        self.data, self.good, self.at = data, good, 0

    def seekable(self):
        return True

    def seek(self, to, whence=0):
        self.at = to + (len(self.data) if whence == 2 else 0)
        return self.at

    def tell(self):
        return self.at

    def read(self, count=-1):
        if self.at >= self.good:
            raise OSError(5, "Input/output error")
        part = self.data[self.at : self.at + count if count >= 0 else None]
        self.at += len(part)
        return part


class TestReading:
    @pytest.mark.parametrize("good", [0, 1, 100, 30_000])
    def test_an_error_of_the_disk_is_no_damaged_picture(self, good, tmp_path, monkeypatch):
        data = encoded("PNG", Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)))
        (tmp_path / "a.png").touch()
        monkeypatch.setattr(Path, "open", lambda *_, **__: Failing(data, good))
        with pytest.raises(ImageError, match=r"a\.png.*Input/output") as caught:
            read_image(tmp_path / "a.png")
        assert type(caught.value) is ImageError

    @pytest.mark.skipif(not os.path.isfile("/proc/self/mem"), reason="needs /proc")  # noqa: PTH113
    def test_a_file_whose_first_byte_cannot_be_read(self):
        with pytest.raises(ImageError, match="/proc/self/mem"):
            read_image("/proc/self/mem")

    def test_too_little_memory_is_no_damaged_picture(self, monkeypatch):
        def refuse(*_, **__):
            raise MemoryError

        picture = Image.fromarray(RGB)
        data = encoded("PNG")
        monkeypatch.setattr("edgehrnet.picture.files.np.empty", refuse)
        for image in (data, picture):
            with pytest.raises(ImageSizeError, match="memory"):
                read_image(image)
        monkeypatch.setattr("edgehrnet.picture.arrays.np.array", refuse)
        with pytest.raises(ImageSizeError, match="memory"):
            read_image(RGB)

    def test_opened_files(self, tmp_path):
        (tmp_path / "a.png").write_bytes(encoded("PNG"))
        buffer = io.BytesIO(encoded("PNG"))
        buffer.seek(0, io.SEEK_END)  # where saving a picture leaves it
        with (tmp_path / "a.png").open("rb") as file, (tmp_path / "a.png").open("rb", buffering=0) as raw:
            for one in (buffer, file, raw):
                np.testing.assert_array_equal(read_image(one), RGB)
                assert [frame.picture for frame in Source(one)] == [one]

    def test_opened_files_that_cannot_be_read(self, tmp_path):
        (tmp_path / "a.png").write_text("text")
        with (tmp_path / "a.png").open() as text, pytest.raises(ImageError, match="'rb'"):
            read_image(text)
        with pytest.raises(ImageError, match="closed"):
            read_image(text)
        with pytest.raises(CorruptImageError, match="empty"):
            read_image(io.BytesIO())
        with pytest.raises(ImageError, match="Input/output"):
            read_image(Failing(encoded("PNG"), 0))

    def test_a_memoryview_that_was_released(self):
        view = memoryview(encoded("PNG"))
        view.release()
        with pytest.raises(ImageError, match="released"):
            read_image(view)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_a_pipe_is_no_file(self, tmp_path):
        os.mkfifo(tmp_path / "a.png")
        with pytest.raises(ImageError, match=r"a\.png"):
            read_image(tmp_path / "a.png")


class TestPatterns:
    @pytest.fixture
    def folder(self, tmp_path):
        for name in ("a.jpg", "b/b.png", "b/c/c.jpg", "b/notes.txt", ".hidden/d.jpg", "b/._e.jpg"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        (tmp_path / "b" / "around").symlink_to(tmp_path)
        (tmp_path / "b" / "again").symlink_to(tmp_path)
        return tmp_path

    @pytest.mark.parametrize(
        ("pattern", "names"),
        [
            ("**", ["a.jpg", "b.png", "c.jpg"]),
            ("**/*", ["a.jpg", "b.png", "c.jpg", "notes.txt"]),
            ("**/*.jpg", ["a.jpg", "c.jpg"]),
            ("b/**/*.jpg", ["c.jpg"]),
            ("b/*", ["b.png", "notes.txt"]),
            ("**/.hidden/*", ["d.jpg"]),
        ],
    )
    def test_files_come_once_and_without_folders(self, folder, pattern, names, monkeypatch):
        assert sorted(path.name for path in Files(str(folder / pattern))) == names
        monkeypatch.chdir(folder)
        assert sorted(path.name for path in Files(pattern)) == names
