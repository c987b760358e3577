import json

import pytest
from PIL import Image

from quant import curve

LINE = {"loss": {"heatmaps": 0.1, "offsets": 0.01}, "median_percent": 1.0, "mean_percent": 2.0, "pck2": 80.0}


def test_runs_follow_each_other_and_become_one_picture(tmp_path):
    logs = []
    for name, steps in (("a", (10, 20)), ("b", (5, 15))):
        log = tmp_path / f"{name}.jsonl"
        log.write_text("".join(json.dumps({**LINE, "step": step}) + "\n" for step in steps))
        logs.append(log)
    assert [line["step"] for line in curve.read_logs(logs)] == [10, 20, 25, 35]
    assert curve.main([*map(str, logs), "--out", str(tmp_path / "curve.png")]) == 0
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.size == pytest.approx((1210, 506), abs=2)
