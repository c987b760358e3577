"""``edgehrnet models``: which networks there are, what they cost, and what goes on inside them."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from edgehrnet.cli.tables import table
from edgehrnet.errors import InputError
from edgehrnet.keypoint_sets import COCO_PERSON
from edgehrnet.models.checkpoints import build_model, load_checkpoint
from edgehrnet.models.deploy.export_module import network_input
from edgehrnet.models.factory import create
from edgehrnet.models.inspection.bn_statistics import Finding, bn_findings
from edgehrnet.models.inspection.costs import REPEATS, Costs, CostTable, cost_table
from edgehrnet.models.inspection.dimensions import check_dimensions
from edgehrnet.models.inspection.feature_pictures import layer_picture, overview_picture
from edgehrnet.models.layers.base import CONTENT, KeypointNetwork
from edgehrnet.models.variants import VARIANTS
from edgehrnet.picture.sources import read_image
from edgehrnet.preparation import prepare
from edgehrnet.spec import ModelSpec

MILLION, MEBIBYTE = 1e6, 2**20


@dataclass(frozen=True)
class _Subject:
    """The network that the command is about: its name, ``variant``, weights or not, and how pictures go in."""

    name: str
    variant: str
    trained: bool
    network: KeypointNetwork
    spec: ModelSpec


def run(args: argparse.Namespace) -> int:
    """Do what ``edgehrnet models`` was called for; ``args`` as `edgehrnet.cli` parses them. Returns the exit status."""
    if args.network is None:
        if args.table or args.statistics or args.features or args.size:
            raise InputError("which network? edgehrnet models NAME ...; edgehrnet models alone lists the names")
        return _list(args.json)
    if (args.features is None) != (args.picture is None) or (args.layer and not args.features):
        raise InputError("a picture of feature maps needs both --features OUT.png and --picture PHOTO")
    subject = _open(args.network, args.size)
    # What does not fit together is told by layer, before anything else fails for the same reason.
    shapes = check_dimensions(subject.network, subject.spec.input_size)
    report: dict[str, Any] = _summary(subject, shapes)
    if args.table:
        measured = cost_table(subject.network, subject.spec.input_size, repeats=0 if args.no_time else REPEATS)
        report["table"] = _plain_table(measured)
    if args.statistics:
        findings = bn_findings(subject.network)
        report["statistics"] = [_plain_finding(found) for found in findings]
    if args.features:
        report["features"] = str(_draw(subject, args.picture, args.layer, args.features))
    if args.json:
        print(json.dumps(report))
        return 0
    print(_summary_text(report))
    if args.table:
        print("\n" + _table_text(measured))
    if args.statistics:
        print("\n" + _statistics_text(findings))
    if args.features:
        print(f"\nfeature maps: {report['features']}")
    return 0


def _list(as_json: bool) -> int:
    """Print every network that has a name, with its costs at its own input size and 17 keypoints."""
    rows = []
    for variant in VARIANTS.values():
        size = _spec(variant.name).input_size
        with torch.device("meta"):  # shapes are enough
            network = create(variant.name)
        cost = _total(network, size)
        if as_json:
            print(json.dumps({"name": variant.name, "summary": variant.summary, "input_size": size, **cost}))
        millions = f"{cost['parameters'] / MILLION:.2f}", f"{cost['macs'] / MILLION:.0f}"
        rows.append((variant.name, *millions, _hxw(size), variant.summary))
    if not as_json:
        print(table(("network", "M parameters", "M MACs", "input", ""), rows))
    return 0


def _total(network: KeypointNetwork, size: tuple[int, int]) -> dict[str, int]:
    total = cost_table(network, size, repeats=0).total
    return {"parameters": total.parameters, "macs": total.macs}


def _open(name: str, size: tuple[int, int] | None) -> _Subject:
    """Build the network of a name, or read a checkpoint; InputError and ModelFileError as these say it."""
    if Path(name).name == name and "." not in name:  # a bare word is no file
        torch.manual_seed(0)  # the same features each time
        network, spec, variant, trained = create(name).eval(), _spec(name), name, False
    else:
        checkpoint = load_checkpoint(name)
        network, spec = build_model(checkpoint), ModelSpec.from_dict(checkpoint.spec)
        variant, trained = checkpoint.variant, True
    return _Subject(name, variant, trained, network, spec if size is None else spec.replace(input_size=size))


def _spec(name: str) -> ModelSpec:
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


def _summary_text(report: dict[str, Any]) -> str:
    weights = "of the checkpoint" if report["trained"] else "none: freshly initialized"
    rows = [
        ("network", report["variant"]),
        ("what it is", report["summary"]),
        ("weights", weights),
        ("keypoints", str(report["keypoints"])),
        ("input", f"{_text(report['input'])} {CONTENT[report['input'][1]]}"),
        *((f"output {name}", _text(shape)) for name, shape in report["outputs"].items()),
        ("parameters", f"{report['parameters']:,}"),
        ("multiply-accumulates", f"{report['macs']:,}"),
    ]
    return table(("", ""), [row for row in rows if row[1]]).partition("\n")[2]


def _table_text(measured: CostTable) -> str:
    """Three tables: part by part, stage by stage, branch by branch."""
    total = measured.total
    views = (("part", measured.rows), ("stage", measured.by_stage()), ("over all stages", measured.by_branch()))
    heads = ["parameters", "%", "M MACs", "%", "activations MiB", "%"] + (["ms", "%"] if total.ms is not None else [])
    texts = []
    for head, rows in views:
        lines = [(str(row.part), *_cells(row, total)) for row in (*rows, total)]
        texts.append(table((head, *heads), lines))
    notes = [
        f"one picture of {_hxw(measured.size)}; MACs: of convolutions; activations: all maps that modules return,",
        "in float32 (an engine, which uses memory again, needs less)",
    ]
    if total.ms is not None:
        notes[-1] += f"; ms: torch.profiler over plain forwards on the CPU, threads: {measured.threads},"
        notes.append(f"float32, BN not folded, the median of {REPEATS}; the total has what is between the parts too")
    return "\n\n".join([*texts, "\n".join(notes)])


def _cells(row: Costs, total: Costs) -> list[str]:
    pairs = [
        (str(row.parameters), float(row.parameters), float(total.parameters)),
        (f"{row.macs / MILLION:.2f}", row.macs, total.macs),
        (f"{row.activations / MEBIBYTE:.2f}", row.activations, total.activations),
    ]
    if row.ms is not None and total.ms is not None:
        pairs.append((f"{row.ms:.2f}", row.ms, total.ms))
    return [cell for text, own, whole in pairs for cell in (text, f"{100 * own / whole:.1f}")]


def _plain_table(measured: CostTable) -> dict[str, Any]:
    def plain(rows: Iterable[Costs]) -> list[dict[str, Any]]:
        return [{**asdict(row), "part": str(row.part)} for row in rows]

    return {
        "input_size": measured.size,
        "timing": None if measured.ms is None else "torch.profiler over forwards on the CPU, the run of median length",
        "threads": measured.threads,
        "parts": plain(measured.rows),
        "stages": plain(measured.by_stage()),
        "branches": plain(measured.by_branch()),
        "total": plain([measured.total])[0],
    }


def _plain_finding(found: Finding) -> dict[str, Any]:
    # JSON has no NaN.
    return {**asdict(found), "worst": found.worst if math.isfinite(found.worst) else str(found.worst)}


def _statistics_text(findings: list[Finding]) -> str:
    if not findings:
        return "BN statistics: nothing looks wrong"
    rows = [(found.layer, found.statistic, f"{found.channels}/{found.of}", f"{found.worst:.3g}") for found in findings]
    meanings = dict.fromkeys((found.statistic, found.meaning) for found in findings)
    legend = "\n".join(f"{statistic}: {meaning}" for statistic, meaning in meanings)
    return f"{table(('BN', 'looks wrong', 'channels', 'worst'), rows)}\n\n{legend}"


def _draw(subject: _Subject, photo: str, layer: str | None, out: Path) -> Path:
    """Draw the sheet of feature maps; InputError where it cannot be written."""
    spec = subject.spec
    inputs, _ = prepare(read_image(photo), spec)
    x = network_input(torch.from_numpy(inputs[..., : spec.channels]), spec.mean, spec.std)
    title = f"{subject.name}, {_hxw(spec.input_size)}" + ("" if subject.trained else ", untrained")
    sheet: Image.Image
    if layer is None:
        sheet = overview_picture(subject.network, x, inputs[0], title)
    else:
        sheet = layer_picture(subject.network, x, inputs[0], layer, title)
    try:
        sheet.save(out)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write {str(out)!r}: {error}; use .png or .jpg") from None
    return out.resolve()


def _hxw(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _text(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape))
