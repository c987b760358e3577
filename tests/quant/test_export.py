"""The exported file of the shipped checkpoint, compared with its torch network."""

import functools
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import pytest
import torch
from PIL import Image

from edgehrnet import Predictor, sample_picture
from edgehrnet.errors import InputError
from edgehrnet.golden import GOLDEN_PICTURE_BYTES
from edgehrnet.model_info import model_info
from edgehrnet.models import create
from edgehrnet.models.checkpoints import Checkpoint, build_model, load_checkpoint, save_checkpoint
from edgehrnet.models.deploy.export_module import Deployed, network_input
from edgehrnet.models.deploy.frozen import freeze
from edgehrnet.models.deploy.loading import deployable, deployed_spec
from edgehrnet.picture.letterbox import letterbox
from edgehrnet.picture.sources import read_image
from quant import export
from quant.data.documents.corners import SPEC, validation_scene
from quant.files import model_file
from quant.files.onnx_file import integer_convolutions, write_onnx
from quant.int8.pipeline import calibrate
from quant.scoring.torch_model import predict_torch
from runtimes import openvino

CHECKPOINT = Path(__file__).parent.parent.parent / "checkpoints" / "document-corners.pt"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def checkpoint():
    return load_checkpoint(CHECKPOINT)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """Folder for the float graph, which both files have."""
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture(scope="module", params=["fp32", "fp16"])
def exported(request, checkpoint, graphs, tmp_path_factory):
    out = tmp_path_factory.mktemp("export") / f"{request.param}.xml"
    pictures = [read_image(sample_picture())]
    model_file.export_file(checkpoint, out, precision=request.param, pictures=pictures, graphs=graphs)
    with Predictor(out, shapes=1) as predictor:  # at the input size of the file, as torch runs it
        yield request.param, predictor


@pytest.fixture(scope="module")
def spec(checkpoint):
    """Spec of both files, apart from the precision."""
    return deployed_spec(checkpoint, deployable(checkpoint), "fp32", None)


@pytest.fixture(scope="module")
def predicted(checkpoint, spec):
    """Function that runs the torch network on a picture, once for both files."""
    network = build_model(checkpoint)

    @functools.cache
    def predict(picture):
        image = read_image(sample_picture()) if picture == "sample" else validation_scene(picture).image
        return image, predict_torch(network, image, spec, CPU)

    return predict


@pytest.fixture(scope="module")
def other_graph(spec, tmp_path_factory):
    """Graph of a network with random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("other") / "other.onnx"
    write_onnx(create("edgehrnet18", keypoints=4), spec, path)
    return path


# float32 sums thousands of products in another order, which may change a probability by 1e-3.
# float16 weights round by 2^-11, which 60 layers in a row add up to some 0.5 % of a logit.
BOUNDS = {"fp32": (1e-3, 0.02), "fp16": (2e-2, 0.2)}


@pytest.mark.parametrize("picture", ["sample", 1, 2, 3])
def test_predictor_equals_the_torch_network(exported, predicted, picture):
    precision, predictor = exported
    image, (xy, conf, heatmaps) = predicted(picture)
    result = predictor.predict(image)
    heatmap_bound, pixel_bound = BOUNDS[precision]
    assert np.abs(result.heatmaps[0] - heatmaps).max() <= heatmap_bound
    assert np.abs(result.keypoints.conf[0] - conf).max() <= heatmap_bound
    sure = conf > 0.3  # rounding decides the highest cell in the flat map of an absent corner
    assert np.abs(result.keypoints.xy[0] - xy)[sure].max(initial=0) <= pixel_bound


def test_features_equal_the_torch_network(exported, checkpoint):
    precision, predictor = exported
    image = read_image(sample_picture())
    result = predictor.predict(image)
    pixels, _ = letterbox(image, predictor.spec.input_size)
    with torch.no_grad():
        hf = build_model(checkpoint)(network_input(torch.from_numpy(pixels)[None], SPEC.mean, SPEC.std)).hf.numpy()
    assert result.hf.shape == hf.shape
    scale = np.abs(hf).max()
    assert np.abs(result.hf - hf).max() <= scale * (1e-4 if precision == "fp32" else 2e-2)


def test_an_openvino_file_describes_itself_to_model_api(exported):
    _, predictor = exported
    model = ov.Core().read_model(predictor.path)
    expected = model_info(predictor.spec)
    assert {key: model.get_rt_info(["model_info", key]).astype(str) for key in expected} == expected


def test_the_file_describes_itself(exported):
    precision, predictor = exported
    spec = predictor.spec
    assert spec.name == "document-corners"
    assert spec.precision == precision
    assert [name for name, _ in spec.outputs] == list(predictor.info()["outputs"])
    assert len(spec.golden.png) * 3 / 4 <= GOLDEN_PICTURE_BYTES
    assert predictor.selfcheck().passed


def test_the_selfcheck_fails_for_other_weights(exported, other_graph, tmp_path):
    # The golden pair of the trained network inside a file whose weights are random.
    _, predictor = exported
    openvino.build(other_graph, tmp_path / "other.xml", predictor.spec.to_json())
    assert not Predictor(tmp_path / "other.xml").selfcheck().passed


def test_extra_heads_come_out_under_their_names(tmp_path):
    torch.manual_seed(0)
    options = {"keypoints": 4, "boundary": True, "sdf": True, "pyramid": True, "auxiliary": True}
    network = create("edgehrnet18", **options)
    spec = SPEC.replace(input_size=(64, 96))
    save_checkpoint(tmp_path / "extra.pt", "edgehrnet18", options, network.state_dict(), spec.to_dict(), {})
    assert (
        export.main([str(tmp_path / "extra.pt"), "--out", str(tmp_path), "--name", "extra", "--parity-pictures", "0"])
        == 0
    )
    result = Predictor(tmp_path / "extra-fp32.xml", shapes=1).predict(validation_scene(0).image)
    shapes = {name: value.shape for name, value in result.outputs.items()}
    assert shapes == {
        "boundary": (1, 1, 16, 24),
        "sdf": (1, 1, 16, 24),
        "p3_td": (1, 128, 8, 12),
        "p4_td": (1, 128, 4, 6),
        "p5": (1, 128, 2, 3),
    }


def test_imported_scaling_is_folded_in_and_padding_stays_zero():
    network = create("edgehrnet18", keypoints=1).eval()
    deployed = Deployed(network, (0.5, 0.4, 0.3), (0.2, 0.25, 0.5))
    image = torch.full((1, 32, 32, 4), 255, dtype=torch.uint8)
    image[:, :16] = 0
    x = network_input(image, deployed.mean, deployed.std)
    torch.testing.assert_close(x[0, :3, 20, 0], torch.tensor([2.5, 2.4, 1.4]))
    assert not x[:, :, :16].any()


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ({"precision": "int3"}, "int3.*int8"),
        ({"input_size": (100, 64)}, "100x64"),
    ],
)
def test_bad_arguments_are_refused(checkpoint, noise_pictures, tmp_path, arguments, value):
    with pytest.raises(InputError, match=value):
        model_file.export_file(checkpoint, tmp_path / "x.xml", pictures=noise_pictures, **arguments)


def test_a_missing_checkpoint_ends_with_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        export.main([str(tmp_path / "none.pt"), "--out", str(tmp_path)])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert str(tmp_path / "none.pt") in line


def test_equal_convolutions_of_one_tensor_count_once(tmp_path):
    """Two Blurs of one tensor become one node of the graph, and the certificate expects one convolution for it."""
    torch.manual_seed(0)
    network = create("edgehrnet18", keypoints=4, down="blur")
    spec = SPEC.replace(input_size=(64, 64))
    checkpoint = Checkpoint("edgehrnet18", 4, {"down": "blur"}, network.state_dict(), spec.to_dict(), {})
    image = torch.zeros((1, 64, 64, 4), dtype=torch.uint8)
    table = calibrate(checkpoint, [image]).table("openvino")
    write_onnx(freeze(network, table), spec, tmp_path / "blur.onnx")
    nodes = [node.op_type for node in onnx.load(tmp_path / "blur.onnx").graph.node].count("Conv")
    assert len(table.convolutions) > nodes
    assert integer_convolutions(tmp_path / "blur.onnx") == nodes - 2  # the heads


class TestPictures:
    """The files of a model are checked on pictures of its kind."""

    @pytest.fixture
    def builds(self, monkeypatch):
        """Record the options of each build, and build no file."""
        found = []

        def build_files(_, options):
            found.append(options)
            return []

        monkeypatch.setattr(export, "build_files", build_files)
        return found

    def test_another_model_needs_data(self, checkpoint_model, tmp_path, capsys):
        with pytest.raises(SystemExit) as stop:
            export.main([str(checkpoint_model.path), "--out", str(tmp_path / "out")])
        assert stop.value.code == 2
        printed = capsys.readouterr().err
        assert "'corners'" in printed
        assert "--data" in printed
        assert not (tmp_path / "out").exists()

    def test_the_document_model_is_checked_on_synthetic_documents(self, builds, tmp_path):
        assert export.main([str(CHECKPOINT), "--out", str(tmp_path), "--parity-pictures", "0"]) == 0
        (options,) = builds
        assert len(options.pictures) == model_file.PROOF_PICTURES
        assert np.array_equal(options.pictures[0], validation_scene(0).image)
        assert options.name == "document-corners"

    def test_pictures_come_from_the_data(self, checkpoint_model, builds, noise_pictures, tmp_path):
        for index, image in enumerate(noise_pictures):
            Image.fromarray(image).save(tmp_path / f"{index}.png")
        points = [",".join(map(str, (f"{index}.png", *range(8)))) for index in range(2)]
        head = ["scorer" + ",me" * 8, "bodyparts,a,a,b,b,c,c,d,d", "coords" + ",x,y" * 4]
        (tmp_path / "CollectedData.csv").write_text("\n".join([*head, *points]))
        arguments = [str(checkpoint_model.path), "--out", str(tmp_path), "--data", str(tmp_path)]
        assert export.main([*arguments, "--parity-pictures", "0"]) == 0
        (options,) = builds
        assert options.picture is None
        assert np.array_equal(options.pictures, noise_pictures)
        assert options.name == "corners"  # the spec's, not the checkpoint file's

    def test_the_first_picture_is_the_golden_one(self, small_checkpoint, noise_pictures, monkeypatch, tmp_path):
        def golden(_network, _spec, picture):
            raise InterruptedError(picture)

        monkeypatch.setattr(model_file, "golden_pair", golden)
        for given, expected in ((None, noise_pictures[0]), (noise_pictures[1], noise_pictures[1])):
            with pytest.raises(InterruptedError) as caught:
                model_file.export_file(small_checkpoint, tmp_path / "x.xml", pictures=noise_pictures, picture=given)
            assert np.array_equal(caught.value.args[0], expected)

    def test_refuses_to_export_without_pictures(self, small_checkpoint, tmp_path):
        with pytest.raises(InputError, match=r"x\.xml"):
            model_file.export_file(small_checkpoint, tmp_path / "x.xml", pictures=())
