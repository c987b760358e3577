"""Save and load checkpoints, and refuse damaged ones."""

import pickle
import re
from typing import Any

import pytest
import torch

from edgehrnet.errors import InputError, MissingFileError, ModelFileError
from edgehrnet.models import create
from edgehrnet.models.checkpoints import Checkpoint, build_model, load_checkpoint, save_checkpoint

OPTIONS: dict[str, Any] = {"keypoints": 4, "fuse": "weighted", "modules": (1, 1, 1)}


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return create("edgehrnet18_hs", **OPTIONS)


@pytest.fixture
def path(tmp_path, net):
    file = tmp_path / "net.pt"
    save_checkpoint(file, "edgehrnet18_hs", OPTIONS, net.state_dict(), {"name": "x"}, {"epoch": 3, "seed": None})
    return file


def rewritten(path, **changes):
    content = torch.load(path, weights_only=True) | changes
    torch.save({k: v for k, v in content.items() if v is not ...}, path)
    return path


def test_saved_checkpoint_loads_unchanged(path, net):
    read = load_checkpoint(path)
    assert (read.variant, read.keypoints) == ("edgehrnet18_hs", 4)
    assert read.options == {"fuse": "weighted", "modules": [1, 1, 1]}
    assert (read.spec, read.training) == ({"name": "x"}, {"epoch": 3, "seed": None})
    built = build_model(read)
    assert not built.training
    assert built.options == net.options
    expected = net.state_dict()
    assert expected.keys() == built.state_dict().keys()
    assert all(torch.equal(expected[name], value) for name, value in built.state_dict().items())
    assert [p.name for p in path.parent.iterdir()] == ["net.pt"]


def test_half_precision_halves_the_file_and_builds_float32(path, net, tmp_path):
    half = tmp_path / "half.pt"
    save_checkpoint(half, "edgehrnet18_hs", OPTIONS, net.state_dict(), {}, {}, dtype=torch.float16)
    assert half.stat().st_size < 0.6 * path.stat().st_size
    state = load_checkpoint(half).state
    assert state["stem.conv1.conv.weight"].dtype == torch.float16
    assert state["stem.conv1.bn.num_batches_tracked"].dtype == torch.int64
    built = build_model(load_checkpoint(half))
    assert {p.dtype for p in built.parameters()} == {torch.float32}
    for name, value in net.named_parameters():
        # Half has 11 bits: a relative error of 2^-11, or an absolute one of 2^-25 below 2^-14.
        torch.testing.assert_close(built.get_parameter(name), value, rtol=2**-11, atol=2**-25)


def test_overflow_is_refused_and_leaves_no_file(tmp_path):
    with pytest.raises(InputError, match=r"w .*torch\.float16"):
        save_checkpoint(tmp_path / "x", "edgehrnet18", {}, {"w": torch.tensor(1e5)}, {}, {}, dtype=torch.float16)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_save_keeps_the_old_file(path, net):
    before = path.read_bytes()
    with pytest.raises(InputError, match="spec"):
        save_checkpoint(path, "edgehrnet18", {}, net.state_dict(), {"a": object()}, {})
    with pytest.raises(InputError, match="extra"):
        save_checkpoint(path, "edgehrnet18", {}, net.state_dict(), {}, {"loss": float("nan")})
    with pytest.raises(InputError, match=r"w .*float"):
        save_checkpoint(path, "edgehrnet18", {}, {"w": 1.0}, {}, {})  # type: ignore[dict-item]
    assert path.read_bytes() == before


def test_views_are_stored_without_their_storage(tmp_path):
    file = tmp_path / "x.pt"
    save_checkpoint(file, "edgehrnet18", {}, {"w": torch.zeros(1_000_000)[:2]}, {}, {})
    assert file.stat().st_size < 10_000


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(MissingFileError, match=r"nothing\.pt") as caught:
        load_checkpoint(tmp_path / "nothing.pt")
    assert isinstance(caught.value, FileNotFoundError)
    with pytest.raises(MissingFileError):
        load_checkpoint(tmp_path)


def test_damaged_file_is_refused(path, tmp_path):
    good = path.read_bytes()
    for content in (
        b"",
        b"\x00",
        b"PK\x03\x04",
        b"not a checkpoint",
        good[:100],
        good[: len(good) // 2],
        good[:-10],
    ):
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=r"net\.pt"):
            load_checkpoint(path)


class Harmful:
    def __reduce__(self):
        return (print, ("this must not run",))


@pytest.mark.parametrize("write", [torch.save, lambda value, file: file.write_bytes(pickle.dumps(value))])
def test_a_file_with_code_is_refused_without_running_it(tmp_path, write, capsys):
    file = tmp_path / "harmful.pt"
    write({"format": Harmful()}, file)
    with pytest.raises(ModelFileError):
        load_checkpoint(file)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "edgehrnet-checkpoint"),
        ({"version": "two"}, "'two'"),
        ({"version": 0}, r"version 0\b"),
        ({"spec": ...}, r"\['spec'\].*\[\]"),
        ({"spare": 1}, r"\[\].*\['spare'\]"),
        ({"keypoints": "4"}, "keypoints .* str"),
        ({"state": {"w": 1}}, "state .*'values'"),
    ],
)
def test_invalid_content_is_refused(path, changes, message):
    with pytest.raises(ModelFileError, match=message):
        load_checkpoint(rewritten(path, **changes))


def test_file_of_a_newer_format_is_refused(path):
    # Entries that this version does not know must not hide the reason.
    with pytest.raises(ModelFileError, match=r"net\.pt.*\b3\b.*\b2\b"):
        load_checkpoint(rewritten(path, version=3, added=1))


def test_file_of_the_first_format_is_read(path):
    read = load_checkpoint(rewritten(path, version=1, quantization=...))
    assert (read.variant, read.quantization) == ("edgehrnet18_hs", {})


def test_bare_state_dict_is_refused(tmp_path, net):
    torch.save(net.state_dict(), tmp_path / "bare.pt")
    with pytest.raises(ModelFileError, match="edgehrnet-checkpoint"):
        load_checkpoint(tmp_path / "bare.pt")
    torch.save([torch.zeros(1)], tmp_path / "bare.pt")
    with pytest.raises(ModelFileError, match="edgehrnet-checkpoint"):
        load_checkpoint(tmp_path / "bare.pt")


def test_weights_that_do_not_fit_are_listed(net):
    state = net.state_dict()
    removed = state.pop("stem.conv1.conv.weight")
    state["stem.conv9.weight"] = removed
    state["heads.heatmaps.predict.bias"] = torch.zeros(5)
    with pytest.raises(ModelFileError) as caught:
        build_model(Checkpoint("edgehrnet18_hs", 4, {"fuse": "weighted"}, state, {}, {}))
    message = str(caught.value)
    assert "missing: stem.conv1.conv.weight" in message
    assert "unexpected: stem.conv9.weight" in message
    assert "of another shape: heads.heatmaps.predict.bias" in message


def test_many_missing_weights_are_summarized():
    names = list(create("edgehrnet18").state_dict())
    with pytest.raises(ModelFileError, match=rf"{re.escape(names[0])}, .*\b{len(names) - 5}\b"):
        build_model(Checkpoint("edgehrnet18", 4, {}, {}, {}, {}))


def test_unknown_network_or_option_is_refused():
    with pytest.raises(ModelFileError, match="'edgehrnet99'"):
        build_model(Checkpoint("edgehrnet99", 4, {}, {}, {}, {}))
    with pytest.raises(ModelFileError, match="'color'"):
        build_model(Checkpoint("edgehrnet18", 4, {"color": 1}, {}, {}, {}))
