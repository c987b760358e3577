"""Describe where a model is served, and how to reach the server."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from runtimes.errors import MissingFileError, ModelFileError

TOKEN = "EDGEHRNET_TOKEN"  # environment variable with the bearer token of models that name none
_HTTP = re.compile(r"(?P<base>(?:/[^/]+)*?)/v2/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?/?")
_GRPC = re.compile(r"(?P<base>)/(?P<name>[^/]+)(?:/(?P<version>[^/]+))?/?")
_PATHS = {"http": _HTTP, "https": _HTTP, "grpc": _GRPC, "grpcs": _GRPC}
ACCEPTED = "http://HOST:PORT/v2/models/NAME (or https) and grpc://HOST:PORT/NAME (or grpcs, with TLS)"


@dataclass(frozen=True)
class RemoteModel:
    """Address of a model on a server that speaks the Open Inference Protocol v2.

    >>> RemoteModel("https://models.example/v2/models/hands").host
    'models.example:443'
    """

    url: str
    """``http://HOST:PORT/v2/models/NAME`` or ``grpc://HOST:PORT/NAME``. With TLS, ``https`` or ``grpcs``. A version may
    follow: ``/versions/2`` or ``/2``."""
    token: str | None = field(default=None, repr=False)
    """Bearer token to send. None is that of the environment variable ``EDGEHRNET_TOKEN``, if there is one."""
    timeout: float = 30.0
    """Seconds to wait for a connection, and for each answer."""
    retries: int = 3
    """Further attempts after connection errors, 0.1 s later, then 0.2, 0.4 and so on. Nothing else is tried again."""
    ca_file: str | Path | None = None
    """PEM file of the certificate authority for TLS. None is the system's."""

    def __post_init__(self) -> None:
        if not (isinstance(self.timeout, int | float) and self.timeout > 0):
            raise ModelFileError(f"timeout={self.timeout!r}; use a number of seconds above 0")
        if not (isinstance(self.retries, int) and self.retries >= 0):
            raise ModelFileError(f"retries={self.retries!r}; use a whole number, 0 for none")
        if self.ca_file is not None and not Path(self.ca_file).is_file():
            raise ModelFileError(f"ca_file {str(self.ca_file)!r} does not exist; pass the PEM file of the authority")
        self._parts  # noqa: B018 - raises an error for a wrong URL

    @property
    def _parts(self) -> re.Match[str]:
        try:
            parts = urlsplit(self.url)
            known = parts.hostname and parts.port != 0 and not parts.username and not parts.query
        except ValueError:  # a port that is no number, or an address without its bracket
            known = None
        match = _PATHS[parts.scheme].fullmatch(parts.path) if known and parts.scheme in _PATHS else None
        if match is None:
            raise MissingFileError(
                f"{self.url!r} is no address of a model on a server, and files are not downloaded; accepted: {ACCEPTED}"
            )
        return match

    @property
    def is_grpc(self) -> bool:
        """True if the server is asked by gRPC."""
        return urlsplit(self.url).scheme.startswith("grpc")

    @property
    def has_tls(self) -> bool:
        """True if the connection is encrypted."""
        return urlsplit(self.url).scheme.endswith("s")

    @property
    def host(self) -> str:
        """Host and port, and the folder in which the server's paths begin, if there is one."""
        parts = urlsplit(self.url)
        port = "" if parts.port else (":443" if self.has_tls else ":80")
        return f"{parts.netloc}{port}{self._parts['base']}"

    @property
    def name(self) -> str:
        """Name of the model."""
        return unquote(self._parts["name"])

    @property
    def version(self) -> str:
        """Version of the model, empty for the server's choice."""
        return unquote(self._parts["version"] or "")

    @property
    def headers(self) -> dict[str, str]:
        """Headers of every request. Their names are in lower case, as gRPC wants them."""
        token = self.token or os.environ.get(TOKEN)
        return {"authorization": f"Bearer {token}"} if token else {}

    def __str__(self) -> str:
        return self.url


Location: TypeAlias = Path | RemoteModel


def location(model: str | Path | RemoteModel) -> Location:
    """Return a path or an address. Text with ``://`` is an address.

    >>> location("files/model.xml").name, location("grpc://localhost:8001/hands").name
    ('model.xml', 'hands')
    """
    if isinstance(model, RemoteModel):
        return model
    return RemoteModel(model) if isinstance(model, str) and "://" in model else Path(model)
