"""Keep the work of a run in a folder: the list of pictures, the model, and the parts that are done."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from edgehrnet import __version__
from edgehrnet.errors import InputError
from edgehrnet.many.listing import cut, write_list
from edgehrnet.parquet import import_pyarrow
from edgehrnet.results.formats import parquet_schema
from runtimes.writing import write_file

LINEAGE = ("error", "model", "model_sha256", "edgehrnet")  # columns behind those of --parquet
SUFFIX = ".parts"
FORMAT = 1
GROUP = 100_000  # rows of the file that are written together


@dataclass(frozen=True)
class Run:
    """Describe what is to be done. Each worker reads it."""

    model: str
    """Path of the model file, or name of a shipped model."""
    sha256: str
    """SHA-256 of the model file, with its weights."""
    arguments: dict[str, Any]
    """Keyword arguments of Predictor."""
    sources: list[str]
    """Sources as they were typed."""
    recursive: bool
    """Whether the subfolders of folders count."""
    folder: str
    """Folder from which relative paths of pictures begin."""
    version: str = __version__
    """Version of this package, which all workers must have."""
    format: int = FORMAT
    """Format of the folder."""


class Work:
    """The folder ``FILE.parts`` of a run.

    Args:
        folder: The folder, which all machines see under this path.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.list = folder, folder / "pictures.jsonl"

    @staticmethod
    def of(file: Path) -> Work:
        """Return the work whose result is a file."""
        return Work(file.with_name(file.name + SUFFIX).absolute())

    @property
    def is_begun(self) -> bool:
        """True if the list is complete."""
        return (self.folder / "run.json").exists()

    def begin(self, run: Run, *, resume: bool) -> None:
        """List the pictures, or continue the same run.

        Raises:
            InputError: There is such a folder without ``resume``, or it is of another run.
            ImageError: A source has no pictures.
        """
        if self.is_begun and not resume:
            raise InputError(
                f"{str(self.folder)!r} holds results of a run that was interrupted; continue it with resume=True or "
                "--resume, or remove the folder"
            )
        if self.is_begun:
            self._check_same(run)
            for path in self.folder.glob("*.try"):
                path.unlink()
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.glob("[0-9]*"):  # left by a process that was killed while it removed the folder
            path.unlink()
        try:
            parts = cut(self.list, write_list(self.list, run.sources, recursive=run.recursive))
        except BaseException:
            shutil.rmtree(self.folder)
            raise
        write_file(self.folder / "run.json", json.dumps({**asdict(run), "parts": parts}))

    def _check_same(self, run: Run) -> None:
        for name, value in asdict(run).items():
            before = getattr(self.run, name)
            if before != json.loads(json.dumps(value)):
                raise InputError(
                    f"{str(self.folder)!r} is of a run with {name}={before!r}, this one has {value!r}; remove the "
                    "folder to begin anew"
                )

    @cached_property
    def _values(self) -> dict[str, Any]:
        values = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        return dict(values)

    @cached_property
    def run(self) -> Run:
        """The run, as it was begun."""
        return Run(**{name: value for name, value in self._values.items() if name != "parts"})

    @property
    def parts(self) -> list[tuple[int, int]]:
        """First byte in the list and number of lines of each part."""
        return [(start, lines) for start, lines in self._values["parts"]]

    def path_of(self, number: int, suffix: str = ".parquet") -> Path:
        """Return the file of a part."""
        return self.folder / f"{number:06}{suffix}"

    def missing(self) -> list[int]:
        """Return the numbers of the parts that are not done."""
        names = {entry.name for entry in os.scandir(self.folder)}
        return [number for number in range(len(self.parts)) if self.path_of(number).name not in names]

    def finish(self, file: Path) -> dict[str, int]:
        """Write all parts as one file, remove the folder, and return the numbers of pictures and errors."""
        counts = {"pictures": 0, "errors": 0}
        write_file(file, partial(self._join, counts))
        (self.folder / "run.json").unlink()  # without it, the rest is nothing that could be continued
        shutil.rmtree(self.folder)
        return counts

    def _join(self, counts: dict[str, int], path: Path) -> None:
        pa, parquet = import_pyarrow()
        with parquet.ParquetWriter(path, parquet_schema(*LINEAGE)) as writer:
            tables, rows = [], 0
            for number in range(len(self.parts)):
                with parquet.ParquetFile(self.path_of(number)) as part:
                    for name in counts:
                        counts[name] += int(part.metadata.metadata[name.encode()])
                    tables.append(part.read())
                rows += tables[-1].num_rows
                if rows >= GROUP or number == len(self.parts) - 1:
                    writer.write_table(pa.concat_tables(tables))
                    tables, rows = [], 0
            writer.add_key_value_metadata({name: str(count) for name, count in counts.items()})


def counts_of(file: Path) -> dict[str, int]:
    """Return the numbers of pictures and errors of a complete file.

    Raises:
        InputError: The file is not of such a run.
    """
    pa, parquet = import_pyarrow()
    try:
        facts = parquet.read_metadata(file).metadata or {}
        return {name: int(facts[name.encode()]) for name in ("pictures", "errors")}
    except (OSError, pa.ArrowException, KeyError):
        raise InputError(f"{str(file)!r} was not written by many workers; name another file, or remove it") from None
