"""The promises of SECURITY.md name tests that exist, and its limits are those of the code."""

import re
from pathlib import Path

from edgehrnet.picture.letterbox import LARGEST_SIDE
from edgehrnet.spec_limits import KEYPOINTS, LIMITS
from runtimes.json_files import DEPTH, MOST_BYTES

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def test_every_promise_has_tests():
    rows = [row for row in TEXT.splitlines() if row.startswith("| ") and ".py`" in row]
    assert len(rows) > 10
    for row in rows:
        for name in re.findall(r"`([\w/]+\.py)`", row):
            assert (ROOT / "tests" / name).is_file(), name


def test_limits_are_those_of_the_code():
    largest = f"{LIMITS['stride'][1]:g}, {LIMITS['kernel'][1]:g}"
    for value in (f"{LARGEST_SIDE} px", f"{KEYPOINTS:,}", f"{MOST_BYTES >> 20} MiB, {DEPTH} lists", largest):
        assert f" {value} " in TEXT, value
