"""What ``edgehrnet info`` prints: a model file, the devices that are here, known troubles."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from edgehrnet.cli.tables import table
from edgehrnet.predictor import Predictor
from runtimes.base import Input
from runtimes.devices import devices
from runtimes.quirks import QUIRKS


def print_model(predictor: Predictor, as_json: bool) -> None:
    """Print what is loaded, and the certificate that lies beside it."""
    info = predictor.info()
    if as_json:
        print(json.dumps(info))
        return
    spec = info["spec"]
    read = Input(**info["input"])
    rows: list[tuple[str, str]] = [
        ("file", info["file"]),
        ("model", spec["name"]),
        ("precision", spec["precision"]),
        ("engine", f"{info['engine']} {info['version']} on {info['device']}"),
        (
            "input",
            f"{read.format} {'x'.join(map(str, (1, *read.shape)))}, {'RGB + mask' if read.channels == 4 else 'RGB'}",
        ),
        ("a picture becomes it", _preparation(spec)),
        *((f"output {name}", _shape(name, shape, spec)) for name, shape in info["outputs"].items()),
        ("keypoints", ", ".join(spec["keypoints"])),
        ("decode", spec["decode"]),
        ("golden pair", "yes, see selfcheck" if info["golden"] else "no"),
        *((name.replace("_", " "), _plain(value)) for name, value in info["settings"].items()),
    ]
    print(table(("", ""), rows).partition("\n")[2])
    if info["certificate"] is not None:
        print("\ncertificate, from when the file was built\n")
        print(table(("", ""), _certificate(info["certificate"])).partition("\n")[2])


def print_devices(as_json: bool) -> None:
    """Print which engines are here, and what each of them finds."""
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
        head = ("device", "what it is", *(name.lower().replace("_", " ") for name in names))
        print(textwrap.indent(table(head, rows), "  ") + "\n")


def print_quirks(as_json: bool) -> None:
    """Print the table of known troubles."""
    if as_json:
        print(json.dumps([{**vars(quirk), "settings": dict(quirk.settings)} for quirk in QUIRKS]))
        return
    for quirk in QUIRKS:
        print(f"{quirk.engine} on {', '.join(quirk.devices).lower()}{', INT8 files' if quirk.quantized else ''}")
        told = ", ".join(f"{name}={value}" for name, value in quirk.settings.items())
        lines = [("trouble", quirk.trouble), ("answer", quirk.answer), ("engine is told", told), ("see", quirk.link)]
        print(textwrap.indent(table(("", ""), [line for line in lines if line[1]]).partition("\n")[2], "  ") + "\n")


def _certificate(values: dict[str, Any]) -> list[tuple[str, str]]:
    """Lay out what the maker of a file read back from the engine."""
    expected = f", {values['convolutions_expected']} expected" if values["convolutions_expected"] else ""
    rows = [
        ("engine", f"{values['engine']} on {values['device']}"),
        ("convolutions in int8", f"{values['convolutions_int8']} of {values['convolutions']}{expected}"),
        ("multiply-accumulates", f"{values['macs_int8'] / max(1, values['macs']):.1%} in int8"),
    ]
    made_with = ("made with", ", ".join(f"{name} {version}" for name, version in values["versions"].items()))
    if not values["pictures"]:
        return [*rows, ("agreement with torch", "not measured: this rests on what the file itself lists"), made_with]
    drifts = [values[f"drift_{kind}_px"] for kind in ("median", "mean", "max")]
    if values["parity"] is not None:
        rows.append(("engine's error", f"{values['parity']:.3f} of the fake-quantized network's"))
        rows.append(("engine to fake-quantized", f"{values['distance']:.3f} of the quantization error"))
    return [
        *rows,
        ("heatmaps to float", f"{values['sqnr_db']:.1f} dB"),
        ("keypoints to float", "{} px median, {} mean, {} at most".format(*(f"{px:.3f}" for px in drifts))),
        ("measured on", f"{values['pictures']} pictures"),
        made_with,
    ]


def _preparation(spec: dict[str, Any]) -> str:
    """How a picture becomes the network's input."""
    if spec["crop"] is None:
        return f"letterbox version {spec['letterbox']}"
    return f"crops of boxes, as {spec['crop']}; without boxes, one of everything"


def _shape(name: str, shape: Sequence[int], spec: dict[str, Any]) -> str:
    return f"{'x'.join(map(str, shape))} {dict(spec['outputs']).get(name, '')}"


def _plain(value: Any) -> str:
    return ", ".join(f"{count} in {kind}" for kind, count in value.items()) if isinstance(value, dict) else str(value)
