"""Find the label tables of DeepLabCut and Lightning Pose in folders and projects, and read project files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quant.data.formats.values import shortened
from quant.data.remarks import Remarks

PREFIX = "CollectedData"
SUFFIXES = (".csv", ".h5")
"""Suffixes of tables. If a folder has both for one name, the first is read."""
VIDEOS, TRAINING = "labeled-data", "training-datasets"
"""Folders of a project: the first has a folder for each video, the second DeepLabCut's merged tables."""
CONFIG = "config.yaml"
NEW = "_new"
"""Ending of the name of a table that Lightning Pose tests on, as in ``CollectedData_new.csv``."""
SCORER = re.compile(r"^scorer:[ \t]*(\S.*?)\s*$", re.MULTILINE)


def tables_of(path: Path) -> list[Path]:
    """Return the tables at a path, in the order in which they are read. Empty if there is none.

    The path is a table, a folder with tables, a project, its ``config.yaml``, or its folder ``labeled-data``. If a
    project has tables of its own, as in Lightning Pose, those of its videos are not read, from which they were made.
    """
    if path.is_file() and path.name == CONFIG and (path.parent / VIDEOS).is_dir():
        path = path.parent
    if path.is_file():
        return [path] if _is_table(path) else []
    if not path.is_dir():
        return []
    videos = path if path.resolve().name == VIDEOS else path / VIDEOS
    own = _in_folder(path)
    if own or not videos.is_dir():
        return own
    folders = sorted(folder for folder in videos.iterdir() if folder.is_dir())
    return [table for folder in folders for table in _in_folder(folder)]


def _in_folder(folder: Path) -> list[Path]:
    """Return the tables in a folder. If a ``.csv`` and an ``.h5`` have the same name, return the ``.csv``."""
    found = [path for path in folder.glob(f"{PREFIX}*") if path.suffix.lower() in SUFFIXES and path.is_file()]
    by_name = {path.stem: path for path in sorted(found, key=lambda path: path.suffix.lower(), reverse=True)}
    return [by_name[name] for name in sorted(by_name)]


def _is_table(path: Path) -> bool:
    """Return whether a file has the name of a table, or is a CSV that begins as one."""
    if path.suffix.lower() not in SUFFIXES:
        return False
    if path.name.startswith(PREFIX):
        return True
    try:
        with path.open("rb") as file:
            start = file.read(10).removeprefix(b"\xef\xbb\xbf")
            return path.suffix.lower() == ".csv" and start.startswith((b"scorer,", b"scorer;", b"scorer\t"))
    except OSError:
        return False


def chosen(tables: Sequence[Path], root: Path | None, remarks: Remarks) -> list[Path]:
    """Return the tables to read together.

    If a folder has a table of the project's scorer, only that one is read. Otherwise all are read except those on which
    Lightning Pose tests.
    """
    scorer, result = scorer_of(root), []
    mine = f"{PREFIX}_{scorer}"
    for table in tables:
        others = {other.stem for other in tables if other.parent == table.parent}
        if scorer is not None and mine in others:
            kind = None if table.stem == mine else f"tables that are not by the project's scorer {scorer!r}"
        else:
            new = table.stem.endswith(NEW) and table.stem.removesuffix(NEW) in others
            kind = f"tables *{NEW}, on which Lightning Pose tests; pass one with --val" if new else None
        if kind is None:
            result.append(table)
        else:
            remarks.add("dropped", kind, str(table))
    return result


def root_of(path: Path) -> Path | None:
    """Return the folder of the project to which a table or folder belongs. None if it is in no project."""
    start = path.absolute() if path.is_dir() else path.absolute().parent
    for folder in (start, *start.parents):
        if (folder / VIDEOS).is_dir() and (start == folder or start.relative_to(folder).parts[0] in (VIDEOS, TRAINING)):
            return folder
    return start if (start / CONFIG).is_file() else None


def _config(root: Path | None) -> str:
    try:
        return "" if root is None else (root / CONFIG).read_text(encoding="utf-8-sig")
    except (OSError, ValueError):
        return ""


def scorer_of(root: Path | None) -> str | None:
    """Return the scorer in a project's ``config.yaml``, without PyYAML. None if there is none."""
    found = SCORER.search(_config(root))
    return found.group(1).strip("'\"") if found else None


def skeleton_of(root: Path | None, names: Sequence[str], remarks: Remarks) -> tuple[tuple[int, int], ...]:
    """Return the lines to draw from a project's ``config.yaml``, as pairs of keypoint indices.

    Lines that cannot be used are left out and noted. Without PyYAML, all lines are.
    """
    text = _config(root)
    if not re.search(r"^skeleton:", text, re.MULTILINE):
        return ()
    try:
        import yaml

        lines = yaml.safe_load(text).get("skeleton")
    except ImportError:
        remarks.add(
            "dropped", "skeletons, which need PyYAML; to read them, type: pip install 'edgehrnet[formats]'", CONFIG
        )
        return ()
    except Exception as error:  # damaged files end in a dozen types of error
        remarks.add(
            "warning",
            f"files {CONFIG} that cannot be read, so that no skeleton is drawn",
            f"{root}: {shortened(str(error))}",
        )
        return ()
    found: list[tuple[int, int]] = []
    for line in lines if isinstance(lines, list) else []:
        if _is_line(line, names):
            found.append((names.index(line[0]), names.index(line[1])))
        else:
            remarks.add(
                "dropped", "lines of the skeleton that do not name two keypoints", f"{CONFIG}: {shortened(line)}"
            )
    return tuple(dict.fromkeys(found))


def _is_line(line: Any, names: Sequence[str]) -> bool:
    return isinstance(line, list) and len(line) == 2 and all(end in names for end in line)
