"""Read OpenVINO files into memory."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from runtimes.base import METADATA_KEY
from runtimes.digests import check_digest
from runtimes.errors import ModelFileError
from runtimes.openvino_ports import FAILURES, reason


def read_file(ov: Any, core: Any, path: Path, digest: str | None) -> tuple[Any, str]:
    """Read a graph and its weights, and return the model and the SHA-256 of both.

    By default, OpenVINO maps the weights into memory. A file that is then written over changes the answers of the
    loaded model, or ends the process. So the files are read here.

    Args:
        ov: The openvino package.
        core: Its Core.
        path: File that ends in ``.xml``.
        digest: Expected SHA-256, None for any.

    Raises:
        ModelFileError: A file is missing, damaged or not the expected one.
    """
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise ModelFileError(
            f"{path.name} needs its weights beside it, but {weights} does not exist; copy the .bin file there"
        )
    try:
        graph, tensor = path.read_bytes(), _tensor(ov, weights)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error}") from None
    # For other content, the engine tries every format that it knows, and prints an error for each.
    if b"<net" not in graph[:512]:
        raise ModelFileError(f"{path} is not a usable OpenVINO file: it does not contain <net")
    _check_text(path, graph)
    total = hashlib.sha256(graph)
    total.update(tensor.data)
    check_digest(path, total.hexdigest(), digest)
    try:
        return core.read_model(graph, tensor), total.hexdigest()
    except FAILURES as error:
        raise ModelFileError(f"{path} is not a usable OpenVINO file: {reason(error)}") from None


def _check_text(path: Path, graph: bytes) -> None:
    """Raise ModelFileError for a graph that is not UTF-8, or that declares entities, which may stand for much text."""
    if b"<!DOCTYPE" in graph or b"\0" in graph:  # the engine would take UTF-16, too
        raise ModelFileError(f"{path} is not a usable OpenVINO file: it has a DOCTYPE or a zero byte")
    try:
        graph.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelFileError(f"{path} is not a usable OpenVINO file: it is not UTF-8: {error.reason}") from None


def _tensor(ov: Any, path: Path) -> Any:
    """Read a file into a tensor that owns its memory. A model does not keep the memory of other tensors alive."""
    with path.open("rb") as file:
        tensor = ov.Tensor(ov.Type.u8, ov.Shape([path.stat().st_size]))
        if file.readinto(tensor.data) != tensor.data.size:
            raise OSError(f"{path} was changed at the same time")
    return tensor


def read_metadata(model: Any, path: Path) -> str | None:
    """Return the text stored in a model under `METADATA_KEY`, None if there is none."""
    try:
        if not model.has_rt_info([METADATA_KEY]):
            return None
        return str(model.get_rt_info([METADATA_KEY]).astype(str))
    except FAILURES as error:
        raise ModelFileError(f"{path} has metadata that cannot be read: {reason(error)}") from None
