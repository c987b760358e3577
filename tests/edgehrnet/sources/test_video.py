import socket
import struct
import threading
import time
import weakref
from contextlib import suppress
from fractions import Fraction

import numpy as np
import pytest

from edgehrnet import Predictor
from edgehrnet.errors import CorruptImageError, ImageError, MissingExtraError, MissingImageError
from edgehrnet.picture.limits import Limits
from edgehrnet.picture.sources import read_image
from edgehrnet.sources import Frame, Source
from edgehrnet.sources.video import Video, import_av, is_stream_address

av = pytest.importorskip("av")
TIMES = (0, 40, 80, 200, 240, 600)  # milliseconds, a variable frame rate
# Matrices of an MP4 file that turn the picture, and the turns to the left that show it upright.
TURNS = {"left": ((0, 65536, 0, -65536, 0, 0), 3), "right": ((0, -65536, 0, 65536, 0, 0), 1)}


def half_white(value):
    """A picture whose left half is white."""
    picture = np.full((48, 64, 3), value, np.uint8)
    picture[:, :32] = 255
    return picture


def write_video(path, times=TIMES, codec="libx264"):
    with av.open(path, "w") as file:
        stream = file.add_stream(codec, 25, width=64, height=48, pix_fmt="yuv420p")
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, milliseconds in enumerate(times):
            frame = av.VideoFrame.from_ndarray(half_white(number % 8 * 30))
            frame.pts, frame.time_base = milliseconds, Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "clip.mp4")


def pixels(frame):
    found = frame.picture() if callable(frame.picture) else frame.picture
    return found.pixels


def test_frames_have_numbers_and_the_times_of_the_file(video, null_model):
    with Predictor(null_model.path) as predictor:
        results = list(predictor.stream(video))
    assert [result.frame for result in results] == list(range(6))
    assert [result.time for result in results] == pytest.approx([ms / 1000 for ms in TIMES])
    assert {result.source for result in results} == {str(video)}
    shades = [result.image[24, 60].mean() for result in results]
    assert shades == pytest.approx([number * 30 for number in range(6)], abs=6)
    assert results[3].to_dict()["frame"] == 3
    assert Source(video).count() == 6


@pytest.mark.parametrize("turn", TURNS)
def test_a_video_that_was_held_sideways_is_shown_upright(video, tmp_path, turn):
    matrix, turns = TURNS[turn]
    data = bytearray(video.read_bytes())
    at = data.find(b"tkhd") + 44
    data[at : at + 24] = struct.pack(">6i", *matrix)
    (tmp_path / "turned.mp4").write_bytes(data)
    found = pixels(next(iter(Source(tmp_path / "turned.mp4"))))
    np.testing.assert_allclose(found, np.rot90(half_white(0), turns), atol=12)


def test_a_video_among_pictures_of_an_iterable(video):
    frames = list(Source([half_white(0), video]))
    assert [frame.frame for frame in frames] == [None, *range(6)]
    assert [frame.name for frame in frames] == [None, *[str(video)] * 6]


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [("none.mp4", None, MissingImageError), ("text.mp4", b"no video" * 99, CorruptImageError)],
)
def test_a_video_that_cannot_be_opened(tmp_path, name, content, error):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=name):
        list(Source(tmp_path / name))


def test_a_playlist_opens_no_other_file(tmp_path):
    write_video(tmp_path / "b.ts", range(0, 400, 40))
    path = tmp_path / "list.m3u8"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nb.ts\n#EXT-X-ENDLIST\n")
    with av.open(path) as unlimited:
        assert len(list(unlimited.decode(video=0))) == 10
    with pytest.raises(CorruptImageError, match=r"list\.m3u8"):
        Video(path, Limits())


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".avi", ".mov", ".ts", ".flv"])
def test_other_containers(tmp_path, suffix):
    codec = {".webm": "libvpx", ".avi": "mpeg4", ".flv": "flv"}.get(suffix, "libx264")
    if codec not in av.codecs_available:
        pytest.skip(f"FFmpeg without {codec}")
    frames = list(Source(write_video(tmp_path / f"a{suffix}", range(0, 400, 40), codec)))
    assert len(frames) >= 9
    assert frames[4].time == pytest.approx(0.16, abs=0.09)


def test_a_truncated_video_gives_the_frames_that_it_has(tmp_path):
    path = write_video(tmp_path / "a.ts", range(0, 4000, 40))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = list(Source(path))
    assert 10 < len(frames) < 100


def test_an_address_is_opened_without_showing_its_password():
    with pytest.raises(MissingImageError, match=r"rtsp://127\.0\.0\.1:9/live") as caught:
        list(Source("rtsp://user:secret@127.0.0.1:9/live"))
    assert "secret" not in str(caught.value)
    assert not is_stream_address("photos/rtsp/a.jpg")


@pytest.mark.parametrize("source", [999, "999"])
def test_an_absent_camera(source):
    with pytest.raises(ImageError, match="camera 999"):
        list(Source(source))


def test_without_pyav_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"edgehrnet\[video\]"):
        import_av()


class TestDropping:
    def test_the_newest_frame_comes_and_the_others_are_counted(self, null_model):
        taken = threading.Event()

        def camera():
            yield Frame(null_model.picture, frame=0)
            assert taken.wait(10)
            for number in range(1, 6):
                yield Frame(null_model.picture, frame=number)
            arrived.set()

        arrived = threading.Event()
        with Predictor(null_model.path) as predictor:
            stream = predictor.stream(camera(), drop=True)
            numbers = [next(stream).frame]
            taken.set()
            assert arrived.wait(10)
            numbers += [result.frame for result in stream]
        assert numbers == [0, 5]
        assert stream.dropped == 4

    def test_an_endless_source_ends_with_the_stream(self, null_model, monkeypatch):
        monkeypatch.setattr("edgehrnet.sources.latest.CLOSE_S", 60)  # for a busy machine
        closed, before = [], set(threading.enumerate())

        def camera():
            try:
                while True:
                    time.sleep(0.001)
                    yield null_model.picture
            finally:
                closed.append(True)

        stream = Predictor(null_model.path).stream(camera(), drop=True)
        next(stream)
        stream.close()
        assert closed == [True]
        assert set(threading.enumerate()) <= before

    def test_an_error_of_the_source_is_raised(self, null_model):
        def camera():
            yield null_model.picture
            raise OSError("unplugged")

        with pytest.raises(OSError, match="unplugged"):
            list(Predictor(null_model.path).stream(camera(), drop=True))


def test_memory_does_not_grow_with_an_endless_source(null_model):
    alive = []

    def camera():
        for _ in range(200):
            picture = read_image(null_model.picture)
            alive.append(weakref.ref(picture))
            yield Frame(picture, ahead=True)

    most = 0
    for _result in Predictor(null_model.path).stream(camera()):
        most = max(most, sum(1 for one in alive if one() is not None))
    assert most < 20


@pytest.fixture
def broadcast(tmp_path):
    """The address of a server that sends 4 seconds of video, little by little, and then waits."""
    data = write_video(tmp_path / "a.ts", range(0, 4000, 40)).read_bytes()
    server, ended = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def serve():
        connection, _ = server.accept()
        with connection, suppress(OSError):  # the client may have left
            for start in range(0, len(data), 2048):
                connection.sendall(data[start : start + 2048])
                if ended.wait(0.02):
                    return
            ended.wait(20)

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
    ended.set()
    thread.join(20)
    server.close()


def test_a_stream_from_an_address_is_live(broadcast, null_model):
    with Predictor(null_model.path) as predictor:
        stream = predictor.stream(broadcast)
        results = [next(stream)]
        end = time.monotonic() + 60
        while stream.dropped < 2 and time.monotonic() < end:  # until the next frames have arrived
            time.sleep(0.01)
        results.append(next(stream))
        stream.close()
    assert results[0].source == broadcast
    first, second = (result.frame or 0 for result in results)
    assert second > first + 1
    assert [result.time for result in results] == pytest.approx([first * 0.04, second * 0.04], abs=0.01)
    assert stream.dropped >= second - 1
