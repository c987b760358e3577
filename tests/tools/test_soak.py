"""The soak finds memory, threads and handles that grow."""

from dataclasses import replace

import pytest

from tools.soak import Sample, growth, problems, report

STEP = 800


def samples(leak=0.0, threads=0, handles=0):
    """A process that grows while it warms up, and by ``leak`` bytes a frame, in pages."""
    found = []
    for number in range(1, 101):
        frames = number * STEP
        memory = 100_000_000 + min(number, 40) * 100_000 + int(leak * frames) // 4096 * 4096
        found.append(Sample(frames, memory, 0, 9 + threads * number, 7 + handles * number, (number,) * 3))
    return found


def test_a_leak_after_the_warm_up_is_found_and_the_warm_up_is_none():
    assert problems(samples()) == []
    assert growth(samples(32)) == pytest.approx(32, abs=1)
    assert [text.split()[0] for text in problems(samples(32))] == ["memory"]
    assert problems(samples(5)) == []


def test_a_single_step_is_no_leak():
    steps = [2_000_000 * (number >= 90) for number in range(100)]
    later = [replace(sample, memory=sample.memory + step) for sample, step in zip(samples(), steps, strict=True)]
    assert abs(growth(later)) < 10
    assert growth([replace(sample, memory=sample.memory + 32 * sample.frames) for sample in later]) > 30


def test_threads_and_handles_must_not_grow():
    assert [text.split()[0] for text in problems(samples(threads=1, handles=1))] == ["threads", "handles"]


def test_the_report_has_the_first_and_the_last_tenth():
    first, last = report(samples()).splitlines()[1:]
    assert "p50 5.50 ms" in first
    assert "p50 95.50 ms" in last
