"""A pool of three for each test: what a test kills does not meet the next one."""

import pytest

from rig.pool import Pool


@pytest.fixture
def pool():
    pool = Pool()
    try:
        yield pool.start()
    finally:
        pool.stop()


@pytest.fixture
def room(request):
    return request.node.name
