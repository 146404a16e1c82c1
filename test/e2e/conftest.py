import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import mailroom  # noqa: E402

TEST_S = 300

# Whoever runs us in the background of a script has had SIGINT and its like ignored, and children would inherit that: Ctrl-C is part of what is tested
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def no_test_waits_for_ever():
    def late(signum, frame):
        raise TimeoutError('the test took more than %d s' % TEST_S)

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(TEST_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope='module')
def system():
    """one running system a test module: alice and bob at mailroom.test"""
    with mailroom.System() as m:
        yield m
