"""One session at a time has a mailbox (RFC 1939 4), and who lost the connection and comes right back is not told that the mailbox is in use."""
import os
import poplib
import signal
import socket
import ssl
import struct
import threading
import time

import pytest

import mailroom

NO_VERIFY = ssl._create_unverified_context()
ALICE = 'alice@mailroom.test'


@pytest.fixture(scope='module')
def m():
    with mailroom.System(accounts=('alice',), conf='workers {\n\tuser = 2\n\trelay = 0\n}\n') as system:
        yield system


def pop(m):
    p = poplib.POP3_SSL('127.0.0.1', m.port['pop3s'], context=NO_VERIFY, timeout=20)
    p.user(ALICE)
    p.pass_(m.password[ALICE])
    return p


def tries(m):
    try:
        return pop(m)
    except poplib.error_proto:
        return None


def break_off(p, reset=False):
    """no QUIT: the connection is closed, or torn"""
    if reset:
        p.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    p.file.close()
    p.sock.close()


def test_back_at_once(m):
    for n in range(50):
        break_off(pop(m), reset=n % 2 == 1)
    pop(m).quit()


def descriptors(m):
    return {pid: len(os.listdir('/proc/%d/fd' % pid)) for pid in m.pid_of('user')}


def settled(m):
    """when nothing is closed any more"""
    last, since = None, time.monotonic()
    while time.monotonic() < since + 0.5:
        now = descriptors(m)
        if now != last:
            last, since = now, time.monotonic()
        time.sleep(0.02)
    return last


def test_back_before_the_worker_has_seen_that_it_was_gone(m):
    idle = settled(m)
    for _ in range(3):
        p = pop(m)
        (busy,) = [pid for pid, n in descriptors(m).items() if n > idle[pid]]
        os.kill(busy, signal.SIGSTOP)
        wakes = threading.Timer(0.4, os.kill, (busy, signal.SIGCONT))
        try:
            break_off(p)
            wakes.start()
            p = pop(m)  # at the other worker
        finally:
            wakes.cancel()
            os.kill(busy, signal.SIGCONT)
        p.quit()
        idle = settled(m)


def test_in_use_is_said_of_a_mailbox_in_use(m):
    first = pop(m)
    for _ in range(2):
        with pytest.raises(poplib.error_proto) as e:
            pop(m)
        assert b'[IN-USE]' in e.value.args[0] and b'mailbox-locked' in e.value.args[0]
    assert first.noop().startswith(b'+OK')
    first.quit()


def test_who_waits_gets_it_when_it_is_free(m):
    """a machine that is busy may take longer over it than the other waits: then once more"""
    for _ in range(10):
        first, waits = pop(m), []
        other = threading.Thread(target=lambda: waits.append(tries(m)))
        other.start()
        time.sleep(0.2)
        assert not waits
        first.quit()
        other.join(20)
        if waits[0]:
            break
    assert waits[0].noop().startswith(b'+OK')
    waits[0].quit()
