"""Convert any torch network that returns heatmaps into one that `placement` can quantize.

The network is traced with torch.fx. Each convolution becomes one `Convolution` unit together with the BatchNorm
and the activation that follow it. Each sum of two tensors becomes an `Add`. Everything else stays as it is, in float.
"""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from edgehrnet.errors import InputError
from edgehrnet.models import KeypointNetwork, Output
from edgehrnet.models.checkpoints import Checkpoint
from edgehrnet.models.layers.blocks import Convolution
from edgehrnet.spec import ModelSpec
from quant.int8.functions import make_modules
from quant.int8.importing import plain_copy, run
from quant.int8.left_float import ACTIVATION_TYPES, LeftFloat, reads_constant, survey
from quant.int8.outputs import VIEWS, Leaf, choose, keep, leaves, name_of
from quant.int8.placement import TRACE_SIZE, Placement, place
from quant.int8.scheme import Int8Scheme
from quant.int8.symbolic import ExampleTracer, Tracer, record
from quant.int8.units import make_units, module_of

ARRANGING = (*VIEWS, "clone", "to", "float", "stack")
TOLERANCE = 1e-3
"""Largest difference between a network and its traced copy, relative to the output. Rounding gives about 1e-6."""


class TracedNetwork(KeypointNetwork):
    """A traced network as a `KeypointNetwork`, from ``[B, C, H, W]`` float to `Output`.

    The high-resolution features of the output (hf) are the input of the network's last convolution or operation.
    """

    left: list[LeftFloat]
    """Modules and functions that are not part of a unit."""

    macs: dict[str, int]
    """MACs of each unit, by its name."""

    reasons: dict[str, str]
    """Why some units stay in float, by their names."""

    note: str
    """Which of several outputs the heatmaps are, empty if there is only one."""

    def __init__(self, graph: fx.GraphModule, keypoints: int, image: Tensor, note: str = "") -> None:
        super().__init__(keypoints, image.shape[1], gives_offsets=False)
        self.graph = graph
        self.trace_size = (image.shape[2], image.shape[3])
        self.left, self.macs = survey(graph, image)
        self.note = note
        last = next(node for node in graph.graph.nodes if node.op == "output").args[0]
        head = _head(graph, last[0])
        heads = {} if head is None else {f"graph.{head.target}": "its output is the network's output"}
        fixed = dict.fromkeys(_beside_constants(graph), "reads a constant beside the picture, as for coordinates")
        self.reasons = {**fixed, **heads}
        self.head_convolutions = frozenset(self.reasons)

    def forward(self, x: Tensor) -> Output:
        """Return heatmaps and features for ``[B, C, H, W]``."""
        heatmaps, features = self.graph(x)
        return Output(features, heatmaps, None, {})


def traced(
    module: nn.Module,
    keypoints: int,
    in_channels: int = 3,
    *,
    size: tuple[int, int] = TRACE_SIZE,
    output: str | None = None,
) -> TracedNetwork:
    """Convert a torch network into one of `Convolution` and `Add` units, in float32.

    Args:
        module: A network from ``[B, in_channels, H, W]`` to heatmaps ``[B, keypoints, h, w]``, alone or among other
            outputs. It is not changed.
        keypoints: Number of keypoints.
        in_channels: Number of input channels.
        size: Input size (height, width) to run it at.
        output: Name or index of the output that has the heatmaps. None for the last with this number of channels.

    Raises:
        InputError: The network cannot run at this size, branches on tensor values, or returns no such heatmaps.
    """
    images = torch.randn(2, in_channels, *size, generator=torch.Generator().manual_seed(0))
    network = plain_copy(module, images[:1])
    choice, note = choose(list(leaves(run(network, images[:1]), {})), keypoints, output)
    expected = list(leaves(run(network, images), {}))[choice].tensor
    for tracer in (Tracer(), ExampleTracer(images[:1])):
        try:
            graph = _units(record(network, tracer), images[:1], choice)
            _check_same(type(network).__name__, graph, images, expected)
            return TracedNetwork(graph, keypoints, images[:1], note).eval()
        except InputError as error:
            problem = error
    raise problem


def _units(graph: fx.GraphModule, image: Tensor, choice: int) -> fx.GraphModule:
    """Make units of a recorded network that returns only one of its outputs."""
    keep(graph, _outputs(graph, image)[choice])
    make_modules(graph)
    make_units(graph)
    _return_features(graph)
    graph.recompile()
    graph.delete_all_unused_submodules()
    return graph


def _check_same(name: str, graph: fx.GraphModule, images: Tensor, expected: Tensor) -> None:
    """Check that the graph computes what the network does, on two pictures."""
    found = run(graph.forward, images)[0]
    if found.shape != expected.shape or (found - expected).norm() > TOLERANCE * expected.norm():
        raise InputError(
            f"{name} cannot be traced: its copy computes something else. Its forward must not draw random numbers, "
            "remember earlier calls, or depend on the batch size"
        )


def as_checkpoint(network: TracedNetwork, spec: ModelSpec) -> Checkpoint:
    """Wrap the network in a checkpoint for quantization and export. It exists only in memory.

    Raises:
        InputError: The heatmaps do not have the size that the spec's stride gives.
    """
    cells = tuple(side // spec.stride for side in spec.input_size)
    found = tuple(run(network, torch.zeros(1, network.in_channels, *spec.input_size)).heatmaps.shape[2:])
    if found != cells:
        raise InputError(
            f"the heatmaps are {found[0]}x{found[1]} (height x width) for an input of {spec.input_size[0]}x"
            f"{spec.input_size[1]}, but stride={spec.stride} of the spec gives {cells[0]}x{cells[1]}; state the "
            f"network's stride, which looks like {round(spec.input_size[0] / found[0], 2):g}"
        )
    return Checkpoint(spec.name, network.keypoints, {}, network.state_dict(), spec.to_dict(), {}, network=network)


def left_float(network: TracedNetwork, placement: Placement) -> list[LeftFloat]:
    """List what runs in float, with MACs and the reason for each. Modules in `SILENT` are left out."""
    found = list(network.left)
    for name, macs in network.macs.items():
        if name not in placement.convolutions:
            found.append(LeftFloat(name, "Convolution", network.reasons.get(name, "kept in float for accuracy"), macs))
    return found


def check_quantizable(network: TracedNetwork, scheme: Int8Scheme) -> None:
    """Check that at least one convolution would run in INT8.

    Raises:
        InputError: None would. The message says why.
    """
    placement = place(network, scheme) if network.macs else Placement({})
    if not placement.convolutions:
        why = "; ".join(f"{part.name} ({part.kind}) {part.reason}" for part in left_float(network, placement)[:5])
        raise InputError(f"no convolution of the network can run in INT8: {why or 'it has no layers'}")


def _outputs(graph: fx.GraphModule, image: Tensor) -> list[Leaf]:
    """Return every tensor among the outputs of the graph, in the order of the network's."""
    interpreter = fx.Interpreter(graph, garbage_collect_values=False)
    run(interpreter.run, image)
    for node, value in interpreter.env.items():
        node.meta["dimensions"] = getattr(value, "ndim", None)
    output = next(node for node in graph.graph.nodes if node.op == "output")
    return list(leaves(output.args[0], interpreter.env))


def _return_features(graph: fx.GraphModule) -> None:
    """Make the graph return the nearest tensor of four dimensions before its head or output as well."""
    output = next(node for node in graph.graph.nodes if node.op == "output")
    waiting = list((_head(graph, output.args[0]) or output.args[0]).all_input_nodes)
    while waiting:
        node = waiting.pop(0)
        if node.op == "placeholder" or (node.meta.get("dimensions") == 4 and node.op != "get_attr"):
            output.args = ((output.args[0], node),)
            return
        waiting += node.all_input_nodes
    raise InputError("the network's output does not depend on its input; it must return a tensor of heatmaps")


def _head(graph: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """Return the convolution that computes the heatmaps, before functions that only arrange values, or None."""
    while not isinstance(module := module_of(graph, node), Convolution):
        arranges = isinstance(module, (*ACTIVATION_TYPES, nn.Identity)) or name_of(node) in ARRANGING
        if not arranges or len(node.all_input_nodes) != 1:
            return None
        (node,) = node.all_input_nodes
    return node


def _beside_constants(graph: fx.GraphModule) -> list[str]:
    """Return the names of the convolutions that OpenVINO runs in float, because a constant is part of their input."""
    units = [node for node in graph.graph.nodes if isinstance(module_of(graph, node), Convolution)]
    return [f"graph.{node.target}" for node in units if reads_constant(node)]
