"""``python -m quant.average``: the averaged weights, the input size, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edgehrnet.errors import InputError
from edgehrnet.models.checkpoints import load_checkpoint
from quant.average import main
from quant.training.averaging import average, with_common_heads

FOLDER = Path(__file__).parents[2] / "checkpoints"
SILU, HS = FOLDER / "document-corners.pt", FOLDER / "document-corners-hs.pt"


@pytest.fixture(scope="module")
def shipped():
    return load_checkpoint(SILU)


def test_weights_are_interpolated_and_integers_are_those_of_the_second(shipped):
    state = {n: value.float() + 1 if value.is_floating_point() else value + 3 for n, value in shipped.state.items()}
    found = average(shipped, replace(shipped, state=state), 0.25)
    for name, value in shipped.state.items():
        torch.testing.assert_close(found[name], value.float() + 0.25 if value.is_floating_point() else value + 3)


def test_the_average_of_a_checkpoint_with_itself_has_its_weights_at_the_new_size(shipped, tmp_path, capsys):
    out = tmp_path / "same.pt"
    assert main([str(SILU), str(SILU), "--share", "0.7", "--size", "384x384", "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    found = load_checkpoint(out)
    assert tuple(found.spec["input_size"]) == (384, 384)
    assert found.options == shipped.options
    assert all(torch.equal(found.state[name], value) for name, value in shipped.state.items())
    # The averaged network has other ranges than either checkpoint and must be calibrated.
    assert not found.quantization


def test_heads_of_one_checkpoint_only_are_left_out(shipped):
    trained = replace(
        shipped,
        options={**shipped.options, "auxiliary": True},
        state={**shipped.state, "auxiliary.p3.predict.bias": torch.zeros(4)},
    )
    for pair in ((shipped, trained), (trained, shipped)):
        found = [(c.options, c.state.keys()) for c in with_common_heads(*pair)]
        assert found == [(shipped.options, shipped.state.keys())] * 2


@pytest.mark.parametrize("share", [1.5, -0.1])
def test_a_share_outside_0_to_1_is_refused(shipped, share):
    with pytest.raises(InputError, match=f"share={share}"):
        average(shipped, shipped, share)


@pytest.mark.parametrize(("second", "value"), [(HS, "edgehrnet18_hs"), (FOLDER / "nowhere.pt", "nowhere.pt")])
def test_different_networks_and_missing_files_end_with_one_line(tmp_path, capsys, second, value):
    with pytest.raises(SystemExit) as stop:
        main([str(SILU), str(second), "--out", str(tmp_path / "no.pt")])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert value in line
    assert not (tmp_path / "no.pt").exists()
