"""A checkpoint between two: its weights, its size, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edgehrnet.errors import InputError
from edgehrnet.models.checkpoints import load_checkpoint
from quant.average import main
from quant.training.averaging import alike, average

FOLDER = Path(__file__).parents[2] / "checkpoints"
SILU, HS = FOLDER / "document-corners.pt", FOLDER / "document-corners-hs.pt"


def test_the_weights_lie_between():
    first = load_checkpoint(SILU)
    moved = {name: value.float() + 1 if value.is_floating_point() else value + 3 for name, value in first.state.items()}
    state = average(first, replace(first, state=moved), 0.25)
    for name, value in first.state.items():
        torch.testing.assert_close(state[name], value.float() + 0.25 if value.is_floating_point() else value + 3)


def test_an_average_of_one_is_itself_at_the_size_asked_for(tmp_path):
    out = tmp_path / "same.pt"
    assert main([str(SILU), str(SILU), "--share", "0.7", "--size", "384x384", "--out", str(out)]) == 0
    found, expected = load_checkpoint(out), load_checkpoint(SILU)
    assert tuple(found.spec["input_size"]) == (384, 384)
    assert found.options == expected.options
    assert all(torch.equal(found.state[name], value) for name, value in expected.state.items())
    # Its activations have other ranges than either's: they are measured anew.
    assert not found.quantization


def test_heads_that_one_lacks_are_left_out():
    shipped = load_checkpoint(SILU)
    trained = replace(
        shipped,
        options={**shipped.options, "auxiliary": True},
        state={**shipped.state, "auxiliary.p3.predict.bias": torch.zeros(4)},
    )
    for pair in ((shipped, trained), (trained, shipped)):
        assert [(c.options, c.state.keys()) for c in alike(*pair)] == [(shipped.options, shipped.state.keys())] * 2


def test_two_networks_and_other_shares_raise(tmp_path, capsys):
    with pytest.raises(InputError, match=r"share=1.5: between 0"):
        average(load_checkpoint(SILU), load_checkpoint(SILU), 1.5)
    with pytest.raises(SystemExit) as stopped:
        main([str(SILU), str(HS), "--out", str(tmp_path / "no.pt")])
    assert stopped.value.code == 2
    assert "two networks" in capsys.readouterr().err
    assert not (tmp_path / "no.pt").exists()
