"""The node that tests/node/run started, with the chart installed once."""

import os
import time
from pathlib import Path

import pytest

from rig.kube import Node


@pytest.fixture(scope="session")
def node():
    return Node(Path(os.environ["PLENUM_NODE"]))


@pytest.fixture(scope="session")
def installed(node):
    """Time at which `helm install` began."""
    began = time.monotonic()
    node.helm_install()
    return began


@pytest.fixture
def room(request):
    return request.node.name.replace("_", "-")
