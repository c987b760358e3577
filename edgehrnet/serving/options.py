"""Describe where a server listens and what it accepts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgehrnet.errors import InputError
from edgehrnet.picture.limits import MAX_PIXELS


@dataclass(frozen=True)
class Options:
    """Where a server listens and what it accepts."""

    host: str = "127.0.0.1"
    """Address of the network interface. ``0.0.0.0`` is all of them."""
    port: int = 8000
    """Port for REST. 0 is any free one."""
    grpc_port: int | None = None
    """Port for gRPC. 0 is any free one, None is none."""
    max_body: int = 32 << 20
    """Bytes of a request."""
    max_pixels: int = MAX_PIXELS
    """Pixels of a picture."""
    workers: int = 2
    """Requests that are worked on at a time. While one runs the network, another is read and prepared."""
    queue: int = 16
    """Requests that may wait. Further ones are refused with status 429."""
    timeout: float = 30.0
    """Seconds for a request to arrive, and then again for its answer. At its end the server waits as long."""
    token: str | None = field(default=None, repr=False)
    """Bearer token that requests must have, except those about the server's health. None is none."""
    certificate: Path | None = None
    """PEM file with the certificates for TLS. None is no TLS."""
    key: Path | None = None
    """PEM file with the private key."""

    def __post_init__(self) -> None:
        for name, least in (("port", 0), ("max_body", 1), ("workers", 1), ("queue", 0), ("grpc_port", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name}={value}; use at least {least}")
        if not self.timeout > 0:
            raise InputError(f"timeout={self.timeout}; use a number of seconds above 0")
        if (self.certificate is None) != (self.key is None):
            raise InputError("TLS needs both a certificate and its key; pass --certificate and --key")
        for file in (self.certificate, self.key):
            if file is not None and not file.is_file():
                raise InputError(f"{str(file)!r} does not exist; pass a PEM file")
