"""How many CPUs this process may use; engines look at the machine and overlook a container's quota."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def visible_cpus() -> int:
    """Return the CPUs the scheduler may put this process on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_quota(cgroup: Path = CGROUP) -> float | None:
    """Return the CPU time a second this container may use, None if unlimited (cgroup v2, then v1)."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()[:2]
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    try:
        limit = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max" in v2
        return None
    return limit if limit > 0 else None  # -1 in v1


def thread_limit(cgroup: Path = CGROUP) -> int | None:
    """Return how many threads to run where a quota allows fewer than the machine has; None: no cap needed."""
    quota = cpu_quota(cgroup)
    if quota is None or quota >= visible_cpus():
        return None
    return max(1, math.ceil(quota))
