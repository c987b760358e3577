"""Check that the shapes in a network fit together, and name the first layer where they do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgehrnet.errors import InputError
from edgehrnet.models.inspection.components import meta_copy, named_tensors
from edgehrnet.models.inspection.counting import kernel_of
from edgehrnet.models.layers.base import KeypointNetwork, check_input
from edgehrnet.models.layers.blocks import Add, Convolution
from edgehrnet.models.layers.output import Output

STRIDE = 4  # of the first branch and of all outputs except those of the pyramid


def check_dimensions(net: KeypointNetwork, size: tuple[int, int] = (256, 512)) -> dict[str, tuple[int, ...]]:
    """Check the shapes of all maps in a network for one picture. No values are computed, and ``net`` is not changed.

    The checks are:

    - A convolution gets the number of channels that its weights have, and divides the resolution by its stride.
    - All terms of a sum have one shape.
    - Among several branches, the first has a quarter of the input's resolution, and each other one half the resolution
      of the one before.
    - There are K heatmaps, 2K offsets and features, all at a quarter of the input's resolution.

    Args:
        net: The network.
        size: (height, width) of the input.

    Returns:
        The shape of each module's output by module name, in the order in which the modules end. A module with several
        outputs has one entry for each, such as ``stage2[0]``. Outputs of the network are ``.heatmaps``, ``.hf`` and so
        on.

    Raises:
        InputError: The network does not accept this size, or shapes do not fit. The message names the layer, its input
            and the expected shape, or torch's error.

    >>> from edgehrnet.models import create
    >>> shapes = check_dimensions(create("edgehrnet18", keypoints=4), (64, 96))
    >>> shapes["stage2[1]"], shapes[".heatmaps"]
    ((1, 64, 8, 12), (1, 4, 16, 24))
    """
    meta = meta_copy(net)
    image = torch.zeros(1, meta.in_channels, *size, device="meta")
    check_input(image, meta.in_channels)
    watch = _Watch((size[0] // STRIDE, size[1] // STRIDE))
    for name, module in meta.named_modules():
        module.register_forward_pre_hook(watch.entering(name))
        module.register_forward_hook(watch.leaving(name))
    _check_output(meta, _run(meta, image, watch), watch.cells)
    return watch.shapes


def _run(net: KeypointNetwork, image: Tensor, watch: _Watch) -> Output:
    """Run the network, and turn any error into an InputError that names the layer."""
    try:
        with torch.no_grad():
            output: Output = net(image)
    except InputError:
        raise
    except Exception as error:  # A module may raise any error, such as RuntimeError or IndexError.
        name, given = watch.running[-1]
        # The first line is the error. Others are notes for developers of torch.
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise InputError(f"{name or 'the network'}, input {_list(given)}: {reason}") from error
    return output


class _Watch:
    """Hooks that check every module as it runs.

    Args:
        cells: (height, width) of the first branch.
    """

    shapes: dict[str, tuple[int, ...]]
    """Shapes of all outputs so far, by module name."""

    running: list[tuple[str, list[tuple[int, ...]]]]
    """Names and input shapes of the modules that are running, innermost last."""

    def __init__(self, cells: tuple[int, int]) -> None:
        self.cells = cells
        self.shapes = {}
        self.running = []

    def entering(self, name: str) -> Callable[..., None]:
        """Return a hook to run before a module."""

        def enter(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            given = [tuple(tensor.shape) for tensor in named_tensors(inputs).values()]
            self.running.append((name, given))
            if isinstance(module, Add) and len(set(given)) > 1:
                _fail(name, given, f"expected terms of the shape of the first, {_text(given[0])}")
            if isinstance(module, Convolution | nn.Conv2d):
                wanted = _in_channels(module)
                if len(given) != 1 or len(given[0]) != 4 or given[0][1] != wanted:
                    _fail(name, given, f"expected one map with {wanted} channels")

        return enter

    def leaving(self, name: str) -> Callable[..., None]:
        """Return a hook to run after a module."""

        def leave(module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
            _, given = self.running.pop()
            found = named_tensors(output)
            self.shapes.update((name + inner, tuple(tensor.shape)) for inner, tensor in found.items())
            if isinstance(module, Convolution):
                self._check_convolution(name, given[0], module, tuple(output.shape))
            elif isinstance(output, Sequence) and not isinstance(output, Output):
                self._check_branches(name, given, [tuple(tensor.shape) for tensor in found.values()])

        return leave

    def _check_convolution(self, name: str, given: tuple[int, ...], unit: Convolution, found: tuple[int, ...]) -> None:
        wanted = (given[0], kernel_of(unit).shape[0], *(-(-side // unit.stride) for side in given[2:]))
        if found != wanted:
            _fail(name, [given], f"returned {_text(found)}, expected {_text(wanted)} with stride {unit.stride}")

    def _check_branches(self, name: str, given: list[tuple[int, ...]], found: list[tuple[int, ...]]) -> None:
        wanted = self.cells
        for number, shape in enumerate(found, 1):
            if shape[2:] != wanted:
                reason = f"half of branch {number - 1}" if number > 1 else f"1/{STRIDE} of the input"
                expected = f"{_text(wanted)}, {reason}"
                _fail(name, given, f"returned {_text(shape)} as branch {number} of {len(found)}, expected {expected}")
            wanted = (wanted[0] // 2, wanted[1] // 2)


def _check_output(net: KeypointNetwork, output: Output, cells: tuple[int, int]) -> None:
    channels = {"hf": output.hf.shape[1], "heatmaps": net.keypoints}
    if net.gives_offsets:
        channels["offsets"] = 2 * net.keypoints
    for name, count in channels.items():
        found: Tensor | None = getattr(output, name)
        wanted = (1, count, *cells)
        if found is None or tuple(found.shape) != wanted:
            given = "nothing" if found is None else _text(tuple(found.shape))
            raise InputError(f"the network returned {given} as {name}, expected {_text(wanted)}")


def _in_channels(layer: Convolution | nn.Conv2d) -> int:
    return int(kernel_of(layer).shape[1]) * layer.groups


def _fail(name: str, given: list[tuple[int, ...]], problem: str) -> None:
    raise InputError(f"{name or 'the network'}, input {_list(given)}: {problem}")


def _list(shapes: list[tuple[int, ...]]) -> str:
    return " and ".join(map(_text, shapes)) or "no map"


def _text(shape: tuple[int, ...]) -> str:
    """Format a shape for a sentence.

    >>> _text((1, 32, 64, 128))
    '1x32x64x128'
    """
    return "x".join(map(str, shape))
