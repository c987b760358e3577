import os

import pytest

from runtimes import cpus


def v2(folder, text):
    (folder / "cpu.max").write_text(text)
    return folder


def v1(folder, quota, period):
    (folder / "cpu").mkdir()
    (folder / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (folder / "cpu" / "cpu.cfs_period_us").write_text(period)
    return folder


def nested(root, path, **quotas):
    """Write groups of version 2 at each level of a path, and the file that names the innermost one."""
    group = root
    for part in path.strip("/").split("/"):
        group /= part
        group.mkdir()
        if part in quotas:
            v2(group, quotas[part])
    own = root / "own"
    own.write_text(f"1:name=systemd:/else\n0::{path}\n")
    return own


@pytest.mark.parametrize(
    ("quotas", "expected"),
    [
        ({"app": "200000 100000"}, 2.0),
        ({"user": "150000 100000", "app": "max 100000"}, 1.5),
        ({"user": "100000 100000", "app": "300000 100000"}, 1.0),
        ({}, None),
    ],
)
def test_the_smallest_quota_of_nested_groups_counts(tmp_path, quotas, expected):
    assert cpus.cpu_quota(tmp_path, nested(tmp_path, "/user/app", **quotas)) == expected


def test_nested_groups_of_version_1(tmp_path):
    inner = tmp_path / "cpu,cpuacct" / "user"
    inner.mkdir(parents=True)
    (inner / "cpu.cfs_quota_us").write_text("50000")
    (inner / "cpu.cfs_period_us").write_text("100000")
    own = tmp_path / "own"
    own.write_text("4:cpu,cpuacct:/user\n0::/\n")
    assert cpus.cpu_quota(tmp_path, own) == 0.5


@pytest.mark.parametrize("path", ["/not/here", "/../outside", ""])
def test_a_group_that_is_not_visible_has_the_quota_of_the_outermost(tmp_path, path):
    own = tmp_path / "own"
    own.write_text(f"0::{path}\nno group\n")
    assert cpus.cpu_quota(v2(tmp_path, "100000 100000"), own) == 1.0


@pytest.fixture
def eight_cpus(monkeypatch):
    monkeypatch.setattr(cpus, "visible_cpus", lambda: 8)


@pytest.mark.parametrize(
    ("text", "quota"), [("150000 100000\n", 1.5), ("max 100000\n", None), ("400000 100000", 4.0), ("50000 100000", 0.5)]
)
def test_quota_of_cgroup_v2(tmp_path, text, quota):
    assert cpus.cpu_quota(v2(tmp_path, text)) == quota


@pytest.mark.parametrize(
    ("quota", "period", "expected"), [("150000\n", "100000\n", 1.5), ("-1\n", "100000\n", None), ("100000", "0", None)]
)
def test_quota_of_cgroup_v1(tmp_path, quota, period, expected):
    assert cpus.cpu_quota(v1(tmp_path, quota, period)) == expected


def test_cgroup_v2_has_priority(tmp_path):
    assert cpus.cpu_quota(v1(v2(tmp_path, "200000 100000"), "100000", "100000")) == 2.0


@pytest.mark.parametrize("text", ["", "max", "nonsense here", "1 0", "9" * 400 + " 1", "100000"])
def test_malformed_text_means_no_limit(tmp_path, text):
    assert cpus.cpu_quota(v2(tmp_path, text)) is None


def test_binary_content_means_no_limit(tmp_path):
    (tmp_path / "cpu.max").write_bytes(b"\xff\xfe\x00")
    assert cpus.cpu_quota(tmp_path) is None


def test_no_cgroup_means_no_limit(tmp_path):
    assert cpus.cpu_quota(tmp_path) is None
    assert cpus.cpu_quota(tmp_path / "none") is None
    assert cpus.thread_limit(tmp_path) is None


@pytest.mark.parametrize(
    ("quota", "threads"), [(20_000, 1), (100_000, 1), (150_000, 2), (700_000, 7), (800_000, None), (1_600_000, None)]
)
def test_threads_are_limited_to_a_quota_below_the_number_of_cpus(tmp_path, eight_cpus, quota, threads):
    assert cpus.thread_limit(v2(tmp_path, f"{quota} 100000")) == threads


def test_visible_cpus_without_affinity(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cpus.visible_cpus() == 1
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cpus.visible_cpus() == 6


def test_this_machine_has_a_visible_cpu():
    assert cpus.visible_cpus() >= 1
