"""``python -m quant.train``: what it prints, writes and refuses."""

import json

import numpy as np
import pytest
from PIL import Image

from edgehrnet.models.checkpoints import load_checkpoint
from quant import train

pytestmark = pytest.mark.slow

SHORT = ["--steps", "2", "--batch", "2", "--sizes", "64x64", "--workers", "0", "--validate-every", "2",
         "--validate-count", "2"]  # fmt: skip


@pytest.fixture(scope="module")
def persons(tmp_path_factory):
    """Four pictures of one instance each, as a COCO JSON file."""
    folder = tmp_path_factory.mktemp("persons")
    for index in range(4):
        Image.fromarray(np.full((48, 64, 3), 40 * index, np.uint8)).save(folder / f"{index}.png")
    content = {
        "images": [{"id": index, "file_name": f"{index}.png"} for index in range(4)],
        "categories": [{"id": 1, "keypoints": ["nose", "tail"]}],
        "annotations": [
            {"id": index, "image_id": index, "category_id": 1, "bbox": [10, 8, 30, 30], "area": 900,
             "keypoints": [20, 15, 2, 30, 30, 2]}
            for index in range(4)
        ],
    }  # fmt: skip
    (folder / "persons.json").write_text(json.dumps(content))
    return str(folder / "persons.json")


def test_a_run_prints_its_settings_and_the_next_command(tmp_path, capsys):
    arguments = ["--out", str(tmp_path / "run"), *SHORT, "--option", "fuse=weighted"]
    assert train.main(arguments) == 0
    text = capsys.readouterr().out
    for part in ("synthetic:document-corners", "edgehrnet18", "64x64", "cpu", str(tmp_path / "run"), "PCK 1%"):
        assert part in text
    assert f"python -m quant.ptq {tmp_path / 'run' / 'ema.pt'} --data synthetic:document-corners" in text
    assert load_checkpoint(tmp_path / "run" / "ema.pt").options["fuse"] == "weighted"
    assert train.main([*arguments, "--resume"]) == 0
    assert "nothing left to train" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fold", "said"), [(["--fold", "1/4"], "fold 1/4: 1 instance\n"), ([], "NONE HELD OUT: scores are of training")]
)
def test_a_run_prints_its_validation_set(persons, tmp_path, capsys, fold, said):
    arguments = ["--data", persons, "--out", str(tmp_path), "--model", "hrnet_w18_small_v1", *SHORT, *fold]
    assert train.main(arguments) == 0
    begin, _, end = capsys.readouterr().out.partition("scored")
    assert "4 pictures, 4 instances, 2 keypoints" in begin
    assert "whole pictures" in begin
    assert begin.count(said) == 2  # at the start, and with the scores
    assert (" --fold 1/4 " in end) == bool(fold)


def test_the_network_is_that_of_the_checkpoint_to_start_from(persons, tmp_path, capsys):
    first = ["--data", persons, "--out", str(tmp_path / "first"), "--model", "edgehrnet18", "--option", "fuse=weighted"]
    assert train.main([*first, *SHORT]) == 0
    init = ["--data", persons, "--init", str(tmp_path / "first" / "ema.pt"), *SHORT]
    assert train.main([*init, "--out", str(tmp_path / "second")]) == 0
    checkpoint = load_checkpoint(tmp_path / "second" / "ema.pt")
    assert (checkpoint.variant, checkpoint.options["fuse"]) == ("edgehrnet18", "weighted")
    with pytest.raises(SystemExit):
        train.main([*init, "--out", str(tmp_path / "third"), "--model", "hrnet_w18_small_v1"])
    assert "edgehrnet18" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("extra", "value"),
    [
        (["--option", "fuze=add"], "fuze"),
        (["--data", "nowhere"], "nowhere"),
        (["--model", "nope"], "nope"),
        (["--weight", "peek=3"], "peek"),
        (["--weight", "peak=x"], "peak=x"),
        (["--init", "nowhere.pt"], "nowhere.pt"),
        (["--device", "cuda:99"], "cuda:99"),
        (["--device", "gpu"], "gpu"),
    ],
)
def test_bad_input_ends_with_one_line(tmp_path, capsys, extra, value):
    with pytest.raises(SystemExit) as stop:
        train.main(["--out", str(tmp_path), *SHORT, *extra])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert value in line
