"""Mail that leaves to servers that do what they should not (odd_server.py), all at once: what one can read decides, and what nobody can read, contradicts itself
or never ends is tried again, never taken for a refusal."""
import time

import pytest

import mailroom
import odd_server
from test_delivery import Client, conf, deliveries

TIMES = 'data-timeout = 5s body-timeout = 5s retry-first = 1h retry-most = 1h'
# what is said in words that one can read; sent: oddities that do no harm
REFUSED = {'greet-554', 'ehlo-550', 'mail-550', 'mail-550-close', 'rcpt-550', 'data-554', 'dot-554', 'escapes', 'bare-code', 'refuses-early'}
SENT = {'well', 'greet-lines', 'greet-masked', 'ehlo-502', 'close-quit', 'rcpt-452', 'rcpt-452-5', 'rcpt-552', 'slow'}
TLS_ONLY = {n for n in odd_server.NAMED if n.startswith(('starttls-', 'tls-')) or n == 'close-starttls'}
IN_DOUBT = {'close-dot', 'close-half', 'lost-dot', 'dot-garbage', 'dot-endless', 'dot-hang', 'dot-354', 'reads-slowly'}


def system(servers, more=''):
    routes = ''.join('route "%s" { domains = "%s.odd.test" to = "[%s]:%d" %s }\n' % (n, n, s.address, s.port, more) for n, s in servers.items())
    return mailroom.System(conf=conf(routes, delivery=TIMES).replace('retry-first = 1s retry-most = 2s', ''))


def outcomes(m, servers, timeout=60):
    c = Client(m)
    for n in servers:
        c.send('to@%s.odd.test' % n)
    c.close()
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        first = {}
        for d in deliveries(m):
            first.setdefault(d['rcpt'][3:-9], d)
        if len(first) == len(servers):
            return first
        time.sleep(0.2)
    raise AssertionError('nothing came of %r' % (set(servers) - set(first)))


@pytest.fixture(scope='module')
def results():
    """{name: its first delivery}, {name: server}"""
    port, = mailroom.free_ports(1)
    names = [n for n in odd_server.NAMED if n not in TLS_ONLY]
    servers = {n: odd_server.OddServer(n, address='127.77.%d.%d' % (i // 100, i % 100 + 1), port=port) for i, n in enumerate(names)}
    try:
        with system(servers) as m:
            yield outcomes(m, servers), servers, m
    finally:
        for s in servers.values():
            s.stop()


@pytest.mark.parametrize('name', [n for n in odd_server.NAMED if n not in TLS_ONLY])
def test_outcome(results, name):
    d, s = results[0][name], results[1][name]
    want = 'refused' if name in REFUSED else 'sent' if name in SENT else 'later'
    assert d['outcome'] == want, d
    assert ('cause' in d) is (want != 'sent')
    if name in IN_DOUBT:
        assert d['cause'] == 'remote-in-doubt', d
    if want == 'sent':
        assert [m.rcpts for m in s.messages] == [['to@%s.odd.test' % name]]
    assert all(0x20 <= ord(c) < 0x7f or ord(c) >= 0xa0 for c in d.get('words', '')), d


def test_the_relay_lives_on(results):
    m = results[2]
    assert 'role-died' not in m.log() and m.log().count('event=role-ready started=relay') == 1


@pytest.mark.parametrize('level', ['opportunistic', 'required'])
def test_tls_that_fails(tmp_path, level):
    port, = mailroom.free_ports(1)
    tls = odd_server.certificates(tmp_path)['good']
    servers = {n: odd_server.OddServer(n, address='127.78.1.%d' % (i + 1), port=port, tls=tls) for i, n in enumerate(sorted(TLS_ONLY))}
    try:
        with system(servers, 'tls = %s' % level) as m:
            first = outcomes(m, servers)
            for n, d in first.items():
                assert d['outcome'] != 'refused', d
                if level == 'required':
                    assert d['outcome'] == 'later' and not servers[n].messages, (n, d)
                assert all(not x.login for x in servers[n].messages)
            if level == 'opportunistic':
                assert first['starttls-454']['outcome'] == first['tls-garbage']['outcome'] == first['tls-close']['outcome'] == 'sent', first
    finally:
        for s in servers.values():
            s.stop()
