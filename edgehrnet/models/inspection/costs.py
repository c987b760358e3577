"""Measure the parameters, MACs, activations and milliseconds of each component of a network."""

from __future__ import annotations

import copy
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function

from edgehrnet.errors import InputError
from edgehrnet.models.inspection.components import Component, component_of, meta_copy, named_tensors
from edgehrnet.models.inspection.counting import convolutions, kernel_of
from edgehrnet.models.layers.base import KeypointNetwork
from edgehrnet.models.layers.blocks import Convolution

FLOAT32 = 4  # bytes
REPEATS = 5
STDERR = 2
# Names of ranges in the profiler's record.
MARK, RUN = "edgehrnet component: ", "edgehrnet run"


@dataclass(frozen=True)
class Costs:
    """Costs of one component for one picture."""

    component: Component
    """The component."""

    parameters: int = 0
    """Number of parameters, including biases and BN."""

    macs: int = 0
    """Multiply-accumulates of the convolutions, see `counting.count`."""

    activations: int = 0
    """Bytes of all maps that the component's modules return, in float32.

    A map that is overwritten in place counts once. A convolution counts as one module with its BN and activation. Maps
    between plain functions inside a module do not count. An engine reuses memory and needs less.
    """

    ms: float | None = None
    """Milliseconds on the CPU, or None if they were not measured."""


@dataclass(frozen=True)
class CostTable:
    """Costs of every component of a network."""

    size: tuple[int, int]
    """(height, width) of the input."""

    rows: tuple[Costs, ...]
    """Costs of each component, in execution order."""

    ms: float | None
    """Milliseconds of the whole forward pass, or None. It has operations that belong to no component."""

    threads: int
    """Number of CPU threads that torch used."""

    @property
    def total(self) -> Costs:
        """Sum of all rows, with the time of the whole forward pass."""
        return replace(_sum(Component("total"), self.rows), ms=self.ms)

    def by_stage(self) -> list[Costs]:
        """Sum the rows of each stage."""
        stages = dict.fromkeys(row.component.stage for row in self.rows)
        return [_sum(Component(stage), [row for row in self.rows if row.component.stage == stage]) for stage in stages]

    def by_branch(self) -> list[Costs]:
        """Sum each branch over all stages, and likewise all transitions and all fusions.

        Components outside of these stages keep their rows, so that the sum of all rows is still the network's.
        """
        names = {row.component: _over_all_stages(row.component) for row in self.rows}
        groups = sorted(dict.fromkeys(names.values()), key=lambda group: not group.name.startswith("branch"))
        return [_sum(group, [row for row in self.rows if names[row.component] == group]) for group in groups]


def cost_table(net: KeypointNetwork, size: tuple[int, int] = (256, 512), *, repeats: int = REPEATS) -> CostTable:
    """Measure the costs of each component of a network for one picture. The network is not changed.

    The time is recorded with torch.profiler on the CPU, in float32, with BN not folded. After one forward pass to warm
    up, the pass of median length among ``repeats`` passes counts.

    Args:
        net: The network.
        size: (height, width) of the input.
        repeats: Number of timed forward passes. With 0, no values are computed and there are no times.

    Raises:
        InputError: The network does not accept this size, or ``repeats`` is negative.

    >>> from edgehrnet.models import create
    >>> table = cost_table(create("edgehrnet18", keypoints=4), (64, 96), repeats=0)
    >>> [(str(row.component), row.parameters) for row in table.rows[:3]]
    [('stem', 20480), ('stage2 transition', 3616), ('stage2 branch 1', 9984)]
    """
    if repeats < 0:
        raise InputError(f"repeats={repeats}: must be at least 0")
    counted = _Counted(net, size)
    ms = _measure(net, size, repeats) if repeats else {}
    rows = tuple(
        Costs(
            component,
            counted.parameters[component],
            counted.macs[component],
            counted.bytes[component],
            ms.get(component, 0.0) if ms else None,
        )
        for component in counted.components
    )
    return CostTable(size, rows, sum(ms.values()) if ms else None, torch.get_num_threads())


class _Counted:
    """Parameters, MACs and bytes of returned maps by component, and the execution order of the components."""

    def __init__(self, net: KeypointNetwork, size: tuple[int, int]) -> None:
        self.parameters: Counter[Component] = Counter()
        self.macs: Counter[Component] = Counter()
        self.bytes: Counter[Component] = Counter()
        self.order: dict[Component, None] = {}
        # Tensors are kept, so that no later one gets the same id.
        self._seen: dict[int, Tensor] = {}
        meta = meta_copy(net)
        units = {id(unit) for unit in convolutions(meta)}
        inner = {id(module) for unit in meta.modules() if isinstance(unit, Convolution) for module in unit.modules()}
        for name, module in net.named_modules():
            self.parameters[component_of(name)] += sum(p.numel() for p in module.parameters(recurse=False))
        for name, module in meta.named_modules():
            if name and (id(module) in units or id(module) not in inner):
                module.register_forward_hook(self._hook(component_of(name), id(module) in units))
        image = torch.zeros(1, net.in_channels, *size, device="meta")
        self._seen[id(image)] = image
        with torch.no_grad():
            meta(image)

    @property
    def components(self) -> list[Component]:
        """All components that cost something, in execution order. Those that never run come last."""
        idle = [component for component, count in self.parameters.items() if count and component not in self.order]
        return [*self.order, *idle]

    def _hook(self, component: Component, is_convolution: bool) -> Callable[..., None]:
        def add(module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
            fresh = [tensor for tensor in named_tensors(output).values() if id(tensor) not in self._seen]
            self._seen.update((id(tensor), tensor) for tensor in fresh)
            self.bytes[component] += FLOAT32 * sum(tensor.numel() for tensor in fresh)
            if fresh:
                self.order.setdefault(component)
            if is_convolution:
                self.macs[component] += output.numel() * kernel_of(module)[0].numel()

        return add


def _measure(net: KeypointNetwork, size: tuple[int, int], repeats: int) -> dict[Component, float]:
    """Return milliseconds by component, from the run of median length.

    Operations between the components belong to the network itself, ``Component("")``.
    """
    runnable = copy.deepcopy(net).to("cpu", torch.float32).eval()
    marks = _Marks()
    for name, module in runnable.named_modules():
        # Only the outermost module of a component is marked, so that the marks cost little time.
        if not name or component_of(name) != component_of(name.rpartition(".")[0]):
            module.register_forward_pre_hook(marks.entering(component_of(name)))
            module.register_forward_hook(marks.leaving)
    image = torch.rand(1, net.in_channels, *size)
    with torch.no_grad():
        runnable(image)
        with _quiet(), profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiler:
            for _ in range(repeats):
                with record_function(RUN):
                    runnable(image)
    return sorted(marks.runs(profiler.events() or ()), key=lambda run: sum(run.values()))[repeats // 2]


@contextmanager
def _quiet() -> Iterator[None]:
    """Discard output to stderr, where some builds of torch's profiler write when they start and stop."""
    sys.stderr.flush()
    kept = os.dup(STDERR)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, STDERR)
        yield
    finally:
        os.dup2(kept, STDERR)
        os.close(kept)
        os.close(nowhere)


class _Marks:
    """Ranges in the profiler's record that assign each operation to the innermost component that is running."""

    def __init__(self) -> None:
        self._components: dict[str, Component] = {}
        self._running: list[record_function] = []

    def entering(self, component: Component) -> Callable[..., None]:
        """Return a hook to run before a module."""
        name = f"{MARK}{component}"
        self._components[name] = component

        def enter(_module: nn.Module, _inputs: tuple[Any, ...]) -> None:
            self._running.append(record_function(name))
            self._running[-1].__enter__()  # type: ignore[no-untyped-call]

        return enter

    def leaving(self, _module: nn.Module, _inputs: tuple[Any, ...], _output: Any) -> None:
        """End the range of a module. To be registered as a hook that runs after it."""
        self._running.pop().__exit__(None, None, None)

    def runs(self, events: Iterable[Any]) -> list[dict[Component, float]]:
        """Return milliseconds by component of each run, from the profiler's events."""
        found: dict[int, dict[Component, float]] = {}
        for event in events:
            above = event
            while above is not None and above.name not in self._components:
                above = above.cpu_parent
            run = above
            while run is not None and run.name != RUN:
                run = run.cpu_parent
            if above is not None and run is not None:
                times, component = found.setdefault(run.id, {}), self._components[above.name]
                times[component] = times.get(component, 0.0) + event.self_cpu_time_total / 1000
        return list(found.values())


def _over_all_stages(component: Component) -> Component:
    """Return the component without its stage, if it is in a stage with branches."""
    return Component("", component.name) if component.stage.startswith("stage") else component


def _sum(component: Component, rows: Iterable[Costs]) -> Costs:
    members = list(rows)
    times = [row.ms for row in members if row.ms is not None]
    return Costs(
        component,
        sum(row.parameters for row in members),
        sum(row.macs for row in members),
        sum(row.activations for row in members),
        sum(times) if times else None,
    )
