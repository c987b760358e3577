"""The golden vectors of the TypeScript code are those of the Python code."""

import json

import numpy as np
import pytest

from tools import web_golden


@pytest.fixture(scope="module")
def vectors():
    """The stored vectors and those of the code as it is."""
    return json.loads(web_golden.GOLDEN.read_text()), json.loads(web_golden.content())


def test_stored_inputs_are_current(vectors):
    stored, current = vectors
    assert stored["letterboxes"] == current["letterboxes"]


def test_stored_points_are_current(vectors):
    for stored, current in zip(*(found["decodings"] for found in vectors), strict=True):
        # The sigmoid differs in the last bit between processors.
        assert stored["confidence"] == pytest.approx(current["confidence"], abs=3e-6)
        assert (stored["xy"], stored["order"]) == (current["xy"], current["order"])


def test_stored_pages_are_current(vectors):
    for stored, current in zip(*(found["pages"] for found in vectors), strict=True):
        assert stored["corners"] == current["corners"]
        assert stored["sheet"] == pytest.approx(current["sheet"])
        for one, other in zip(stored["pages"], current["pages"], strict=True):
            assert one["size"] == other["size"]
            assert np.abs(np.subtract(one["diagonal"], other["diagonal"])).max() <= 1


def test_drawn_outlines_are_found_and_missed(vectors):
    cases = vectors[0]["decodings"]
    assert len({tuple(case["order"]) for case in cases}) > 1  # some start at another channel than the first
    assert {min(case["confidence"]) < 0.25 for case in cases} == {True, False}
