"""What every test here has: a System of its own."""

import pytest

from kit import System


@pytest.fixture
def system():
    """Nodes on this machine, whose folder and processes go when the test ends."""
    with System() as system:
        yield system
