"""List the devices that each installed engine finds."""

from __future__ import annotations

import importlib

from runtimes import ENGINES
from runtimes.base import Device
from runtimes.errors import DeviceError, MissingExtraError


def devices() -> dict[str, list[Device] | str]:
    """Return the devices of each engine by the engine's name, or a text that says why it has none."""
    found: dict[str, list[Device] | str] = {}
    for engine in dict.fromkeys(ENGINES.values()):
        if engine.lists_devices:
            try:
                found[engine.name] = importlib.import_module(engine.module).devices()
            except (MissingExtraError, DeviceError) as error:
                found[engine.name] = str(error)
    return found
