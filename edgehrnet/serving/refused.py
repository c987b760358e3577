"""Define the error that a client gets."""

from __future__ import annotations


class RefusedError(Exception):
    """A request is not answered. The text is for the client.

    Args:
        status: Status of HTTP.
        text: A sentence that says what is wrong with the request, or with the server.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
