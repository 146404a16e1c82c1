"""The dialogue scripts of test/flow against a running server: what the engine says in memory, the whole system says on the wire."""
import os
import re
import subprocess

import pytest

import mailroom
from mailroom import ROOT, Wire


@pytest.fixture(scope='module')
def m():
    # the scripts fail to sign in on purpose, more often than one address may
    with mailroom.System('auth {\n\tfailures-per-address = 1000\n\tfailures-per-account = 1000\n\tfailure-delay = 10ms\n}\n', accounts=()) as system:
        system.account('alice', 'wonderland')
        system.account('bob', 'builder')
        system.account('full', 'stuffed-1', quota='1KB')
        system.account('off', 'switched-off')
        system.run('account', 'disable', 'off@mailroom.test')
        with Wire(system.port['mx']) as w:
            w.ask('EHLO fill.example')
            w.ask('MAIL FROM:<fill@example.org>')
            w.ask('RCPT TO:<full@mailroom.test>')
            w.ask('DATA')
            assert w.ask('Subject: fills it\r\n\r\n%s.' % (('x' * 70 + '\r\n') * 30)).startswith('250')
        yield system


@pytest.mark.parametrize('protocol', ['smtp', 'pop3'])
def test_dialogues(m, protocol):
    ports = [x for name, port in m.port.items() for x in ('--' + name, '127.0.0.1:%d' % port)]
    folder = os.path.join(ROOT, 'test/flow', protocol)
    scripts = sorted(os.path.join(folder, f) for f in os.listdir(folder) if f.endswith('.flow'))
    p = subprocess.run(['/usr/bin/python3', os.path.join(ROOT, 'test/flow/live.py'), *ports, *scripts], capture_output=True, text=True, timeout=300)
    passed, failed = map(int, re.search(r'(\d+) passed, (\d+) failed', p.stdout).groups())
    assert failed == 0 and p.returncode == 0, p.stdout[-6000:]
    assert passed > len(scripts) // 2
