"""Find this project's folder in the user's cache."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def user_cache() -> Path | None:
    """Return the folder for what this project keeps between runs, None if the user has no home. It may not exist yet.

    It is ``edgehrnet`` in ``$XDG_CACHE_HOME`` or ``~/.cache``, on macOS in ``~/Library/Caches``, and on Windows in
    ``%LOCALAPPDATA%``. It may also be read-only, so whatever is kept there must not be needed.
    """
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    given = os.environ.get(variable, "")
    if Path(given).is_absolute():
        return Path(given) / "edgehrnet"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "edgehrnet"
