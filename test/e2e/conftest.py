import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import mailroom  # noqa: E402


@pytest.fixture(scope='module')
def system():
    """one running system a test module: alice and bob at mailroom.test"""
    with mailroom.System() as m:
        yield m
