"""Metadata in checkpoints of mmpose 1.x. Malformed metadata states nothing."""

import pytest
import torch

from edgehrnet.models.checkpoints.published_meta import stated_fields


@pytest.fixture
def read(data_set):
    """The description as `load_checkpoint` reads it, with lists for NumPy arrays."""
    return data_set | {"sigmas": data_set["sigmas"].tolist()}


def test_data_set_states_the_keypoints(read):
    found = stated_fields({"dataset_meta": read})
    assert found["keypoints"] == ("wrist", "left_tip", "right_tip", "palm")
    assert found["flip_pairs"] == ((1, 2),)


@pytest.mark.parametrize(
    "changes",
    [
        {"keypoint_id2name": {1: "one", 2: "two"}},
        {"keypoint_id2name": {0: "a", 1: "a", 2: "b", 3: "c"}},
        {"keypoint_id2name": {0: 0, 1: 1, 2: 2, 3: 3}},
        {"keypoint_id2name": None},
        {"flip_indices": [0, 1]},
        {"flip_indices": [1, 2, 0, 3]},
        {"flip_indices": ["a", "b", "c", "d"]},
        {"skeleton_links": [[0, 9]]},
        {"skeleton_links": [[0]]},
        {"skeleton_links": 1},
        {"sigmas": [0.5]},
        {"sigmas": [0.5, 0.5, 0.5, 0.0]},
        {"sigmas": ["a", "b", "c", "d"]},
    ],
    ids=str,
)
def test_malformed_data_set_states_nothing(read, changes):
    assert stated_fields({"dataset_meta": read | changes}) == {}


@pytest.mark.parametrize("meta", [None, 3, [], torch.zeros(2), {"dataset_meta": 3}, {"dataset_meta": {}, "cfg": 3}])
def test_other_metadata_states_nothing(meta):
    assert stated_fields(meta) == {}


@pytest.mark.parametrize(
    ("kind", "more", "expected"),
    [
        ("MSRAHeatmap", "", ("hrnet", "quarter-mmpose", 11)),
        ("MSRAHeatmap", "blur_kernel_size=17,\n    unbiased=True,\n    ", ("hrnet", "dark", 17)),
        ("UDPHeatmap", "", ("udp", "udp", 11)),
    ],
)
def test_codec_states_crop_decoding_and_kernel(config, kind, more, expected):
    found = stated_fields({"cfg": config(kind, more)})
    assert (found["crop"], found["decode"], found["kernel"]) == expected
    assert found["input_size"] == (384, 288)


@pytest.mark.parametrize(
    "configuration",
    [
        "",
        "codec = 3",
        "codec = dict(type='MSRAHeatmap')\ninput_size=(192, 256)",
        "codec = dict(type='SimCCLabel', input_size=(192, 256))",
        "codec = dict(type='MSRAHeatmap', input_size=(190, 250))",  # Not divisible by 32.
        "codec = dict(type='MSRAHeatmap', input_size=(192, 256), blur_kernel_size=4)",
        "model = dict(\n    codec = dict(type='MSRAHeatmap', input_size=(192, 256)))",
    ],
)
def test_other_configuration_states_nothing(configuration):
    assert stated_fields({"cfg": configuration}) == {}
