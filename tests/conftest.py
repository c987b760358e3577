"""Models that every test may use: one that answers with stored arrays, and one that an engine runs."""

import gc
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

# OpenVINO believes to run in a CI job and sends no usage statistics. It would fork this process for each of the ten
# messages of a conversion, which takes longer than the conversion.
os.environ.setdefault("TF_BUILD", "tests")

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

import edgehrnet.opening
import runtimes
import runtimes.null
import runtimes.onnx
from edgehrnet.golden import Golden
from edgehrnet.picture.letterbox import Letterbox
from edgehrnet.spec import ModelSpec

if TYPE_CHECKING:
    from edgehrnet.models import KeypointNetwork

# Without torch, as on an edge device, the tests of the edge part remain; `make edge` runs them.
if find_spec("torch") is None:
    collect_ignore_glob = ["quant/*", "benchmarks/*", "edgehrnet/models/*", "docs/*", "test_*.py"]
    collect_ignore = [
        "edgehrnet/test_shipped.py",
        "edgehrnet/picture/test_tensors.py",
        *(f"runtimes/test_{name}.py" for name in ("contract", "onnx", "onnx_metadata", "tensorrt", "torch")),
    ]

# Fixtures and files whose tests train, build model files, compile, install, or draw hundreds of pictures. `make quick`
# leaves these tests out.
SLOW_FIXTURES = {"openvino_model", "onnx_model", "checkpoint_model"}
SLOW_FILES = (
    "docs/test_pages.py",
    "edgehrnet/benchmarking/test_running.py",
    "edgehrnet/models/checkpoints/test_published_checkpoints.py",
    "edgehrnet/models/inspection/test_command.py",
    "edgehrnet/test_shipped.py",
    "quant/data/documents/",
    "quant/files/",
    *(f"quant/int8/test_{name}.py" for name in ("onnx_agreement", "placement", "torch_ao", "tracing")),
    "quant/scoring/test_torch_model.py",
    "quant/speed/",
    *(f"quant/training/test_{name}.py" for name in ("qat_trainer", "torchrun", "trainer")),
    "quant/test_sensitivity.py",
    "quant/test_speedup.py",
    *(f"quant/test_{name}.py" for name in ("average", "evaluate", "export", "ptq", "ptq_files", "qat", "report")),
    *(f"quant/test_{name}.py" for name in ("edge_install_commands", "evaluate_boxes", "train", "trt_lint")),
    "runtimes/test_contract.py",
    "runtimes/test_onnx.py",
    "runtimes/test_tensorrt.py",
    *(f"test_{name}.py" for name in ("cpp_sample", "edge_install", "readme", "samples")),
)


def pytest_collection_modifyitems(items):
    """Mark the tests of SLOW_FIXTURES and SLOW_FILES as slow, and run SLOW_FILES first.

    A worker takes whole files, and at the end all of them should have short ones.
    """
    folder = Path(__file__).parent
    in_slow_file = set()
    for item in items:
        inside = item.path.relative_to(folder).as_posix() if item.path.is_relative_to(folder) else ""
        if inside.startswith(SLOW_FILES):
            in_slow_file.add(item)
        if item in in_slow_file or SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: item not in in_slow_file)


def pytest_collection_finish():
    """Keep the thousands of collected tests out of each garbage collection."""
    gc.collect()
    gc.freeze()


# No deadline: a slow machine is no fault. CI tries the same examples each time; elsewhere each run tries new ones.
settings.register_profile("project", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("project")

SIZE = (64, 96)
CELLS = (16, 24)
FEATURES = 8
NAMES = ("top-left", "top-right", "bottom-right", "bottom-left")
# Picture pixels, clockwise, the first one nearest to the picture's own top left.
CORNERS = ((40.3, 25.6), (150.7, 30.2), (145.1, 100.4), (35.9, 95.8))
PICTURE_SIZE = (192, 128)


@dataclass(frozen=True)
class NullModel:
    """A ``.null`` file that finds ``corners`` in ``picture``."""

    path: Path
    spec: ModelSpec
    picture: np.ndarray
    corners: np.ndarray
    outputs: dict[str, np.ndarray]


@dataclass(frozen=True)
class EngineModel:
    """A file, and the torch network that it was made from."""

    path: Path
    spec: ModelSpec
    network: "KeypointNetwork"


@pytest.fixture(scope="session", autouse=True)
def no_probes():
    """Load files without a certificate at once. A child process for each of them takes half a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edgehrnet.opening, "require_harmless", lambda *args: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def exporter_without_coverage():
    """Stop measuring coverage inside torch's exporter, which takes 1.6 times as long with it."""
    torch = sys.modules.get("torch")  # imported by the tests that were collected, if they need it
    if torch is None:
        yield
        return
    export = torch.onnx.export

    def untraced(*args, **options):
        trace = sys.gettrace()
        sys.settrace(None)
        try:
            return export(*args, **options)
        finally:
            sys.settrace(trace)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", untraced)
        yield


@pytest.fixture
def full_disk():
    """A context in which no file can grow beyond 2 kB."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def limited():
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Maps this small gain nothing from threads, and lose a lot to their barriers on a busy machine."""
    if find_spec("torch") is None:  # the edge part alone
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def untraced_exports():
    """Measure the coverage of exports only where they meet a new kind of module. Measuring doubles their time."""
    if find_spec("torch") is None:
        yield
        return
    import torch

    export = torch.onnx.export
    seen: set[tuple[type, object]] = set()

    def untraced(network, *args, **options):
        kinds = {(type(module), options.get("opset_version")) for module in network.modules()}
        trace = sys.gettrace()
        if kinds <= seen:
            sys.settrace(None)
        seen.update(kinds)
        try:
            return export(network, *args, **options)
        finally:
            sys.settrace(trace)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", untraced)
        yield


def stored_outputs(spec):
    """Logits with a Gaussian peak at each corner, exact offsets, features without meaning."""
    cells = spec.grid.to_cells(Letterbox.fit(*PICTURE_SIZE, SIZE).forward(CORNERS))
    y, x = np.mgrid[: CELLS[0], : CELLS[1]]
    distance = (x - cells[:, 0, None, None]) ** 2 + (y - cells[:, 1, None, None]) ** 2
    probability = np.clip(0.9 * np.exp(-distance / (2 * 1.5**2)), 1e-9, None)
    offsets = np.stack([cells[:, 0, None, None] - x, cells[:, 1, None, None] - y], axis=1)
    arrays = {
        "heatmaps": np.log(probability / (1 - probability))[None],
        "offsets": offsets.reshape(1, -1, *CELLS),
        "hf": np.arange(np.prod(CELLS) * FEATURES).reshape(1, *CELLS, FEATURES),
    }
    return probability, {name: array.astype(np.float32) for name, array in arrays.items()}


@pytest.fixture(scope="session")
def null_model(tmp_path_factory):
    picture = np.random.default_rng(0).integers(0, 256, (*PICTURE_SIZE[::-1], 3), dtype=np.uint8)
    # Smooth, so that its PNG is small enough to travel in the file.
    picture = np.array(Image.fromarray(picture).reduce(16).resize(PICTURE_SIZE))
    picture.flags.writeable = False
    spec = ModelSpec(
        "corners",
        NAMES,
        skeleton=((0, 1), (1, 2), (2, 3), (3, 0)),
        flip_pairs=((0, 1), (3, 2)),
        input_size=SIZE,
        cyclic=True,
    )
    probability, outputs = stored_outputs(spec)
    spec = spec.replace(golden=Golden.pack(picture, np.array(CORNERS), probability.max(axis=(1, 2)), probability))
    path = tmp_path_factory.mktemp("null") / "corners.null"
    runtimes.null.build(path, spec.to_json(), SIZE, outputs)
    return NullModel(path, spec, picture, np.array(CORNERS), outputs)


@pytest.fixture(scope="session")
def small_checkpoint():
    """A small picture's worth of the real network, its weights random."""
    torch = pytest.importorskip("torch")
    from edgehrnet.models import create
    from edgehrnet.models.checkpoints import Checkpoint

    torch.manual_seed(0)
    spec = ModelSpec("corners", NAMES, input_size=SIZE, cyclic=True)
    state = create("edgehrnet18", keypoints=len(NAMES)).state_dict()
    return Checkpoint("edgehrnet18", len(NAMES), {}, state, spec.to_dict(), {})


@pytest.fixture(scope="session")
def noise_pictures():
    """Two pictures of smooth noise, whose PNGs fit into a model file."""
    small = np.random.default_rng(0).integers(0, 256, (2, 8, 12, 3), dtype=np.uint8)
    return [np.array(Image.fromarray(image).resize(PICTURE_SIZE)) for image in small]


@pytest.fixture(scope="session")
def openvino_model(small_checkpoint, noise_pictures, tmp_path_factory):
    from edgehrnet.models.deploy.loading import deployable
    from quant.files.model_file import export_file

    path = tmp_path_factory.mktemp("openvino") / "corners.xml"
    export_file(small_checkpoint, path, pictures=noise_pictures)
    return EngineModel(path, ModelSpec.from_dict(small_checkpoint.spec), deployable(small_checkpoint))


@pytest.fixture(scope="session")
def onnx_model(openvino_model, tmp_path_factory):
    """The same network and metadata as in the OpenVINO file."""
    pytest.importorskip("onnxruntime")
    from quant.files.onnx_file import write_onnx

    metadata = runtimes.load(openvino_model.path).describe().metadata
    assert metadata is not None
    spec = ModelSpec.from_json(metadata)
    folder = tmp_path_factory.mktemp("onnx")
    write_onnx(openvino_model.network, spec, folder / "exported.onnx")
    runtimes.onnx.build(folder / "exported.onnx", folder / "corners.onnx", spec.to_json())
    return EngineModel(folder / "corners.onnx", openvino_model.spec, openvino_model.network)


@pytest.fixture(scope="session")
def checkpoint_model(small_checkpoint, openvino_model, tmp_path_factory):
    """The same network as a ``.pt``, with ranges for every engine."""
    import torch

    from edgehrnet.models.checkpoints import save_checkpoint
    from quant.int8.pipeline import calibrate

    images = torch.randint(0, 256, (2, *SIZE, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[..., 3] = 255
    tables = calibrate(small_checkpoint, list(images.split(1))).quantization
    path = tmp_path_factory.mktemp("torch") / "corners.pt"
    options, state = {"keypoints": small_checkpoint.keypoints}, small_checkpoint.state
    save_checkpoint(path, small_checkpoint.variant, options, state, small_checkpoint.spec, {}, quantization=tables)
    return EngineModel(path, openvino_model.spec, openvino_model.network)
