"""Table of known engine problems and the default workarounds, printed by ``edgehrnet info --quirks``.

Settings in a row are passed to the engine. The workarounds of all other rows are in the code of the runtimes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class Quirk:
    """One known problem of an engine and its workaround."""

    engine: str
    """Engine that has the problem."""

    devices: tuple[str, ...]
    """Devices that have it, under the engine's names."""

    trouble: str
    """Description of the problem."""

    answer: str
    """Description of the workaround."""

    link: str
    """Address of the report or documentation."""

    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Engine settings that are the workaround, if settings suffice."""

    quantized: bool = False
    """Whether only INT8 files are affected."""


_OPENVINO = "https://github.com/openvinotoolkit/openvino/issues/"

QUIRKS = (
    Quirk(
        "openvino", ("CPU", "AUTO"),
        "CPUs with bfloat16 round float layers to bfloat16 by default",
        "float layers run in float32",
        "https://docs.openvino.ai/2025/openvino-workflow/running-inference/optimize-inference/precision-control.html",
        {"INFERENCE_PRECISION_HINT": "f32"},
    ),
    Quirk(
        "openvino", ("GPU",),
        "some integrated GPUs compute INT8 files wrongly if float layers run in float16 (correlation with CPU: -0.08)",
        "INT8 files run in accuracy mode, and the file's golden pair is checked when it is loaded",
        f"{_OPENVINO}37446",
        {"EXECUTION_MODE_HINT": "ACCURACY"},
        quantized=True,
    ),
    Quirk(
        "openvino", ("CPU",),
        "INT8 with a dynamic dimension crashes on CPUs with AMX",
        "files have static shapes; another input size reshapes the file when it is loaded",
        f"{_OPENVINO}37577",
    ),
    Quirk(
        "openvino", ("AUTO",),
        "AUTO runs on the CPU first and later on another device, whose results may be wrong",
        "AUTO is used only if requested, and does not start on the CPU while another device compiles",
        "https://github.com/open-edge-platform/geti/issues/6417",
        {"ENABLE_STARTUP_FALLBACK": "NO"},
    ),
    Quirk(
        "openvino", ("CPU",),
        "a container's CPU quota is ignored, so that more threads run than the quota allows",
        "the number of threads is limited to the quota of cgroup v1 or v2",
        f"{_OPENVINO}37838",
    ),
    Quirk(
        "openvino", ("CPU",),
        "processes with few threads each are all pinned to the same cores",
        "threads are not pinned if their number is limited",
        f"{_OPENVINO}32444",
    ),
    Quirk(
        "openvino", ("CPU", "GPU", "NPU", "AUTO"),
        "the queue for asynchronous requests hangs",
        "synchronous requests are used instead; if all are in use, further callers wait",
        "https://github.com/ultralytics/ultralytics/issues/25923",
    ),
    Quirk(
        "openvino", ("CPU", "GPU", "NPU", "AUTO"),
        "a cache folder that is not writable fails late or silently",
        "cache_dir must be an existing writable folder; by default there is no cache",
        "https://github.com/open-edge-platform/anomalib/issues/2979",
    ),
    Quirk(
        "onnxruntime", ("CPU", "CUDA", "TENSORRT", "OPENVINO"),
        "a provider that does not start is silently replaced by the CPU",
        "the provider that really runs is read back, and another one than requested is an error",
        "https://github.com/microsoft/onnxruntime/issues/17801",
    ),
    Quirk(
        "onnxruntime", ("CPU",),
        "waiting threads spin, which uses up a CPU quota",
        "threads do not spin if their number is limited",
        "https://github.com/microsoft/onnxruntime/issues/22967",
    ),
    Quirk(
        "tensorrt", ("CUDA",),
        "a plan runs only with the version and the GPU it was built for, and does not store them in a readable form",
        "both are stored in a JSON file next to the plan and checked before the plan is opened",
        "https://github.com/NVIDIA/TensorRT/issues/2072",
    ),
)  # fmt: skip


def settings(engine: str, device: str, *, quantized: bool) -> dict[str, str]:
    """Return the engine settings that work around the quirks of a device.

    Args:
        engine: Engine name, as in `Quirk.engine`.
        device: The engine's name of the device, such as ``CPU`` or ``GPU.1``.
        quantized: Whether the file is INT8.

    >>> settings("openvino", "GPU.1", quantized=True)
    {'EXECUTION_MODE_HINT': 'ACCURACY'}
    """
    found: dict[str, str] = {}
    for quirk in QUIRKS:
        affected = quirk.engine == engine and device.partition(".")[0] in quirk.devices
        if affected and (quantized or not quirk.quantized):
            found |= quirk.settings
    return found
