"""One server, two bystanders in a call on it, and attackers. Whatever these do, the bystanders' call goes on."""

import pytest

from rig.attack import Watched
from rig.server import Server


@pytest.fixture(scope="session")
def server():
    # As in production, and with everything that it can say, so that a token in a log would be found.
    server = Server("hostile", arguments=(), LOG_LEVEL="debug").start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def watched(server):
    watched = Watched(server)
    yield watched
    watched.stop()


@pytest.fixture
def room(request):
    return request.node.name
