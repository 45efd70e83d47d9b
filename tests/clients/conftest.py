"""One server for all tests of this folder; each test has a room of its own."""

import pytest

from rig.server import Server


@pytest.fixture(scope="session")
def server():
    server = Server().start()
    yield server
    server.stop()


@pytest.fixture
def room(request):
    return request.node.name
