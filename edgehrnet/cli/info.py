"""``edgehrnet info``: describe a model file, the devices of this machine, or known problems of engines."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from edgehrnet.certificate import int8_cost
from edgehrnet.cli.arguments import MODEL_HELP, add_model_options, open_predictor
from edgehrnet.cli.tables import rows_table, table
from edgehrnet.picture.crops import MARGIN
from edgehrnet.predictor import Predictor
from runtimes.base import Input
from runtimes.devices import devices
from runtimes.quirks import QUIRKS

SUMMARY = "describe a model file, or list the devices of this machine"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("model", nargs="?", help=f"{MODEL_HELP} (default: list the devices)")
    parser.add_argument(
        "--quirks",
        action="store_true",
        help="list known problems of engines, and what is done about them (default: no)",
    )
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print what the arguments ask for."""
    if args.quirks:
        print_quirks(args.json)
    elif args.model is None:
        print_devices(args.json)
    else:
        with open_predictor(args) as predictor:
            print_model(predictor, args.json)
    return 0


def print_model(predictor: Predictor, as_json: bool) -> None:
    """Print a description of the model file, and its certificate if it has one."""
    info = predictor.info()
    if as_json:
        print(json.dumps(info))
        return
    spec = info["spec"]
    network_input = Input(**info["input"])
    shape = "x".join(map(str, (1, *network_input.shape)))
    colors = spec.get("color", "rgb").upper()
    channels = {1: "gray", 3: colors, 4: f"{colors} + mask"}[network_input.channels]
    rows: list[tuple[str, str]] = [
        ("file", info["file"]),
        ("model", spec["name"]),
        ("takes", _takes(spec)),
        ("precision", spec["precision"]),
        ("engine", f"{info['engine']} {info['version']} on {info['device']}"),
        ("input", f"{network_input.format} {shape}, {channels}"),
        ("preprocessing", _preprocessing(spec)),
        *((f"output {name}", _shape(name, shape, spec)) for name, shape in info["outputs"].items()),
        ("keypoints", ", ".join(spec["keypoints"])),
        ("decode", spec["decode"]),
        ("golden output", "yes, see edgehrnet selfcheck" if info["golden"] else "no"),
        *((name.replace("_", " "), _plain(value)) for name, value in info["settings"].items()),
    ]
    print(rows_table(rows))
    if info["certificate"] is not None:
        print("\ncertificate, measured when the file was built\n")
        print(rows_table(_certificate(info["certificate"])))


def print_devices(as_json: bool) -> None:
    """Print the devices of each engine, or why there are none."""
    found = devices()
    if as_json:
        plain = {engine: here if isinstance(here, str) else [asdict(d) for d in here] for engine, here in found.items()}
        print(json.dumps(plain))
        return
    for engine, here in found.items():
        print(f"{engine}\n")
        if isinstance(here, str) or not here:
            print(f"  {here or 'no device'}\n")
            continue
        names = list(dict.fromkeys(name for device in here for name in device.properties))
        rows = [(d.name, d.title, *(d.properties.get(name, "") for name in names)) for d in here]
        head = ("device", "description", *(name.lower().replace("_", " ") for name in names))
        print(textwrap.indent(table(head, rows), "  ") + "\n")


def print_quirks(as_json: bool) -> None:
    """Print the known problems of engines."""
    if as_json:
        print(json.dumps([{**vars(quirk), "settings": dict(quirk.settings)} for quirk in QUIRKS]))
        return
    for quirk in QUIRKS:
        print(f"{quirk.engine} on {', '.join(quirk.devices).lower()}{', INT8 files' if quirk.quantized else ''}")
        settings = ", ".join(f"{name}={value}" for name, value in quirk.settings.items())
        rows = [("problem", quirk.trouble), ("remedy", quirk.answer), ("setting", settings), ("see", quirk.link)]
        print(textwrap.indent(rows_table([row for row in rows if row[1]]), "  ") + "\n")


def _certificate(values: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the rows of a certificate."""
    expected = f", {values['convolutions_expected']} expected" if values["convolutions_expected"] else ""
    rows = [
        ("engine", f"{values['engine']} on {values['device']}"),
        ("convolutions in int8", f"{values['convolutions_int8']} of {values['convolutions']}{expected}"),
        ("multiply-accumulates", f"{values['macs_int8'] / max(1, values['macs']):.2%} in int8"),
        *([("convolution kernels", _plain(values["kernels"]))] if values["kernels"] else []),
        *([("corrections", ", ".join(values["corrections"]))] if values.get("corrections") else []),
    ]
    made_with = ("made with", ", ".join(f"{name} {version}" for name, version in values["versions"].items()))
    if not values["pictures"]:
        return [*rows, ("agreement with torch", "not measured: read from the file alone"), made_with]
    drifts = [values[f"drift_{kind}_px"] for kind in ("median", "mean", "max")]
    if values["parity"] is not None and values["distance"] is not None:
        rows.append(("error against float", f"{values['parity']:.3f} times that of fake quantization in torch"))
        rows.append(("distance from torch", f"{values['distance']:.3f} of the quantization error"))
    if values["precision"] == "int8":
        rows.append(("cost of int8", values.get("int8_cost") or int8_cost(values["sqnr_db"], drifts[0])))
    return [
        *rows,
        *([] if values["sqnr_db"] is None else [("heatmaps against float", f"{values['sqnr_db']:.1f} dB")]),
        ("keypoints against float", _drifts(drifts)),
        ("measured on", f"{values['pictures']} pictures"),
        *map(_at_size, values.get("sizes", ())),
        made_with,
    ]


def _at_size(values: dict[str, Any]) -> tuple[str, str]:
    """Return the row of a certificate about another input size."""
    height, width = values["input_size"]
    drifts = _drifts([values.get(f"drift_{kind}_px") for kind in ("median", "mean", "max")])
    sqnr = "" if values.get("sqnr_db") is None else f"{values['sqnr_db']:.1f} dB; "
    return f"at {height}x{width}", f"{sqnr}{drifts}; {values.get('pictures')} pictures"


def _takes(spec: dict[str, Any]) -> str:
    """Say whether the network wants boxes."""
    if spec["crop"] is None:
        return "whole pictures, or the parts of pictures in boxes"
    return f"crops of boxes ({spec['crop']} convention); without boxes, the whole picture"


def _drifts(values: Sequence[float | None]) -> str:
    """Return median, mean and maximum of the keypoint drift as text."""
    if None in values:
        return "not measured: no keypoint reached the confidence threshold"
    return "{} px median, {} mean, {} largest".format(*(f"{px:.3f}" for px in values))


def _preprocessing(spec: dict[str, Any]) -> str:
    """Describe how a picture becomes the network's input."""
    if spec["crop"] is None:
        return f"letterbox version {spec['letterbox']}"
    return f"boxes are enlarged by {MARGIN} and cut out, with black outside the picture"


def _shape(name: str, shape: Sequence[int], spec: dict[str, Any]) -> str:
    return f"{'x'.join(map(str, shape))} {dict(spec['outputs']).get(name, '')}"


def _plain(value: Any) -> str:
    """Return a setting as text, counts such as {"u8": 126} as "126 in u8"."""
    return ", ".join(f"{count} in {kind}" for kind, count in value.items()) if isinstance(value, dict) else str(value)
