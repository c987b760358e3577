"""Predictor: a file in, pictures in, keypoints out. Glue only; each stage has its own module."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

import runtimes
from edgehrnet.certificate import read_certificate
from edgehrnet.decoding import locate, sigmoid
from edgehrnet.decoding.flipping import average, mirror
from edgehrnet.errors import (
    DeviceError,
    EdgeHRNetError,
    InputError,
    MissingSpecError,
    SpecError,
    check_keywords,
    nearest,
)
from edgehrnet.outputs import check_outputs, heatmaps_name, renamed
from edgehrnet.picture.letterbox import check_input_size
from edgehrnet.picture.sources import frames, read_image
from edgehrnet.preparation import formatted, prepare
from edgehrnet.result import Keypoints, Result
from edgehrnet.selfcheck import Report, compare
from edgehrnet.shipped import model_path
from edgehrnet.spec import DECODE_METHODS, ModelSpec


class Predictor:
    """Runs one model file.

    ``path``: the file, or the name of a model that ships, such as ``document-corners``. ``device``, by what the file
    is; None is the first one named, and an absent one raises:

    - OpenVINO ``.xml``: ``cpu``, ``gpu``, ``gpu.1``, ``npu``, ``auto``
    - ONNX ``.onnx``: ``cpu``, ``cuda``, ``cuda:1``, ``tensorrt``, ``openvino``, ``openvino:gpu``
    - TensorRT ``.engine``, ``.plan``: ``cuda``, ``cuda:1``
    - a checkpoint ``.pt``, which torch runs: ``cpu``, ``cuda``, ``cuda:1``

    Anything but a CPU first has to answer the picture that the file carries as the float network did, or raises.

    ``input_size``: (height, width), multiples of 32; None keeps the file's, and only ``.xml`` and ``.pt`` take another.
    ``threads``: CPU threads. ``decode``: one of `spec.DECODE_METHODS`; None is the file's own. ``cache_dir``: an
    existing folder for compiled files. ``spec``: for a file that carries none, such as one of another project's: what
    it reads is seen from the file, everything else is the spec's. ``target``: of a ``.pt`` alone: None runs the float
    network; ``openvino``, ``onnx`` or ``tensorrt`` the one that rounds as INT8 does, with the ranges that the
    checkpoint has for this engine. ``flip_test``: run the mirrored picture too, and decode the mean of both (twice the
    time, a little more accurate).

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
        flip_test: bool = False,
    ) -> None:
        if not isinstance(path, str | Path):
            raise InputError(f"path={path!r}: a model file's path, as text or Path, or a shipped model's name")
        if input_size is not None:
            check_input_size(input_size)
            input_size = (int(input_size[0]), int(input_size[1]))
        if spec is not None and not isinstance(spec, ModelSpec):
            raise SpecError(f"spec is {type(spec).__name__}; pass a ModelSpec, such as ModelSpec.from_dict(...)")
        if threads is not None and (not isinstance(threads, int) or isinstance(threads, bool) or threads < 1):
            raise InputError(f"threads={threads!r}; a whole number of at least 1, or None")
        if decode is not None and decode not in DECODE_METHODS:
            raise InputError(f"decode={decode!r}; {nearest(decode, DECODE_METHODS)}")
        self.path = model_path(path)
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
            "flip_test": flip_test,
        }
        loader = partial(_load_checkpoint, target=target) if self._is_checkpoint else None
        self._runtime = runtimes.load(
            self.path, device, input_size=input_size, threads=threads, cache_dir=cache_dir, loader=loader
        )
        described = self._runtime.describe()
        try:
            read = described.input
            self.spec = (spec or _own_spec(self.path, described.metadata)).replace(
                input_size=read.size, channels=read.channels, input_format=read.format
            )
            self._heatmaps = heatmaps_name(described.outputs, self.spec)
            shapes = renamed(described.outputs, self._heatmaps)
            check_outputs(self.path, self.spec, decode or self.spec.decode, shapes)
        except EdgeHRNetError:
            self._runtime.close()
            raise
        self._decode, self._flip_test = decode, flip_test
        if described.device.upper() != "CPU" and self.spec.golden is not None:
            self._check_device()

    @overload
    def predict(self, image: list[Any], *, boxes: Any = ..., color: str = ...) -> list[Result]: ...
    @overload
    def predict(self, image: Any, *, boxes: Any = ..., color: str = ...) -> Result: ...
    @check_keywords
    def predict(self, image: Any, *, boxes: Any = None, color: str = "rgb") -> Result | list[Result]:
        """Find the keypoints of one picture, or of each picture of a list.

        See ``sources.read_image`` for what a picture may be; ``color`` is the channel order of arrays. ``boxes``:
        ``(N, 4)`` x, y, width, height in pixels of the picture, one for each instance; of a list of pictures, a list
        of as many. A network for crops takes boxes, and without them looks at the picture as a whole.
        """
        if not isinstance(image, list):
            return self._predict_one(image, boxes, color)
        if boxes is not None and len(boxes) != len(image):
            raise InputError(
                f"boxes for {len(boxes)} pictures, and {len(image)} pictures: of each picture its own (N, 4)"
            )
        each = [None] * len(image) if boxes is None else boxes
        return [self._predict_one(item, own, color) for item, own in zip(image, each, strict=True)]

    __call__ = predict

    @check_keywords
    def stream(self, source: Any, *, color: str = "rgb") -> Iterator[Result]:
        """Yield a Result for each picture of a folder, a glob pattern or an iterable, one at a time.

        A picture that cannot be read raises, which ends a generator; to go on after it, loop over
        ``sources.frames`` and call predict, as ``samples/folder.py`` does.
        """
        for image in frames(source):
            yield self._predict_one(image, None, color)

    def warmup(self) -> None:
        """Run once on a blank input, so that the first picture takes no longer than the next."""
        self._runtime.run(self._runtime.describe().input.blank())

    def info(self) -> dict[str, Any]:
        """Return what is loaded: file, engine, device, sizes, outputs, spec without its golden pair, certificate.

        ``certificate`` is what the file's maker read back from the engine, None if none lies beside the file. Raises
        ModelFileError if the one that does belongs to another file.
        """
        description = self._runtime.describe()
        described = asdict(description) | {"input_size": description.input_size}
        del described["metadata"]
        spec = self.spec.replace(golden=None).to_dict()
        # What lies beside a checkpoint under its name is that of a file made from it.
        certificate = None if self._is_checkpoint else read_certificate(self.path)
        return {
            "file": str(self.path),
            **described,
            "spec": spec,
            "golden": self.spec.golden is not None,
            "certificate": None if certificate is None else certificate.to_dict(),
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
        return compare(golden, self.predict(golden.image()), self._runtime.describe().device)

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

    def _predict_one(self, image: Any, boxes: ArrayLike | None, color: str) -> Result:
        clock = _Clock()
        picture = read_image(image, color)
        clock.lap("read")
        inputs, transforms = prepare(picture, self.spec, boxes)
        clock.lap("letterbox" if self.spec.crop is None else "crop")
        outputs = self._run(inputs)
        clock.lap("inference")
        heatmaps, offsets = outputs.pop("heatmaps"), outputs.pop("offsets", None)
        shape = (len(transforms), len(self.spec.keypoints))
        xy, conf = np.zeros((*shape, 2)), np.zeros(shape, np.float32)
        for n, transform in enumerate(transforms):
            own = None if offsets is None else offsets[n]
            sdf = outputs["sdf"][n] if "sdf" in outputs else None
            xy[n], conf[n], order = locate(heatmaps[n], own, self.spec, transform, self._decode, sdf=sdf)
            heatmaps[n] = heatmaps[n, order]
            if own is not None:
                own[...] = own[(2 * order[:, None] + [0, 1]).ravel()]
        features = outputs.pop("hf", None)
        if features is not None and self.spec.layout("hf") == "NHWC":
            features = features.transpose(0, 3, 1, 2)
        clock.lap("decode")
        return Result(
            keypoints=Keypoints(xy, conf, (picture.shape[1], picture.shape[0]), self.spec.keypoints),
            heatmaps=heatmaps,
            offsets=offsets,
            hf=features,
            outputs=outputs,
            transforms=transforms,
            speed=clock.ms,
            source=str(image) if isinstance(image, str | Path) else None,
            image=picture,
            spec=self.spec,
        )

    def _run(self, inputs: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Run N inputs; ``heatmaps`` are heights then, the mean with those of mirrored inputs if that is wanted."""
        outputs = self._named(self._runtime.run(formatted(inputs, self.spec)))
        if not self._flip_test:
            return outputs
        mirrored = self._named(self._runtime.run(formatted(mirror(inputs), self.spec)))
        return outputs | average(outputs, mirrored, self.spec)

    def _named(self, outputs: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        outputs = renamed(outputs, self._heatmaps)
        if self.spec.heatmap_values == "logits":
            outputs["heatmaps"] = sigmoid(outputs["heatmaps"])
        return outputs


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
    from edgehrnet.models.deploy.loading import load_deployed

    return load_deployed(path, target)


def _reopen(path: Path, arguments: dict[str, Any]) -> Predictor:
    return Predictor(path, **arguments)


def _own_spec(path: Path, metadata: str | None) -> ModelSpec:
    if metadata is None:
        raise MissingSpecError(
            f"{path} does not say how to prepare its input and read its output; "
            "pass spec=ModelSpec(...), or export it with python -m quant.export"
        )
    return ModelSpec.from_json(metadata)
