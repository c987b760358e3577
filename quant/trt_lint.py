"""Check an ONNX file against TensorRT's rules of explicit quantization.

The rules are from NVIDIA's "Working with Quantized Types". If a file breaks some of them, TensorRT refuses it. If it
breaks others, TensorRT runs layers in float without a warning.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from edgehrnet.cli.status import run
from edgehrnet.cli.tables import table
from quant.files.tensorrt_rules import trt_lint


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status: 0, 1 if a rule is broken, 2 if the file cannot be read."""
    p = argparse.ArgumentParser(prog="python -m quant.trt_lint", description=__doc__)
    p.add_argument("file", type=Path, metavar="FILE.onnx", help="ONNX file to check")
    p.add_argument("--json", action="store_true", help="print the findings as JSON (default: a table)")
    return run(p, _check, arguments)


def _check(args: argparse.Namespace) -> int:
    findings = trt_lint(args.file)
    errors = sum(finding.severity == "error" for finding in findings)
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        if findings:
            rows = [(each.severity, each.rule, each.node, each.message) for each in findings]
            print(table(("severity", "rule", "node", "what to do"), rows))
        print(f"{args.file}: {errors} errors, {len(findings) - errors} notes")
    return 1 if errors else 0


if __name__ == "__main__":
    raise SystemExit(main())
