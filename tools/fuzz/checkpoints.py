"""Fuzz checkpoints: the bytes of the file, and the values in a valid one."""

from __future__ import annotations

import io
from pathlib import Path
from random import Random
from typing import Any

import torch

from edgehrnet.models import create
from edgehrnet.models.checkpoints import build_model, load_checkpoint, save_checkpoint
from edgehrnet.models.checkpoints.ranges import RangeTable
from edgehrnet.spec import ModelSpec
from tools.fuzz.engine import Entry
from tools.fuzz.files import NAMES, SIZE
from tools.fuzz.mutations import damaged_bytes, damaged_json, extreme

OPTIONS: dict[str, Any] = {"modules": (1, 1, 1)}
TENSORS = (
    torch.zeros(0), torch.zeros(()), torch.full((3,), float("nan")), torch.zeros(2, 2, dtype=torch.int64),
    torch.zeros(3, dtype=torch.complex64), torch.zeros(3, dtype=torch.bool), torch.empty(1).expand(1 << 20),
)  # fmt: skip


def seed(folder: Path) -> bytes:
    """Return a checkpoint of a small network, with ranges for an engine."""
    network = create("edgehrnet18_hs", keypoints=len(NAMES), **OPTIONS)
    table = {
        "sites": ["stem"], "scale": torch.ones(1), "zero_point": torch.zeros(1), "activations": "uint8",
        "weight_bits": 8, "adds": "identity", "convolutions": ["stem"],
    }  # fmt: skip
    spec = ModelSpec("m", NAMES, input_size=SIZE).to_dict()
    path = folder / "seed.pt"
    save_checkpoint(
        path, "edgehrnet18_hs", {**OPTIONS, "keypoints": len(NAMES)}, network.state_dict(), spec, {},
        dtype=torch.float16, quantization={"openvino": RangeTable.from_plain("openvino", table)},
    )  # fmt: skip
    return path.read_bytes()


def damaged_values(rng: Random, content: dict[str, Any]) -> bytes:
    """Return a checkpoint with other values. The tensors of the network are damaged in a few places only."""
    plain = {name: value for name, value in content.items() if name != "state"}
    plain["state"] = {"table": content["state"]["table"][:2]} if rng.random() < 0.3 else 0
    changed = damaged_json(rng, [plain])
    if isinstance(changed, dict) and changed.get("state") == 0:
        changed["state"] = content["state"] if rng.random() < 0.7 else _damaged_state(rng, content["state"])
    file = io.BytesIO()
    try:
        torch.save(changed, file)
    except RecursionError:  # nested too deeply to be written
        return b""
    return file.getvalue()


def _damaged_state(rng: Random, state: dict[str, Any]) -> dict[str, Any]:
    """Return a table of tensors with a damaged row, or with other values."""
    table, values = [list(row) for row in state["table"]], dict(state["values"])
    if rng.random() < 0.6:
        rng.choice(table)[rng.randrange(3)] = rng.choice((extreme(rng), [2**62, 2**62], [-1], [0], "torch.int8"))
    else:
        values[rng.choice((*values, "torch.int8"))] = rng.choice((*TENSORS, extreme(rng)))
    return {"table": table, "values": values}


def entry(folder: Path) -> Entry:
    """Return the entry. It reads each checkpoint and builds its network."""
    source, path = seed(folder), folder / "c.pt"
    content: dict[str, Any] = torch.load(io.BytesIO(source), weights_only=True)

    def make(rng: Random) -> bytes:
        if rng.random() < 0.4:
            return damaged_bytes(rng, [source])
        return damaged_values(rng, content)

    def check(case: bytes) -> None:
        path.write_bytes(case)
        read = load_checkpoint(path)
        ModelSpec.from_dict(read.spec)
        build_model(read)

    return Entry("checkpoints", make, check)
