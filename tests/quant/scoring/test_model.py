import numpy as np

import runtimes.null
from edgehrnet import ModelSpec
from quant.scoring.model import open_model


def test_a_model_for_crops_is_scored_on_whole_pictures_without_a_warning(tmp_path):
    outputs = {"heatmaps": np.zeros((1, 1, 16, 16), np.float32)}
    spec = ModelSpec.heatmaps("person", ("nose",), input_size=(64, 64), crop="hrnet")
    runtimes.null.build(tmp_path / "person.null", spec.to_json(), (64, 64), outputs)
    with open_model(str(tmp_path / "person.null")) as model:
        xy, _ = model.predict(np.zeros((64, 64, 3), np.uint8))  # a warning would raise
    assert xy.shape == (1, 2)
