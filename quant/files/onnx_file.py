"""Write a network as an ONNX file, and count the integer convolutions of one."""

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

OPSET, HALF_OPSET = 18, 21  # quantizers with float16 scales need opset 19 or above


def write_onnx(network: nn.Module, spec: ModelSpec, path: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a network as an ONNX file with u8 NHWC input, float32 outputs, batch 1 and static shapes.

    A quantizer becomes a QuantizeLinear and a DequantizeLinear. Int8 weights are stored with a DequantizeLinear only.

    Args:
        network: The network, with parameters of ``dtype``. Set to evaluation and to need no gradients, which the
            exporter would trace, too.
        spec: Gives the input size, the scaling of the input and the names of the outputs.
        path: Path of the file.
        dtype: Type that the network computes in, float32 or float16.
    """
    height, width = spec.input_size
    image = torch.zeros((1, height, width, spec.channels), dtype=torch.uint8)
    half_scales = dtype == torch.float16 and any(isinstance(m, QuantizeDequantize) for m in network.modules())
    with torch.no_grad(), warnings.catch_warnings(), _quiet(logging.getLogger("torch.onnx")):
        # The exporter itself uses deprecated tree specs and copyreg. A caller cannot change that.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            Deployed(network, spec.mean, spec.std, dtype).eval().requires_grad_(False),
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
    """Silence a logger. On import, the exporter logs the torchvision operators that it does not find."""
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def integer_convolutions(path: Path) -> int:
    """Count the convolutions with int8 weights in an ONNX file. All of them have to run in INT8.

    The range table may list more, because the exporter merges equal convolutions that read the same tensor.
    """
    graph = onnx.load(path).graph
    stored = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.INT8}
    weights = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in stored}
    return sum(node.op_type == "Conv" and node.input[1] in weights for node in graph.node)
