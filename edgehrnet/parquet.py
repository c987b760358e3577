"""Import the package that reads and writes Parquet files."""

from __future__ import annotations

from typing import Any

from edgehrnet.errors import MissingExtraError


def import_pyarrow() -> tuple[Any, Any]:
    """Import pyarrow and pyarrow.parquet. Raise MissingExtraError without them."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError(f"Parquet needs pyarrow ({error}); type: pip install 'edgehrnet[parquet]'") from None
    return pyarrow, pyarrow.parquet
