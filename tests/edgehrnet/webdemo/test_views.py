"""What the page shows of a picture, without a browser."""

import sys

import numpy as np
import pytest

from edgehrnet import Predictor
from edgehrnet.cli import main
from edgehrnet.errors import InputError, MissingExtraError
from edgehrnet.webdemo import serve, views
from edgehrnet.webdemo.serving import import_gradio


def test_two_models_are_compared(null_model):
    with Predictor(null_model.path) as first, Predictor(null_model.path, decode="argmax") as second:
        found = views([first, second], null_model.picture)
    assert len(found.overlays) == 2
    assert found.overlays[0].size == found.heatmaps.size == null_model.picture.shape[1::-1]
    assert found.page is not None
    assert found.verdict.count("%") == len(null_model.spec.keypoints)
    assert found.table.count("<tr>") == 3


def test_a_model_without_an_outline_has_no_page(null_model):
    spec = null_model.spec.replace(cyclic=False, golden=None)
    with Predictor(null_model.path, spec=spec) as predictor:
        assert views([predictor], null_model.picture).page is None


def test_large_pictures_are_shown_smaller(null_model):
    picture = np.zeros((20, 2000, 3), np.uint8)
    with Predictor(null_model.path) as predictor:
        assert views([predictor], picture).overlays[0].size == (1600, 16)


def test_three_models_are_refused():
    with pytest.raises(InputError, match="3"):
        serve([None] * 3)  # type: ignore[list-item]


def test_a_missing_gradio_is_named(monkeypatch, null_model, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "True")
    with pytest.raises(MissingExtraError, match=r"edgehrnet\[web\]"):
        import_gradio()
    assert main(["demo", "--web", "--model", str(null_model.path)]) == 2
    assert "edgehrnet[web]" in capsys.readouterr().err
