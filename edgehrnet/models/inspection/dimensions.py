"""Do the shapes of a network fit together at a size? If not: which layer, what was it given, what was expected?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgehrnet.errors import InputError
from edgehrnet.models.inspection.costs import kernel_of
from edgehrnet.models.inspection.parts import named_tensors, shadow
from edgehrnet.models.layers.base import KeypointNetwork, check_input
from edgehrnet.models.layers.blocks import Add, Convolution
from edgehrnet.models.layers.output import Output

STRIDE = 4  # of the first branch, and of all outputs but the pyramid's


def check_dimensions(net: KeypointNetwork, size: tuple[int, int] = (256, 512)) -> dict[str, tuple[int, ...]]:
    """Follow one picture of ``size`` (height, width) through ``net``, and return the shape of each module's output.

    The shapes are by module name and in the order in which the modules end; of several outputs each one has its own,
    such as ``stage2[0]``; the network's own are ``.heatmaps``, ``.hf`` and so on. Nothing is computed, and ``net``
    stays as it is. Checked is

    - that a convolution is given as many channels as its weights are for, and divides the resolution by its stride,
    - that the terms of a sum have one shape,
    - that of several maps, each has half the resolution of the one before, and the first one a quarter of the input's,
    - that there are K heatmaps, 2K offsets and the features of a quarter of the resolution.

    Raises:
        InputError: for a size that the network does not accept; or names the layer, what it was given and what was
            expected, or what torch says of it.

    >>> from edgehrnet.models import create
    >>> shapes = check_dimensions(create("edgehrnet18", keypoints=4), (64, 96))
    >>> shapes["stage2[1]"], shapes[".heatmaps"]
    ((1, 64, 8, 12), (1, 4, 16, 24))
    """
    meta = shadow(net)
    image = torch.zeros(1, meta.in_channels, *size, device="meta")
    check_input(image, meta.in_channels)
    watch = _Watch((size[0] // STRIDE, size[1] // STRIDE))
    for name, module in meta.named_modules():
        module.register_forward_pre_hook(watch.entering(name))
        module.register_forward_hook(watch.leaving(name))
    try:
        with torch.no_grad():
            output: Output = meta(image)
    except InputError:
        raise
    except Exception as error:  # Whatever torch or a forward finds wrong, from RuntimeError to IndexError.
        name, given = watch.running[-1]
        # torch's errors end in notes for those who work on torch.
        said = str(error).strip().partition("\n")[0] or type(error).__name__
        raise InputError(f"{name or 'the network'}, given {_list(given)}: {said}") from error
    _check_output(meta, output, watch.cells)
    return watch.shapes


class _Watch:
    """Checks every module as it runs.

    Attributes:
        cells: (height, width) of the first branch.
        shapes: of all outputs so far.
        running: the modules that have begun and not ended, with the shapes that they were given; innermost last.
    """

    def __init__(self, cells: tuple[int, int]) -> None:
        self.cells = cells
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.running: list[tuple[str, list[tuple[int, ...]]]] = []

    def entering(self, name: str) -> Callable[..., None]:
        """Make the hook that runs before a module."""

        def enter(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            given = [tuple(tensor.shape) for tensor in named_tensors(inputs).values()]
            self.running.append((name, given))
            if isinstance(module, Add) and len(set(given)) > 1:
                _fail(name, given, f"expected terms of one shape, {_text(given[0])} as the first")
            if isinstance(module, Convolution | nn.Conv2d):
                wanted = _in_channels(module)
                if len(given) != 1 or len(given[0]) != 4 or given[0][1] != wanted:
                    _fail(name, given, f"expected one map of {wanted} channels")

        return enter

    def leaving(self, name: str) -> Callable[..., None]:
        """Make the hook that runs after a module."""

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
            _fail(name, [given], f"gave {_text(found)}, expected {_text(wanted)}, of stride {unit.stride}")

    def _check_branches(self, name: str, given: list[tuple[int, ...]], found: list[tuple[int, ...]]) -> None:
        wanted = self.cells
        for number, shape in enumerate(found, 1):
            if shape[2:] != wanted:
                what = f"half of branch {number - 1}" if number > 1 else f"1/{STRIDE} of the input"
                expected = f"{_text(wanted)}, {what}"
                _fail(name, given, f"gave {_text(shape)} as branch {number} of {len(found)}, expected {expected}")
            wanted = (wanted[0] // 2, wanted[1] // 2)


def _check_output(net: KeypointNetwork, output: Output, cells: tuple[int, int]) -> None:
    channels = {"hf": output.hf.shape[1], "heatmaps": net.keypoints}
    if net.gives_offsets:
        channels["offsets"] = 2 * net.keypoints
    for name, count in channels.items():
        found: Tensor | None = getattr(output, name)
        wanted = (1, count, *cells)
        if found is None or tuple(found.shape) != wanted:
            gave = "nothing" if found is None else _text(tuple(found.shape))
            raise InputError(f"the network gave {gave} as {name}, expected {_text(wanted)}")


def _in_channels(layer: Convolution | nn.Conv2d) -> int:
    return int(kernel_of(layer).shape[1]) * layer.groups


def _fail(name: str, given: list[tuple[int, ...]], problem: str) -> None:
    raise InputError(f"{name or 'the network'}, given {_list(given)}: {problem}")


def _list(shapes: list[tuple[int, ...]]) -> str:
    return " and ".join(map(_text, shapes)) or "no map"


def _text(shape: tuple[int, ...]) -> str:
    """A shape in a sentence.

    >>> _text((1, 32, 64, 128))
    '1x32x64x128'
    """
    return "x".join(map(str, shape))
