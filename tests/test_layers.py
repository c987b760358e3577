"""The layers, as a table: runtimes <- edgehrnet <- quant <- samples. Imports go left only."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "runtimes": {"runtimes"},
    "edgehrnet": {"runtimes", "edgehrnet"},
    "quant": {"runtimes", "edgehrnet", "quant"},
    "samples": {"runtimes", "edgehrnet", "quant"},
    "benchmarks": {"runtimes", "edgehrnet", "quant", "benchmarks"},
}
FILES = [path for layer in ALLOWED for path in sorted((ROOT / layer).rglob("*.py"))]


def imports(path, *, top_level_only=False):
    """Every absolute module that a file imports, with those inside functions unless told otherwise."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_layer_has_files():
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(ALLOWED)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_left_only(path):
    layer = path.relative_to(ROOT).parts[0]
    others = {name.partition(".")[0] for name in imports(path)} & set(ALLOWED)
    assert others <= ALLOWED[layer]


HEAVY = {
    "torch", "onnx", "onnxruntime", "openvino", "tensorrt", "tensorrt_rtx", "cuda", "tqdm", "matplotlib", "cv2",
    "av", "pyarrow", "tritonclient", "grpc", "starlette", "uvicorn", "ray",
}  # fmt: skip
# What a file of the edge may import besides, and only inside a function: its own engine; and a checkpoint's network.
ON_DEMAND = {
    "runtimes/openvino_core.py": {"openvino"},
    "runtimes/onnx.py": {"onnxruntime"},
    "runtimes/onnx_graph.py": {"onnx"},
    "runtimes/profiling.py": {"openvino", "onnxruntime"},
    "runtimes/cuda.py": {"cuda"},
    "runtimes/torch.py": {"torch"},
    "runtimes/plain.py": {"onnxruntime"},
    "edgehrnet/opening.py": {"edgehrnet.models"},
    "edgehrnet/sources/video.py": {"av"},
    "edgehrnet/parquet.py": {"pyarrow"},
    "edgehrnet/many/running.py": {"ray"},
    "runtimes/remote.py": {"tritonclient"},
    "runtimes/remote_clients.py": {"tritonclient"},
    "edgehrnet/serving/rest.py": {"starlette"},
    "edgehrnet/serving/rpc.py": {"grpc", "tritonclient"},
    "edgehrnet/serving/server.py": {"starlette", "uvicorn"},
    "edgehrnet/webdemo/serving.py": {"uvicorn"},
    "edgehrnet/cli/models.py": {"edgehrnet.models"},
}


def heavy(path, **options):
    """The packages that a file imports and an edge device may lack."""
    names = set(imports(path, **options))
    models = {"edgehrnet.models"} if any(name.startswith("edgehrnet.models") for name in names) else set()
    return {name.partition(".")[0] for name in names} & HEAVY | models


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_torch_and_engines_stay_out_of_the_edge(path):
    relative = path.relative_to(ROOT)
    if relative.parts[0] == "runtimes" or (relative.parts[0] == "edgehrnet" and relative.parts[1] != "models"):
        assert heavy(path) <= ON_DEMAND.get(relative.as_posix(), set())
        assert not heavy(path, top_level_only=True)


def modules():
    """Module name -> file, for the three packages."""
    found = {}
    for package in ("runtimes", "edgehrnet", "quant"):
        for path in (ROOT / package).rglob("*.py"):
            parts = list(path.relative_to(ROOT).with_suffix("").parts)
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def test_no_import_cycles():
    known = modules()
    edges = {
        name: {target for target in imports(path, top_level_only=True) if target in known and target != name}
        for name, path in known.items()
    }
    # A package's __init__ may gather its own modules; what must not exist is a way back to where one started.
    done: set[str] = set()
    path: list[str] = []

    def visit(name):
        if name in path:
            pytest.fail(" -> ".join([*path[path.index(name) :], name]))
        if name not in done:
            path.append(name)
            for target in sorted(edges[name]):
                visit(target)
            path.pop()
            done.add(name)

    for name in sorted(known):
        visit(name)


COMMANDS = {f"quant.{path.stem}" for path in (ROOT / "quant").glob("*.py") if "__main__" in path.read_text()}
# A room of quant, and the rooms that it may import; commands may import all of them.
ROOMS = {
    "data": set(),
    "scoring": {"data"},
    "int8": {"data", "scoring"},
    "files": {"data", "scoring", "int8"},
    "foreign": {"files"},
    "speed": {"data", "scoring", "int8", "files"},
    "training": {"data", "scoring", "int8"},
    "reporting": {"data", "scoring", "int8", "files"},
}
EDGE_ROOMS = (
    "picture", "decoding", "drawing", "sources", "results", "detectors", "tracking", "labels", "benchmarking",
    "serving", "webdemo", "many", "cli", "models",
)  # fmt: skip
MODEL_ROOMS = ("layers", "networks", "checkpoints", "deploy", "inspection")


def test_commands_are_found():
    assert {"quant.train", "quant.qat", "quant.ptq", "quant.export"} <= COMMANDS


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_imports_a_command(path):
    # `python -m quant.train` would otherwise find quant.train imported already, and warn.
    assert not COMMANDS & set(imports(path))


@pytest.mark.parametrize("path", sorted((ROOT / "quant").glob("*.py")), ids=lambda p: p.stem)
def test_commands_are_short(path):
    assert len(path.read_text().splitlines()) <= 120


def rooms_of(package, path, names):
    """The rooms of a package that one file imports, its own left out."""
    depth = len(package.split("."))
    own = path.relative_to(ROOT).parts[depth]
    found = {name.split(".")[depth] for name in names if name.startswith(f"{package}.")}
    return found - {own}


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_of_quant_import_only_what_the_table_allows(room):
    for path in (ROOT / "quant" / room).rglob("*.py"):
        assert rooms_of("quant", path, imports(path)) & set(ROOMS) <= ROOMS[room], path


def test_every_room_of_quant_is_in_the_table():
    assert {path.parent.name for path in (ROOT / "quant").glob("*/__init__.py")} == set(ROOMS)


@pytest.mark.parametrize(
    ("package", "rooms"), [("edgehrnet", EDGE_ROOMS), ("edgehrnet.models", MODEL_ROOMS)], ids=["edge", "models"]
)
def test_no_two_rooms_need_each_other(package, rooms):
    folder = ROOT.joinpath(*package.split("."))
    needs = {
        room: set().union(
            *(rooms_of(package, path, imports(path, top_level_only=True)) for path in (folder / room).rglob("*.py"))
        )
        for room in rooms
    }
    assert not [(a, b) for a in rooms for b in rooms if b in needs[a] and a in needs[b]]
