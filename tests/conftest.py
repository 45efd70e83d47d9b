"""For every folder of PyPI tests."""

import os
import sys

import pytest


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """Ends at once with what the tests said: threads of the PyPI client may abort the interpreter while it takes itself apart."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(getattr(config, "plenum_exit", 0))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    session.config.plenum_exit = int(exitstatus)
