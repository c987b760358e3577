"""Tables of quantization ranges."""

import dataclasses

import numpy as np
import pytest
import torch

from edgehrnet.errors import ModelFileError
from edgehrnet.models.checkpoints.ranges import RangeTable

TABLE = RangeTable(
    "openvino", "uint8", 8, "identity", {"stem.conv1.input": (1 / 255, 0), "stem.conv1": (0.02, 14)}, ("stem.conv1",)
)


def test_table_converts_to_plain_values_and_back():
    again = RangeTable.from_plain("openvino", TABLE.to_plain())
    # Scales are stored in float32, as engines use them.
    assert again.sites == {site: (float(np.float32(scale)), zero) for site, (scale, zero) in TABLE.sites.items()}
    assert again == RangeTable("openvino", "uint8", 8, "identity", again.sites, TABLE.convolutions)
    assert RangeTable.from_plain("openvino", again.to_plain()) == again


def test_empty_table_converts_to_plain_values_and_back():
    empty = RangeTable("onnx", "int8", 7, "all", {}, ())
    assert RangeTable.from_plain("onnx", empty.to_plain()) == empty


@pytest.mark.parametrize("name", list(TABLE.to_plain()))
def test_missing_value_is_refused(name):
    values = TABLE.to_plain()
    del values[name]
    with pytest.raises(ModelFileError, match="'openvino'"):
        RangeTable.from_plain("openvino", values)


@pytest.mark.parametrize(
    "change",
    [
        {"activations": "quint8"},
        {"activations": ["uint8"]},
        {"weight_bits": 9},
        {"weight_bits": 1},
        {"weight_bits": "8"},
        {"adds": "both"},
        {"scale": torch.ones(1)},
        {"scale": [0.1, 0.1]},
        {"scale": torch.tensor([0.1, 0.0])},
        {"scale": torch.tensor([0.1, -1.0])},
        {"scale": torch.tensor([0.1, float("nan")])},
        {"scale": torch.tensor([0.1, float("inf")])},
        {"zero_point": torch.tensor([0, 256])},
        {"zero_point": torch.tensor([-1, 0])},
        {"sites": ["a"]},
        {"sites": ["a", "a"]},
        {"sites": None},
        {"convolutions": None},
    ],
    ids=str,
)
def test_wrong_value_is_refused(change):
    with pytest.raises(ModelFileError, match="'openvino'"):
        RangeTable.from_plain("openvino", TABLE.to_plain() | change)


def test_int8_activations_need_zero_point_0():
    values = TABLE.to_plain() | {"activations": "int8"}
    with pytest.raises(ModelFileError, match="'tensorrt'"):
        RangeTable.from_plain("tensorrt", values)
    values["zero_point"] = torch.tensor([0, 0])
    assert RangeTable.from_plain("tensorrt", values).activations == "int8"


@pytest.mark.parametrize("values", [[], None, "table", {}])
def test_value_that_is_not_a_table_is_refused(values):
    with pytest.raises(ModelFileError, match="'openvino'"):
        RangeTable.from_plain("openvino", values)


class TestChannels:
    CHANNELS = {"stem.conv1": ((0.5, 0.25), (0, 100))}  # noqa: RUF012

    def test_ranges_of_channels_are_kept(self):
        table = dataclasses.replace(RangeTable.from_plain("openvino", TABLE.to_plain()), channels=self.CHANNELS)
        assert RangeTable.from_plain("openvino", table.to_plain()) == table

    def test_a_table_of_an_earlier_version_has_none(self):
        assert "channels" not in TABLE.to_plain()
        assert RangeTable.from_plain("openvino", TABLE.to_plain()).channels == {}

    @pytest.mark.parametrize("pair", [((0.5, 0.0), (0, 100)), ((0.5, 0.25), (0, 256)), ((0.5,), (0, 100))])
    def test_a_damaged_one_is_refused(self, pair):
        values = dataclasses.replace(TABLE, channels={"stem.conv1": pair}).to_plain()
        with pytest.raises(ModelFileError, match="openvino"):
            RangeTable.from_plain("openvino", values)
