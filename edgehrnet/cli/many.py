"""Options and work of ``edgehrnet predict --ray``."""

from __future__ import annotations

import argparse
import time

from edgehrnet.cli.printable import printable_name
from edgehrnet.cli.progress import Progress, duration
from edgehrnet.errors import InputError
from edgehrnet.many import predict_many
from edgehrnet.sources.several import Several

# Options that need all results in order in one process, or are not for pictures, and their values when not given.
OTHERS = {
    **dict.fromkeys(("out", "rectify", "json", "jsonl", "csv", "coco", "boxes", "detector", "classes", "smooth")),
    **dict.fromkeys(("trails",)),
    **dict.fromkeys(("heatmaps", "track"), False),
}


def add_ray_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--ray`` and ``--workers``."""
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="predict with many workers and write --parquet FILE: local starts Ray on this machine, auto or HOST:PORT "
        "is a cluster that it is in; needs the extra edgehrnet[ray] (default: this process alone)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="with --ray, number of workers, each with --threads, by default 1 (default: as the CPUs allow)",
    )


def run_many(args: argparse.Namespace) -> int:
    """Predict with Ray. Return 2 if a picture could not be read.

    Raises:
        InputError: There is no ``--parquet FILE``, or an option does not go with ``--ray``.
    """
    given = [name for name, default in OTHERS.items() if getattr(args, name) != default]
    if given or args.parquet is None:
        name = f"--{given[0]} does not go with it" if given else "it needs --parquet FILE"
        raise InputError(f"--ray {args.ray} writes --parquet FILE and nothing else; {name}")
    sources, done = Several(args.source, recursive=args.recursive), 0
    progress, start = Progress(sources.count, shown=not args.quiet), time.monotonic()

    def show(part: dict[str, int]) -> None:
        nonlocal done
        done += part["pictures"]
        progress.show(done)

    summary = predict_many(
        args.model,
        args.source,
        args.parquet,
        address=args.ray,
        workers=args.workers,
        recursive=args.recursive,
        resume=args.resume,
        on_part=show,
        device=args.device,
        input_size=args.size,
        threads=args.threads or 1,
        spec=args.spec,
        decode=args.decode,
        verify=args.verify,
        trusted=args.trusted,
    )
    progress.clear()
    if not args.quiet:
        seconds, rate = time.monotonic() - start, done / max(time.monotonic() - start, 1e-9)
        workers = len({part["process"] for part in summary.parts})
        print(
            f"{summary.pictures} pictures, {summary.errors} errors; {done} now, by {workers} workers; "
            f"{duration(seconds)}, {rate:.1f}/s\nparquet: {printable_name(args.parquet)}"
        )
    return 2 if summary.errors else 0
