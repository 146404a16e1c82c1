"""Listings that are longer than what is kept to be laid out at once: all of it comes, once, in order; and how much is wanted can be said."""
import json
import smtplib
import ssl
import subprocess

import pytest

import mailroom

ROWS = 2300
COLUMNS = ('ID', 'RECEIVED', 'SIZE', 'SENDER', 'RECIPIENT', 'STATE', 'TRIES', 'NEXT TRY', 'WHY')


@pytest.fixture(scope='module')
def system():
    with mailroom.System() as m:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with smtplib.SMTP_SSL('127.0.0.1', m.port['submissions'], context=context, timeout=60) as s:
            s.login('alice@mailroom.test', m.password['alice@mailroom.test'])
            for begin in range(0, ROWS, 1000):
                refused = s.sendmail('alice@mailroom.test', ['r%04d@d%d.example' % (n, n % 7) for n in range(begin, min(begin + 1000, ROWS))], 'Subject: many\r\n\r\nbody\r\n')
                assert not refused
        yield m


def recipients(count, keep=lambda n: True):
    return ['r%04d@d%d.example' % (n, n % 7) for n in range(ROWS) if keep(n)][:count]


@pytest.mark.parametrize('words,want', [((), recipients(ROWS)), (('--limit', '1'), recipients(1)), (('--limit', '1000'), recipients(1000)), (('--limit', '1001'), recipients(1001)),
                                        (('--limit', '9999'), recipients(ROWS)), (('--domain', 'd3.example', '--limit', '20'), recipients(20, lambda n: n % 7 == 3)),
                                        (('--domain', 'd3.example'), recipients(ROWS, lambda n: n % 7 == 3))])
def test_rows(system, words, want):
    assert [row['recipient'] for row in json.loads(system.run('queue', 'list', '--json', *words))] == want
    lines = system.run('queue', 'list', *words).splitlines()
    assert lines[0].split('  ')[0] == 'ID' and all(c in lines[0] for c in COLUMNS)
    assert [next(x for x in line.split() if x.startswith('r') and '@' in x) for line in lines[1:]] == want


def test_nothing_is_an_empty_list(system):
    assert json.loads(system.run('queue', 'list', '--json', '--domain', 'nowhere.example')) == []
    assert system.run('queue', 'list', '--domain', 'nowhere.example') == ''


@pytest.mark.parametrize('limit', ['0', '-1', 'ten', ''])
def test_a_limit_that_is_none(system, limit):
    p = system.run('queue', 'list', '--limit', limit, check=False)
    assert p.returncode == 2 and 'from 1 on' in p.stderr and not p.stdout


def test_a_reader_that_has_seen_enough(system):
    """queue list | head"""
    p = subprocess.run('%s queue list --home %s | head -3' % (mailroom.program(), system.home), shell=True, capture_output=True, text=True, check=True)
    assert len(p.stdout.splitlines()) == 3 and not p.stderr
