"""Networks that several test files share."""

import functools

import pytest
import torch

from edgehrnet.models import create


@pytest.fixture(scope="session")
def weightless():
    """A function that creates a network without data, once for each name and options."""

    @functools.cache
    def made(name, **options):
        with torch.device("meta"):
            return create(name, **options)

    return made
