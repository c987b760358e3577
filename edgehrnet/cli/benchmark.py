"""``edgehrnet benchmark``: measure model files on this machine, and recommend how to open one."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from edgehrnet.benchmarking import Report, benchmark, cases_of, page
from edgehrnet.benchmarking.page import busy, case_rows, cold_rows, operation_rows
from edgehrnet.cli.arguments import MODEL_HELP, parse_size
from edgehrnet.cli.printable import printable
from edgehrnet.cli.tables import table
from edgehrnet.shipped import sample_picture
from runtimes.writing import write_file

SUMMARY = "measure model files on this machine, and recommend how to open one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add, default = parser.add_argument, "(default: the file's)"
    add("models", nargs="+", metavar="MODEL", help=MODEL_HELP)
    add("--pictures", metavar="SOURCE", help="pictures to predict: a folder or a quoted pattern (default: a sample)")
    add("--devices", nargs="+", default=[None], metavar="DEVICE", help="devices (default: the engine's first)")
    add("--threads", nargs="+", type=int, default=[None], metavar="N", help="CPU threads (default: all)")
    add("--sizes", nargs="+", type=parse_size, default=[None], metavar="HEIGHTxWIDTH", help=f"input sizes {default}")
    add("--batches", nargs="+", type=int, default=[1], metavar="N",
        help="pictures per call; for models that take crops, boxes per picture, which run at once if the file can "
             "(default: 1)")  # fmt: skip
    add("--spec", nargs="+", default=[], metavar="JSON", help="description of files of other projects, one for all "
        f"models or one for each, '-' for a file with its own {default}")  # fmt: skip
    add("--truth", type=Path, metavar="FILE", help="COCO keypoint file, to measure the error (default: not measured)")
    add("--images", type=Path, metavar="DIR", help="folder of the pictures of --truth (default: beside it)")
    add("--seconds", type=float, default=3.0, help="time for each case, and for its throughput (default: %(default)s)")
    add("--json", type=Path, metavar="FILE", help="write all numbers here (default: no)")
    add("--html", type=Path, metavar="FILE", help="write a page with plots here (default: no)")


def run(args: argparse.Namespace) -> int:
    """Print the report, and return 2 if a case could not be measured."""
    cases = cases_of(
        args.models,
        devices=args.devices,
        threads=args.threads,
        sizes=args.sizes,
        batches=args.batches,
        specs=args.spec,
    )
    report = benchmark(
        cases,
        args.pictures or sample_picture(),
        seconds=args.seconds,
        truth=args.truth,
        images=args.images,
        progress=lambda line: print(printable(line), file=sys.stderr, flush=True),
    )
    _print(report)
    if args.json is not None:
        write_file(args.json, json.dumps(report.to_dict(), indent=1))
    if args.html is not None:
        write_file(args.html, page(report))
    return 2 if any("error" in row for row in report.cases) else 0


def _print(report: Report) -> None:
    print(f"{report.system['cpu']}, {report.system['cpus']} CPUs")
    note = busy(report)
    print("" if note is None else f"{note}\n")
    print(f"medians of {len(report.pictures)} pictures, p95 and p99 of end to end\n\n{table(*case_rows(report))}")
    for row in report.cases:
        if "error" in row:
            print(printable(f"\n{row['title']}: {row['error']}"))
    print(f"\ncold start, from the start of a process to its first result\n\n{table(*cold_rows(report))}")
    for found in report.operations:
        print(printable(f"\nslowest operations of {found['model']} on {found['device'] or 'its default device'}\n"))
        has_rows = found.get("operations")
        print(table(*operation_rows(found)) if has_rows else found.get("error", "not measured by this engine"))
    if report.recommendation:
        print(printable(f"\n{report.recommendation['line']}\n  {report.recommendation['reason']}"))
