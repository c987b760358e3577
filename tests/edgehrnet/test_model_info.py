"""What a file says in the words of OpenVINO's Model API."""

import json

import pytest

from edgehrnet.model_info import model_info
from edgehrnet.spec import ModelSpec

SPEC = ModelSpec("hand", ("tip", "little finger"), mean=(0.5, 0.25, 0.125), std=(0.25, 0.5, 1.0))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"mean_values": "0 0 0 0", "scale_values": "1 1 1 1"}),
        ({"channels": 3}, {"mean_values": "0 0 0", "scale_values": "1 1 1", "reverse_input_channels": "False"}),
        (
            {"channels": 3, "input_format": "float NCHW", "color": "bgr"},
            {"mean_values": "127.5 63.75 31.875", "scale_values": "63.75 127.5 255", "reverse_input_channels": "True"},
        ),
        ({"crop": None}, {"resize_type": "fit_to_window_letterbox", "pad_value": "0"}),
        ({"crop": "hrnet"}, {"resize_type": None, "pad_value": None}),
    ],
)
def test_what_is_left_to_do_for_the_caller(fields, expected):
    info = model_info(SPEC.replace(**fields))
    assert {key: info.get(key) for key in expected} == expected
    assert info["input_dtype"] == "u8"


def test_names():
    info = model_info(SPEC)
    assert info["labels"] == "tip little_finger"
    assert json.loads(info["label_info"])["label_names"] == ["tip", "little finger"]
    assert (info["model_name"], info["task_type"]) == ("hand", "keypoint_detection")
