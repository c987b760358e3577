"""Write results to several files while they are computed, and continue after an interruption."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from edgehrnet.errors import InputError, check_keywords
from edgehrnet.parquet import import_pyarrow
from edgehrnet.result import Result
from edgehrnet.results.formats import WRITERS, format_of
from edgehrnet.results.log import Log
from edgehrnet.sources.frame import Frame
from edgehrnet.streaming import Stream
from runtimes.writing import PARTIAL, write_file


class ResultFiles:
    """Files that results are added to.

    Each result is appended at once to ``FILE.partial``, a JSON Lines file. `close` converts it to FILE, which appears
    whole, and removes it. After a killed process FILE is as before, ``FILE.partial`` has every result that was added,
    and ``resume=True`` goes on behind it. A FILE without ``FILE.partial`` is complete, and ``resume=True`` leaves it as
    it is. Memory does not grow with the number of results, except for 8 bytes for each earlier one.

    With ``with``, the files are closed at the end of the block. An error in the block leaves ``FILE.partial``.

    Args:
        paths: Files to write. A mapping states their formats: ``json``, ``jsonl``, ``csv``, ``coco``, ``parquet``. Of
            others the name decides: .json, .jsonl, .csv, .coco.json or .parquet.
        resume: Whether to continue files of a process that was interrupted.

    Raises:
        InputError: A file has no known format, or ``FILE.partial`` exists and ``resume`` is False.
        MissingExtraError: A package for the format is not installed.
        WriteError: A file cannot be written.
    """

    def __init__(self, paths: Iterable[str | Path] | Mapping[Path, str], *, resume: bool = False) -> None:
        named = paths if isinstance(paths, Mapping) else {Path(path): format_of(Path(path)) for path in paths}
        if "parquet" in named.values():
            import_pyarrow()
        self.complete = [path for path in named if resume and path.exists() and not _partial(path).exists()]
        """Files that an earlier process has completed, which stay as they are."""
        self._kinds = {path: kind for path, kind in named.items() if path not in self.complete}
        self._logs: dict[Path, Log] = {}
        try:
            for path in self._kinds:
                if path.is_dir():
                    raise InputError(f"{str(path)!r} is a folder; name a file in it")
                path.parent.mkdir(parents=True, exist_ok=True)
                self._logs[path] = Log(_partial(path), resume=resume)
        except BaseException:
            self.abandon()
            raise

    @property
    def earlier(self) -> int:
        """Number of results that all files had when they were opened."""
        return min((len(log) for log in self._logs.values()), default=0)

    def has(self, frame: Frame) -> bool:
        """Return whether an earlier process has added the result of a frame to all files."""
        return frame.name is not None and all((frame.name, frame.frame) in log for log in self._logs.values())

    def add(self, result: Result) -> None:
        """Append a result to the files that do not have it from an earlier process."""
        for log in self._logs.values():
            if result.source is None or (result.source, result.frame) not in log:
                log.add(result)

    def close(self) -> None:
        """Complete the files. Of one that cannot be written, and of those behind it, ``FILE.partial`` stays."""
        try:
            for path in list(self._logs):
                write_file(path, partial(WRITERS[self._kinds[path]], self._logs[path]))
                self._logs.pop(path).remove()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the logs, which a later process may continue. If none has results, they are removed.

        An empty log beside others says that its older FILE is not one that the interrupted run has completed.
        """
        has_results = any(log.size for log in self._logs.values())
        for log in self._logs.values():
            if has_results:
                log.close()
            else:
                log.remove()
        self._logs = {}

    def __enter__(self) -> ResultFiles:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()


@check_keywords
def write(results: Iterable[Result], *paths: str | Path, resume: bool = False) -> int:
    """Write results to files as they come, and return how many were added.

    Args:
        results: Results, such as those of `Predictor.stream`, or of a generator that changes them.
        paths: Files to write: .json, .jsonl, .csv, .coco.json or .parquet. See `ResultFiles`.
        resume: Whether to continue files of a process that was interrupted. Pictures of a Stream that they have are
            not read again. Results of other iterables that they have are left out.

    Raises:
        InputError: See `ResultFiles`.
    """
    if not paths:
        raise InputError("write() needs the name of a file, such as 'out.jsonl'")
    count = 0
    with ResultFiles(paths, resume=resume) as files:
        if len(files.complete) == len(paths):
            return 0
        if resume and isinstance(results, Stream):
            results.leave_out(files.has)
        for result in results:
            if not isinstance(results, Stream) and files.has(Frame(None, result.source, result.frame)):
                continue
            files.add(result)
            count += 1
    return count


def _partial(path: Path) -> Path:
    return path.with_name(path.name + PARTIAL)
