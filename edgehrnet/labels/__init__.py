"""Write predictions as labels to be corrected in a labeling tool, for the pictures of which the model is least certain.

`write_labels` makes a folder with copies of these pictures and the files that the tool imports. The readers of
``quant.train --data`` take what the tool exports.
"""

from __future__ import annotations

from edgehrnet.labels.writing import FORMATS, Written, labeled_before, write_labels

__all__ = ["FORMATS", "Written", "labeled_before", "write_labels"]
