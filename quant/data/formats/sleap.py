"""Read the labels of SLEAP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgehrnet.errors import InputError, MissingExtraError
from edgehrnet.sides import pair_sides
from quant.data.annotations import Annotations, Instance, Picture
from quant.data.formats.pairs import left_first
from quant.data.picture_files import SAME_FILE, PictureFinder
from quant.data.remarks import Remarks

SUFFIX = ".slp"
PICTURES = "images"
"""Folder beside the labels in which `write_pictures` writes, and in which `PictureFinder` looks."""


def is_sleap(path: Path) -> bool:
    """Return whether a path is a file of SLEAP."""
    return path.suffix == SUFFIX and path.is_file()


def read_sleap(path: Path, images: Path | None = None) -> Annotations:
    """Read a SLEAP ``.slp`` file with sleap-io.

    Only instances that a user has labeled are read. Predicted instances are left out, and so are frames that have no
    others. A point that is marked as not visible counts as not labeled, as it does when SLEAP trains, because SLEAP's
    editor moves such points by itself.

    Args:
        path: file of SLEAP.
        images: folder of the pictures. None looks for them, see `PictureFinder`.

    Raises:
        InputError: the file cannot be read, its instances have several skeletons, or its frames are in a video or in
            the file itself. The message then says how to write the frames as pictures.
        MissingExtraError: sleap-io is not installed.
    """
    labels = _load(path)
    finder, remarks = PictureFinder(path, images), Remarks()
    reader = _Reader(path, list(labels.videos), finder.find, remarks)
    for frame in labels.labeled_frames:
        reader.add(frame)
    skeleton = _skeleton(path, labels, reader.skeletons)
    names = tuple(str(name) for name in skeleton.node_names)
    reader.check_pictures()
    return Annotations(
        name=_stem(path),
        source=path,
        keypoints=names,
        pictures=list(reader.pictures.values()),
        instances=reader.instances,
        skeleton=tuple(dict.fromkeys((int(a), int(b)) for a, b in skeleton.edge_inds)),
        flip_pairs=_flip_pairs(path, skeleton.symmetry_inds, names),
        remarks=remarks,
    )


def write_pictures(path: str | Path, folder: str | Path | None = None) -> list[Path]:
    """Write each frame of a SLEAP file that a user has labeled as a PNG, for `read_sleap`.

    The names of the files contain the numbers of the video and the frame. If videos are added to the ``.slp`` or
    removed, the pictures have to be written again.

    Args:
        path: file of SLEAP, with the frames in it or beside its videos.
        folder: where to write. None takes ``images`` beside the file, where `read_sleap` looks.

    Returns:
        The files.

    Raises:
        InputError: the file or one of its frames cannot be read.
        MissingExtraError: sleap-io is not installed.
    """
    path = Path(path)
    target = path.parent / PICTURES if folder is None else Path(folder)
    labels = _load(path, videos=True)
    videos, files = list(labels.videos), []
    target.mkdir(parents=True, exist_ok=True)
    for film in videos:
        film.grayscale = False  # sleap-io reads a whole list of pictures in gray if the first one looks gray
        _count_frames_as_stored(film, path)
    for frame in filter(_is_labeled, labels.labeled_frames):
        video = videos.index(frame.video)
        try:
            pixels = np.asarray(frame.image)
            picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        except Exception as error:  # each of its video readers has errors of its own
            raise InputError(f"{path}: cannot read frame {frame.frame_idx} of video {video}, "
                             f"{_shown(frame.video)}: {type(error).__name__}: {error}") from None  # fmt: skip
        files.append(target / _picture_name(path, video, frame.frame_idx))
        picture.save(files[-1])
    return files


def _count_frames_as_stored(film: Any, path: Path) -> None:
    """Read a video with a plugin for which frame i is the i-th picture that is stored in it.

    sleap-io's own plugin, FFMPEG, repeats and leaves out pictures of videos with a variable frame rate.
    """
    from sleap_io.io.video_reading import MediaVideo, get_available_video_backends

    if not isinstance(film.filename, str) or not film.filename.lower().endswith(MediaVideo.EXTS):
        return
    plugin = next((name for name in ("opencv", "pyav") if name in get_available_video_backends()), None)
    if plugin is None:
        raise MissingExtraError(f"{path} has frames in {film.filename}, which needs PyAV; type: pip install av")
    film.set_video_plugin(plugin)


def _load(path: Path, *, videos: bool = False) -> Any:
    """Return the Labels of sleap-io."""
    try:
        import sleap_io
    except ImportError as error:
        raise MissingExtraError(f"a {SUFFIX} file needs sleap-io ({error}); type: "
                                "pip install 'edgehrnet[formats]'") from None  # fmt: skip
    if not path.is_file():
        raise InputError(f"cannot read {path}: there is no such file")
    try:
        return sleap_io.load_slp(str(path), open_videos=videos)
    except Exception as error:  # h5py and sleap-io raise many types of error on other files
        raise InputError(f"{path} is not a SLEAP label file: {type(error).__name__}: {error}") from None


@dataclass
class _Reader:
    """Turns labeled frames into pictures and instances."""

    path: Path
    videos: Sequence[Any]
    find: Callable[[str], Path]
    remarks: Remarks
    pictures: dict[Path, Picture] = field(default_factory=dict)
    """Pictures by their file."""
    names: dict[Path, str] = field(default_factory=dict)
    """Name of each picture in the file of SLEAP."""
    instances: list[Instance] = field(default_factory=list)
    skeletons: list[Any] = field(default_factory=list)
    """Skeletons of the instances, each once."""
    unwritten: list[str] = field(default_factory=list)
    """Videos of the frames that are not picture files."""

    def add(self, frame: Any) -> None:
        """Read one labeled frame."""
        video = self.videos.index(frame.video)
        place = f"{self.path.name}, video {video}, frame {frame.frame_idx}"
        for _ in frame.predicted_instances:
            self.remarks.add("dropped", "predicted instances, which are not labels", place)
        if not _is_labeled(frame):
            self.remarks.add("dropped", "frames without an instance that a user has labeled", place)
            return
        picture = self._picture(frame, video, place)
        if picture is None:
            return
        for number, instance in enumerate(frame.user_instances):
            self.instances.append(self._instance(instance, picture, f"{place}, instance {number}"))
            if not any(instance.skeleton is skeleton for skeleton in self.skeletons):
                self.skeletons.append(instance.skeleton)

    def _picture(self, frame: Any, video: int, place: str) -> Picture | None:
        key = video, int(frame.frame_idx)
        try:
            name, file = self._file(frame.video, *key)
        except InputError as error:
            self.remarks.add("error", "pictures outside the folders of the data set", f"{place}: {error}")
            return None
        if file not in self.pictures:
            self.pictures[file] = Picture(file, len(self.pictures) + 1, place)
        elif self.names[file] != name:
            self.remarks.add("error", SAME_FILE, f"{place}: {file}")
        self.names.setdefault(file, name)
        return self.pictures[file]

    def _file(self, video: Any, number: int, index: int) -> tuple[str, Path]:
        """Return name and file of a frame's picture, which is in the video's list or from `write_pictures`.

        Raises:
            InputError: there is no such frame, or the picture lies outside the searched folders.
        """
        names = _file_names(video)
        if names is None:
            name = _picture_name(self.path, number, index)
            file = self.find(name)
            if not file.is_file():
                self.unwritten.append(_shown(video))
            return name, file
        if not 0 <= index < len(names):
            raise InputError(f"the video has {len(names)} pictures, but none for frame {index}")
        return names[index], self.find(names[index])

    def _instance(self, instance: Any, picture: Picture, place: str) -> Instance:
        points = np.array(instance.points["xy"], float)
        finite, visible = np.isfinite(points).all(axis=1), np.array(instance.points["visible"], bool)
        if (finite & ~visible).any():
            self.remarks.add("dropped", "points marked as not visible, on which SLEAP does not train either", place)
        labeled = finite & visible
        visibility = np.where(labeled, 2, 0).astype(np.uint8)
        return Instance(picture, np.where(labeled[:, None], points, 0.0), visibility, place)

    def check_pictures(self) -> None:
        """Raise InputError if frames have to be written as pictures first."""
        if self.unwritten:
            videos = ", ".join(dict.fromkeys(self.unwritten))
            raise InputError(
                f"{self.path}: {len(self.unwritten)} labeled frames are in {videos}, and only picture files are read. "
                f"To write them to the folder {PICTURES} beside the labels, from where they are read, type: "
                f'python -c "from {__name__} import write_pictures; write_pictures({str(self.path)!r})"'
            )


def _is_labeled(frame: Any) -> bool:
    """Return whether a user has labeled the frame. A frame may be marked as one that shows no object."""
    return bool(frame.user_instances) or bool(getattr(frame, "is_negative", False))


def _file_names(video: Any) -> list[str] | None:
    """Return the picture files of a video that is a list of files. None for others, and if the pictures are cropped."""
    metadata = video.backend_metadata
    names = metadata.get("filenames") or video.filename
    return [str(name) for name in names] if isinstance(names, list) and not metadata.get("crop") else None


def _shown(video: Any) -> str:
    return f"{video.filename[0]} ..." if isinstance(video.filename, list) else str(video.filename)


def _stem(path: Path) -> str:
    """Return the name without .slp or .pkg.slp."""
    return path.name.removesuffix(SUFFIX).removesuffix(".pkg")


def _picture_name(path: Path, video: int, frame: int) -> str:
    return f"{_stem(path)}-{video}-{frame:06d}.png"


def _skeleton(path: Path, labels: Any, used: Sequence[Any]) -> Any:
    """Return the only skeleton of the instances. Skeletons with the same nodes in the same order count as one."""
    found: dict[tuple[str, ...], Any] = {}
    for skeleton in used or labels.skeletons:
        found.setdefault(tuple(skeleton.node_names), skeleton)
    if not found or not all(found):
        raise InputError(f"{path} has no keypoints, because it has no skeleton with nodes")
    if len(found) > 1:
        shown = "; ".join(f"{skeleton.name}: {', '.join(names)}" for names, skeleton in found.items())
        raise InputError(
            f"{path} has instances of {len(found)} different skeletons, and must have those of one ({shown})"
        )
    return next(iter(found.values()))


def _flip_pairs(path: Path, symmetries: Sequence[tuple[int, int]], names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Return the symmetries of the skeleton, or the pairs that the names tell if it has none."""
    pairs = left_first(((int(a), int(b)) for a, b in symmetries), names)
    indices = [index for pair in pairs for index in pair]
    twice = [names[index] for index in indices if indices.count(index) > 1]
    if twice:
        raise InputError(f"{path}: the skeleton has {twice[0]!r} in several symmetries; keep one of these")
    return pairs or pair_sides(names)
