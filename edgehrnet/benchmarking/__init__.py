"""Measure model files on this machine: times of the stages, throughput, cold start, memory, slow operations, error.

Every measurement runs in a process of its own, so that none finds what another has left in memory.
"""

from __future__ import annotations

from edgehrnet.benchmarking.cases import Case, cases_of
from edgehrnet.benchmarking.page import page
from edgehrnet.benchmarking.running import Report, benchmark

__all__ = ["Case", "Report", "benchmark", "cases_of", "page"]
