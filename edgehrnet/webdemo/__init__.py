"""A page to try models on one's own pictures, in the browser of the same machine."""

from __future__ import annotations

from edgehrnet.webdemo.serving import serve
from edgehrnet.webdemo.views import Views, views

__all__ = ["Views", "serve", "views"]
