import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Maps this small gain nothing from threads, and lose a lot to their barriers on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
