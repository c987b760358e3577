"""Count the CPUs this process may use. Engines count those of the machine and overlook a container's quota."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")


def visible_cpus() -> int:
    """Return the number of CPUs that the scheduler may run this process on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_quota(root: Path = CGROUP, own: Path = OWN_GROUPS) -> float | None:
    """Return the CPU quota of this process in CPUs, None if it is unlimited.

    The smallest quota of the process's control group and of all groups above it counts. Groups of version 2 come before
    those of version 1.

    Args:
        root: Folder where the groups are mounted.
        own: File that names the groups of this process.
    """
    for folder, read in _groups(root, own):
        quotas = [read(group) for group in (folder, *folder.parents) if group.is_relative_to(root)]
        found = [quota for quota in quotas if quota is not None]
        if found:
            return min(found)
    return None


def _groups(root: Path, own: Path) -> Iterator[tuple[Path, Callable[[Path], float | None]]]:
    """Yield the folder of each group of this process that may limit CPUs, and the function that reads it.

    In a container, the folder of the outermost group is often that of the container, and the path is not below it.
    """
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    paths = {
        controllers: path.lstrip("/")
        for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") > 1)
    }
    for name in ("", "unified"):
        yield _existing(root / name, paths.get("", "")), _version2
    for controllers in ("cpu", "cpu,cpuacct", "cpuacct,cpu"):
        yield _existing(root / controllers, paths.get(controllers, "")), _version1


def _existing(mounted: Path, path: str) -> Path:
    """Return the folder of a group, or the outermost one if the group is not visible here."""
    folder = mounted / path
    return folder if ".." not in folder.parts and folder.is_dir() else mounted


def _version2(group: Path) -> float | None:
    return _ratio(group / "cpu.max")


def _version1(group: Path) -> float | None:
    return _ratio(group / "cpu.cfs_quota_us", group / "cpu.cfs_period_us")


def _ratio(*files: Path) -> float | None:
    """Return the quota by the period that one or two files hold, None if there is no limit or no such file."""
    try:
        quota, period = " ".join(file.read_text(encoding="ascii") for file in files).split()[:2]
        limit = int(quota) / int(period)
    except (OSError, ValueError, ArithmeticError):  # version 2 writes "max" for no limit
        return None
    return limit if limit > 0 else None  # version 1 writes -1 for no limit


def thread_limit(root: Path = CGROUP, own: Path = OWN_GROUPS) -> int | None:
    """Return the number of threads that the quota allows, None if it does not limit below `visible_cpus`."""
    quota = cpu_quota(root, own)
    if quota is None or quota >= visible_cpus():
        return None
    return max(1, math.ceil(quota))
