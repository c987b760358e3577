"""Predict many pictures on several machines with Ray, and write one Parquet file.

A folder beside the file holds the list of all pictures, cut into parts, and a Parquet file for each part that is done.
A part appears whole or not at all, and computing it twice gives the same file, so a worker or the whole run may be
killed at any time.
"""

from __future__ import annotations

from edgehrnet.many.running import Summary, predict_many

__all__ = ["Summary", "predict_many"]
