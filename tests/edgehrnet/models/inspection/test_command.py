"""``edgehrnet models``."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from edgehrnet.cli import main
from edgehrnet.models import create
from edgehrnet.models.checkpoints import save_checkpoint
from edgehrnet.models.inspection import command
from edgehrnet.models.inspection.counting import count
from edgehrnet.models.variants import VARIANTS
from edgehrnet.spec import ModelSpec

SIZE = (64, 96)
SPEC = ModelSpec("two", ("a", "b"), input_size=SIZE)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint of which one BN has two channels without variance."""
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

    def test_table(self, capsys):
        lines = printed(capsys).splitlines()
        assert lines[1].split()[:4] == ["edgehrnet18", "2.90", "3343", "256x512"]
        assert lines[2].split()[:4] == ["litehrnet18", "1.13", "199", "256x192"]
        assert lines[2].endswith("weights that depend on the picture, 18 layers deep")

    def test_json_is_one_object_a_line(self, capsys):
        rows = [json.loads(line) for line in printed(capsys, "--json").splitlines()]
        assert [row["name"] for row in rows] == ["edgehrnet18", "litehrnet18"]
        assert (rows[1]["parameters"], rows[1]["macs"], rows[1]["input_size"]) == (1_130_769, 198_626_688, [256, 192])


class TestNetwork:
    def test_by_name(self, capsys):
        out = printed(capsys, "litehrnet18", "--size", "64x96")
        assert "none: freshly initialized" in out
        assert "1x3x64x96 RGB\n" in out
        assert "output heatmaps       1x17x16x24" in out
        assert f"{count(create('litehrnet18'), SIZE)['total'].macs:,}" in out

    def test_by_checkpoint(self, capsys, checkpoint):
        found = json.loads(printed(capsys, checkpoint, "--json"))
        assert found["network"] == checkpoint
        assert (found["variant"], found["keypoints"], found["trained"]) == ("edgehrnet18", 2, True)
        assert found["input"] == [1, 4, *SIZE]
        assert found["outputs"]["offsets"] == [1, 4, 16, 24]

    def test_table(self, capsys, checkpoint):
        out = printed(capsys, checkpoint, "--table", "--size", "32x32")
        assert "one picture of 32x32" in out
        assert "the median of 5" in out
        for text in ("stage4 branch 4", "over all stages", "heads offsets"):
            assert text in out
        assert out.count("\ntotal") == 3

    def test_table_without_time(self, capsys, checkpoint):
        out = printed(capsys, checkpoint, "--table", "--no-time")
        assert " ms" not in out
        assert "heads offsets" in out

    def test_table_as_json(self, capsys, checkpoint):
        found = json.loads(printed(capsys, checkpoint, "--table", "--no-time", "--json"))
        table = found["table"]
        assert table["timing"] is None
        assert table["total"]["macs"] == found["macs"] == sum(row["macs"] for row in table["parts"])
        assert [row["part"] for row in table["stages"]] == ["stem", "stage2", "stage3", "stage4", "fpn", "heads"]
        assert table["branches"][0]["part"] == "branch 1"

    def test_statistics(self, capsys, checkpoint):
        lines = printed(capsys, checkpoint, "--statistics").splitlines()
        [row] = [line for line in lines if line.startswith("stem.conv2.bn")]
        assert row.split() == ["stem.conv2.bn", "variance", "is", "0", "2/32", "0"]
        assert lines[-1].startswith("variance is 0: the convolution before gives one value everywhere")

    def test_statistics_as_json(self, capsys, checkpoint, monkeypatch):
        [found] = json.loads(printed(capsys, checkpoint, "--statistics", "--json"))["statistics"]
        assert (found["layer"], found["channels"], found["worst"]) == ("stem.conv2.bn", 2, 0.0)

    def test_what_is_no_number_is_still_json(self):
        found = command._plain_finding(command.Finding("a", "mean is not finite", 1, 2, float("nan"), "lost"))
        assert found["worst"] == "nan"
        json.loads(json.dumps(found), parse_constant=pytest.fail)


class TestFeatures:
    def test_overview(self, capsys, checkpoint, photo, tmp_path):
        out = tmp_path / "sheet.png"
        assert str(out) in printed(capsys, checkpoint, "--features", str(out), "--picture", photo)
        with Image.open(out) as sheet:
            assert sheet.height > sheet.width

    def test_layer_of_an_rgb_network_at_a_size(self, capsys, photo, tmp_path):
        sheets = []
        for name in ("a.png", "b.png"):
            asked = ["--features", str(tmp_path / name), "--picture", photo, "--layer", "stage2", "--size", "64x64"]
            found = json.loads(printed(capsys, "litehrnet18", *asked, "--json"))
            assert found["features"] == str(tmp_path / name)
            sheets.append((tmp_path / name).read_bytes())
        assert sheets[0] == sheets[1]  # an untrained network has the same weights each time


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["litehrnt18"], "did you mean 'litehrnet18'?"),
            (["none.pt"], "no such checkpoint: none.pt"),
            (["litehrnet18", "--size", "60x64"], "the nearest are 32x64 and 64x64"),
            (["--table"], "which network? edgehrnet models NAME"),
            (["litehrnet18", "--features", "a.png"], "needs both --features OUT.png and --picture PHOTO"),
            (["litehrnet18", "--layer", "stem"], "needs both"),
        ],
    )
    def test_what_is_refused(self, capsys, arguments, told):
        assert told in fails(capsys, *arguments)

    def test_pictures_that_cannot_be_written(self, capsys, checkpoint, photo, tmp_path):
        asked = [checkpoint, "--picture", photo, "--layer", "stem", "--features"]
        assert "use .png or .jpg" in fails(capsys, *asked, str(tmp_path / "a.xyz"))
        assert "cannot write" in fails(capsys, *asked, str(tmp_path / "none" / "a.png"))

    def test_unknown_layer(self, capsys, checkpoint, photo, tmp_path):
        asked = [checkpoint, "--picture", photo, "--layer", "stage5", "--features", str(tmp_path / "a.png")]
        assert "no layer 'stage5'" in fails(capsys, *asked)
        assert not (tmp_path / "a.png").exists()

    def test_without_torch(self):
        program = "import sys; sys.modules['torch'] = None; from edgehrnet.cli import main; sys.exit(main(['models']))"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert "torch" in done.stderr
        assert done.stderr.endswith("type: pip install 'edgehrnet[train]'\n")
