"""Torch tensors as pictures."""

import re

import numpy as np
import pytest
import torch

from edgehrnet.errors import ImageError
from edgehrnet.picture.sources import read_image
from edgehrnet.sources import Source

RGB = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_values_are_u8_or_floats_in_0_to_1(channels):
    chw = np.concatenate([RGB, RGB[..., :1]], axis=2)[..., :channels].transpose(2, 0, 1)
    expected = np.broadcast_to(RGB[..., :1], RGB.shape) if channels == 1 else RGB
    tensor = torch.from_numpy(chw.copy())
    for image in (tensor, tensor / 255, (tensor / 255).requires_grad_()):
        pixels = read_image(image)
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        np.testing.assert_array_equal(pixels, expected)


def test_bgr_tensors():
    chw = torch.from_numpy(RGB[..., ::-1].transpose(2, 0, 1).copy())
    np.testing.assert_array_equal(read_image(chw, "bgr"), RGB)


def test_a_single_tensor_is_one_picture():
    tensor = torch.zeros(3, 20, 30)
    (frame,) = Source(tensor)
    assert frame.picture is tensor


@pytest.mark.parametrize("shape", [(20, 30, 3), (20, 30), (1, 3, 20, 30), (2, 20, 30), ()])
def test_other_shapes_raise(shape):
    with pytest.raises(ImageError, match=re.escape(str(shape))):
        read_image(torch.zeros(shape))


@pytest.mark.parametrize(
    ("options", "kind"),
    [({"dtype": torch.bfloat16}, "BFloat16"), ({"layout": torch.sparse_coo}, "Sparse"), ({"device": "meta"}, "meta")],
)
def test_tensors_that_numpy_cannot_hold_raise(options, kind):
    with pytest.raises(ImageError, match=kind):
        read_image(torch.zeros(3, 20, 30, **options))


def test_other_integers_raise():
    with pytest.raises(ImageError, match="int64"):
        read_image(torch.zeros(3, 20, 30, dtype=torch.int64))
