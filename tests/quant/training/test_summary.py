"""What a run says before it starts."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from quant.training import summary
from quant.training.trainer import Trainer


@pytest.mark.parametrize(
    ("picture", "workers", "said", "advice"),
    [(0.01, 1, "1 min 40 s", False), (0.5, 1, "6 min 40 s", True), (0.5, 4, "1 min 40 s", False),
     (0.1, 0, "3 min 0 s", False)],
)  # fmt: skip
def test_the_estimated_time_has_that_of_the_pictures(
    monkeypatch: pytest.MonkeyPatch, picture: float, workers: int, said: str, advice: bool
) -> None:
    monkeypatch.setattr(summary, "step_seconds", lambda _: 1.0)
    monkeypatch.setattr(summary, "picture_seconds", lambda _: picture)
    settings = SimpleNamespace(workers=workers, steps=110)
    text = summary._time(cast(Trainer, SimpleNamespace(settings=settings, step=10, batch=8)))
    assert f"about {said}" in text
    assert ("--workers" in text) == advice


def test_the_time_of_a_picture_is_that_of_reading_it() -> None:
    read: list[Any] = []
    data = SimpleNamespace(training=lambda *place: read.append(place))
    trainer = SimpleNamespace(data=data, settings=SimpleNamespace(seed=7))
    assert summary.picture_seconds(cast(Trainer, trainer)) >= 0
    assert read == [(7, number) for number in range(summary.TIMED)]
