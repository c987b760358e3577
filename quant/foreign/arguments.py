"""Quantize a file as the arguments of quant.ptq say."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgehrnet import Predictor
from edgehrnet.cli.tables import table
from edgehrnet.errors import InputError, MissingSpecError
from edgehrnet.spec import ModelSpec
from quant.files.model_file import summary
from quant.files.parity import File
from quant.foreign.int8_file import check_target, drift, quantize_file


def quantize_from_arguments(
    args: argparse.Namespace, pictures: Callable[[ModelSpec], list[NDArray[np.uint8]]]
) -> list[File]:
    """Quantize an .onnx or .xml file for each target, and print a report on each.

    Args:
        args: Arguments of quant.ptq.
        pictures: Reads the calibration pictures for a spec.

    Raises:
        InputError: An option, a target or the file is not accepted.
    """
    _check_options(args)
    try:
        floating = Predictor(args.checkpoint, spec=args.spec, shapes=1)
    except MissingSpecError:
        raise InputError(f"{args.checkpoint} has no spec; pass --spec with the JSON of a ModelSpec") from None
    files = []
    with floating:
        found = pictures(floating.spec)
        for target in args.targets:
            made = quantize_file(floating, target, args.out, found, name=args.name, keep_float=args.keep_float)
            print(f"{summary(made.path, made.certificate)}\n{drift(made.certificate)}")
            if made.in_float:
                rows = [(part.name, part.type, f"{part.macs:,}") for part in made.in_float]
                print(f"\nin float:\n\n{table(('operation', 'what', 'MACs'), rows)}\n")
            files.append(File(made.path, target, "int8", made.certificate))
    return files


def _check_options(args: argparse.Namespace) -> None:
    """Raise InputError if an option, target or file is not for built files."""
    given = {name: getattr(args, name) for name in ("adds", "output")}
    given |= {"corrections": args.corrections != ["auto"]}
    given |= {"method": args.method != "histogram", "weight_bits": args.weight_bits != 8}
    for name in (name for name, value in given.items() if value):
        raise InputError(f"--{name.replace('_', '-')} is for torch networks; {args.checkpoint} is a built file")
    if args.keep_float == ["auto"]:
        raise InputError(f"--keep-float auto is for torch networks; name operations of {args.checkpoint}")
    for target in args.targets:
        check_target(args.checkpoint, target, args.keep_float)
