"""Keypoints -> crop -> targets -> decoder -> keypoints: what a perfect network would score, for every codec."""

import numpy as np
import pytest

from edgehrnet import ModelSpec
from edgehrnet.decoding import locate
from edgehrnet.decoding.refiners import offset_radius
from edgehrnet.errors import InputError
from edgehrnet.models.variants import PUBLISHED
from edgehrnet.preparation import fit_crop
from quant.data.batches import sample
from quant.data.codecs import CODECS, usual_codec, with_codec
from quant.data.examples import Example

NAMES = tuple("abcdef")
BOX = (60.0, 40.0, 90.0, 150.0)
# Of a cell. msra rounds to the nearest cell, half of one away at most, and a rounded blob has no higher neighbor to
# step towards. What keeps a point's exact place loses float32's rounding, or to the three sigma at which blobs are cut.
# The published udp-offset decoder blurs offsets over the rim of the disc, beyond which a trained network goes on and
# the target is 0: over 3.5 cells, a sigma of 2 blurs in a quarter of a cell.
LARGEST = {"offset": 1e-5, "msra": 0.501, "dark": 0.01, "udp": 0.01, "udp-offset": 0.26}


def person(rotation: float) -> tuple[Example, ModelSpec]:
    """Six points well inside a box, and the spec of a published network for them."""
    rng = np.random.default_rng(0)
    points = np.array(BOX[:2]) + np.array(BOX[2:]) * rng.uniform(0.2, 0.8, (6, 2))
    image = np.zeros((240, 200, 3), np.uint8)
    example = Example(image, points, np.ones(6, bool), box=BOX, rotation=rotation, scale=1.1)
    fields = {**PUBLISHED, "input_size": (256, 192), "crop": "hrnet"}
    return example, ModelSpec("person", NAMES, **fields)


@pytest.mark.parametrize("rotation", [0.0, 25.0])
@pytest.mark.parametrize("name", list(CODECS))
def test_a_perfect_network_finds_every_point(name, rotation):
    example, spec = person(rotation)
    spec = with_codec(spec, name)
    maps = {key: value.numpy() for key, value in sample(example, spec, codec=CODECS[name]).items()}
    offsets = maps.get("offsets")
    if name == "udp-offset":
        offsets = offsets * offset_radius(maps["heatmaps"].shape[1:])
    offsets = None if offsets is None else offsets.reshape(12, *maps["heatmaps"].shape[1:]).astype(np.float32)
    crop = fit_crop(example.image, spec, example.box, rotation=example.rotation, scale=example.scale)
    xy, conf, _ = locate(maps["heatmaps"], offsets, spec, crop)
    cells = spec.grid.to_cells(crop.forward(xy)) - spec.grid.to_cells(crop.forward(example.points))
    assert np.abs(cells).max() <= LARGEST[name], cells
    # A disc of 3.5 cells is blurred over 23 before its top is taken, as published.
    assert conf.min() > (0.3 if name == "udp-offset" else 0.8)
    assert maps["weight"].tolist() == [1] * 6
    assert maps["image"].shape == (256, 192, 3)


def test_a_codec_is_recognized_from_the_spec_it_makes():
    _, spec = person(0.0)
    for name in ("msra", "dark", "udp", "udp-offset"):
        assert usual_codec(with_codec(spec, name)) == name
    assert usual_codec(ModelSpec("own", NAMES)) == "offset"


def test_udp_needs_boxes():
    with pytest.raises(InputError, match="codec 'udp' is for crops of boxes, of which 'own' has none"):
        with_codec(ModelSpec("own", NAMES), "udp")
