"""``python -m quant.trt_lint FILE.onnx``: what in a file breaks TensorRT's rules of explicit quantization, and where.

The rules are those of NVIDIA's "Working with Quantized Types". TensorRT refuses a file that breaks some of them; where
others are broken, it runs in float without a word.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from edgehrnet.cli.tables import table
from edgehrnet.errors import EdgeHRNetError
from quant.files.tensorrt_rules import trt_lint


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status: 0, 1 if a rule is broken, 2 if the file cannot be read."""
    p = argparse.ArgumentParser(prog="python -m quant.trt_lint", description=__doc__)
    p.add_argument("file", type=Path, metavar="FILE.onnx")
    p.add_argument("--json", action="store_true", help="print a list of findings for machines")
    args = p.parse_args(arguments)
    try:
        findings = trt_lint(args.file)
    except EdgeHRNetError as error:
        p.exit(2, f"error: {error}\n")
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
