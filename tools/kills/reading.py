"""Read every file that a command has left, and tell older results from newer ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path

from PIL import Image

from edgehrnet.models.checkpoints import load_checkpoint
from edgehrnet.models.checkpoints.state_dicts import read_file
from edgehrnet.predictor import Predictor
from runtimes.writing import HIDDEN, PARTIAL, finish_writing
from tools.kills.cases import Case, rows

Files = Mapping[str, bytes]


def final_files(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files in a folder that are not temporary."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found if not _is_temporary(path)}


def leftovers(folder: Path) -> list[str]:
    """Return the names of temporary files."""
    return [
        str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file() and _is_temporary(path)
    ]


def finish(folder: Path) -> bool:
    """Complete what a killed command had decided to publish, as readers of this project do. Return whether it had."""
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir() and HIDDEN not in path.parts)]
    begun = any((path / HIDDEN / "whole").is_dir() for path in folders)
    for path in folders:
        finish_writing(path)
    return begun


def problems(case: Case, folder: Path, old: Files, new: Files) -> Iterator[str]:
    """Yield what is wrong with the files that a killed command has left.

    Args:
        case: The command.
        folder: The folder it wrote to.
        old: The files before.
        new: The files of a run that was not killed.
    """
    found = final_files(folder)
    for name in found:
        try:
            _read(folder / name)
        except Exception as error:
            yield f"{name} cannot be read: {type(error).__name__}: {error}"
    for name in old:
        if name not in found:
            yield f"{name} was there before, and is gone"
    for name in found:
        if name not in new:
            yield f"{name} is no name of a result"
        elif case.older and not case.varies(name) and found[name] not in (old.get(name), new[name]):
            yield f"{name} is neither the older nor the newer one"
    for patterns in case.together:
        names = [name for name in new if any(fnmatch(name, pattern) for pattern in patterns)]
        versions = {version for name in names for version in [_version(name, found, old, new)] if version != "both"}
        if len(versions) > 1:
            yield f"{' '.join(names)} are {' and '.join(sorted(versions))}"
    try:
        case.check(folder)
    except AssertionError as error:
        yield str(error)


def _version(name: str, found: Files, old: Files, new: Files) -> str:
    if name not in found:
        return "absent"
    if old.get(name) == new[name]:
        return "both"
    return "old" if found[name] == old.get(name) else "new"


def _is_temporary(path: Path) -> bool:
    return HIDDEN in path.parts or path.name.endswith(PARTIAL)


def _read(path: Path) -> None:
    """Read a whole file. Raises an error of any class if it is damaged."""
    suffix = path.suffix.lower()
    if suffix in READERS:
        READERS[suffix](path)


def _open_model(path: Path) -> None:
    if path.name == "web.onnx":  # its sizes are open
        import onnx

        onnx.checker.check_model(onnx.load(path))
        return
    with Predictor(path, trusted=True, threads=1) as predictor:
        predictor.info()


def _show(path: Path) -> None:
    with Image.open(path) as picture:
        picture.load()


def _play(path: Path) -> None:
    import av

    with av.open(path) as video:
        assert sum(1 for _ in video.decode(video=0)) > 0


def _table(path: Path) -> None:
    import pyarrow.parquet

    assert pyarrow.parquet.read_table(path).num_rows > 0


def _lines(path: Path) -> None:
    text = path.read_text()
    if path.name == "log.jsonl":
        text = text[: text.rfind("\n") + 1]  # appended to; a resumed run removes half a line
    for line in text.splitlines():
        json.loads(line)


def _ended(path: Path) -> None:
    text = path.read_text().rstrip()
    assert text.endswith("</html>") or path.suffix != ".html", "is cut"


def _checkpoint(path: Path) -> None:
    read_file(path) if path.name == "last.pt" else load_checkpoint(path)


READERS: Mapping[str, Callable[[Path], object]] = {
    ".json": lambda path: json.loads(path.read_text()),
    ".jsonl": _lines,
    ".csv": rows,
    ".parquet": _table,
    ".png": _show,
    ".jpg": _show,
    ".mp4": _play,
    ".html": _ended,
    ".xml": lambda path: None if path.name == "config.xml" else _open_model(path),
    ".onnx": _open_model,
    ".pt": _checkpoint,
}
