"""Run a model file on pictures and return keypoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, overload

from edgehrnet.cautions import Cautions
from edgehrnet.decoding.flipping import check_flip_pairs
from edgehrnet.detectors.following import with_detector
from edgehrnet.errors import ClosedError, EdgeHRNetError, MissingSpecError, check_keywords
from edgehrnet.inference import repeated, run_job, warm_up
from edgehrnet.opening import (
    Arguments,
    ModelInfo,
    check_arguments,
    embedded_spec,
    is_checkpoint,
    model_info,
    model_location,
    number_of_shapes,
    open_engine,
    read_spec,
)
from edgehrnet.outputs import check_outputs, heatmaps_name
from edgehrnet.picture.limits import FORMATS, MAX_PIXELS, Limits
from edgehrnet.preparation import as_xywh, boxes_of_pictures
from edgehrnet.reading import Job, read_job, reading_ahead
from edgehrnet.result import Result
from edgehrnet.selfcheck import SelfCheck, compare, has_size_of, require_passed
from edgehrnet.sources.opening import Source
from edgehrnet.spec import ModelSpec
from edgehrnet.streaming import OnError, Stream
from runtimes.base import Runtime
from runtimes.remote_address import Location


class Predictor:
    """A loaded model file.

    Several threads may share a Predictor. Their inferences take turns. Pickling stores the arguments, and unpickling
    opens the file again. ``close()`` or ``with`` releases the engine.

    Args:
        path: The file, the name of a shipped model, such as ``document-corners``, or an address, see RemoteModel.
        device: Where to run. None is the first device listed below. A device that is absent raises DeviceError.
            On any device except a CPU, opening runs the file's golden picture and compares the output with that of
            the float network, and raises DeviceError if they differ. This is skipped if ``input_size`` differs from
            the file's.
        input_size: Network input (height, width) in pixels, multiples of 32, or with ``spec`` of its stride. Only
            ``.xml`` and ``.pt`` files, and ``.onnx`` files with open sides, accept another than the file's. Sizes that
            a file of another project leaves open are the spec's. None: these files, if they are of this project, run
            whole pictures without the padding that the file's size would need, at the same scale. See ``shapes``.
        threads: Number of CPU threads.
        decode: One of `spec.DECODE_METHODS`. None is the file's method.
        cache_dir: An existing folder for compiled files.
        spec: Replaces the file's spec: a ModelSpec, a dictionary, or the path of a JSON file. Required for files of
            other projects. Input size, channels and format are read from the file.
        target: Only for ``.pt`` files. None runs the float network. ``openvino``, ``onnx`` or ``tensorrt`` runs the
            fake-quantized network with the ranges that the checkpoint has for this engine.
        flip_test: Also run the mirrored picture and decode the mean of both. Takes twice the time and is slightly more
            accurate.
        shapes: Number of input sizes for which the file stays compiled. The first picture of a size takes about as long
            as loading the file. None is 8 on a CPU and 1 on other devices, where every picture has the file's size.
        batch: Number of boxes of one picture that run at once. What is left over runs one by one, so ``.xml`` files are
            compiled twice. Only for ``.xml`` and ``.pt`` files, and ``.onnx`` files with an open batch dimension.
            Engines do not promise that a box gives the same bits alone and in a batch.
        verify: Compare the file with the SHA-256 in the certificate beside it, and a ``.pt`` file with its checksums.
            A file that differs is damaged or of another build, and raises ModelFileError. Without a certificate,
            nothing is compared. False loads any file, and `info` then has no certificate.
        trusted: Load an ``.onnx`` or ``.xml`` file without a certificate at once. By default it is first loaded in a
            process of its own with limits, once per file, and raises ModelFileError if it takes more than a minute, or
            more memory than 1 GiB and six times its size.
        exact: Read every picture in full. By default a JPEG file is read at the smallest of the scales 1/1, 1/2, 1/4
            and 1/8 that keeps two pixels per pixel of the input, where points then move by 0.02 px at most.
        boxes_from: Detector of the boxes: a Detector, or its first argument. Boxes that are passed with a picture are
            used instead. Pictures are then read as with ``exact``.
        max_pixels: Pixels of the largest picture that is accepted. From 89 million on, Pillow has a limit, too.
        formats: Formats of picture files that are opened, as Pillow calls them.

    Devices:

    - OpenVINO ``.xml``: ``cpu``, ``gpu``, ``gpu.1``, ``npu``, ``auto``
    - ONNX ``.onnx``: ``cpu``, ``cuda``, ``cuda:1``, ``tensorrt``, ``openvino``, ``openvino:gpu``
    - TensorRT ``.engine``, ``.plan``: ``cuda``, ``cuda:1``
    - PyTorch checkpoint ``.pt``: ``cpu``, ``cuda``, ``cuda:1``
    """

    @check_keywords
    def __init__(
        self,
        path: str | Location,
        *,
        device: str | None = None,
        input_size: tuple[int, int] | None = None,
        threads: int | None = None,
        decode: str | None = None,
        cache_dir: str | Path | None = None,
        spec: ModelSpec | Mapping[str, Any] | str | Path | None = None,
        target: str | None = None,
        flip_test: bool = False,
        shapes: int | None = None,
        batch: int = 1,
        verify: bool = True,
        trusted: bool = False,
        exact: bool = False,
        boxes_from: Any = None,
        max_pixels: int = MAX_PIXELS,
        formats: Sequence[str] = FORMATS,
    ) -> None:
        arguments: Arguments = {
            "device": device,
            "input_size": input_size,
            "threads": threads,
            "decode": decode,
            "cache_dir": cache_dir,
            "spec": read_spec(spec),
            "target": target,
            "flip_test": flip_test,
            "shapes": shapes,
            "batch": batch,
            "verify": verify,
            "trusted": trusted,
            "exact": exact,
            "boxes_from": boxes_from,
            "max_pixels": max_pixels,
            "formats": formats,
        }
        self._open(model_location(path), arguments)
        self._check_device()

    def _open(self, path: Location, arguments: Arguments) -> None:
        """Load the engine and check that its outputs match the spec."""
        self.path, self._closed = path, False
        self._is_checkpoint = is_checkpoint(path)
        self._arguments = check_arguments(path, self._is_checkpoint, arguments)
        self._limits = Limits(arguments["max_pixels"], arguments["formats"])
        self._engine, self._certificate = open_engine(path, self._is_checkpoint, self._arguments)
        described = self._engine.describe()
        try:
            spec, found = arguments["spec"] or embedded_spec(path, described.metadata), described.input
            self.spec = spec.replace(input_size=found.size, channels=found.channels, input_format=found.format)
            self._cautions = Cautions(self.spec, None if spec.confidence is None else spec.input_size)
            self._heatmaps = heatmaps_name(described.outputs, self.spec)
            check_outputs(path, self.spec, arguments["decode"], described.outputs, self._heatmaps)
            if arguments["flip_test"]:
                check_flip_pairs(self.spec)
            self._trims = described.resizes and number_of_shapes(self._arguments) > 1 and self.spec.crop is None
            exact, detects = arguments["exact"], arguments["boxes_from"] is not None
            self._read = partial(
                read_job, spec=self.spec, exact=exact, detects=detects, trim=self._trims, limits=self._limits
            )
        except BaseException:
            self._engine.close()
            raise

    @property
    def _runtime(self) -> Runtime:
        if self._closed:
            raise ClosedError(f"the Predictor for {self.path} is closed; make a new one")
        return self._engine

    @overload
    def predict(
        self, image: list[Any], *, boxes: Any = ..., box_format: str = ..., color: str = ...
    ) -> list[Result]: ...
    @overload
    def predict(self, image: Any, *, boxes: Any = ..., box_format: str = ..., color: str = ...) -> Result: ...
    @check_keywords
    def predict(
        self, image: Any, *, boxes: Any = None, box_format: str = "xywh", color: str = "rgb"
    ) -> Result | list[Result]:
        """Find the keypoints of one picture, or of each picture in a list.

        Args:
            image: A picture, see ``sources.read_image``, or a list of pictures.
            boxes: ``(N, 4)`` boxes in pixels of the picture, one per instance. For a list of pictures, a list with one
                such array or None per picture. A network for whole pictures takes each box, enlarged by 1.25, as if it
                were a picture. Without boxes a network for crops takes the whole picture, and the first such call warns
                with NoBoxesWarning. Boxes may lie outside the picture. Numbers beyond 1e7 px and sides below 1e-6 px
                are refused.
            box_format: ``xywh`` is left, top, width, height. ``xyxy`` is left, top, right, bottom.
            color: Channel order of arrays, ``rgb`` or ``bgr``.

        Returns:
            A Result for one picture, a list of Results for a list. A Result holds all outputs for all boxes, 4 bytes a
            value. For 17 keypoints at 256x192 these are 0.2 MB of heatmaps per box, and 0.4 MB of features if the file
            has them. For thousands of boxes, pass some hundreds at a time and keep ``result.slim()``.
        """
        run = with_detector(self._arguments["boxes_from"], self._run)
        if not isinstance(image, list):
            return run(self._read(image, as_xywh(boxes, box_format), color))
        pictures = zip(image, boxes_of_pictures(boxes, len(image), box_format), strict=True)
        with reading_ahead(pictures, lambda item: self._read(*item, color), waits=False) as jobs:
            return [run(job()) for job in jobs]

    __call__ = predict

    @check_keywords
    def stream(
        self,
        source: Any,
        *,
        color: str = "rgb",
        on_error: OnError = "raise",
        recursive: bool = False,
        drop: bool | None = None,
    ) -> Stream:
        """Return an iterator of the Results of all pictures of a source, in order.

        The next files are read in other threads while the network runs. Pictures of an iterable and of a live camera
        are taken one at a time, so that a result does not wait for the next picture. Memory does not grow with the
        number of pictures. Without ``boxes_from``, a network for crops takes each whole picture, and warns once. To
        pass boxes, yield ``Frame(picture, boxes=...)``.

        Args:
            source: A picture, folder, pattern, list file, video, camera, address or iterable, see `Source`.
            color: Channel order of arrays, ``rgb`` or ``bgr``.
            on_error: What to do about a picture that cannot be read. ``raise`` raises its ImageError, which ends the
                stream. ``skip`` warns with SkippedPictureWarning and goes on. A function is called with the error.
            recursive: Whether to look into the subfolders of a folder.
            drop: Whether to leave out frames that arrive while an earlier one is processed. Without it, the results of
                a camera that is faster than the network come later and later. None: only for live sources.
        """
        opened = Source(source, recursive=recursive, drop=drop, limits=self._limits)
        run = with_detector(self._arguments["boxes_from"], self._run)
        return Stream(opened, lambda frame: self._read(frame, None, color), run, on_error)

    def warmup(self, shapes: Iterable[tuple[int, int]] | None = None) -> None:
        """Run once on blank pictures, so that the first one does not take longer than the next.

        Args:
            shapes: (height, width) of the pictures that will follow, in pixels. None: the file's input size. Pictures
                of the same proportions have the same input size, see ``input_size`` of Predictor.
        """
        warm_up(self._runtime, self.spec, self._arguments["batch"], shapes if self._trims else None)

    def info(self) -> ModelInfo:
        """Return facts about the loaded file: engine, device, sizes, outputs, spec and certificate."""
        return model_info(self.path, self._runtime, self.spec, self._certificate)

    def selfcheck(self) -> SelfCheck:
        """Run the file's golden picture and compare with the float network's output.

        Uses the file's input size and decoding method and no flip test, regardless of this Predictor's arguments.
        Raises MissingSpecError if the file has no golden pair.
        """
        device = self._runtime.describe().device
        golden = self.spec.golden
        if golden is None:
            raise MissingSpecError(f"{self.path} has no golden pair; python -m quant.export writes files that do")
        if self._arguments["input_size"] is None or has_size_of(golden, self.spec):
            job = repeated(read_job(golden.image(), None, "rgb", spec=self.spec), self.spec, self._arguments["batch"])
            return compare(golden, self._run(job, as_built=True), device)
        other = Predictor.__new__(Predictor)
        other._open(self.path, {**self._arguments, "input_size": None})
        with other:
            return other.selfcheck()

    def close(self) -> None:
        """Release the engine. Later calls of other methods raise ClosedError."""
        self._closed = True
        self._engine.close()

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Predictor, **self._arguments), (self.path,)

    def __repr__(self) -> str:
        height, width = self.spec.input_size
        return f"Predictor({str(self.path)!r}, {self.spec.name}, input {height}x{width})"

    def _check_device(self) -> None:
        """Raise DeviceError if the golden picture gives another output than the float network's on this device."""
        golden, sized = self.spec.golden, self._arguments["input_size"] is not None
        # With another input size, the heatmaps have another size than those of the golden pair.
        on_cpu = self._runtime.describe().device.upper() == "CPU"
        if golden is None or on_cpu or (sized and not has_size_of(golden, self.spec)):
            return
        try:
            require_passed(self.selfcheck(), self.path)
        except EdgeHRNetError:
            self.close()
            raise

    def _run(self, job: Job, *, as_built: bool = False) -> Result:
        """Return the Result of one picture. With ``as_built``, ignore ``decode`` and ``flip_test``, and do not warn."""
        if not as_built:
            self._cautions.check(job.boxes)
        decode, flip_test = (None, False) if as_built else (self._arguments["decode"], self._arguments["flip_test"])
        batch = self._arguments["batch"]
        return run_job(self._runtime, job, self.spec, self._heatmaps, decode=decode, flip_test=flip_test, batch=batch)
