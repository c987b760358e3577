"""The parity report: its numbers for made-up answers, and for the files of small networks."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from edgehrnet.certificate import certificate_path
from edgehrnet.errors import AbsentDeviceError, DeviceError, InputError, MissingExtraError, ModelFileError
from edgehrnet.model_info import model_info
from edgehrnet.models.checkpoints import load_checkpoint
from edgehrnet.spec import ModelSpec
from quant import export
from quant.data.documents.corners import SPEC, DocumentCorners
from quant.files import build, model_file, parity
from quant.files.onnx_file import write_onnx
from quant.files.parity import Answers, agreement, answer, difference, distance
from quant.int8.calibration import network_inputs
from quant.int8.pipeline import completed, is_complete
from quant.scoring.model import open_model as open_model_file

DOCUMENTS = ("--data", "synthetic:document-corners")
CHECKPOINT = Path(__file__).parents[3] / "checkpoints" / "document-corners.pt"
N, K, SHAPE = 3, 4, (8, 12)


def answers(seed=0, heatmaps=None, pck1=90.0):
    rng = np.random.default_rng(seed)
    xy, maps = rng.uniform(0, 30, (N, K, 2)), rng.uniform(0.3, 1, (N, K, *SHAPE)).astype(np.float32)
    return Answers(xy, maps if heatmaps is None else heatmaps, pck1)


class TestDifference:
    def test_equal_answers_do_not_differ(self):
        same = answers()
        found = difference(same, same, cyclic=True)
        assert (found.keypoints, found.max_px, found.p99_px, found.pck1_points) == (N * K, 0.0, 0.0, 0.0)
        assert found.correlation == 1.0

    def test_distances_are_of_keypoints_and_pck_is_signed(self):
        reference = answers(pck1=88.0)
        xy = reference.xy.copy()
        xy[1, 2] += (3, 4)
        found = difference(Answers(xy, reference.heatmaps, 87.5), reference, cyclic=False)
        assert found.max_px == 5.0
        # Of twelve distances the 99th percentile lies 0.89 of the way from the second largest to the largest.
        assert found.p99_px == pytest.approx(0.89 * 5)
        assert found.pck1_points == -0.5

    def test_uncertain_keypoints_of_the_reference_do_not_count(self):
        heatmaps = np.full((N, K, *SHAPE), 0.1, np.float32)
        heatmaps[0, 0, 1, 1] = 0.9
        reference = answers(heatmaps=heatmaps)
        moved = Answers(reference.xy + 7, heatmaps, 90.0)
        moved.xy[0, 0] = reference.xy[0, 0] + (0, 1)
        found = difference(moved, reference, cyclic=False)
        assert (found.keypoints, found.max_px) == (1, 1.0)

    def test_uncertain_answers_have_no_distance(self):
        faint = answers(heatmaps=np.full((N, K, *SHAPE), 0.1, np.float32))
        found = difference(faint, faint, cyclic=True)
        assert (found.keypoints, found.max_px, found.p99_px, found.correlation) == (0, None, None, 0.0)

    def test_another_start_of_an_outline_is_no_difference(self):
        reference = answers()
        rolled = Answers(np.roll(reference.xy, 1, axis=1), np.roll(reference.heatmaps, 1, axis=1), 90.0)
        assert difference(rolled, reference, cyclic=True).max_px == 0.0
        max_px = difference(rolled, reference, cyclic=False).max_px
        assert max_px is not None
        assert max_px > 1.0

    def test_without_labels_there_is_no_pck(self):
        assert difference(answers(pck1=None), answers(), cyclic=True).pck1_points is None
        assert difference(answers(), answers(pck1=None), cyclic=True).pck1_points is None


def test_distance_is_a_ratio_of_rms():
    floating, noise = answers(), np.random.default_rng(1).normal(0, 0.01, (N, K, *SHAPE)).astype(np.float32)
    fake = Answers(floating.xy, floating.heatmaps + noise, 90.0)
    engine = Answers(floating.xy, floating.heatmaps + noise * 1.25, 90.0)
    # float32 rounds maps of 1 by 6e-8, a quarter of noise of 0.01 by a relative 2.4e-5.
    assert distance(engine, fake, floating, cyclic=False) == pytest.approx(0.25, rel=1e-3)
    assert distance(engine, floating, floating, cyclic=False) is None


def test_answers_are_in_pixels_of_the_network_input():
    examples, size = list(DocumentCorners().validation(2)), (64, 96)
    truth = iter(examples)
    conf, zeros = np.ones(4, np.float32), np.zeros((4, 16, 24), np.float32)
    found = answer(lambda _: (next(truth).points, conf, zeros), examples, SPEC.replace(input_size=size))
    assert found.pck1 == 100.0
    for xy, example in zip(found.xy, examples, strict=True):
        height, width = example.image.shape[:2]
        # The letterbox rounds each side of the picture to whole pixels: at most half of one, of at least 36.
        shrunk = example.points * min(size[0] / height, size[1] / width)
        np.testing.assert_allclose(xy, shrunk, rtol=0.5 / 36, atol=1e-6)


def test_labels_of_other_keypoints_give_no_pck():
    examples = list(DocumentCorners().validation(2))
    conf, maps = np.ones(2, np.float32), np.zeros((2, 4, 4), np.float32)
    found = answer(lambda _: (np.zeros((2, 2)), conf, maps), examples, SPEC)
    assert found.pck1 is None


@pytest.fixture(scope="module")
def built(small_checkpoint, noise_pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    return list(build.build_files(small_checkpoint, build.BuildOptions(folder, "m", noise_pictures, ("onnx",))))


class TestFilesThatDoNotRun:
    """The report says whether a device or package is missing, or the file fails on a present device."""

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (AbsentDeviceError("device 'cuda' is not present"), "needs onnxruntime-gpu and an NVIDIA GPU"),
            (MissingExtraError("pip install"), "needs onnxruntime-gpu and an NVIDIA GPU"),
            (DeviceError("GPU.0 does not compute what it should"), "GPU.0 does not compute what it should"),
            (ModelFileError("it is for compute capability (8, 6)"), "it is for compute capability (8, 6)"),
        ],
    )
    def test_the_row_gives_the_reason(self, small_checkpoint, built, monkeypatch, error, reason):
        opened = open_model_file

        def open_model(name, device, **options):
            if device == "cuda":
                raise error
            return opened(name, device)

        monkeypatch.setattr(parity, "open_model", open_model)
        found = agreement(small_checkpoint, built, list(DocumentCorners().validation(1)))
        assert [row.not_run for row in found.rows] == ["", reason]

    def test_refuses_to_compare_without_pictures(self, small_checkpoint, built):
        with pytest.raises(InputError):
            agreement(small_checkpoint, built, [])


class TestPlans:
    """Plans for TensorRT, with a replacement for the engine that builds them."""

    @pytest.fixture
    def options(self, tmp_path, monkeypatch):
        monkeypatch.setattr(build, "export_file", lambda checkpoint, path, **_: "certificate")
        given = [(7, 5), (8, 6)]
        return build.BuildOptions(tmp_path, "m", (), ("tensorrt",), ("fp16", "int8"), compute_capability=given)

    def test_every_gpu_gets_a_plan_except_int8_on_turing(self, small_checkpoint, options, monkeypatch):
        monkeypatch.setattr(build, "export_plan", lambda source, path, capability: (source.name, capability))
        # Any: certificates are stand-ins, too.
        files: list[Any] = list(build.build_files(small_checkpoint, options))
        assert [file.path.name for file in files] == [
            "m-fp16.tensorrt.onnx", "m-fp16.sm75.engine", "m-fp16.sm86.engine",
            "m-int8.tensorrt.onnx", "m-int8.sm75.engine", "m-int8.sm86.engine",
        ]  # fmt: skip
        assert files[1].certificate == ("m-fp16.tensorrt.onnx", (7, 5))
        assert files[4].certificate is None
        assert build.report(files[4]).endswith(
            "not built: TensorRT-RTX has no INT8 for compute capability 7.5; build fp16"
        )

    @pytest.mark.parametrize("error", [AbsentDeviceError("no GPU here"), MissingExtraError("pip install it")])
    def test_a_missing_gpu_or_package_is_reported(self, small_checkpoint, options, monkeypatch, error):
        def fail(*_):
            raise error

        monkeypatch.setattr(build, "export_plan", fail)
        assert [file.missing for file in build.build_files(small_checkpoint, options)][1] == str(error)

    def test_an_unsupported_gpu_raises(self, small_checkpoint, options, monkeypatch):
        def fail(*_):
            raise DeviceError("builds for (8, 6), not for (9, 9)")

        monkeypatch.setattr(build, "export_plan", fail)
        with pytest.raises(DeviceError, match=r"\(9, 9\)"):
            list(build.build_files(small_checkpoint, options))


class TestCommand:
    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            (["--compute-capability", "8.6"], "--compute-capability"),
            (["--parity-pictures", "-1"], "--parity-pictures -1"),
            (["--data", "nowhere"], "nowhere"),
        ],
    )
    def test_bad_arguments_are_refused_before_anything_is_built(
        self, checkpoint_model, tmp_path, capsys, arguments, named
    ):
        with pytest.raises(SystemExit) as stop:
            export.main([str(checkpoint_model.path), "--out", str(tmp_path / "out"), *arguments])
        assert stop.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert named in line
        assert not (tmp_path / "out").exists()

    def test_refuses_a_file_as_output_folder(self, checkpoint_model, tmp_path, capsys):
        (tmp_path / "out").write_text("")
        with pytest.raises(SystemExit) as stop:
            export.main([str(checkpoint_model.path), "--out", str(tmp_path / "out"), *DOCUMENTS])
        assert stop.value.code == 2

    def test_refuses_a_malformed_compute_capability(self, capsys):
        with pytest.raises(SystemExit):
            export.main(["a.pt", "--out", "b", "--compute-capability", "ada"])
        assert "ada" in capsys.readouterr().err


@pytest.fixture(scope="module")
def exported(checkpoint_model, tmp_path_factory):
    """Run the command on a small network with random weights."""
    out = tmp_path_factory.mktemp("parity")
    arguments = ["--targets", "openvino", "onnx", "tensorrt", "--precision", "fp32", "fp16", "int8"]
    command = [
        str(checkpoint_model.path),
        "--out",
        str(out),
        "--name",
        "m",
        *DOCUMENTS,
        *arguments,
        "--parity-pictures",
        "4",
    ]
    assert export.main(command) == 0
    found = json.loads((out / "m.parity.json").read_text())
    assert found["pictures"] == 4
    return out, {(row["engine"], row["file"]): row for row in found["rows"]}


def test_every_file_has_a_row_and_a_missing_engine_is_named(exported):
    out, rows = exported
    names = {f"m-{precision}{suffix}" for precision in ("fp32", "fp16", "int8")
             for suffix in (".xml", ".onnx", ".tensorrt.onnx")}  # fmt: skip
    assert names <= {name for _, name in rows}
    for name in names:
        assert (out / name).is_file()
        assert certificate_path(out / name).is_file()
    if not torch.cuda.is_available():
        assert rows["ONNX Runtime, CUDA", "m-int8.onnx"]["not_run"] == "needs onnxruntime-gpu and an NVIDIA GPU"
        assert "| needs onnxruntime-gpu" in (out / "m.parity.md").read_text()


def test_float_files_give_what_torch_gives(exported):
    _, rows = exported
    for engine, name in (("OpenVINO, CPU", "m-fp32.xml"), ("ONNX Runtime, CPU", "m-fp32.onnx")):
        # Correlation is rounded to 6 digits; sums in another order differ by 1e-4 of the maps' spread.
        assert rows[engine, name]["floating"]["correlation"] == 1.0
        assert rows[engine, name]["fakequant"] is None


def test_int8_files_are_nearer_to_the_fake_quantized_network_than_to_float(exported):
    _, rows = exported
    for (engine, name), row in rows.items():
        if row["precision"] == "int8" and not row["not_run"]:
            assert row["distance"] < 1, (engine, name)
            assert row["fakequant"]["correlation"] > 0.9, (engine, name)


def test_onnx_runtime_agrees_with_the_fake_quantized_network(exported):
    _, rows = exported
    ours = rows["ONNX Runtime, CPU", "m-int8.onnx"]["distance"]
    # Both round in float32, and torch in float64 hardly rounds: two engines with independent flips are 1.4 times as far
    # apart as one is from float64. A wrong range or a missing quantizer reaches 1 and above.
    assert ours < 1.6 * rows["torch in float64, ranges for onnx", ""]["distance"]
    assert ours < 0.6


def test_each_engine_reports_its_own_share_of_int8(exported):
    _, rows = exported
    assert rows["OpenVINO, CPU", "m-int8.xml"]["int8_macs"] > 0.9
    assert rows["OpenVINO, CPU", "m-fp32.xml"]["int8_macs"] == 0.0
    assert rows["ONNX Runtime, CPU", "m-int8.onnx"]["int8_macs"] > 0.95


def test_files_of_another_size_agree_with_torch(checkpoint_model, noise_pictures, tmp_path):
    checkpoint = load_checkpoint(checkpoint_model.path)
    files = list(
        build.build_files(checkpoint, build.BuildOptions(tmp_path, "m", noise_pictures, ("onnx",), input_size=(96, 64)))
    )
    examples = list(DocumentCorners().validation(2))
    floating = agreement(checkpoint, files, examples, (96, 64)).rows[0].floating
    assert floating is not None
    assert floating.correlation == 1.0


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """Compare files of the shipped network, which finds keypoints, at a small size."""
    checkpoint = load_checkpoint(CHECKPOINT)
    pictures = [example.image for example in examples_found(4)]
    if not is_complete(checkpoint.table("onnx")):
        small = ModelSpec.from_dict(checkpoint.spec).replace(input_size=(128, 256))
        checkpoint = completed(checkpoint, "onnx", network_inputs(pictures, small))
    folder = tmp_path_factory.mktemp("shipped")
    options = build.BuildOptions(folder, "m", pictures, ("openvino", "onnx"), ("int8",), (128, 256))
    return agreement(checkpoint, list(build.build_files(checkpoint, options)), examples_found(4), (128, 256))


def examples_found(count):
    """Return the first pictures that show a document."""
    return [example for example in DocumentCorners().validation(2 * count) if not example.empty][:count]


def test_int8_moves_keypoints_of_the_shipped_network_by_a_few_pixels(shipped):
    ran = {row.engine: row for row in shipped.rows if row.file and not row.not_run}
    assert {"OpenVINO, CPU", "ONNX Runtime, CPU"} <= set(ran)
    for row in ran.values():
        assert row.floating.keypoints >= 8
        # INT8 moves a point by a tenth of a pixel of the network input, on average; a wrong file by dozens.
        assert 0 < row.floating.max_px < 4
        assert row.fakequant.max_px < row.floating.max_px
        assert row.floating.correlation > 0.99


def test_files_built_from_a_kept_graph_have_the_same_bytes(small_checkpoint, noise_pictures, tmp_path, monkeypatch):
    written = []

    def write(network, spec, path, dtype):
        written.append(path)
        write_onnx(network, spec, path, dtype)

    monkeypatch.setattr(model_file, "write_onnx", write)
    (tmp_path / "kept").mkdir()
    for folder, graphs in (("a", None), ("b", tmp_path / "kept"), ("c", tmp_path / "kept")):
        (tmp_path / folder).mkdir()
        model_file.export_file(
            small_checkpoint, tmp_path / folder / "m.onnx", target="onnx", pictures=noise_pictures, graphs=graphs
        )
    assert len(written) == 2
    assert len({(tmp_path / folder / "m.onnx").read_bytes() for folder in "abc"}) == 1
    stored = {entry.key: entry.value for entry in onnx.load(tmp_path / "a" / "m.onnx").metadata_props}
    expected = model_info(ModelSpec.from_json(stored.pop("edgehrnet")))
    assert stored == {f"model_info {key}": value for key, value in expected.items()}
