"""Find the model files and pictures that come with the package."""

from __future__ import annotations

from pathlib import Path

from edgehrnet.errors import InputError, nearest

_ASSETS = Path(__file__).parent / "assets"
_MODELS = {
    "document-corners": "document-corners-silu.xml",
    "document-corners-hs": "document-corners-hs.xml",
    "document-corners-silu": "document-corners-silu.xml",
    "document-corners-fp16": "document-corners-fp16.xml",
}
_SAMPLES = ("document", "receipt", "card", "book")


def shipped_model(name: str) -> Path:
    """Return the path of a model file that comes with the package.

    >>> shipped_model("document-corner")
    Traceback (most recent call last):
    edgehrnet.errors.InputError: 'document-corner' is not a shipped model; did you mean 'document-corners'? accepted: \
document-corners, document-corners-fp16, document-corners-hs, document-corners-silu; \
a path has a suffix, as in model.xml
    """
    if name not in _MODELS:
        raise InputError(
            f"{name!r} is not a shipped model; {nearest(name, _MODELS)}; a path has a suffix, as in model.xml"
        )
    return _ASSETS / _MODELS[name]


def model_path(model: str | Path) -> Path:
    """Return the path of a shipped model by its name, and any other path unchanged.

    Text without a folder and without a suffix is a name, because every model file has a suffix.

    >>> model_path("document-corners").name, model_path("runs/model.xml").name
    ('document-corners-silu.xml', 'model.xml')
    """
    path = Path(model)
    is_name = isinstance(model, str) and path.name == model and not path.suffix
    return shipped_model(path.name) if is_name else path


def sample_picture(name: str = "document") -> Path:
    """Return the path of a synthetic picture: document, receipt, card or book.

    >>> sample_picture("card").name
    'card.jpg'
    """
    if name not in _SAMPLES:
        raise InputError(f"{name!r} is not a sample picture; {nearest(name, _SAMPLES)}")
    return _ASSETS / f"{name}.jpg"
