"""Prepare an ONNX file for the browser: any input size, and only the outputs that web/ reads.

    python -m tools.web_model files/document-corners-int8.onnx web/public/model/document-corners.onnx

A photograph then runs without padding, in an input of 256x192 in place of 256x512 for one taken upright. The weights,
the metadata and the results at the original size stay the same.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import onnx

from edgehrnet.cli.status import run
from edgehrnet.errors import ModelFileError
from runtimes.writing import write_file

UNREAD = "hf"  # the features, which are larger than all other outputs together
OPEN = ("height", "width")


def prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a model with open height and width, without the output `UNREAD`.

    Args:
        model: A model of this project, with a u8 input (1, height, width, channels).

    Raises:
        ModelFileError: The input has another shape.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    sides = copy.graph.input[0].type.tensor_type.shape.dim
    if copy.graph.input[0].type.tensor_type.elem_type != onnx.TensorProto.UINT8 or len(sides) != 4:
        raise ModelFileError("the input is not (1, height, width, channels) in bytes; export a file of this project")
    for side, name in zip(sides[1:3], OPEN, strict=True):
        side.dim_param = name
    del copy.graph.value_info[:]  # shapes at the original size
    kept = [output for output in copy.graph.output if output.name != UNREAD]
    del copy.graph.output[:]
    copy.graph.output.extend(kept)
    for output in copy.graph.output:
        for side in output.type.tensor_type.shape.dim[2:]:
            side.Clear()
    return copy


def main(arguments: list[str] | None = None) -> int:
    """Write the file and return the exit status."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", type=Path, help="INT8 file from: python -m quant.export CHECKPOINT --targets onnx")
    p.add_argument("out", type=Path, help="file to write; its folder is made")
    return run(p, _write, arguments)


def _write(args: argparse.Namespace) -> int:
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_file(args.out, partial(onnx.save_model, prepared(onnx.load(args.model))))
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
