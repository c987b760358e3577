"""A file is also measured at the smallest and the largest input that its pictures have without padding."""

import dataclasses

import numpy as np
import pytest

from quant.files import input_sizes
from quant.files.input_sizes import at_other_sizes
from quant.files.proof import CertificateError, Reference


@pytest.fixture
def reference(openvino_model):
    return Reference(openvino_model.network, None, 0)


def pictures(*sizes):
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def test_the_smallest_and_the_largest_input_are_measured(openvino_model, reference):
    given = pictures((100, 100), (200, 90), (100, 100))
    found = at_other_sizes(openvino_model.path, reference, openvino_model.spec, given)
    assert [(row["input_size"], row["pictures"]) for row in found] == [([64, 32], 1), ([64, 64], 2)]
    assert all(row["sqnr_db"] > 60 for row in found)


def test_the_size_of_the_file_is_measured_already(openvino_model, reference):
    assert at_other_sizes(openvino_model.path, reference, openvino_model.spec, pictures((200, 300))) == ()


def test_files_and_networks_with_a_fixed_size(openvino_model, onnx_model, reference):
    spec = openvino_model.spec
    assert at_other_sizes(onnx_model.path, reference, spec, pictures((200, 90))) == ()
    assert at_other_sizes(openvino_model.path, reference, spec.replace(crop="hrnet"), pictures((200, 90))) == ()


def test_noise_at_one_size_is_refused(openvino_model, reference, monkeypatch):
    quantized = dataclasses.replace(reference, quantized=reference.network)
    monkeypatch.setattr(input_sizes, "compare", lambda *_: dict.fromkeys(input_sizes.MEASURED, 2.5))
    with pytest.raises(CertificateError, match=r"64x32.*2\.5 dB"):
        at_other_sizes(openvino_model.path, quantized, openvino_model.spec, pictures((200, 90)))
    unseen = {**dict.fromkeys(input_sizes.MEASURED, 2.5), "drift_median_px": None}
    monkeypatch.setattr(input_sizes, "compare", lambda *_: unseen)
    assert len(at_other_sizes(openvino_model.path, quantized, openvino_model.spec, pictures((200, 90)))) == 1
