"""A network -> one ONNX file, and what can be read from such a file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import torch
from torch import nn

from edgehrnet.models.deploy.export_module import Deployed
from edgehrnet.models.deploy.frozen import QuantizeDequantize
from edgehrnet.spec import ModelSpec
from runtimes.base import INPUT

OPSET, HALF_OPSET = 18, 21  # the latter for quantizers with float16 scales, which opset 18 has none of


def write_onnx(network: nn.Module, spec: ModelSpec, path: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a network as it is deployed: u8 NHWC in, the spec's outputs out in float32, batch 1, static shapes.

    Quantizers become QuantizeLinear and DequantizeLinear, int8 weights a DequantizeLinear alone. ``dtype``: what the
    network computes in, float32 or float16; its parameters are of that type.
    """
    height, width = spec.input_size
    image = torch.zeros((1, height, width, spec.channels), dtype=torch.uint8)
    half_scales = dtype == torch.float16 and any(isinstance(m, QuantizeDequantize) for m in network.modules())
    with warnings.catch_warnings(), _quiet(logging.getLogger("torch.onnx")):
        # The exporter's own use of tree specs and of copyreg; nothing that a caller could change.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            Deployed(network, spec.mean, spec.std, dtype).eval(),
            (image,),
            path,
            input_names=[INPUT],
            output_names=[name for name, _ in spec.outputs],
            opset_version=HALF_OPSET if half_scales else OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """On import, the exporter logs which operators of torchvision it does without."""
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def integer_convolutions(path: Path) -> int:
    """Count the convolutions of an ONNX file whose weights are stored as int8: those that have to run on integers.

    Not those of the range table: of two equal convolutions of one tensor, the exporter keeps one.
    """
    graph = onnx.load(path).graph
    stored = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.INT8}
    weights = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in stored}
    return sum(node.op_type == "Conv" and node.input[1] in weights for node in graph.node)
