"""The ``edgehrnet`` command, with one module for each of its commands: tables for people, ``--json`` for programs."""

from __future__ import annotations

import argparse

from edgehrnet import __version__
from edgehrnet.cli import benchmark, demo, info, label, models, predict, selfcheck, serve
from edgehrnet.cli.status import exit_status

COMMANDS = {
    "demo": demo,
    "predict": predict,
    "label": label,
    "benchmark": benchmark,
    "info": info,
    "selfcheck": selfcheck,
    "models": models,
    "serve": serve,
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status: 0, 1 for a failed self-check, 2 for an error."""
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.run is None:
        parser.print_help()
        return 0
    return exit_status(lambda: args.run(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edgehrnet", description="Find keypoints in pictures.")
    parser.add_argument("-V", "--version", action="version", version=f"edgehrnet {__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name, help=module.SUMMARY, description=f"{module.SUMMARY[0].upper()}{module.SUMMARY[1:]}."
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser
