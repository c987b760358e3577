"""``edgehrnet selfcheck``: compare the output of this device with the golden output stored in a file."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from edgehrnet.cli.arguments import MODEL_HELP, add_model_options, open_predictor
from edgehrnet.cli.tables import table

SUMMARY = "compare the output of this device with a file's golden output"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("model", help=MODEL_HELP)
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print the comparison, and return 1 if it failed."""
    with open_predictor(args) as predictor:
        check = predictor.selfcheck()
    if args.json:
        print(json.dumps(asdict(check)))
        return 0 if check.passed else 1
    print("passed\n" if check.passed else "FAILED: the output differs from the golden output stored in the file\n")
    rows = [
        ("device", check.device),
        ("largest keypoint error", f"{check.max_px:.3f} px of the network input"),
        ("heatmap correlation", f"{check.correlation:.5f}"),
    ]
    print(table(("measure", "value"), rows))
    return 0 if check.passed else 1
