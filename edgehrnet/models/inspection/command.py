"""Implement ``edgehrnet models``: list the networks, and show the costs, statistics and feature maps of one."""

from __future__ import annotations

import argparse
import io
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from edgehrnet.cli.tables import table
from edgehrnet.errors import InputError
from edgehrnet.keypoint_sets import COCO_PERSON
from edgehrnet.models.checkpoints import build_model, load_checkpoint
from edgehrnet.models.deploy.export_module import network_input
from edgehrnet.models.factory import create
from edgehrnet.models.inspection.bn_statistics import BNAnomaly, bn_anomalies
from edgehrnet.models.inspection.costs import REPEATS, Costs, CostTable, cost_table
from edgehrnet.models.inspection.dimensions import check_dimensions
from edgehrnet.models.inspection.feature_pictures import layer_picture, overview_picture
from edgehrnet.models.layers.base import CONTENT, KeypointNetwork
from edgehrnet.models.variants import VARIANTS
from edgehrnet.picture.sources import read_image
from edgehrnet.preparation import prepare
from edgehrnet.spec import ModelSpec
from runtimes.writing import write_file

MILLION, MEBIBYTE = 1e6, 2**20


@dataclass(frozen=True)
class _Subject:
    """The network that the command was called for."""

    name: str
    """Name of the network or path of the checkpoint, as given."""

    variant: str
    """Name of the network."""

    trained: bool
    """True for a checkpoint, False for a freshly initialized network."""

    network: KeypointNetwork
    spec: ModelSpec


@dataclass(frozen=True)
class _Section:
    """One section of the answer."""

    key: str
    """Key of the section in JSON."""

    values: Any
    """JSON values."""

    text: str
    """Text for people."""


def run(args: argparse.Namespace) -> int:
    """Run ``edgehrnet models`` with arguments parsed by `edgehrnet.cli`, and return the exit status.

    Raises:
        InputError: The arguments do not fit together, or a value is not accepted.
        ModelFileError: The checkpoint cannot be used.
    """
    _check(args)
    if args.network is None:
        _list(args.json)
        return 0
    subject = _open(args.network, args.size)
    # Shapes come first. This check names the layer, where all others would fail with a less specific error.
    shapes = check_dimensions(subject.network, subject.spec.input_size)
    summary = _summary(subject, shapes)
    chosen: list[tuple[bool, Callable[[_Subject, argparse.Namespace], _Section]]] = [
        (args.table, _costs),
        (args.statistics, _statistics),
        (args.features is not None, _features),
    ]
    sections = [make(subject, args) for wanted, make in chosen if wanted]
    if args.json:
        print(json.dumps({**summary, **{section.key: section.values for section in sections}}))
    else:
        print("\n\n".join([_summary_text(summary), *(section.text for section in sections)]))
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.network is None and (args.table or args.statistics or args.features or args.size):
        raise InputError("name a network: edgehrnet models NAME ...; edgehrnet models alone lists the names")
    if (args.features is None) != (args.picture is None) or (args.layer and not args.features):
        raise InputError("a picture of feature maps needs both --features OUT.png and --picture PHOTO")


def _list(as_json: bool) -> None:
    """Print every named network with its costs, at its default input size and 17 keypoints."""
    rows = []
    for variant in VARIANTS.values():
        size = _default_spec(variant.name).input_size
        with torch.device("meta"):  # Shapes suffice to count.
            network = create(variant.name)
        total = _total(network, size)
        if as_json:
            print(json.dumps({"name": variant.name, "summary": variant.summary, "input_size": size, **total}))
        millions = f"{total['parameters'] / MILLION:.2f}", f"{total['macs'] / MILLION:.0f}"
        rows.append((variant.name, *millions, _by_x(size), variant.summary))
    if not as_json:
        print(table(("network", "M parameters", "M MACs", "input", ""), rows))


def _total(network: KeypointNetwork, size: tuple[int, int]) -> dict[str, int]:
    total = cost_table(network, size, repeats=0).total
    return {"parameters": total.parameters, "macs": total.macs}


def _open(name: str, size: tuple[int, int] | None) -> _Subject:
    """Build the network with this name, or read the checkpoint at this path.

    Raises:
        InputError: No network has this name.
        ModelFileError: The checkpoint cannot be used.
    """
    if Path(name).name == name and "." not in name:  # A bare word is a name, not a path.
        torch.manual_seed(0)  # The same weights in each run.
        network, spec, variant, trained = create(name).eval(), _default_spec(name), name, False
    else:
        checkpoint = load_checkpoint(name)
        network, spec = build_model(checkpoint), ModelSpec.from_dict(checkpoint.spec)
        variant, trained = checkpoint.variant, True
    return _Subject(name, variant, trained, network, spec if size is None else spec.replace(input_size=size))


def _default_spec(name: str) -> ModelSpec:
    return ModelSpec(name, COCO_PERSON.names, **VARIANTS[name].spec)


def _summary(subject: _Subject, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    network, size = subject.network, subject.spec.input_size
    return {
        "network": subject.name,
        "variant": subject.variant,
        "summary": VARIANTS[subject.variant].summary if subject.variant in VARIANTS else "",
        "trained": subject.trained,
        "keypoints": network.keypoints,
        "input": [1, network.in_channels, *size],
        **_total(network, size),
        "outputs": {name[1:]: list(shape) for name, shape in shapes.items() if name.startswith(".")},
    }


def _summary_text(summary: dict[str, Any]) -> str:
    weights = "from the checkpoint" if summary["trained"] else "untrained: freshly initialized"
    rows = [
        ("network", summary["variant"]),
        ("description", summary["summary"]),
        ("weights", weights),
        ("keypoints", str(summary["keypoints"])),
        ("input", f"{_by_x(summary['input'])} {CONTENT[summary['input'][1]]}"),
        *((f"output {name}", _by_x(shape)) for name, shape in summary["outputs"].items()),
        ("parameters", f"{summary['parameters']:,}"),
        ("multiply-accumulates", f"{summary['macs']:,}"),
    ]
    return table(("", ""), [row for row in rows if row[1]]).partition("\n")[2]


def _costs(subject: _Subject, args: argparse.Namespace) -> _Section:
    """Measure the costs for ``--table``."""
    measured = cost_table(subject.network, subject.spec.input_size, repeats=0 if args.no_time else REPEATS)
    return _Section("table", _plain_table(measured), _table_text(measured))


def _table_text(measured: CostTable) -> str:
    """Return three tables: by component, by stage and by branch."""
    total = measured.total
    views = (("component", measured.rows), ("stage", measured.by_stage()), ("over all stages", measured.by_branch()))
    heads = ["parameters", "%", "M MACs", "%", "activations MiB", "%"] + (["ms", "%"] if total.ms is not None else [])
    texts = []
    for head, rows in views:
        lines = [(str(row.component), *_cells(row, total)) for row in (*rows, total)]
        texts.append(table((head, *heads), lines))
    notes = [
        f"One picture of {_by_x(measured.size)}.",
        "MACs: multiply-accumulates of convolutions.",
        "Activations: all maps that modules return, in float32. An engine reuses memory and needs less.",
    ]
    if total.ms is not None:
        notes.append(
            f"ms: median of {REPEATS} forward passes in PyTorch, float32, BN not folded, "
            f"number of CPU threads: {measured.threads}."
        )
        notes.append("The total also has the time between the components.")
    return "\n\n".join([*texts, "\n".join(notes)])


def _cells(row: Costs, total: Costs) -> list[str]:
    """Return each cost of a row and its percentage of the total."""
    costs = [
        (str(row.parameters), float(row.parameters), float(total.parameters)),
        (f"{row.macs / MILLION:.2f}", row.macs, total.macs),
        (f"{row.activations / MEBIBYTE:.2f}", row.activations, total.activations),
    ]
    if row.ms is not None and total.ms is not None:
        costs.append((f"{row.ms:.2f}", row.ms, total.ms))
    return [cell for text, cost, whole in costs for cell in (text, f"{100 * cost / whole:.1f}")]


def _plain_table(measured: CostTable) -> dict[str, Any]:
    def plain(rows: Iterable[Costs]) -> list[dict[str, Any]]:
        return [{**asdict(row), "component": str(row.component)} for row in rows]

    timing = f"torch.profiler over {REPEATS} forward passes on the CPU, the one of median length"
    return {
        "input_size": measured.size,
        "timing": None if measured.ms is None else timing,
        "threads": measured.threads,
        "components": plain(measured.rows),
        "stages": plain(measured.by_stage()),
        "branches": plain(measured.by_branch()),
        "total": plain([measured.total])[0],
    }


def _statistics(subject: _Subject, _args: argparse.Namespace) -> _Section:
    """Check the BN statistics for ``--statistics``."""
    anomalies = bn_anomalies(subject.network)
    return _Section("statistics", [_plain_anomaly(one) for one in anomalies], _statistics_text(anomalies))


def _plain_anomaly(anomaly: BNAnomaly) -> dict[str, Any]:
    # JSON has no NaN and no infinity.
    return {**asdict(anomaly), "worst": anomaly.worst if math.isfinite(anomaly.worst) else str(anomaly.worst)}


def _statistics_text(anomalies: list[BNAnomaly]) -> str:
    if not anomalies:
        return "BN statistics: no anomalies"
    rows = [(one.layer, one.statistic, f"{one.affected}/{one.channels}", f"{one.worst:.3g}") for one in anomalies]
    causes = dict.fromkeys((one.statistic, one.cause) for one in anomalies)
    legend = "\n".join(f"{statistic}: {cause}" for statistic, cause in causes)
    return f"{table(('BN', 'anomaly', 'channels', 'worst'), rows)}\n\n{legend}"


def _features(subject: _Subject, args: argparse.Namespace) -> _Section:
    """Draw the feature maps for ``--features``.

    Raises:
        InputError: The picture's suffix is of no format that can be written.
        WriteError: The picture cannot be written.
    """
    spec = subject.spec
    inputs, _ = prepare(read_image(args.picture), spec)
    x = network_input(torch.from_numpy(inputs[..., : spec.channels]), spec.mean, spec.std)
    title = f"{subject.name}, {_by_x(spec.input_size)}" + ("" if subject.trained else ", untrained")
    if args.layer is None:
        figure = overview_picture(subject.network, x, inputs[0], title)
    else:
        figure = layer_picture(subject.network, x, inputs[0], args.layer, title)
    try:
        file = io.BytesIO()  # see save_picture
        figure.savefig(file, format=args.features.suffix[1:] or None)
        write_file(args.features, file.getvalue())
    except ValueError as error:
        raise InputError(f"cannot write {str(args.features)!r}: {error}; use .png or .jpg") from None
    path = str(args.features.resolve())
    return _Section("features", path, f"feature maps: {path}")


def _by_x(sizes: Iterable[int]) -> str:
    return "x".join(map(str, sizes))
