"""Count the CPUs this process may use. Engines count those of the machine and overlook a container's quota."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def visible_cpus() -> int:
    """Return the number of CPUs that the scheduler may run this process on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_quota(cgroup: Path = CGROUP) -> float | None:
    """Return the container's CPU quota in CPUs, None if it is unlimited. Reads cgroup v2, then v1."""
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
    except (ValueError, ZeroDivisionError):  # v2 writes "max" for unlimited
        return None
    return limit if limit > 0 else None  # v1 writes -1 for unlimited


def thread_limit(cgroup: Path = CGROUP) -> int | None:
    """Return the number of threads that the quota allows, None if it does not limit below `visible_cpus`."""
    quota = cpu_quota(cgroup)
    if quota is None or quota >= visible_cpus():
        return None
    return max(1, math.ceil(quota))
