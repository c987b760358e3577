"""The recipe: what it chooses by the number and the shape of the labels, and what arguments change."""

import csv

import numpy as np
import pytest
from PIL import Image

from quant import train
from quant.data.labeled import Labeled
from quant.data.opening import open_data
from quant.training.arguments import train_settings, with_recipe
from quant.training.recipes import LABELS, LONGER, STEPS, object_share, recipe


@pytest.fixture
def wide(tmp_path):
    """Two pictures twice as wide as high."""
    rows = [["scorer", "m", "m", "m", "m"], ["bodyparts", "a", "a", "b", "b"], ["coords", "x", "y", "x", "y"]]
    for index in range(2):
        Image.fromarray(np.zeros((60, 120, 3), np.uint8)).save(tmp_path / f"{index}.png")
        rows.append([f"{index}.png", "10", "10", "80", "50"])
    with (tmp_path / "CollectedData.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    data = open_data(str(tmp_path))
    assert isinstance(data, Labeled)
    return data


def test_the_input_has_the_shape_of_the_pictures_or_boxes(wide, tmp_path):
    assert recipe(wide)["sizes"] == ((96, 192),)
    crops = open_data(str(tmp_path), crop="hrnet")  # boxes of 84 x 54 px: 70 x 40 px of points, and 7 px around
    assert recipe(crops)["sizes"] == ((96, 160),)


def test_small_objects_in_whole_pictures_are_trained_longer(wide, tmp_path, monkeypatch):
    usual = recipe(wide)["steps"]
    monkeypatch.setattr("quant.training.recipes.object_share", lambda data: 0.2)
    assert recipe(wide)["steps"] == LONGER * usual
    assert recipe(open_data(str(tmp_path), crop="hrnet"))["steps"] == usual


def test_the_share_of_an_object_is_that_of_its_side(wide):
    # A box of 84 x 54 px in pictures of 120 x 60 px.
    assert object_share(wide) == pytest.approx(np.sqrt(84 * 54 / (120 * 60)))


def test_more_labels_get_more_steps_and_a_larger_input(wide, monkeypatch):
    few = recipe(wide)
    monkeypatch.setattr(Labeled, "__len__", lambda self: 100 * LABELS)
    many = recipe(wide)
    assert (few["steps"], many["steps"]) == (STEPS, 10 * STEPS)
    assert many["ema"] > few["ema"]
    assert np.prod(many["sizes"]) > np.prod(few["sizes"])


def test_what_is_typed_goes_before_the_recipe(wide):
    typed = ["--data", "x", "--steps", "7", "--ema", "0.5", "--sizes", "64x64", "--model", "litehrnet18"]
    args = train.parser().parse_args(typed)
    settings = with_recipe(train_settings(args), recipe(wide, args.model), args)
    assert (settings.steps, settings.ema, settings.sizes, settings.model) == (7, 0.5, ((64, 64),), "litehrnet18")
    assert settings.batch == recipe(wide)["batch"]
    assert settings.codec == "dark"


def test_averaging_and_validations_follow_the_steps_that_are_typed(wide):
    usual, typed = recipe(wide), recipe(wide, steps=20 * STEPS)
    assert typed["steps"] == 20 * STEPS
    assert (1 - usual["ema"]) / (1 - typed["ema"]) == pytest.approx(20, rel=0.01)
    assert typed["validate_every"] == 20 * usual["validate_every"]
    assert recipe(wide, steps=7)["ema"] == 0.9


def test_networks_of_this_project_keep_their_encoding(wide):
    assert "codec" not in recipe(wide, "edgehrnet18")
