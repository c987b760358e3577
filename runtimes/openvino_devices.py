"""Check names of OpenVINO's devices, and read properties of devices and of compiled models."""

from __future__ import annotations

from typing import Any

from runtimes.errors import AbsentDeviceError, DeviceError


def checked_device(core: Any, device: str | None) -> str:
    """Return OpenVINO's name of a device. Raise DeviceError if it is unknown or absent."""
    name = "CPU" if device is None else str(device).upper()
    kind = name.partition(".")[0]
    if kind not in ("CPU", "GPU", "NPU") and name != "AUTO":
        raise DeviceError(f"device {device!r} is unknown; an .xml file runs on cpu, gpu, gpu.1, npu or auto")
    if name == "CPU":
        return name  # listing the devices loads the code of all of them, 10 MB and 40 ms
    present = list(core.available_devices)
    if kind == "AUTO" or name in present or f"{name}.0" in present:
        return name
    raise AbsentDeviceError(
        f"device {device!r} is not present; OpenVINO finds {', '.join(present).lower()}; pass one of these"
    )


def device_name(core: Any, name: str) -> str:
    """Return the name of the chip, or an empty string if the engine does not know it."""
    try:
        return str(core.get_property(name, "FULL_DEVICE_NAME")).strip()
    except RuntimeError:
        return ""


def shown_property(core: Any, name: str, key: str) -> str:
    """Return a property as text, or an empty string if the device does not have it."""
    try:
        value = core.get_property(name, key)
    except RuntimeError:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def property_of(compiled: Any, name: str) -> Any:
    """Return a property of a compiled model, None if the device does not have it."""
    try:
        value = compiled.get_property(name)
    except RuntimeError:
        return None
    return value if isinstance(value, int | str) else getattr(value, "get_type_name", lambda: str(value))()
