"""Write the results of many pictures to files: JSON, JSON Lines, CSV, COCO and Parquet.

>>> import tempfile
>>> from edgehrnet import Predictor, sample_picture
>>> from edgehrnet.results import write
>>> with Predictor("document-corners", threads=1) as predictor, tempfile.TemporaryDirectory() as folder:
...     write(predictor.stream([sample_picture()]), f"{folder}/out.jsonl")
1
"""

from __future__ import annotations

from edgehrnet.results.files import ResultFiles, write

__all__ = ["ResultFiles", "write"]
