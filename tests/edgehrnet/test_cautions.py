"""A model warns once about each way to use it that gives poor results."""

import warnings

import pytest

from edgehrnet import Predictor
from edgehrnet.errors import ConfidenceWarning

SIZE = (128, 192)


@pytest.fixture(scope="module")
def fitted(openvino_model):
    """A spec with a calibration. The file has none."""
    return openvino_model.spec.replace(confidence=(1.0, 1.0, 0.0))


def test_confidences_at_another_input_size(openvino_model, fitted, noise_pictures):
    with Predictor(openvino_model.path, spec=fitted, input_size=SIZE) as predictor:
        with pytest.warns(ConfidenceWarning, match="64x96.*128x192") as caught:
            predictor.predict(noise_pictures[0])
        assert [warning.filename for warning in caught] == [__file__]
        predictor.predict(noise_pictures[0])


@pytest.mark.parametrize("options", [{}, {"input_size": (64, 96)}])
def test_confidences_at_the_size_that_they_were_fitted_for(openvino_model, fitted, noise_pictures, options):
    with warnings.catch_warnings(), Predictor(openvino_model.path, spec=fitted, **options) as predictor:
        warnings.simplefilter("error")
        predictor.predict(noise_pictures[0])


def test_peak_values_are_no_probabilities_at_any_size(openvino_model, noise_pictures):
    with warnings.catch_warnings(), Predictor(openvino_model.path, input_size=SIZE) as predictor:
        warnings.simplefilter("error")
        predictor.predict(noise_pictures[0])
