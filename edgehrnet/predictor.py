"""Predictor: a file in, pictures in, keypoints out. Glue only; each stage has its own module."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

import runtimes
from edgehrnet.certificate import read_certificate
from edgehrnet.decoding import CERTAIN, locate, sigmoid
from edgehrnet.errors import (
    DeviceError,
    EdgeHRNetError,
    InputError,
    MissingSpecError,
    SpecError,
    check_keywords,
    nearest,
)
from edgehrnet.letterbox import check_input_size, letterbox
from edgehrnet.result import Keypoints, Result
from edgehrnet.sources import frames, read_image
from edgehrnet.spec import DECODE_METHODS, ModelSpec

GOLDEN_PX = 2.0  # network-input pixels, half a heatmap cell; a wrong device is off by dozens
GOLDEN_CORRELATION = 0.99


@dataclass(frozen=True)
class Report:
    """How a file did on the picture it carries, on the device at hand.

    ``max_px``: largest keypoint error in network-input pixels; ``correlation``: of the heatmaps with the float
    network's, 1 is perfect.
    """

    passed: bool
    device: str
    max_px: float
    correlation: float


class Predictor:
    """Runs one model file.

    ``path`` and ``device``, where None is the first one named; an absent one raises:

    - OpenVINO ``.xml``: ``cpu``, ``gpu``, ``gpu.1``, ``npu``, ``auto``
    - ONNX ``.onnx``: ``cpu``, ``cuda``, ``cuda:1``, ``tensorrt``, ``openvino``, ``openvino:gpu``
    - TensorRT ``.engine``, ``.plan``: ``cuda``, ``cuda:1``
    - a checkpoint ``.pt``, which torch runs: ``cpu``, ``cuda``, ``cuda:1``

    Anything but a CPU first has to answer the picture that the file carries as the float network did, or raises.

    ``input_size``: (height, width), multiples of 32; None keeps the file's, and only ``.xml`` and ``.pt`` take another.
    ``threads``: CPU threads. ``decode``: ``argmax``, ``quarter``, ``dark``, ``offset``, ``softargmax``; None is the
    file's own. ``cache_dir``: an existing folder for compiled files. ``spec``: for a file that carries none.
    ``target``: of a ``.pt`` alone: None runs the float network; ``openvino``, ``onnx`` or ``tensorrt`` the one that
    rounds as INT8 does, with the ranges that the checkpoint has for this engine.

    May be shared between threads, whose inferences take turns; pickles as its arguments; ``close()`` or ``with``
    releases everything.
    """

    @check_keywords
    def __init__(
        self,
        path: str | Path,
        *,
        device: str | None = None,
        input_size: tuple[int, int] | None = None,
        threads: int | None = None,
        decode: str | None = None,
        cache_dir: str | Path | None = None,
        spec: ModelSpec | None = None,
        target: str | None = None,
    ) -> None:
        if not isinstance(path, str | Path):
            raise InputError(f"path={path!r}: a model file's path, as text or Path")
        if input_size is not None:
            check_input_size(input_size)
            input_size = (int(input_size[0]), int(input_size[1]))
        if spec is not None and not isinstance(spec, ModelSpec):
            raise SpecError(f"spec is {type(spec).__name__}; pass a ModelSpec, such as ModelSpec.from_dict(...)")
        if threads is not None and (not isinstance(threads, int) or isinstance(threads, bool) or threads < 1):
            raise InputError(f"threads={threads!r}; a whole number of at least 1, or None")
        if decode is not None and decode not in DECODE_METHODS:
            raise InputError(f"decode={decode!r}; {nearest(decode, DECODE_METHODS)}")
        self.path = Path(path)
        self._is_checkpoint = self.path.suffix.lower() == ".pt"
        if target is not None and not self._is_checkpoint:
            raise InputError(
                f"target={target!r}: for a .pt checkpoint alone; {path} runs as it was built, leave it out"
            )
        self._arguments = {
            "device": device,
            "input_size": input_size,
            "threads": threads,
            "decode": decode,
            "cache_dir": cache_dir,
            "spec": spec,
            "target": target,
        }
        loader = partial(_load_checkpoint, target=target) if self._is_checkpoint else None
        self._runtime = runtimes.load(
            path, device, input_size=input_size, threads=threads, cache_dir=cache_dir, loader=loader
        )
        described = self._runtime.describe()
        try:
            self.spec = (spec or _own_spec(self.path, described.metadata)).replace(input_size=described.input_size)
            _check_outputs(self.path, self.spec, decode or self.spec.decode, described.outputs)
        except EdgeHRNetError:
            self._runtime.close()
            raise
        self._decode = decode
        if described.device.upper() != "CPU" and self.spec.golden is not None:
            self._check_device()

    @overload
    def predict(self, image: list[Any], *, color: str = ...) -> list[Result]: ...
    @overload
    def predict(self, image: Any, *, color: str = ...) -> Result: ...
    @check_keywords
    def predict(self, image: Any, *, color: str = "rgb") -> Result | list[Result]:
        """Find the keypoints of one picture, or of each picture of a list.

        See ``sources.read_image`` for what a picture may be; ``color`` is the channel order of arrays.
        """
        if isinstance(image, list):
            return [self._predict_one(item, color) for item in image]
        return self._predict_one(image, color)

    __call__ = predict

    @check_keywords
    def stream(self, source: Any, *, color: str = "rgb") -> Iterator[Result]:
        """Yield a Result for each picture of a folder, a glob pattern or an iterable, one at a time.

        A picture that cannot be read raises, which ends a generator; to go on after it, loop over
        ``sources.frames`` and call predict, as ``samples/folder.py`` does.
        """
        for image in frames(source):
            yield self._predict_one(image, color)

    def warmup(self) -> None:
        """Run once on a blank input, so that the first picture takes no longer than the next."""
        self._runtime.run(np.zeros((1, *self.spec.input_size, 4), np.uint8))

    def info(self) -> dict[str, Any]:
        """Return what is loaded: file, engine, device, sizes, outputs, spec without its golden pair, certificate.

        ``certificate`` is what the file's maker read back from the engine, None if none lies beside the file. Raises
        ModelFileError if the one that does belongs to another file.
        """
        described = asdict(self._runtime.describe())
        del described["metadata"]
        spec = self.spec.replace(golden=None).to_dict()
        # What lies beside a checkpoint under its name is that of a file made from it.
        certificate = None if self._is_checkpoint else read_certificate(self.path)
        return {
            "file": str(self.path),
            **described,
            "spec": spec,
            "golden": self.spec.golden is not None,
            "certificate": None if certificate is None else asdict(certificate),
        }

    def selfcheck(self) -> Report:
        """Run the picture that the file carries and compare with what the float network gave for it.

        Runs at the file's own input size and decodes as the file says, whatever this Predictor was given. Raises
        MissingSpecError if the file has no golden pair.
        """
        golden = self.spec.golden
        if golden is None:
            raise MissingSpecError(f"{self.path} carries no golden pair; files made by python -m quant.export do")
        own = {"input_size": None, "decode": None}
        if any(self._arguments[name] is not None for name in own):
            with Predictor(self.path, **{**self._arguments, **own}) as checker:  # type: ignore[arg-type]
                return checker.selfcheck()
        image, expected, heatmaps = golden.image(), np.array(golden.xy), golden.heatmap_array()
        result = self.predict(image)
        if heatmaps.shape != result.heatmaps[0].shape or expected.shape != result.keypoints.xy[0].shape:
            raise SpecError(f"the golden pair of {self.path} is of another size or number of keypoints than the file")
        # Two corners may tie for the first of an outline; and where a corner is absent, the last bit places it.
        sure = np.array(golden.conf) >= CERTAIN
        shifts = range(len(expected) if self.spec.cyclic else 1)
        moved = [(np.roll(result.keypoints.xy[0], s, axis=0) - expected) * result.transform.scale for s in shifts]
        errors = [float(np.linalg.norm(xy[sure], axis=1).max(initial=0.0)) for xy in moved]
        best = int(np.argmin(errors))
        max_px = errors[best]
        alike = correlation(np.roll(result.heatmaps[0], best, axis=0), heatmaps)
        passed = max_px <= GOLDEN_PX and alike >= GOLDEN_CORRELATION
        return Report(passed, self._runtime.describe().device, max_px, alike)

    def close(self) -> None:
        """Release the engine; using the Predictor afterwards raises ClosedError."""
        self._runtime.close()

    def __enter__(self) -> Predictor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.path, self._arguments)

    def __repr__(self) -> str:
        height, width = self.spec.input_size
        return f"Predictor({str(self.path)!r}, {self.spec.name}, input {height}x{width})"

    def _check_device(self) -> None:
        """Raise DeviceError unless the device answers the file's own picture as the float network did.

        Not on CPUs, where the files are built and certified.
        """
        try:
            report = self.selfcheck()
        except EdgeHRNetError:
            self.close()
            raise
        if not report.passed:
            self.close()
            raise DeviceError(
                f"{report.device} does not compute what {self.path} should: on its own picture, keypoints are off by "
                f"{report.max_px:.1f} px of the network input, correlation {report.correlation:.3f}; "
                "use another device, or a file of another precision"
            )

    def _predict_one(self, image: Any, color: str) -> Result:
        clock = _Clock()
        picture = read_image(image, color)
        clock.lap("read")
        pixels, box = letterbox(picture, self.spec.input_size)
        clock.lap("letterbox")
        outputs = self._runtime.run(pixels[None])
        clock.lap("inference")
        heatmaps, offsets = sigmoid(outputs.pop("heatmaps")), outputs.pop("offsets", None)
        xy, conf, order = locate(heatmaps[0], None if offsets is None else offsets[0], self.spec, box, self._decode)
        heatmaps = heatmaps[:, order]
        if offsets is not None:
            offsets = offsets[:, (2 * order[:, None] + [0, 1]).ravel()]
        features = outputs.pop("hf", None)
        if features is not None and self.spec.layout("hf") == "NHWC":
            features = features.transpose(0, 3, 1, 2)
        clock.lap("decode")
        return Result(
            keypoints=Keypoints(xy[None], conf[None], (box.width, box.height), self.spec.keypoints),
            heatmaps=heatmaps,
            offsets=offsets,
            hf=features,
            outputs=outputs,
            mask=box.cell_mask(self.spec.grid),
            transform=box,
            speed=clock.ms,
            source=str(image) if isinstance(image, str | Path) else None,
            image=picture,
            spec=self.spec,
        )


def correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return Pearson's correlation of two arrays of one shape; 0 where one is constant or holds NaN."""
    if not (np.isfinite(a).all() and np.isfinite(b).all() and np.ptp(a) and np.ptp(b)):
        return 0.0
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


class _Clock:
    """Milliseconds between laps."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.ms[stage] = (now - self._last) * 1000
        self._last = now


def _load_checkpoint(path: Path, target: str | None) -> Any:
    # The one way from here to torch; runtimes.torch, which calls this, has made sure that it is installed.
    from edgehrnet.models.loading import load_deployed

    return load_deployed(path, target)


def _reopen(path: Path, arguments: dict[str, Any]) -> Predictor:
    return Predictor(path, **arguments)


def _check_outputs(path: Path, spec: ModelSpec, decode: str, outputs: Mapping[str, tuple[int, ...]]) -> None:
    """Raise SpecError if the file does not give what the spec says, which would be decoded into nonsense."""
    cells = tuple(side // spec.stride for side in spec.input_size)
    count = len(spec.keypoints)
    if decode == "offset" and "offsets" not in outputs:
        raise SpecError(f"{path} has no offsets, which decode='offset' needs; pass another decode=")
    if "hf" in outputs and (spec.layout("hf") is None or len(outputs["hf"]) != 4):
        raise SpecError(f"{path} has features hf of shape {outputs['hf']}, and its spec no layout for them")
    for name, channels, needed in (("heatmaps", count, True), ("offsets", 2 * count, False)):
        found = outputs.get(name)
        if found is None and not needed:
            continue
        if found != (1, channels, *cells):
            raise SpecError(
                f"{path} does not fit its spec: {name} must be {(1, channels, *cells)} for {count} keypoints at "
                f"stride {spec.stride}, the file gives {found or f'only {sorted(outputs)}'}"
            )


def _own_spec(path: Path, metadata: str | None) -> ModelSpec:
    if metadata is None:
        raise MissingSpecError(
            f"{path} does not say how to prepare its input and read its output; "
            "pass spec=ModelSpec(...), or export it with python -m quant.export"
        )
    return ModelSpec.from_json(metadata)
