"""``edgehrnet models``: list the networks, or describe one of them or a checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgehrnet.cli.arguments import add_json_option, parse_size
from edgehrnet.errors import MissingExtraError

SUMMARY = "list the networks, or describe one of them or a checkpoint"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "network",
        nargs="?",
        metavar="NAME",
        help="network, or checkpoint file (.pt, .pth, .ckpt, .safetensors) (default: list the networks)",
    )
    parser.add_argument(
        "--size", type=parse_size, metavar="HEIGHTxWIDTH", help="input size of the network (default: its usual one)"
    )
    parser.add_argument(
        "--table", action="store_true", help="print parameters, MACs, activations and time of each part (default: no)"
    )
    parser.add_argument("--no-time", action="store_true", help="with --table, do not run the network (default: run it)")
    parser.add_argument("--statistics", action="store_true", help="print suspicious BN statistics (default: no)")
    parser.add_argument(
        "--features", type=Path, metavar="OUT.png", help="draw the feature maps of --picture here (default: no)"
    )
    parser.add_argument("--picture", metavar="PICTURE", help="picture for --features (default: none)")
    parser.add_argument(
        "--layer",
        help="with --features, draw the strongest channels of this layer, such as stage3 (default: all branches)",
    )
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command, which needs torch.

    Raises:
        MissingExtraError: If torch is not installed.
    """
    try:
        from edgehrnet.models.inspection import command
    except ImportError as error:
        raise MissingExtraError(
            f"edgehrnet models needs torch ({error}); type: pip install 'edgehrnet[train]'"
        ) from None
    return command.run(args)
