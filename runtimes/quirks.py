"""What engines are known to get wrong, and what is done about it unless told otherwise: a table.

What a row holds as settings is what the engine is told; the others are answered in the code. Printed by ``edgehrnet
info --quirks``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class Quirk:
    """One known trouble.

    ``engine``, ``devices``: whose; ``quantized``: it concerns INT8 files alone. ``trouble``, ``answer``: what goes
    wrong, and what is done. ``settings``: what the engine is told. ``link``: where it is reported.
    """

    engine: str
    devices: tuple[str, ...]
    trouble: str
    answer: str
    link: str
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    quantized: bool = False


_OPENVINO = "https://github.com/openvinotoolkit/openvino/issues/"

QUIRKS = (
    Quirk(
        "openvino", ("CPU", "AUTO"),
        "CPUs with bfloat16 round float layers to it, unasked",
        "float layers run in float32",
        "https://docs.openvino.ai/2025/openvino-workflow/running-inference/optimize-inference/precision-control.html",
        {"INFERENCE_PRECISION_HINT": "f32"},
    ),
    Quirk(
        "openvino", ("GPU",),
        "some integrated GPUs compute INT8 files wrongly while float layers are float16: correlation with CPU -0.08",
        "accuracy before speed for INT8 files; and the file's golden pair is checked when it is loaded",
        f"{_OPENVINO}37446",
        {"EXECUTION_MODE_HINT": "ACCURACY"},
        quantized=True,
    ),
    Quirk(
        "openvino", ("CPU",),
        "INT8 with a dynamic dimension crashes on CPUs with AMX",
        "files are static; another input size reshapes the file when it is loaded",
        f"{_OPENVINO}37577",
    ),
    Quirk(
        "openvino", ("AUTO",),
        "AUTO answers from the CPU at first and from another device later, which may be wrong",
        "AUTO is used when asked for by name, and no CPU stands in while another device compiles",
        "https://github.com/open-edge-platform/geti/issues/6417",
        {"ENABLE_STARTUP_FALLBACK": "NO"},
    ),
    Quirk(
        "openvino", ("CPU",),
        "a container's CPU quota is ignored, so that more threads run than the quota pays for",
        "the quota of cgroup v1 or v2 is read and limits the threads",
        f"{_OPENVINO}37838",
    ),
    Quirk(
        "openvino", ("CPU",),
        "processes with few threads each are all pinned to the same cores",
        "no pinning where the threads are limited",
        f"{_OPENVINO}32444",
    ),
    Quirk(
        "openvino", ("CPU", "GPU", "NPU", "AUTO"),
        "the queue for asynchronous requests hangs",
        "a bounded pool of plain requests; callers beyond it wait",
        "https://github.com/ultralytics/ultralytics/issues/25923",
    ),
    Quirk(
        "openvino", ("CPU", "GPU", "NPU", "AUTO"),
        "a cache folder that cannot be written fails late, or without a word",
        "cache_dir has to be a folder that exists and can be written; there is none unless asked for",
        "https://github.com/open-edge-platform/anomalib/issues/2979",
    ),
    Quirk(
        "onnxruntime", ("CPU", "CUDA", "TENSORRT", "OPENVINO"),
        "a provider that does not start is replaced by the CPU without an error",
        "the providers that really run are read back, and anything but the one asked for raises",
        "https://github.com/microsoft/onnxruntime/issues/17801",
    ),
    Quirk(
        "onnxruntime", ("CPU",),
        "threads spin while they wait, which uses up a CPU quota",
        "no spinning where the threads are limited",
        "https://github.com/microsoft/onnxruntime/issues/22967",
    ),
    Quirk(
        "tensorrt", ("CUDA",),
        "a plan runs with the version and the GPU it was built for, and says so in no readable way",
        "the JSON beside it holds both, checked before the plan is opened",
        "https://github.com/NVIDIA/TensorRT/issues/2072",
    ),
)  # fmt: skip


def settings(engine: str, device: str, *, quantized: bool) -> dict[str, str]:
    """Return what an engine is told on a device (``CPU``, ``GPU``, ``GPU.1``, ...) because of its quirks.

    >>> settings("openvino", "GPU.1", quantized=True)
    {'EXECUTION_MODE_HINT': 'ACCURACY'}
    """
    found: dict[str, str] = {}
    for quirk in QUIRKS:
        concerned = quirk.engine == engine and device.partition(".")[0] in quirk.devices
        if concerned and (quantized or not quirk.quantized):
            found |= quirk.settings
    return found
