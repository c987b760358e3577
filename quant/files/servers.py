"""Lay model files out as other servers want them: Triton, and OpenVINO Model Server (OVMS).

Both serve raw network inputs. The spec is where their own metadata calls show it, and RemoteModel reads it from there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

import runtimes
from edgehrnet.errors import InputError, ModelFileError
from edgehrnet.model_info import model_info
from edgehrnet.spec import ModelSpec
from quant.files.parity import File
from runtimes.base import INPUT, METADATA_KEY, MODEL_INFO, Description
from runtimes.writing import new_files

# target -> the backend of Triton that runs its files, and the name that it wants for them
_BACKENDS = {"openvino": ("openvino", "model.xml"), "onnx": ("onnxruntime", "model.onnx")}
VERSION = "1"
_END = f"</{MODEL_INFO}>"


def check_servers(servers: Sequence[str], targets: Sequence[str]) -> None:
    """Raise InputError if a server runs none of the files that are built for the targets."""
    for server in servers:
        if not set(ACCEPTED[server]) & set(targets):
            raise InputError(
                f"--servers {server} needs a file for {' or '.join(ACCEPTED[server])}; add it to --targets"
            )


def write_servers(files: Sequence[File], servers: Sequence[str], folder: Path) -> list[Path]:
    """Write a folder for each server, and return the folders. The files of a server appear together.

    Args:
        files: The files that were built. Plans and the ONNX files for TensorRT are left out, because they belong to one
            GPU and one version of TensorRT.
        servers: Names of `SERVERS`.
        folder: Folder in which those of the servers are made.
    """
    for server in servers:
        with new_files(folder / server) as new:
            (new / server).mkdir()
            SERVERS[server]([file for file in files if file.target in ACCEPTED[server]], new / server)
    return [folder / server for server in servers]


def write_triton(files: Sequence[File], folder: Path) -> None:
    """Write a model repository of Triton, with a full configuration of each model."""
    for file in files:
        backend, name = _BACKENDS[file.target]
        model = folder / _name(file)
        _copy(file.path, model / VERSION / name)
        described = _described(file.path)
        text = config_pbtxt(model.name, backend, name, described)
        (model / "config.pbtxt").write_text(text, encoding="utf-8", newline="\n")


def write_ovms(files: Sequence[File], folder: Path) -> None:
    """Write a model repository of OVMS, and the ``config.json`` that names its models."""
    rows = []
    for file in files:
        model = folder / _name(file)
        graph = model / VERSION / "model.xml"
        _copy(file.path, graph)
        _show_spec(graph, _metadata(file.path, _described(file.path)))
        rows.append({"config": {"name": model.name, "base_path": model.name}})  # beside config.json
    text = json.dumps({"model_config_list": rows}, indent=1) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8", newline="\n")


SERVERS: Mapping[str, Callable[[Sequence[File], Path], None]] = {"triton": write_triton, "ovms": write_ovms}
ACCEPTED = {"triton": tuple(_BACKENDS), "ovms": ("openvino",)}


def config_pbtxt(name: str, backend: str, file: str, described: Description) -> str:
    """Return the configuration of a model in Triton, as the text of a protobuf message.

    The batch is part of the dimensions, which ``max_batch_size: 0`` says. No ``format`` is given, because Triton wants
    three dimensions with it. The parameters, which Triton shows to clients, are the spec and what Model API says.

    Args:
        name: Name of the model and of its folder.
        backend: Name of Triton's backend.
        file: Name of the model file.
        described: What the file takes and gives, and its spec.
    """
    metadata = _metadata(Path(file), described)
    texts = {**model_info(ModelSpec.from_json(metadata)), METADATA_KEY: metadata}
    kind = "TYPE_UINT8" if described.input.format.startswith("u8") else "TYPE_FP32"
    lines = [f"name: {_quoted(name)}", f"backend: {_quoted(backend)}", "max_batch_size: 0"]
    lines += [f"default_model_filename: {_quoted(file)}", _port("input", INPUT, kind, (1, *described.input.shape))]
    lines += [_port("output", output, "TYPE_FP32", shape) for output, shape in described.outputs.items()]
    for key, value in texts.items():
        lines.append(f"parameters {{ key: {_quoted(key)} value {{ string_value: {_quoted(value)} }} }}")
    return "\n".join(lines) + "\n"


def _port(kind: str, name: str, data_type: str, shape: Sequence[int]) -> str:
    dims = ", ".join(map(str, shape))
    return f"{kind} [ {{ name: {_quoted(name)} data_type: {data_type} dims: [ {dims} ] }} ]"


def _quoted(text: str) -> str:
    r"""Return a string of protobuf's text format.

    >>> print(_quoted('a "b" é'))
    "a \"b\" \303\251"
    """
    return '"' + "".join(map(_escaped, text.encode())) + '"'


def _escaped(byte: int) -> str:
    sign = chr(byte)
    if sign in '"\\':
        return f"\\{sign}"
    return sign if " " <= sign <= "~" else f"\\{byte:03o}"


def _name(file: File) -> str:
    return file.path.stem + ("-onnx" if file.target == "onnx" else "")


def _described(path: Path) -> Description:
    runtime = runtimes.load(path)
    try:
        return runtime.describe()
    finally:
        runtime.close()


def _metadata(path: Path, described: Description) -> str:
    if described.metadata is None:
        raise ModelFileError(f"{path} has no spec; build it with python -m quant.export")
    return described.metadata


def _copy(source: Path, out: Path) -> None:
    """Copy a model file, with its weights if they are in a file of their own."""
    out.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, out)
    if source.suffix == ".xml":
        shutil.copyfile(source.with_suffix(".bin"), out.with_suffix(".bin"))


def _show_spec(graph: Path, metadata: str) -> None:
    """Add the spec to ``model_info`` of an OpenVINO file, the only part that OVMS shows to clients."""
    before, end, after = graph.read_text(encoding="utf-8").rpartition(_END)
    if not end:
        raise ModelFileError(f"{graph} has no {MODEL_INFO}; build it with python -m quant.export")
    entry = f"\t<{METADATA_KEY} value={quoteattr(metadata)} />\n\t\t"
    graph.write_text(f"{before}{entry}{end}{after}", encoding="utf-8", newline="\n")
