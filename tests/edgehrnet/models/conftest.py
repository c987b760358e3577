"""Networks that several test files share."""

import functools

import pytest


@pytest.fixture(scope="session")
def weightless():
    """A function that creates a network without data, once for each name and options."""
    # Imported here, because pytest also loads this file where torch is not installed.
    import torch

    from edgehrnet.models import create

    @functools.cache
    def made(name, **options):
        with torch.device("meta"):
            return create(name, **options)

    return made
