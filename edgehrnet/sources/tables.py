"""Read the pictures in the rows of a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgehrnet.errors import CorruptImageError, MissingImageError
from edgehrnet.parquet import import_pyarrow
from edgehrnet.sources.frame import Frame

TABLE_SUFFIX = ".parquet"
ROWS = 16  # in memory at a time


def row_groups(path: Path) -> list[int]:
    """Return the number of rows of each row group.

    Raises:
        CorruptImageError: It is not a Parquet file, or none of its columns holds pictures.
        MissingImageError: There is no such file.
    """
    with _opened(path) as file:
        _column(file.schema_arrow, path)
        return [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]


def rows_of(path: Path, group: int | None = None) -> Iterator[Frame]:
    """Yield a Frame for each row, with the path as its source and the number of the row as its frame.

    Pictures are in the first column of bytes, or of structures that have ``bytes``, as Hugging Face data sets have.

    Args:
        path: The file.
        group: Only the rows of this row group.

    Raises:
        CorruptImageError: See `row_groups`.
        MissingImageError: See `row_groups`.
    """
    with _opened(path) as file:
        column = _column(file.schema_arrow, path)
        counts = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        groups = range(len(counts)) if group is None else [group]
        row = sum(counts[: groups[0]]) if counts else 0
        for batch in file.iter_batches(ROWS, row_groups=list(groups), columns=[column]):
            for value in batch.column(0).to_pylist():
                data = value.get("bytes") if isinstance(value, dict) else value
                picture = CorruptImageError(f"row {row} of {str(path)!r} has no picture") if data is None else data
                yield Frame(picture, str(path), row, ahead=True)
                row += 1


def _opened(path: Path) -> Any:
    pa, parquet = import_pyarrow()
    try:
        return parquet.ParquetFile(path)
    except FileNotFoundError:
        raise MissingImageError(f"{str(path)!r} does not exist") from None
    except (OSError, pa.ArrowException) as error:
        raise CorruptImageError(f"{str(path)!r} cannot be read as Parquet: {error}") from None


def _column(schema: Any, path: Path) -> str:
    """Return the column that holds the pictures."""
    pa, _ = import_pyarrow()

    def is_bytes(kind: Any) -> bool:
        if pa.types.is_struct(kind):
            place = kind.get_field_index("bytes")
            return place >= 0 and is_bytes(kind.field(place).type)
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    found = next((field.name for field in schema if is_bytes(field.type)), None)
    if found is None:
        raise CorruptImageError(f"{str(path)!r} has no column of bytes; its columns: {', '.join(schema.names)}")
    return str(found)
