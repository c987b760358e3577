from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edgehrnet import Predictor
from edgehrnet.cli import main
from edgehrnet.drawing.video import VideoWriter
from edgehrnet.errors import InputError, WriteError
from edgehrnet.results import pictures
from edgehrnet.results.pictures import Overlays, Places
from edgehrnet.sources import Frame

av = pytest.importorskip("av")
TIMES = (0.0, 0.04, 0.08, 0.2, 0.24, 0.6)


@pytest.fixture(scope="module")
def clip(tmp_path_factory, null_model):
    """A video of variable frame rate with sound, whose frames show the picture of the model."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    sound = path.with_name("sound.mp4")
    with av.open(sound, "w") as file:
        video, audio = file.add_stream("libx264", 25, width=64, height=48, pix_fmt="yuv420p"), file.add_stream("aac")
        audio.rate, audio.layout = 44100, "mono"
        file.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8))))
        file.mux(video.encode(None))
        for number in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, number * 1024
            file.mux(audio.encode(frame))
        file.mux(audio.encode(None))
    with VideoWriter(path, sound_of=sound) as writer:
        for time in TIMES:
            writer.add(Image.fromarray(null_model.picture), time)
    return path


def packets(path):
    """The bytes of the sound."""
    with av.open(path) as file:
        return [bytes(packet) for packet in file.demux(audio=0) if packet.size]


def frames(path):
    with av.open(path) as file:
        return list(file.decode(video=0))


def test_a_video_becomes_a_video_with_its_times_and_its_sound(clip, null_model, tmp_path, capsys):
    model, out = str(null_model.path), tmp_path / "out"
    assert main(["predict", model, str(clip), "--out", str(out), "--rectify", str(out / "pages")]) == 0
    assert "clip.mp4 frame 3 at 0.20 s  score" in capsys.readouterr().out
    drawn = out / "clip.keypoints.mp4"
    assert [float(frame.time) for frame in frames(drawn)] == pytest.approx(TIMES, abs=1e-4)
    assert packets(drawn) == packets(clip)
    assert len(packets(drawn)) > 10
    before, after = frames(clip)[0].to_ndarray(format="rgb24"), frames(drawn)[0].to_ndarray(format="rgb24")
    assert np.abs(before.astype(int) - after).max() > 50
    assert len(list((out / "pages").glob("clip.00000?.page.jpg"))) == len(TIMES)


def test_a_video_and_a_picture_of_one_name_do_not_collide(clip, null_model, tmp_path):
    Image.fromarray(null_model.picture).save(tmp_path / "clip.png")
    sources = [str(clip), str(tmp_path / "clip.png")]
    assert main(["predict", str(null_model.path), *sources, "--out", str(tmp_path / "out"), "--quiet"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["clip.keypoints.mp4", "clip.keypoints.png"]


def test_odd_sides_and_other_sizes_are_made_to_fit(tmp_path):
    with VideoWriter(tmp_path / "a.mkv") as writer:
        for size in ((33, 21), (64, 48)):
            writer.add(Image.new("RGB", size, "red"))
    assert {(frame.width, frame.height) for frame in frames(tmp_path / "a.mkv")} == {(34, 22)}
    assert len(frames(tmp_path / "a.mkv")) == 2


def write_until_an_error(path):
    with VideoWriter(path) as writer:
        writer.add(Image.new("RGB", (64, 48)))
        raise KeyError


def write_noise(path):
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    with VideoWriter(path) as writer:
        for _ in range(5):
            writer.add(Image.fromarray(noise))


def test_an_error_leaves_the_old_file(tmp_path):
    (tmp_path / "a.mp4").write_text("before")
    with pytest.raises(KeyError):
        write_until_an_error(tmp_path / "a.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_text() == "before"


def test_a_full_disk(tmp_path, full_disk):
    with full_disk(), pytest.raises(WriteError, match=r"a\.mp4"):
        write_noise(tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_another_suffix(tmp_path):
    with pytest.raises(InputError, match=r"a\.gif"):
        VideoWriter(tmp_path / "a.gif")


def test_a_killed_run_keeps_the_older_video_and_is_done_again(tmp_path, null_model):
    old, frame = tmp_path / "clip.keypoints.mp4", Frame(None, "clip.mp4", 0)
    old.write_text("before")
    with Predictor(null_model.path) as predictor:
        result = replace(predictor.predict(null_model.picture), source="clip.mp4", frame=0)

    def overlays():
        return Overlays(Places(tmp_path, [], "keypoints"))

    killed = overlays()
    assert killed.has(frame)
    killed.add(result)
    assert old.read_text() == "before"
    assert not overlays().has(frame)
    killed.abandon(KeyboardInterrupt())
    again = overlays()
    again.add(result)
    again.close()
    assert again.has(frame)
    assert [path.name for path in tmp_path.iterdir()] == [old.name]
    assert len(frames(old)) == 1


def test_an_older_overlay_that_could_not_be_replaced_is_done_again(tmp_path, null_model, monkeypatch):
    old, frame = tmp_path / "a.keypoints.png", Frame(None, "a.png")
    old.write_text("before")
    with Predictor(null_model.path) as predictor:
        result = replace(predictor.predict(null_model.picture), source="a.png")
    overlays = Overlays(Places(tmp_path, [], "keypoints"))

    def full(*_):
        raise WriteError("full")

    with monkeypatch.context() as patch:
        patch.setattr(pictures, "save_picture", full)
        with pytest.raises(WriteError):
            overlays.add(result)
    assert old.read_text() == "before"
    assert not overlays.has(frame)
    overlays.add(result)
    assert overlays.has(frame)
    assert [path.name for path in tmp_path.iterdir()] == [old.name]
