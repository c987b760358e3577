"""The command ``edgehrnet models``."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from edgehrnet.cli import main
from edgehrnet.models import create
from edgehrnet.models.checkpoints import load_checkpoint, save_checkpoint
from edgehrnet.models.inspection import command
from edgehrnet.models.inspection.costs import REPEATS
from edgehrnet.models.inspection.counting import count
from edgehrnet.models.variants import VARIANTS
from edgehrnet.spec import ModelSpec

SIZE = (64, 96)
SPEC = ModelSpec("two", ("a", "b"), input_size=SIZE)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint in which two channels of one BN have variance 0."""
    torch.manual_seed(0)
    state = create("edgehrnet18", keypoints=2).state_dict()
    state["stem.conv2.bn.running_var"][3:5] = 0
    path = tmp_path_factory.mktemp("checkpoint") / "two.pt"
    save_checkpoint(path, "edgehrnet18", {"keypoints": 2}, state, SPEC.to_dict(), {})
    return str(path)


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    noise = np.random.default_rng(0).integers(0, 256, (80, 60, 3), np.uint8)
    Image.fromarray(noise).save(path)
    return str(path)


def printed(capsys, *arguments):
    assert main(["models", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def fails(capsys, *arguments):
    assert main(["models", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    return err


class TestList:
    @pytest.fixture(autouse=True)
    def few(self, monkeypatch):
        monkeypatch.setattr(command, "VARIANTS", {name: VARIANTS[name] for name in ("edgehrnet18", "litehrnet18")})

    def test_lists_the_networks_with_their_costs(self, capsys):
        lines = printed(capsys).splitlines()
        assert lines[1].split()[:4] == ["edgehrnet18", "2.90", "3343", "256x512"]
        assert lines[2].split()[:4] == ["litehrnet18", "1.13", "199", "256x192"]
        assert lines[2].endswith(VARIANTS["litehrnet18"].summary)

    def test_json_has_one_object_per_line(self, capsys):
        rows = [json.loads(line) for line in printed(capsys, "--json").splitlines()]
        assert [row["name"] for row in rows] == ["edgehrnet18", "litehrnet18"]
        assert (rows[1]["parameters"], rows[1]["macs"], rows[1]["input_size"]) == (1_130_769, 198_626_688, [256, 192])


class TestNetwork:
    def test_summary_of_a_network(self, capsys):
        lines = [" ".join(line.split()) for line in printed(capsys, "litehrnet18", "--size", "64x96").splitlines()]
        assert "weights untrained: freshly initialized" in lines
        assert "input 1x3x64x96 RGB" in lines
        assert "output heatmaps 1x17x16x24" in lines
        assert f"multiply-accumulates {count(create('litehrnet18'), SIZE)['total'].macs:,}" in lines

    def test_summary_of_a_checkpoint_as_json(self, capsys, checkpoint):
        found = json.loads(printed(capsys, checkpoint, "--json"))
        assert found["network"] == checkpoint
        assert (found["variant"], found["keypoints"], found["trained"]) == ("edgehrnet18", 2, True)
        assert found["input"] == [1, 4, *SIZE]
        assert found["outputs"]["offsets"] == [1, 4, 16, 24]

    def test_cost_table(self, capsys, checkpoint):
        out = printed(capsys, checkpoint, "--table", "--size", "32x32")
        assert "picture of 32x32" in out
        assert f"median of {REPEATS}" in out
        for text in ("stage4 branch 4", "over all stages", "heads offsets"):
            assert text in out
        assert out.count("\ntotal") == 3

    def test_cost_table_without_time(self, capsys, checkpoint):
        out = printed(capsys, checkpoint, "--table", "--no-time")
        assert " ms" not in out
        assert "heads offsets" in out

    def test_cost_table_as_json(self, capsys, checkpoint):
        found = json.loads(printed(capsys, checkpoint, "--table", "--no-time", "--json"))
        table = found["table"]
        assert table["timing"] is None
        assert table["total"]["macs"] == found["macs"] == sum(row["macs"] for row in table["components"])
        assert [row["component"] for row in table["stages"]] == ["stem", "stage2", "stage3", "stage4", "fpn", "heads"]
        assert table["branches"][0]["component"] == "branch 1"

    def test_statistics_name_the_layer_and_the_cause(self, capsys, checkpoint):
        lines = printed(capsys, checkpoint, "--statistics").splitlines()
        [row] = [line for line in lines if line.startswith("stem.conv2.bn")]
        assert row.split() == ["stem.conv2.bn", "variance", "is", "0", "2/32", "0"]
        assert lines[-1].startswith("variance is 0: ")

    def test_statistics_as_json(self, capsys, checkpoint):
        [found] = json.loads(printed(capsys, checkpoint, "--statistics", "--json"))["statistics"]
        assert (found["layer"], found["affected"], found["worst"]) == ("stem.conv2.bn", 2, 0.0)

    def test_json_is_valid_although_a_statistic_is_nan(self, capsys, checkpoint, tmp_path):
        read = load_checkpoint(checkpoint)
        read.state["stem.conv2.bn.running_mean"][0] = float("nan")
        path = str(tmp_path / "nan.pt")
        save_checkpoint(path, read.variant, {"keypoints": 2}, read.state, read.spec, {})
        found = json.loads(printed(capsys, path, "--statistics", "--json"), parse_constant=pytest.fail)
        assert {"nan", 0.0} == {row["worst"] for row in found["statistics"]}


class TestFeatures:
    def test_overview_is_drawn(self, capsys, checkpoint, photo, tmp_path):
        out = tmp_path / "sheet.png"
        assert str(out) in printed(capsys, checkpoint, "--features", str(out), "--picture", photo)
        with Image.open(out) as sheet:
            assert sheet.height > sheet.width

    def test_layer_is_drawn_equally_in_each_run(self, capsys, photo, tmp_path):
        sheets = []
        for name in ("a.png", "b.png"):
            asked = ["--features", str(tmp_path / name), "--picture", photo, "--layer", "stem", "--size", "32x32"]
            found = json.loads(printed(capsys, "litehrnet18", *asked, "--json"))
            assert found["features"] == str(tmp_path / name)
            sheets.append((tmp_path / name).read_bytes())
        assert sheets[0] == sheets[1]  # The initial weights do not depend on the run.


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["litehrnt18"], "'litehrnet18'"),
            (["none.pt"], "none.pt"),
            (["litehrnet18", "--size", "60x64"], "60x64"),
            (["--table"], "edgehrnet models NAME"),
            (["litehrnet18", "--features", "a.png"], "--picture"),
            (["litehrnet18", "--layer", "stem"], "--features"),
        ],
    )
    def test_wrong_arguments_are_refused(self, capsys, arguments, expected):
        assert expected in fails(capsys, *arguments)

    def test_picture_that_cannot_be_written_is_refused(self, capsys, checkpoint, photo, tmp_path):
        asked = [checkpoint, "--picture", photo, "--layer", "stem", "--features"]
        for path in (tmp_path / "a.xyz", tmp_path / "none" / "a.png"):
            assert str(path) in fails(capsys, *asked, str(path))

    def test_unknown_layer_draws_nothing(self, capsys, checkpoint, photo, tmp_path):
        asked = [checkpoint, "--picture", photo, "--layer", "stage5", "--features", str(tmp_path / "a.png")]
        assert "'stage5'" in fails(capsys, *asked)
        assert not (tmp_path / "a.png").exists()

    def test_without_torch_the_extra_is_named(self):
        program = "import sys; sys.modules['torch'] = None; from edgehrnet.cli import main; sys.exit(main(['models']))"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert "torch" in done.stderr
        assert done.stderr.endswith("type: pip install 'edgehrnet[train]'\n")
