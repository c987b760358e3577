"""Measure how many milliseconds another activation saves at each of its sites in the compiled INT8 graph."""

from __future__ import annotations

import ast
import copy
import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from torch import Tensor
from tqdm import tqdm

from edgehrnet.errors import InputError
from edgehrnet.models.checkpoints import Checkpoint
from edgehrnet.models.deploy.frozen import freeze
from edgehrnet.models.deploy.loading import deployable, deployed_spec
from edgehrnet.models.layers.activations import activation_sites, exchange_activations
from quant.files.onnx_file import write_onnx
from quant.int8.pipeline import calibrate
from quant.int8.scheme import SCHEMES
from runtimes import openvino
from runtimes.openvino_times import LayerTimes

TARGET = "openvino"
RUNS = 100
SLOWER: Mapping[str, tuple[str, ...]] = {"hardswish": ("silu",), "relu": ("silu", "hardswish")}
"""Activations that each one can replace, because they take longer."""
SCOPES = "pkg.torch.onnx.name_scopes"


@dataclass(frozen=True)
class Gains:
    """Milliseconds of the INT8 graph on one thread, as sums over its layers."""

    before: float
    """Time of the network as it is."""

    after: float
    """Time with every site exchanged."""

    sites: dict[str, float]
    """Time that is saved at each site, in the order of the network's modules."""


def with_activations(checkpoint: Checkpoint, activations: Mapping[str, str]) -> Checkpoint:
    """Return the checkpoint with other activations and without range tables, which no longer apply.

    Args:
        checkpoint: A checkpoint of any network.
        activations: As `exchange_activations` takes them. Those that the checkpoint already names stay.
    """
    if checkpoint.network is not None:
        network = copy.deepcopy(checkpoint.network)
        exchange_activations(network, activations)
        return dataclasses.replace(checkpoint, network=network, quantization={})
    merged = {**checkpoint.options.get("activations", {}), **activations}
    return dataclasses.replace(checkpoint, options={**checkpoint.options, "activations": merged}, quantization={})


def slower_sites(checkpoint: Checkpoint, activation: str) -> list[str]:
    """Return the activation sites of the network at which ``activation`` could save time.

    Raises:
        InputError: There is none.
    """
    kinds = activation_sites(deployable(checkpoint))
    sites = [site for site, kind in kinds.items() if kind in SLOWER[activation]]
    if not sites:
        have = ", ".join(sorted(set(kinds.values()))) or "none"
        raise InputError(f"{activation} saves no time here: the activations of the network are {have}")
    return sites


def measure_gains(
    checkpoint: Checkpoint, activation: str, images: list[Tensor], *, runs: int = RUNS, progress: bool = False
) -> Gains:
    """Compile the INT8 network with its own activations and with ``activation``, and compare their layers.

    The two graphs run in turns. A layer belongs to a site if it computes that activation, alone or fused into the
    convolution before it.

    Args:
        checkpoint: The float network.
        activation: Name of the activation, a key of `SLOWER`.
        images: Letterboxed pictures to calibrate with, as `network_inputs` makes them. Two are enough, because ranges
            hardly change the time.
        runs: Runs of each graph.
        progress: Show a progress bar.

    Raises:
        InputError: ``activation`` is faster at no site, or ``runs`` is below 1.
    """
    if runs < 1:
        raise InputError(f"runs={runs}: must be at least 1, to time the layers")
    sites = slower_sites(checkpoint, activation)
    exchanged = with_activations(checkpoint, dict.fromkeys(sites, activation))
    with tempfile.TemporaryDirectory() as folder:
        graphs = [
            _Graph(one, images, sites, Path(folder) / f"{name}.xml")
            for name, one in (("before", checkpoint), ("after", exchanged))
        ]
        for _ in tqdm(range(runs), disable=not progress, desc="timing", unit="run"):
            for graph in graphs:
                graph.times.run()
    before, after = (graph.by_site() for graph in graphs)
    saved = {site: before.get(site, 0.0) - after.get(site, 0.0) for site in sites}
    return Gains(graphs[0].times.total, graphs[1].times.total, saved)


class _Graph:
    """An INT8 network compiled by OpenVINO, and the site that each of its operations belongs to."""

    def __init__(self, checkpoint: Checkpoint, images: list[Tensor], sites: Sequence[str], path: Path) -> None:
        network = deployable(checkpoint)
        spec = deployed_spec(checkpoint, network, "int8", None)
        table = calibrate(checkpoint, images, [SCHEMES[TARGET]], method="minmax").table(TARGET)
        source = path.with_suffix(".onnx")
        write_onnx(freeze(network, table), spec, source)
        openvino.build(source, path, spec.to_json())
        self._site_of = _operations(source, sites)
        self.times = LayerTimes(path)

    def by_site(self) -> dict[str, float]:
        """Return the milliseconds of the layers of each site."""
        found: dict[str, float] = {}
        for sources, ms in self.times.layers():
            for site in {self._site_of[name]: None for name in sources if name in self._site_of}:
                found[site] = found.get(site, 0.0) + ms
        return found


def _operations(path: Path, sites: Sequence[str]) -> dict[str, str]:
    """Return the site of each operation of an ONNX file that computes one of these activations.

    torch's exporter notes the modules around each operation, such as ``network.stem.conv1.act``.
    """
    wanted, found = set(sites), {}
    for node in onnx.load(path).graph.node:
        for entry in node.metadata_props:
            if entry.key == SCOPES:
                for scope in ast.literal_eval(entry.value):
                    site = scope.removeprefix("network.")
                    if site in wanted:
                        found[node.name] = site
    return found
