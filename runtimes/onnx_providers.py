"""Map device names to ONNX Runtime's providers, and give the options of each provider."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

from runtimes.errors import AbsentDeviceError, DeviceError

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"
# pattern of device=, with the device within the provider as a group -> (provider, default of that group)
_DEVICES = {
    r"cpu()": (CPU, ""),
    r"(?:cuda|gpu)(?:[:.](\d+))?": (CUDA, "0"),
    r"tensorrt(?:[:.](\d+))?": (TENSORRT, "0"),
    r"openvino(?:[:.](cpu|gpu(?:\.\d+)?|npu))?": (OPENVINO, "cpu"),
}
_PACKAGES = {CUDA: "onnxruntime-gpu", TENSORRT: "onnxruntime-gpu", OPENVINO: "onnxruntime-openvino"}


def provider_of(ort: ModuleType, device: str | None) -> tuple[str, str]:
    """Map a device name to an ONNX Runtime provider and the device within it."""
    name = "cpu" if device is None else str(device).lower()
    for pattern, (provider, default) in _DEVICES.items():
        match = re.fullmatch(pattern, name)
        if match is None:
            continue
        present = ort.get_available_providers()
        if provider not in present:
            raise AbsentDeviceError(
                f"device {device!r} is not present: onnxruntime has no {provider} here, only {', '.join(present)}; "
                f"type: pip uninstall onnxruntime; pip install {_PACKAGES[provider]}"
            )
        return provider, (match[1] or default).upper()
    raise DeviceError(
        f"device {device!r}: an .onnx file runs on cpu, cuda, cuda:1 (or gpu, gpu.1), tensorrt, tensorrt:1, openvino, "
        "openvino:gpu or openvino:npu"
    )


def provider_options(provider: str, place: str, path: Path, threads: int, cache_dir: Path | None) -> dict[str, str]:
    """Return the options of a provider, without those that keep its default."""
    cache = "" if cache_dir is None else str(cache_dir)
    # TensorRT refuses files with quantizers without this option, and files without quantizers with it.
    quantized = provider == TENSORRT and b"QuantizeLinear" in path.read_bytes()
    options = {
        CPU: {},
        # Float layers run in float32: no TF32 or bfloat16 by default.
        CUDA: {"device_id": place, "use_tf32": "0"},
        OPENVINO: {
            "device_type": place,
            "precision": "FP32" if place == "CPU" else "",
            "num_of_threads": str(threads or ""),
            "cache_dir": cache,
        },
        TENSORRT: {
            "device_id": place,
            "trt_int8_enable": "1" if quantized else "",
            "trt_engine_cache_enable": "1" if cache else "",
            "trt_engine_cache_path": cache,
        },
    }
    return {key: value for key, value in options[provider].items() if value}
