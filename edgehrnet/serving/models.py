"""Open the models of a server, and describe them in the words of the protocol."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from edgehrnet.errors import InputError
from edgehrnet.model_info import model_info
from edgehrnet.picture.letterbox import MULTIPLE
from edgehrnet.predictor import Predictor
from edgehrnet.serving.options import Options
from edgehrnet.serving.refused import RefusedError
from runtimes.base import INPUT, METADATA_KEY, MODEL_INFO, Batch, Description
from runtimes.remote import RESIZES

VERSION = "1"


@dataclass(frozen=True)
class Served:
    """A model that is served."""

    name: str
    """Name in addresses."""
    predictor: Predictor
    """The open model."""
    described: Description
    """What its file takes and gives."""

    @property
    def datatype(self) -> str:
        """Type of the input, as the protocol calls it."""
        return "UINT8" if self.described.input.format.startswith("u8") else "FP32"

    def tensors(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return name, datatype and shape of the input and of each output. -1 is any number of pictures."""
        inputs = [{"name": INPUT, "datatype": self.datatype, "shape": [-1, *self.described.input.shape]}]
        shapes = self.described.outputs.items()
        return inputs, [{"name": name, "datatype": "FP32", "shape": [-1, *shape[1:]]} for name, shape in shapes]

    def texts(self) -> dict[str, str]:
        """Return what RemoteModel needs to know, and what Model API says."""
        spec = self.predictor.spec
        resizes = {RESIZES: "true"} if self.described.resizes else {}
        return {**model_info(spec), METADATA_KEY: spec.to_json(), **resizes}

    def metadata(self) -> dict[str, Any]:
        """Return the metadata of the protocol. The texts are where OpenVINO Model Server has those of a file."""
        inputs, outputs = self.tensors()
        return {
            "name": self.name,
            "versions": [VERSION],
            "platform": f"edgehrnet_{self.described.engine}",
            "inputs": inputs,
            "outputs": outputs,
            "rt_info": {MODEL_INFO: self.texts()},
        }

    def config(self) -> dict[str, Any]:
        """Return the configuration as Triton shows it."""
        ports = [
            [{"name": t["name"], "data_type": f"TYPE_{t['datatype']}", "dims": t["shape"]} for t in tensors]
            for tensors in self.tensors()
        ]
        return {
            "name": self.name,
            "backend": self.described.engine,
            "max_batch_size": 0,
            "input": ports[0],
            "output": ports[1],
            "parameters": {key: {"string_value": value} for key, value in self.texts().items()},
        }

    def check(self, array: Batch) -> None:
        """Raise RefusedError for a size that the network does not take, and BatchError for another type or layout."""
        found = self.described.input.check(array, any_size=self.described.resizes)
        most = self.described.input.size
        if found != most and not all(
            side <= limit and side % MULTIPLE == 0 for side, limit in zip(found, most, strict=True)
        ):
            raise RefusedError(
                400, f"the input is {found[0]}x{found[1]}; accepted: multiples of {MULTIPLE} up to {most[0]}x{most[1]}"
            )


def open_models(
    models: Iterable[str], options: Options, device: str | None = None, spec: str | Path | None = None
) -> dict[str, Served]:
    """Open models by ``PATH``, shipped name or ``NAME=PATH``, run each once, and return them by name.

    Raises:
        InputError: Two models have the same name, or a name cannot be part of an address.
        EdgeHRNetError: A model cannot be opened, see Predictor.
    """
    found: dict[str, Served] = {}
    try:
        for model in models:
            name, separator, path = model.partition("=")
            if not separator:
                name, path = Path(model).stem if Path(model).suffix else model, model
            if name in found or not name or quote(name, safe="") != name:
                raise InputError(f"the name {name!r} of {path!r} is taken or has odd characters; type NAME={path}")
            predictor = Predictor(path, device=device, spec=spec, max_pixels=options.max_pixels)
            found[name] = Served(name, predictor, predictor._runtime.describe())
            predictor.warmup()
    except BaseException:
        for served in found.values():
            served.predictor.close()
        raise
    return found
