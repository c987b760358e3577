"""Check the arguments of Predictor and read the spec of a model file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import runtimes
from edgehrnet.certificate import Certificate, read_certificate
from edgehrnet.errors import InputError, MissingFileError, MissingSpecError, ModelFileError, SpecError, nearest
from edgehrnet.picture.letterbox import MULTIPLE, check_input_size
from edgehrnet.shipped import model_path
from edgehrnet.spec import DECODE_METHODS, ModelSpec
from runtimes.base import Runtime
from runtimes.probe import require_harmless
from runtimes.remote_address import Location, RemoteModel, location

if TYPE_CHECKING:
    from edgehrnet.detectors.detector import Detector

SHAPES = 8  # on a CPU, where compiling a file for another input size takes half a second


class Arguments(TypedDict):
    """The keyword arguments of Predictor, checked."""

    device: str | None
    input_size: tuple[int, int] | None
    threads: int | None
    decode: str | None
    cache_dir: str | Path | None
    spec: ModelSpec | None
    target: str | None
    flip_test: bool
    shapes: int | None
    batch: int
    verify: bool
    trusted: bool
    exact: bool
    boxes_from: Detector | None
    max_pixels: int
    formats: Sequence[str]


class ModelInfo(TypedDict):
    """Facts about a loaded file, as `Predictor.info` returns them."""

    file: str
    """Path of the model file."""
    engine: str
    """Name of the engine that runs it."""
    version: str
    """Version of the engine."""
    device: str
    """Device that runs it, as the engine calls it."""
    input: dict[str, Any]
    """Fields of runtimes.base.Input."""
    input_size: tuple[int, int]
    """Network input (height, width) in pixels."""
    outputs: Mapping[str, tuple[int, ...]]
    """Shape of each output, with a batch dimension of 1."""
    settings: Mapping[str, Any]
    """Settings of the engine."""
    spec: dict[str, Any]
    """The ModelSpec as JSON values, without its golden pair."""
    golden: bool
    """The file has a golden pair for the self-check."""
    certificate: dict[str, Any] | None
    """The certificate beside the file as JSON values. None if there is none, or if the file was not verified."""


def model_info(path: Location, runtime: Runtime, spec: ModelSpec, certificate: Certificate | None) -> ModelInfo:
    """Return facts about a loaded file."""
    described = runtime.describe()
    return {
        "file": str(path),
        "engine": described.engine,
        "version": described.version,
        "device": described.device,
        "input": asdict(described.input),
        "input_size": described.input_size,
        "outputs": dict(described.outputs),
        "settings": runtime.settings(),
        "spec": spec.replace(golden=None).to_dict(),
        "golden": spec.golden is not None,
        "certificate": None if certificate is None else certificate.to_dict(),
    }


def model_location(model: str | Location) -> Location:
    """Return the path of a file or of a shipped model by its name, or the address of a model on a server.

    Raises:
        InputError: The value is of another type, or is not the name of a shipped model.
        MissingFileError: The address is not one of a model.
    """
    if not isinstance(model, str | Path | RemoteModel):
        raise InputError(f"path={model!r}; pass the path of a model file, the name of a shipped model, or an address")
    found = location(model)
    return found if isinstance(model, RemoteModel) or isinstance(found, RemoteModel) else model_path(model)


def is_checkpoint(path: Location) -> bool:
    """Return whether a model is a ``.pt`` file."""
    return isinstance(path, Path) and path.suffix.lower() == ".pt"


def check_arguments(path: Location, is_checkpoint: bool, arguments: Arguments) -> Arguments:
    """Return the arguments with ``input_size`` as a tuple. Raise InputError for a value that is not accepted."""
    size, decode = arguments["input_size"], arguments["decode"]
    if size is not None:
        # Only the networks here need multiples of 32.
        spec = None if is_checkpoint else arguments["spec"]
        check_input_size(size, MULTIPLE if spec is None else spec.stride)
        size = (int(size[0]), int(size[1]))
    for name in ("threads", "shapes", "batch"):
        number = dict(arguments)[name]
        if number is None and name != "batch":
            continue
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise InputError(f"{name}={number!r}; use a whole number of at least 1, or leave it out")
    if decode is not None and decode not in DECODE_METHODS:
        raise InputError(f"decode={decode!r}; {nearest(decode, DECODE_METHODS)}")
    if arguments["target"] is not None and not is_checkpoint:
        raise InputError(
            f"target={arguments['target']!r} is for .pt checkpoints only; {path} is already built, leave out target"
        )
    for name in ("device", "threads", "cache_dir", "shapes", "batch") if isinstance(path, RemoteModel) else ():
        given = dict(arguments)[name]
        if given is not None and (name, given) != ("batch", 1):
            raise InputError(f"{name}={given!r} is for model files; leave it out, {path} runs as its server decides")
    return {**arguments, "input_size": size, "boxes_from": _detector(arguments["boxes_from"])}


def _detector(given: Any) -> Detector | None:
    """Return a detector from the argument ``boxes_from``."""
    if given is None:
        return None
    from edgehrnet.detectors.detector import Detector  # on demand: few programs have one

    return Detector.of(given)


def number_of_shapes(arguments: Arguments) -> int:
    """Return the number of input sizes for which a file is compiled, 1 if its input size is fixed."""
    if arguments["input_size"] is not None or arguments["spec"] is not None:
        return 1
    on_cpu = str(arguments["device"] or "cpu").lower() == "cpu"
    return arguments["shapes"] or (SHAPES if on_cpu else 1)


def read_spec(spec: ModelSpec | Mapping[str, Any] | str | Path | None) -> ModelSpec | None:
    """Return a spec that was given as a ModelSpec, as a dictionary or as the path of a JSON file.

    Raises:
        MissingFileError: There is no such JSON file.
        SpecError: The value is of another type, or not a valid spec.
    """
    if spec is None or isinstance(spec, ModelSpec):
        return spec
    if isinstance(spec, Mapping):
        return ModelSpec.from_dict(spec)
    if not isinstance(spec, str | Path):
        raise SpecError(f"spec is a {type(spec).__name__}; pass a ModelSpec, a dict, or the path of a JSON file")
    try:
        text = Path(spec).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, FileNotFoundError):
            raise MissingFileError(f"spec={str(spec)!r} does not exist; pass the path of a JSON file") from None
        raise SpecError(f"cannot read spec={str(spec)!r}: {error}") from None
    return ModelSpec.from_json(text)


def embedded_spec(path: Location, metadata: str | None) -> ModelSpec:
    """Return the spec inside a model file. Raise MissingSpecError if it has none."""
    if metadata is None:
        raise MissingSpecError(
            f"{path} does not say how to prepare its input and decode its output; "
            "pass spec=ModelSpec(...), or export it with python -m quant.export"
        )
    return ModelSpec.from_json(metadata)


def open_engine(path: Location, is_checkpoint: bool, arguments: Arguments) -> tuple[Runtime, Certificate | None]:
    """Load a file, and return its certificate too if it has one and is to be verified.

    Raises:
        ModelFileError: The file is damaged, or is not the one that its certificate was made for. Or it has no
            certificate and is not trusted, and takes too much memory or time.
    """
    if isinstance(path, RemoteModel):
        return _load(path, is_checkpoint, arguments, None), None
    checked = arguments["verify"] and not is_checkpoint  # checkpoints have no certificate
    certificate = read_certificate(path) if checked else None
    if not (is_checkpoint or arguments["trusted"] or certificate is not None):
        spec = arguments["spec"]
        require_harmless(path, arguments["input_size"], None if spec is None else spec.input_size)
    if not checked:
        return _load(path, is_checkpoint, arguments, None), None
    while True:
        try:
            digest = None if certificate is None else certificate.digest
            return _load(path, is_checkpoint, arguments, digest), certificate
        except ModelFileError:
            now = read_certificate(path)
            if now == certificate:
                raise
            certificate = now  # the file was built again at the same time


def _load(path: Location, is_checkpoint: bool, arguments: Arguments, digest: str | None) -> Runtime:
    spec, loader = arguments["spec"], None
    if is_checkpoint:
        loader = partial(_load_checkpoint, target=arguments["target"], verify=arguments["verify"])
    return runtimes.load(
        path,
        arguments["device"],
        input_size=arguments["input_size"],
        open_size=None if spec is None else spec.input_size,
        threads=arguments["threads"],
        cache_dir=arguments["cache_dir"],
        shapes=number_of_shapes(arguments),
        batch=arguments["batch"],
        loader=loader,
        digest=digest,
    )


def _load_checkpoint(path: Path, target: str | None, verify: bool) -> Any:
    """Return the network of a checkpoint, ready to run."""
    # The only import of torch code. runtimes.torch calls this function after it has checked that torch is installed.
    from edgehrnet.models.deploy.loading import load_deployed

    return load_deployed(path, target, verify=verify)
