"""Options of post-training quantization: which corrections to apply, and what to leave in float."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgehrnet.errors import InputError
from edgehrnet.models.checkpoints import Checkpoint
from edgehrnet.spec import ModelSpec
from quant.int8.calibration import network_inputs
from quant.int8.choice import BIAS, CHANNELS, EQUALIZE, FLOAT_BUDGET, JUDGED, Search, corrected
from quant.int8.choice_table import as_text
from quant.int8.pipeline import calibrate
from quant.int8.ranking import choose_float
from quant.int8.scheme import Int8Scheme


def add_correction_arguments(p: argparse.ArgumentParser) -> None:
    """Add the options."""
    p.add_argument("--corrections", nargs="+", choices=("auto", "none", EQUALIZE, CHANNELS, BIAS), default=["auto"],
                   metavar="NAME",
                   help="auto tries corrections and keeps the best by the drift of keypoints, none is plain "
                        f"quantization, {BIAS} subtracts the mean rounding error from each bias, {EQUALIZE} balances "
                        f"the weights of consecutive convolutions, {CHANNELS} gives each channel that a depthwise "
                        "convolution reads its own range, for OpenVINO only (default: auto)")  # fmt: skip
    p.add_argument("--float-budget", type=float, default=FLOAT_BUDGET, metavar="SHARE",
                   help="largest share of the multiply-accumulates that auto may leave in float, 0 to 1 "
                        "(default: %(default)s)")  # fmt: skip
    p.add_argument("--keep-float", nargs="+", default=[], metavar="SITE",
                   help="quantizers to leave out, by the names that quant.sensitivity lists, or auto for as few as "
                        "--budget allows (default: none)")  # fmt: skip
    p.add_argument("--budget", type=float, default=0.25, metavar="PX",
                   help="largest mean keypoint drift for auto, in pixels of the network input "
                        "(default: %(default)s)")  # fmt: skip


def pictures_to_judge(args: argparse.Namespace) -> int:
    """Check the options, and return how many pictures are needed apart from those of the calibration.

    Raises:
        InputError: Options do not fit each other, or are out of range.
    """
    alone = {"auto", "none"} & {*args.corrections}
    if alone and len(args.corrections) > 1:
        raise InputError(f"--corrections {' '.join(args.corrections)}: {min(alone)} cannot be combined with others")
    if CHANNELS in args.corrections and "openvino" not in args.targets:
        raise InputError(f"--corrections {CHANNELS} is for --targets openvino, not {' '.join(args.targets)}")
    if not 0 <= args.float_budget <= 1:
        raise InputError(f"--float-budget {args.float_budget} is not a share; use 0 to 1, such as 0.05")
    return JUDGED if "auto" in args.corrections else 0


def corrected_checkpoint(
    args: argparse.Namespace,
    checkpoint: Checkpoint,
    pictures: Sequence[NDArray[np.uint8]],
    judged: Sequence[NDArray[np.uint8]],
    schemes: Collection[Int8Scheme],
) -> tuple[Checkpoint, list[str], str]:
    """Calibrate and correct a checkpoint as the options say.

    Args:
        args: The options, and those that the commands for INT8 share.
        checkpoint: A float checkpoint.
        pictures: Calibration pictures, u8 RGB ``(H, W, 3)``.
        judged: Pictures to judge candidates on.
        schemes: The schemes to calibrate.

    Returns:
        The checkpoint, the sites that stay in float, and what was chosen, in words.
    """
    target, keep = args.targets[0], args.keep_float
    images = network_inputs(pictures, ModelSpec.from_dict(checkpoint.spec))
    words = []
    if keep == ["auto"]:
        calibrated = calibrate(checkpoint, images, schemes, method=args.method, progress=True)
        keep = choose_float(calibrated, pictures, target, args.budget, progress=True)
        words.append(f"left in float to stay within {args.budget} px: {' '.join(keep) or 'nothing'}")
    options: dict[str, Any] = {"method": args.method, "keep_float": keep, "progress": True}
    if "auto" in args.corrections:
        budget = args.float_budget
        choice = Search(checkpoint, pictures, judged, schemes, target, float_budget=budget, **options).run()
        words.append(as_text(choice, len(judged)))
        return choice.checkpoint, [*keep, *choice.sites], "\n".join(words)
    words.append(f"corrections, not compared with others: {' '.join(args.corrections)}")
    return corrected(checkpoint, images, schemes, target, args.corrections, **options), keep, "\n".join(words)
