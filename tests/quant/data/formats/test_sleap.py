"""SLEAP files, each really written by sleap-io."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from edgehrnet.errors import InputError, MissingExtraError
from quant.data.formats.sleap import read_sleap, write_pictures
from quant.data.opening import open_annotations

sio = pytest.importorskip("sleap_io")

NAN = np.nan
NODES = ("tail", "ear_R", "nose", "ear_L")
POINTS = np.array([[1.25, 2.5], [30, 40.125], [NAN, NAN], [70, 8.5]])


def save_frames(folder: Path, count: int) -> list[str]:
    """Save pictures whose red is their number."""
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.full((60, 100, 3), (number, 50, 90), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04d}.png")
    return [str(folder / f"{number:04d}.png") for number in range(count)]


def skeleton(nodes: Sequence[str] = NODES, name: str = "mouse", **parts: Any) -> Any:
    return sio.Skeleton(list(nodes), name=name, **parts)


def user(points: Any, of: Any) -> Any:
    return sio.Instance.from_numpy(np.array(points, float), skeleton=of)


def predicted(points: Any, of: Any) -> Any:
    return sio.PredictedInstance.from_numpy(np.array(points, float), skeleton=of)


def frame(video: Any, index: int, *instances: Any) -> Any:
    return sio.LabeledFrame(video=video, frame_idx=index, instances=list(instances))


def save(path: Path, frames: Sequence[Any], **options: Any) -> Path:
    labels = sio.Labels(list(frames))
    labels.save(str(path), verbose=False, **options)
    return path


@pytest.fixture
def video(tmp_path: Path) -> Any:
    return sio.Video.from_filename(save_frames(tmp_path / "day1", 4))


def remarks(found: Any, *levels: Any) -> str:
    return " | ".join(remark.text() for remark in found.remarks.of(*levels))


def test_points_order_and_pairs_are_those_of_the_file(tmp_path: Path, video: Any) -> None:
    edges, symmetries = [("nose", "tail"), ("nose", "ear_L")], [("ear_R", "ear_L")]
    of = skeleton(edges=edges, symmetries=symmetries)
    path = save(tmp_path / "m.slp", [frame(video, 2, user(POINTS, of), user(POINTS + 1, of)), frame(video, 0, user(
        POINTS + 2, of))])  # fmt: skip
    found = open_annotations(str(path))
    assert (found.name, found.keypoints) == ("m", NODES)
    assert found.skeleton == ((2, 0), (2, 3))
    assert found.flip_pairs == ((3, 1),)  # left, right
    assert [picture.path for picture in found.pictures] == [tmp_path / "day1" / f"000{k}.png" for k in (2, 0)]
    assert [instance.picture.id for instance in found.instances] == [1, 1, 2]
    for shift, instance in enumerate(found.instances):
        assert instance.visibility.tolist() == [2, 2, 0, 2]
        assert np.abs(instance.points - np.nan_to_num(POINTS + shift)).max() < 0.01
    assert "frame 2, instance 1" in found.instances[1].source


def test_without_symmetries_the_names_tell_the_pairs(tmp_path: Path, video: Any) -> None:
    path = save(tmp_path / "m.slp", [frame(video, 0, user(POINTS, skeleton()))])
    assert read_sleap(path).flip_pairs == ((3, 1),)


def test_symmetries_may_pair_any_names(tmp_path: Path, video: Any) -> None:
    of = skeleton(symmetries=[("nose", "tail")])
    assert read_sleap(save(tmp_path / "m.slp", [frame(video, 0, user(POINTS, of))])).flip_pairs == ((0, 2),)


def test_a_node_in_two_symmetries_is_refused(tmp_path: Path, video: Any) -> None:
    of = skeleton(symmetries=[("nose", "tail"), ("ear_L", "nose")])
    with pytest.raises(InputError, match="'nose'"):
        read_sleap(save(tmp_path / "m.slp", [frame(video, 0, user(POINTS, of))]))


def test_points_marked_as_not_visible_are_not_labeled(tmp_path: Path, video: Any) -> None:
    instance = user(POINTS, skeleton())
    instance.points["visible"][1] = False
    found = read_sleap(save(tmp_path / "m.slp", [frame(video, 3, instance)]))
    assert found.instances[0].visibility.tolist() == [2, 0, 0, 2]
    assert found.instances[0].points[1].tolist() == [0, 0]
    assert "not visible" in remarks(found, "dropped")
    assert "frame 3, instance 0" in remarks(found, "dropped")


def test_predictions_are_no_labels(tmp_path: Path, video: Any) -> None:
    of = skeleton()
    frames = [frame(video, 0, predicted(POINTS, of), user(POINTS, of)), frame(video, 1, predicted(POINTS, of))]
    found = read_sleap(save(tmp_path / "m.slp", frames))
    assert [picture.path.name for picture in found.pictures] == ["0000.png"]
    assert len(found.instances) == 1
    assert [remark.count for remark in found.remarks.of("dropped")] == [2, 1]  # instances, frames


def test_a_frame_marked_as_empty_is_a_picture_without_an_instance(tmp_path: Path, video: Any) -> None:
    empty = frame(video, 1)
    if not hasattr(empty, "is_negative"):
        pytest.skip("this sleap-io has no such frames")
    empty.is_negative = True
    found = read_sleap(save(tmp_path / "m.slp", [frame(video, 0, user(POINTS, skeleton())), empty]))
    assert [picture.path.name for picture in found.pictures] == ["0000.png", "0001.png"]
    assert len(found.instances) == 1


def test_two_skeletons_are_refused(tmp_path: Path, video: Any) -> None:
    frames = [frame(video, 0, user(POINTS, skeleton())), frame(video, 1, user([[1, 2]], skeleton(["x"], "fly")))]
    with pytest.raises(InputError, match=r"mouse: tail, ear_R, nose, ear_L.*fly: x"):
        read_sleap(save(tmp_path / "m.slp", frames))


def test_a_skeleton_that_is_there_twice_is_one(tmp_path: Path, video: Any) -> None:
    frames = [frame(video, index, user(POINTS, skeleton(name=f"s{index}"))) for index in range(2)]
    assert read_sleap(save(tmp_path / "m.slp", frames)).keypoints == NODES


def test_pictures_of_another_machine_are_found_by_folder_and_name(tmp_path: Path) -> None:
    of, frames = skeleton(), []
    for number, day in enumerate(("day1", "day2")):
        files = save_frames(tmp_path / "there" / day, 2)
        frames.append(frame(sio.Video.from_filename(files), 1, user(POINTS + number, of)))
    path = save(tmp_path / "m.slp", frames)
    (tmp_path / "here").mkdir()
    (tmp_path / "there").rename(tmp_path / "here" / "pictures")
    found = open_annotations(str(path), str(tmp_path / "here" / "pictures"))
    assert [picture.path.parts[-2:] for picture in found.pictures] == [("day1", "0001.png"), ("day2", "0001.png")]


def test_one_picture_for_two_frames_is_an_error(tmp_path: Path) -> None:
    of, frames = skeleton(), []
    for day in ("day1", "day2"):
        files = save_frames(tmp_path / "there" / day, 2)
        frames.append(frame(sio.Video.from_filename(files), 1, user(POINTS, of)))
    path = save(tmp_path / "m.slp", frames)
    (tmp_path / "there").rename(tmp_path / "gone")
    save_frames(tmp_path / "flat", 2)
    with pytest.raises(InputError, match=r"flat.0001\.png"):
        open_annotations(str(path), str(tmp_path / "flat"))


def test_the_exact_path_wins_over_a_like_named_one(tmp_path: Path) -> None:
    files = save_frames(tmp_path / "deep" / "day1", 2)
    save_frames(tmp_path / "day1", 2)
    path = save(tmp_path / "m.slp", [frame(sio.Video.from_filename(files), 1, user(POINTS, skeleton()))])
    assert str(read_sleap(path).pictures[0].path) == files[1]


def test_images_may_be_a_copy_of_the_pictures_outside(tmp_path: Path) -> None:
    files = save_frames(tmp_path / "outside" / "day1", 2)
    (tmp_path / "a" / "b").mkdir(parents=True)
    path = save(tmp_path / "a" / "b" / "m.slp", [frame(sio.Video.from_filename(files), 1, user(POINTS, skeleton()))])
    with pytest.raises(InputError, match=r"outside.day1.0001\.png.*--images"):
        open_annotations(str(path))
    save_frames(tmp_path / "copy" / "day1", 2)
    (picture,) = open_annotations(str(path), str(tmp_path / "copy")).pictures
    assert picture.path == tmp_path / "copy" / "day1" / "0001.png"


def test_missing_pictures_are_named(tmp_path: Path, video: Any) -> None:
    path = save(tmp_path / "m.slp", [frame(video, 1, user(POINTS, skeleton()))])
    (tmp_path / "day1" / "0001.png").unlink()
    with pytest.raises(InputError, match=r"0001\.png"):
        open_annotations(str(path))


def test_frames_inside_the_file_have_to_be_written_first(tmp_path: Path, video: Any) -> None:
    frames = [frame(video, index, user(POINTS + index, skeleton())) for index in (3, 1)]
    path = save(tmp_path / "m.pkg.slp", frames, embed="user")
    with pytest.raises(InputError, match=r"m\.pkg\.slp.*python -c") as caught:
        open_annotations(str(path))
    code = str(caught.value).partition('python -c "')[2].rpartition('"')[0]
    subprocess.run([sys.executable, "-c", code], check=True)
    found = open_annotations(str(path))
    assert found.name == "m"
    reds = [np.array(Image.open(picture.path).convert("RGB"))[0, 0, 0] for picture in found.pictures]
    order = [int(instance.source.partition("frame ")[2].partition(",")[0]) for instance in found.instances]
    assert reds == order
    assert sorted(reds) == [1, 3]
    for index, instance in zip(order, found.instances, strict=True):
        assert np.abs(instance.points - np.nan_to_num(POINTS + index)).max() < 0.01


def test_frames_of_a_film_have_to_be_written_first(tmp_path: Path, video: Any) -> None:
    film = sio.save_video(video, str(tmp_path / "film.mp4")) or sio.Video.from_filename(str(tmp_path / "film.mp4"))
    path = save(tmp_path / "m.slp", [frame(film, 2, user(POINTS, skeleton()))])
    with pytest.raises(InputError, match=r"film\.mp4"):
        read_sleap(path)
    (file,) = write_pictures(path, tmp_path / "frames")
    (picture,) = open_annotations(str(path), str(tmp_path / "frames")).pictures
    assert picture.path == file
    (tmp_path / "film.mp4").unlink()
    with pytest.raises(InputError, match=r"frame 2 .*film\.mp4"):
        write_pictures(path)


# imageio leaves a file of its FFMPEG plugin open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_frames_of_a_film_are_counted_as_they_are_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sleap-io's own plugin repeats pictures of a video with a variable frame rate, to keep a constant one."""
    tick, times = Fraction(1, 600), [0, 20, 40, 240, 260]
    with av.open(str(tmp_path / "film.mp4"), "w") as film:
        stream = film.add_stream("mpeg4", rate=30)
        stream.width = stream.height = 32
        stream.pix_fmt, stream.time_base, stream.codec_context.time_base = "yuv420p", tick, tick
        for number, time in enumerate(times):
            picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 50 * number, np.uint8), format="rgb24")
            picture.pts, picture.time_base = time, tick
            film.mux(stream.encode(picture))
        film.mux(stream.encode())
    source = sio.Video.from_filename(str(tmp_path / "film.mp4"))
    path = save(tmp_path / "m.slp", [frame(source, index, user(POINTS, skeleton())) for index in (3, 4)])
    monkeypatch.setattr("sleap_io.io.video_reading._default_video_plugin", "FFMPEG")
    grays = [np.asarray(Image.open(file)).mean() for file in write_pictures(path)]
    assert grays == pytest.approx([150, 200], abs=3)


def test_a_film_without_a_plugin_that_counts_so_is_refused(tmp_path, video, monkeypatch):
    film = sio.save_video(video, str(tmp_path / "film.mp4")) or sio.Video.from_filename(str(tmp_path / "film.mp4"))
    path = save(tmp_path / "m.slp", [frame(film, 2, user(POINTS, skeleton()))])
    monkeypatch.setattr("sleap_io.io.video_reading.get_available_video_backends", lambda: ["FFMPEG"])
    with pytest.raises(MissingExtraError, match="pip install av"):
        write_pictures(path)


@pytest.mark.parametrize("content", [b"", b"not a file of SLEAP"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.slp").write_bytes(content)
    with pytest.raises(InputError, match=r"m\.slp"):
        read_sleap(tmp_path / "m.slp")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"m\.slp"):
        read_sleap(tmp_path / "m.slp")


def test_without_sleap_io_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sleap_io", None)
    with pytest.raises(MissingExtraError, match=r"edgehrnet\[formats\]"):
        read_sleap(tmp_path / "m.slp")


def test_other_formats_do_not_import_sleap_io() -> None:
    code = "import sys, quant.data.opening; sys.exit(bool({'sleap_io', 'yaml', 'h5py'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_colored_pictures_after_a_gray_one_are_written_in_color(tmp_path):
    """sleap-io reads a list of pictures in gray if the first one is gray."""
    colors = [(90, 90, 90), (200, 30, 60)]
    for index, color in enumerate(colors):
        Image.new("RGB", (24, 16), color).save(tmp_path / f"{index}.png")
    video = sio.Video.from_filename([str(tmp_path / f"{index}.png") for index in range(2)])
    skeleton = sio.Skeleton(["a"])
    frames = [
        sio.LabeledFrame(
            video=video, frame_idx=index, instances=[sio.Instance.from_numpy(np.array([[3.0, 4.0]]), skeleton=skeleton)]
        )
        for index in range(2)
    ]
    path = tmp_path / "labels.slp"
    sio.Labels(frames).save(str(path), verbose=False)
    written = write_pictures(path, tmp_path / "out")
    assert [Image.open(file).convert("RGB").getpixel((0, 0)) for file in written] == colors
