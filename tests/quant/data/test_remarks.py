"""Remarks about labels: their order, their places, and what is shown of odd names."""

import pytest

from edgehrnet.errors import InputError
from quant.data.remarks import LEVELS, LONGEST, PLACES, Remarks


def test_remarks_are_counted_by_kind_and_level_and_the_gravest_come_first():
    remarks = Remarks()
    for level in reversed(LEVELS):
        for number in range(PLACES + 2):
            remarks.add(level, "kind", f"{level} {number}")
    remarks.add("error", "other", "here")
    assert [(remark.level, remark.kind, remark.count) for remark in remarks] == [
        ("error", "kind", PLACES + 2),
        ("error", "other", 1),
        *((level, "kind", PLACES + 2) for level in LEVELS[1:]),
    ]
    assert [remark.kind for remark in remarks.of("error")] == ["kind", "other"]
    assert next(iter(remarks)).text() == "kind: error 0, error 1, error 2 and 2 more"


def test_remarks_of_two_sets_are_added_up():
    ours, others = Remarks(), Remarks()
    ours.add("warning", "kind", "a")
    for place in "bcde":
        others.add("warning", "kind", place)
    others.add("dropped", "kind", "f")
    ours.extend(others)
    assert [remark.text() for remark in ours] == ["kind: a, b, c and 2 more", "kind: f"]
    assert [remark.count for remark in others] == [4, 1]


def test_errors_are_raised_together():
    remarks = Remarks()
    remarks.add("warning", "harmless", "x")
    remarks.raise_errors("labels.json")
    remarks.add("error", "one", "a")
    remarks.add("error", "two", "b")
    with pytest.raises(InputError, match=r"labels\.json[^x]*one: a\n +two: b$"):
        remarks.raise_errors("labels.json")


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\ud800", "\\ud800"),
        ("a\nb\u202e", "a\\nb\\u202e"),
        ("Tür 1, 日本 'x'", "Tür 1, 日本 'x'"),
        ("a" * 10_000 + "b", "a" * (LONGEST // 2) + "..." + "a" * (LONGEST // 2 - 1) + "b"),
    ],
)
def test_names_cannot_control_a_terminal(place, shown):
    remarks = Remarks()
    remarks.add("error", "kind", place)
    assert [remark.places for remark in remarks] == [[shown]]
