"""Keypoints from a picture, on the edge: one call for every model file, without torch.

>>> from edgehrnet import Predictor, shipped_model
>>> predictor = Predictor(shipped_model("document-corners"))
>>> predictor.spec.keypoints
('top-left', 'top-right', 'bottom-right', 'bottom-left')
"""

from __future__ import annotations

from pathlib import Path

from edgehrnet.errors import InputError, nearest
from edgehrnet.predictor import Predictor
from edgehrnet.result import Keypoints, Result
from edgehrnet.selfcheck import Report
from edgehrnet.spec import ModelSpec

__version__ = "0.1.0"
__all__ = [
    "Keypoints",
    "ModelSpec",
    "Predictor",
    "Report",
    "Result",
    "__version__",
    "sample_picture",
    "shipped_model",
]

_ASSETS = Path(__file__).parent / "assets"
_SHIPPED = {
    "document-corners": "document-corners-hs.xml",
    "document-corners-hs": "document-corners-hs.xml",
    "document-corners-silu": "document-corners-silu.xml",
    "document-corners-fp16": "document-corners-fp16.xml",
}
_SAMPLES = ("document", "receipt", "card", "book")


def shipped_model(name: str) -> Path:
    """Return the path of a model file that comes with the package.

    >>> shipped_model("document-corner")
    Traceback (most recent call last):
    edgehrnet.errors.InputError: no shipped model 'document-corner'; did you mean 'document-corners'? accepted: \
document-corners, document-corners-fp16, document-corners-hs, document-corners-silu
    """
    if name not in _SHIPPED:
        raise InputError(f"no shipped model {name!r}; {nearest(name, _SHIPPED)}")
    return _ASSETS / _SHIPPED[name]


def sample_picture(name: str = "document") -> Path:
    """Return the path of a picture drawn by the project: document, receipt, card or book.

    >>> sample_picture("card").name
    'card.jpg'
    """
    if name not in _SAMPLES:
        raise InputError(f"no sample picture {name!r}; {nearest(name, _SAMPLES)}")
    return _ASSETS / f"{name}.jpg"
