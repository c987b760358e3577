"""Start the workers with Ray, and wait for them."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgehrnet.certificate import digest
from edgehrnet.errors import EdgeHRNetError, InputError, MissingExtraError
from edgehrnet.many.work import Run, Work, counts_of
from edgehrnet.many.worker import Worker
from edgehrnet.opening import is_checkpoint, model_location, read_spec
from edgehrnet.parquet import import_pyarrow

LOCAL = "local"
# Ray would report to its makers, and would send the current folder to all machines if this runs under uv.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
CLOSED = {"RAY_AUTH_MODE": "token"}  # other users of this machine cannot use the Ray that is started here
THREADS = ("StreamingExecutor", "Prefetcher", "ray-data", "iter_threaded")  # first words of names in Ray Data
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Summary:
    """Say what became of a run."""

    pictures: int
    """Pictures in the file, those of an interrupted run included."""
    errors: int
    """Pictures among them that could not be read. Their rows have the column ``error``."""
    parts: list[dict[str, Any]]
    """For each part of this run its number, ``pictures``, ``errors``, ``process``, ``start`` and ``end`` in seconds,
    and the seconds of ``cpu`` time."""


def predict_many(
    model: str | Path,
    sources: Sequence[str | Path],
    file: str | Path,
    *,
    address: str = LOCAL,
    workers: int | None = None,
    recursive: bool = False,
    resume: bool = False,
    on_part: Callable[[dict[str, Any]], object] | None = None,
    **arguments: Any,
) -> Summary:
    """Predict pictures with several workers, and write one Parquet file.

    Its rows are those of ``edgehrnet predict --parquet``, in the same order, and one row for each picture that could
    not be read. Behind its columns are ``error``, ``model``, ``model_sha256`` and ``edgehrnet``. All machines need this
    package, and see the pictures, the folder of ``file`` and the model under the same paths.

    Args:
        model: Model file, or name of a shipped model.
        sources: Pictures, folders, patterns, list files, videos and Parquet files, see `Source`.
        file: Parquet file to write. Until it is complete, ``FILE.parts`` has what is done.
        address: ``local`` starts Ray on this machine. ``auto`` or ``HOST:PORT`` is a cluster that this machine is in.
        workers: Number of workers, each with its own Predictor. None: as many as the cluster has CPUs for.
        recursive: Whether to look into the subfolders of folders.
        resume: Whether to continue a run that was interrupted. A file that is complete stays as it is.
        on_part: Called with each entry of ``Summary.parts``.
        arguments: Keyword arguments of Predictor. ``threads`` is 1 by default.

    Raises:
        InputError: An argument is not accepted, or ``FILE.parts`` exists and ``resume`` is False.
        MissingExtraError: Ray or pyarrow is not installed.
        EdgeHRNetError: A worker could not begin, or several workers were killed at the same part.
    """
    out = Path(file)
    _check(out, address, workers)
    ray = _import_ray(address)
    arguments = {"threads": 1, **arguments}
    work = Work.of(out)
    if resume and out.exists() and not work.is_begun:
        return Summary(**counts_of(out), parts=[])
    work.begin(_run(model, sources, recursive, arguments), resume=resume)
    Worker(work.folder).close()  # raises here what would be raised in each worker
    missing = work.missing()
    parts: list[dict[str, Any]] = []
    if not missing:
        return Summary(**work.finish(out), parts=parts)
    with _connected(ray, address, workers, arguments["threads"]) as most:
        for part in _parts(ray, work, missing, min(workers or most, len(missing)), arguments["threads"]):
            parts.append(part)
            if on_part is not None:
                on_part(part)
        return Summary(**work.finish(out), parts=parts)  # while Ray runs, since ending it may end this process


def _check(out: Path, address: str, workers: int | None) -> None:
    import_pyarrow()
    if out.suffix.lower() != ".parquet":
        raise InputError(f"{str(out)!r} does not end in .parquet; many workers write Parquet only")
    if out.is_dir():
        raise InputError(f"{str(out)!r} is a folder; name a file in it")
    if address.startswith("ray://"):
        raise InputError(f"address={address!r}; run this on a machine of the cluster, with 'auto' or HOST:PORT")
    if workers is not None and workers < 1:
        raise InputError(f"workers={workers}; it must be 1 or more")


def _run(model: str | Path, sources: Sequence[str | Path], recursive: bool, arguments: dict[str, Any]) -> Run:
    path = model_location(model)
    if not isinstance(path, Path) or is_checkpoint(path):
        raise InputError(f"{str(model)!r} is no model file for many workers; use an .xml or .onnx file")
    if arguments.get("device") not in (None, "cpu"):
        raise InputError(f"device={arguments['device']!r}; many workers use CPUs only")
    spec = read_spec(arguments.get("spec"))
    values = {**arguments, "spec": None if spec is None else json.loads(spec.to_json())}
    name = str(model) if path != Path(model) else str(path.absolute())
    return Run(name, digest(path), values, [str(source) for source in sources], recursive, str(Path.cwd()))


def _import_ray(address: str) -> Any:
    for name, value in {**QUIET, **(CLOSED if address == LOCAL else {})}.items():
        os.environ.setdefault(name, value)
    try:
        import ray.data
    except ImportError as error:
        raise MissingExtraError(f"many workers need Ray ({error}); type: pip install 'edgehrnet[ray]'") from None
    return ray


@contextmanager
def _connected(ray: Any, address: str, workers: int | None, threads: int) -> Iterator[int]:
    """Connect to Ray, unless the process is connected. Yield the number of workers that the CPUs are enough for."""
    if ray.is_initialized():
        yield max(1, int(ray.cluster_resources().get("CPU", 0)) // threads)
        return
    cpus = {"num_cpus": workers * threads} if address == LOCAL and workers is not None else {}
    try:
        ray.init(address, include_dashboard=False, logging_level="warning", log_to_driver=False, **cpus)
    except (ConnectionError, ValueError) as error:
        raise InputError(
            f"no Ray cluster at {address!r} ({error}); start one with 'ray start', set RAY_AUTH_MODE=token if it wants "
            "a token, or use 'local'"
        ) from None
    try:
        yield max(1, int(ray.cluster_resources().get("CPU", 0)) // threads)
    finally:
        # Ray 2.60 ends the whole process if a thread of Ray Data calls it after this.
        for thread in threading.enumerate():
            if thread.name.startswith(THREADS):
                thread.join(PATIENCE_S)
        ray.shutdown()


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Let a logger pass warnings and errors only."""
    logger, level = logging.getLogger(name), logging.getLogger(name).level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _parts(ray: Any, work: Work, missing: list[int], workers: int, threads: int) -> Iterator[dict[str, Any]]:
    """Let workers do the missing parts. Yield what they say about each, as they come."""
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True
    with ray.data.DataContext.current(context), _quiet("ray.data"):
        numbers = ray.data.from_items(missing, override_num_blocks=len(missing))
        pool = ray.data.ActorPoolStrategy(min_size=1, initial_size=workers, max_size=workers)
        done = numbers.map_batches(
            Worker, fn_constructor_args=[work.folder], compute=pool, num_cpus=threads, batch_size=None
        )
        try:
            yield from done.iter_rows()
        except ray.exceptions.RayError as error:
            raise own_error(error) or EdgeHRNetError(f"Ray ended the run: {error}") from error


def own_error(error: BaseException) -> EdgeHRNetError | None:
    """Return the error of this project that Ray's error was raised for, None if there is none.

    Ray's errors may have the class of their cause, too. Theirs is the text of a whole traceback.
    """
    found: BaseException | None = error
    while found is not None:
        cause = getattr(found, "cause", None)
        if isinstance(found, EdgeHRNetError) and cause is None:
            return found
        found = cause or found.__cause__
    return None
