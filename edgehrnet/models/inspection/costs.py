"""What a network costs, stage by stage and branch by branch: parameters, MACs, activations, milliseconds."""

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
from edgehrnet.models.inspection.counting import convolutions
from edgehrnet.models.inspection.parts import Part, named_tensors, part_of, shadow
from edgehrnet.models.layers.base import KeypointNetwork
from edgehrnet.models.layers.blocks import Convolution

FLOAT32 = 4  # bytes
REPEATS = 5
STDERR = 2
MARK, RUN = "edgehrnet part: ", "edgehrnet run"  # in the profiler's record


@dataclass(frozen=True)
class Costs:
    """What one part of a network costs for one picture.

    Attributes:
        part: which; `Part.name` is empty where a whole stage is meant, `Part.stage` where a branch of all stages is.
        parameters: biases and BN scales included.
        macs: multiply-accumulates of the convolutions, as `counting.count` counts them.
        activations: bytes of all maps that the part's modules return, in float32, one picture. What is overwritten in
            place counts once, a convolution with its BN and activation is one module, and maps that bare functions
            pass on inside a module are left out. An engine, which uses memory again, needs less.
        ms: time on the CPU; None if it was not measured.
    """

    part: Part
    parameters: int = 0
    macs: int = 0
    activations: int = 0
    ms: float | None = None


@dataclass(frozen=True)
class CostTable:
    """The `Costs` of every part, in the order in which the parts run.

    Attributes:
        size: (height, width) of the input.
        rows: one for each part.
        ms: of the whole forward, a little more than that of all parts; None if it was not measured.
        threads: of the CPU, that torch was allowed.
    """

    size: tuple[int, int]
    rows: tuple[Costs, ...]
    ms: float | None
    threads: int

    @property
    def total(self) -> Costs:
        """The sum of all rows; of time, the whole forward."""
        return replace(_sum(Part("total"), self.rows), ms=self.ms)

    def by_stage(self) -> list[Costs]:
        """Sum up each stage."""
        stages = dict.fromkeys(row.part.stage for row in self.rows)
        return [_sum(Part(stage), [row for row in self.rows if row.part.stage == stage]) for stage in stages]

    def by_branch(self) -> list[Costs]:
        """Sum up each branch over all stages, and likewise all transitions and all fusions.

        What is no part of a stage with branches stays by itself, so that the sum is still the network's.
        """
        names = {row.part: row.part if _alone(row.part) else Part("", row.part.name) for row in self.rows}
        groups = sorted(dict.fromkeys(names.values()), key=lambda part: not part.name.startswith("branch"))
        return [_sum(group, [row for row in self.rows if names[row.part] == group]) for group in groups]


def cost_table(net: KeypointNetwork, size: tuple[int, int] = (256, 512), *, repeats: int = REPEATS) -> CostTable:
    """Tell what each part of ``net`` costs for one picture of ``size`` (height, width); ``net`` stays as it is.

    Time is what torch.profiler records of plain forwards in float32, on the CPU, BN not folded: ``repeats`` of them
    after one to warm up, of which the one of median length counts. With ``repeats=0``, nothing is computed.

    Raises:
        InputError: for a size that the network does not accept, or negative ``repeats``.

    >>> from edgehrnet.models import create
    >>> table = cost_table(create("edgehrnet18", keypoints=4), (64, 96), repeats=0)
    >>> [(str(row.part), row.parameters) for row in table.rows[:3]]
    [('stem', 20480), ('stage2 transition', 3616), ('stage2 branch 1', 9984)]
    """
    if repeats < 0:
        raise InputError(f"repeats={repeats}: at least 0")
    counted = _Counted(net, size)
    ms = _measure(net, size, repeats) if repeats else {}
    rows = tuple(
        Costs(
            part,
            counted.parameters[part],
            counted.macs[part],
            counted.bytes[part],
            ms.get(part, 0.0) if ms else None,
        )
        for part in counted.parts
    )
    return CostTable(size, rows, sum(ms.values()) if ms else None, torch.get_num_threads())


class _Counted:
    """Parameters, MACs and bytes of returned maps by part, and the order in which the parts run."""

    def __init__(self, net: KeypointNetwork, size: tuple[int, int]) -> None:
        self.parameters: Counter[Part] = Counter()
        self.macs: Counter[Part] = Counter()
        self.bytes: Counter[Part] = Counter()
        self.order: dict[Part, None] = {}
        # Kept until the end, lest a later tensor have the same id.
        self._seen: dict[int, Tensor] = {}
        meta = shadow(net)
        units = {id(unit) for unit in convolutions(meta)}
        inner = {id(part) for unit in meta.modules() if isinstance(unit, Convolution) for part in unit.modules()}
        for name, module in net.named_modules():
            self.parameters[part_of(name)] += sum(p.numel() for p in module.parameters(recurse=False))
        for name, module in meta.named_modules():
            part = part_of(name)
            if name and (id(module) in units or id(module) not in inner):
                module.register_forward_hook(self._hook(part, id(module) in units))
        image = torch.zeros(1, net.in_channels, *size, device="meta")
        self._seen[id(image)] = image
        with torch.no_grad():
            meta(image)

    @property
    def parts(self) -> list[Part]:
        """All that cost something, in the order in which they run; at the end, those that never do."""
        idle = [part for part, count in self.parameters.items() if count and part not in self.order]
        return [*self.order, *idle]

    def _hook(self, part: Part, is_convolution: bool) -> Callable[..., None]:
        def add(module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
            fresh = [tensor for tensor in named_tensors(output).values() if id(tensor) not in self._seen]
            self._seen.update((id(tensor), tensor) for tensor in fresh)
            self.bytes[part] += FLOAT32 * sum(tensor.numel() for tensor in fresh)
            if fresh:
                self.order.setdefault(part)
            if is_convolution:
                self.macs[part] += output.numel() * kernel_of(module)[0].numel()

        return add


def kernel_of(layer: nn.Module) -> Tensor:
    """Return the weights ``[Co, Ci / groups, kh, kw]`` of a member of `counting.convolutions`."""
    return layer.folded()[0] if isinstance(layer, Convolution) else layer.get_parameter("weight")


def _measure(net: KeypointNetwork, size: tuple[int, int], repeats: int) -> dict[Part, float]:
    """Milliseconds by part, of the run of median length; what is between the parts belongs to the network itself."""
    runnable = copy.deepcopy(net).to("cpu", torch.float32).eval()
    marks = _Marks()
    for name, module in runnable.named_modules():
        # Inside a part nothing is marked, so that what is measured is not the measuring.
        if not name or part_of(name) != part_of(name.rpartition(".")[0]):
            module.register_forward_pre_hook(marks.entering(part_of(name)))
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
    """Within, nothing reaches stderr: some builds of torch's profiler write there when they start and stop."""
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
    """Marks in the profiler's record which part an operation belongs to: the innermost that runs."""

    def __init__(self) -> None:
        self._parts: dict[str, Part] = {}
        self._running: list[record_function] = []

    def entering(self, part: Part) -> Callable[..., None]:
        """Make the hook that runs before a module."""
        name = f"{MARK}{part}"
        self._parts[name] = part

        def enter(_module: nn.Module, _inputs: tuple[Any, ...]) -> None:
            self._running.append(record_function(name))
            self._running[-1].__enter__()  # type: ignore[no-untyped-call]

        return enter

    def leaving(self, _module: nn.Module, _inputs: tuple[Any, ...], _output: Any) -> None:
        """Serve as the hook that runs after a module."""
        self._running.pop().__exit__(None, None, None)

    def runs(self, events: Iterable[Any]) -> list[dict[Part, float]]:
        """Milliseconds by part of each run, from the profiler's events."""
        found: dict[int, dict[Part, float]] = {}
        for event in events:
            above = event
            while above is not None and above.name not in self._parts:
                above = above.cpu_parent
            run = above
            while run is not None and run.name != RUN:
                run = run.cpu_parent
            if above is not None and run is not None:
                times, part = found.setdefault(run.id, {}), self._parts[above.name]
                times[part] = times.get(part, 0.0) + event.self_cpu_time_total / 1000
        return list(found.values())


def _alone(part: Part) -> bool:
    return not part.stage.startswith("stage")


def _sum(part: Part, rows: Iterable[Costs]) -> Costs:
    members = list(rows)
    times = [row.ms for row in members if row.ms is not None]
    return Costs(
        part,
        sum(row.parameters for row in members),
        sum(row.macs for row in members),
        sum(row.activations for row in members),
        sum(times) if times else None,
    )
