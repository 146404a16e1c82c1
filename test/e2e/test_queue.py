"""mailroom queue: what waits, why, and an administrator's hand; against a running server that has no relay, so that everything waits, and one that has."""
import json
import re
import smtplib
import socketserver
import ssl
import threading
import time

import pytest

import mailroom


def send(system, *rcpts, sender='alice@mailroom.test', subject='hello'):
    with smtplib.SMTP_SSL('127.0.0.1', system.port['submissions'], context=ssl._create_unverified_context()) as s:
        s.login('alice@mailroom.test', system.password['alice@mailroom.test'])
        s.sendmail(sender, list(rcpts), 'From: alice@mailroom.test\r\nSubject: %s\r\n\r\nbody\r\n' % subject)


def rows(system, *args):
    return json.loads(system.run('queue', 'list', '--json', *args))


def until(what, seconds=20):
    end = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < end
        time.sleep(0.1)


def told(system, want, *args):
    """the history is written a quarter of a second after things happened"""
    return until(lambda: (lambda p: p.stdout if re.search(want, p.stdout) else None)(system.run(*args, check=False)))


@pytest.fixture(scope='module')
def system():
    with mailroom.System() as m:
        yield m


@pytest.fixture
def queued(system):
    system.run('queue', 'remove', '--all', check=False)
    send(system, 'one@far.example', 'two@far.example', 'three@near.example')
    return rows(system)[0]['id']


def test_rows_say_why_they_wait(system, queued):
    found = rows(system)
    assert {(r['recipient'], r['destination'], r['state'], r['why']) for r in found} == {
        ('one@far.example', 'far.example', 'waiting', 'not tried yet'), ('two@far.example', 'far.example', 'waiting', 'not tried yet'),
        ('three@near.example', 'near.example', 'waiting', 'not tried yet')}
    assert re.search(r'(?m)^WHY|WHY$', system.run('queue', 'list').splitlines()[0])
    where = {d['destination']: d for d in json.loads(system.run('queue', 'destinations', '--json'))}
    assert where['far.example']['waiting'] == 2 and where['near.example']['waiting'] == 1 and where['far.example']['failures'] == 0
    shown = system.run('queue', 'show', queued)
    assert shown.count('not tried yet') == 3 and 'three@near.example  waiting, 0 tries, next ' in shown


def test_options_choose(system, queued):
    assert [r['recipient'] for r in rows(system, '--domain', 'near.example')] == ['three@near.example']
    assert [r['recipient'] for r in rows(system, '--recipient', 'TWO@far.example')] == ['two@far.example']
    assert len(rows(system, '--sender', 'alice@mailroom.test', '--account', 'alice@mailroom.test', '--state', 'waiting')) == 3
    assert rows(system, '--sender', '<>') == rows(system, '--state', 'held') == rows(system, '--older-than', '1h') == rows(system, '--cause', 'greylisted') == []
    assert len(rows(system, '--older-than', '1ms')) == 3
    for args, words in ((('--state', 'lost'), 'waiting, held'), (('--older-than', 'ages'), '2h or 3d')):
        p = system.run('queue', 'list', *args, check=False)
        assert p.returncode == 2 and words in p.stderr
    assert system.run('queue', 'show', 'nonsense!', check=False).returncode == 1


def test_hold_release_remove(system, queued):
    p = system.run('queue', 'hold', check=False)
    assert p.returncode == 2 and '--all' in p.stderr  # nobody holds everything by accident
    assert system.run('queue', 'hold', '--domain', 'far.example') == '2 recipients are held\n'
    assert {r['recipient']: r['why'] for r in rows(system, '--state', 'held')} == {
        'one@far.example': 'held by an administrator', 'two@far.example': 'held by an administrator'}
    assert rows(system, '--state', 'held')[0]['next_try'] is None
    assert system.run('queue', 'hold', '--domain', 'far.example', check=False).returncode == 1  # they are
    assert system.run('queue', 'release', '--recipient', 'one@far.example') == '1 recipient is released\n'
    assert json.loads(system.run('queue', 'release', queued, '--json')) == {'changed': 1}
    assert json.loads(system.run('queue', 'flush', '--json')) == {'changed': 3}
    assert system.run('queue', 'retry', queued) == '3 recipients are tried now\n'
    assert system.run('queue', 'remove', '--recipient', 'two@far.example') == '1 recipient is removed\n'
    assert len(rows(system)) == 2
    said = told(system, 'removed', 'queue', 'why', queued)
    assert re.search(r'removed %s for two@far\.example' % queued, said) and re.search(r'held %s for one@far\.example' % queued, said), said
    assert 'three@near.example: waiting, 0 tries, next ' in said and 'accepted %s from alice@mailroom.test' % queued in said


def test_bounced_mail_goes_back(system, queued):
    assert system.run('queue', 'bounce', '--recipient', 'two@far.example') == '1 recipient goes back to its sender\n'
    until(lambda: len(rows(system)) == 2, 60)
    mail = until(lambda: [m for m in json.loads(system.run('mail', 'list', 'alice@mailroom.test', '--json')) if m['sender'] in ('', '<>')], 60)
    assert 'two@far.example' in system.run('mail', 'show', 'alice@mailroom.test', str(mail[-1]['uid']))


def test_a_domain_that_has_come_here_and_forwarding(system, queued):
    """what an alias sends on leaves in the name of the alias's domain, and a bounce to that finds the sender"""
    system.run('alias', 'add', 'away@mailroom.test', 'me@other.example')
    with smtplib.SMTP('127.0.0.1', system.port['mx']) as s:
        s.sendmail('stranger@elsewhere.example', ['away@mailroom.test'], 'Subject: x\r\n\r\nbody\r\n')
        assert [r['sender'] for r in rows(system, '--domain', 'other.example')] == ['stranger@elsewhere.example']
        s.mail('')
        assert s.rcpt('SRS0=AAAAAAAA=AA=elsewhere.example=stranger@mailroom.test')[0] == 550
        s.rset()
        s.mail('spam@elsewhere.example')
        assert s.rcpt('SRS0=AAAAAAAA=AA=elsewhere.example=stranger@mailroom.test')[0] == 550


# ---- with a relay

class Sink(socketserver.ThreadingTCPServer):
    """a server that puts off the first attempt, then takes what it is given"""
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self):
        super().__init__(('127.0.0.1', 0), Conversation)
        self.senders, self.taken, self.refused = [], [], 0
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Conversation(socketserver.StreamRequestHandler):
    def say(self, line):
        self.wfile.write(line.encode() + b'\r\n')

    def handle(self):
        self.say('220 sink.example ESMTP')
        for line in self.rfile:
            verb = line.decode('latin-1').strip()
            low = verb.lower()
            if low.startswith('ehlo'):
                self.say('250-sink.example\r\n250 PIPELINING')
            elif low.startswith('mail from:'):
                self.server.senders.append(verb[10:].split()[0])
                self.say('250 2.1.0 yes')
            elif low.startswith('rcpt to:<later') and self.server.refused < 1:
                self.server.refused += 1
                self.say('451 4.7.1 Greylisted, come back later')
            elif low.startswith('rcpt to:<never'):
                self.say('550 5.1.1 User unknown')
            elif low == 'data':
                self.say('354 go on')
                while self.rfile.readline() not in (b'.\r\n', b''):
                    pass
                self.server.taken.append(low)
                self.say('250 2.0.0 taken')
            elif low == 'quit':
                self.say('221 bye')
                return
            else:
                self.say('250 2.1.5 fine')


def test_every_try_is_told():
    sink = Sink()
    conf = 'delivery {\n\tretry-first = 2s\n\tretry-most = 2s\n}\nworkers {\n\trelay = 1\n}\nroute "all" {\n\tdomains = "*"\n\tto = "127.0.0.1:%d"\n}\n' % sink.server_address[1]
    with mailroom.System(conf=conf) as m:
        send(m, 'later@far.example', 'never@far.example')
        until(lambda: m.run('queue', 'list') == '' and sink.taken, 60)
        said = told(m, 'delivered', 'why', 'later@far.example')
        first = re.search(r'put off \w+ for later@far\.example by .*127\.0\.0\.1.*: 451 greylisted ".*Greylisted, come back later.*; next try ', said)
        assert first and re.search(r'delivered \w+ for later@far\.example to .*127\.0\.0\.1', said), said
        queue_id = re.search(r'put off (\w+)', said).group(1)
        whole = told(m, 'given up', 'queue', 'why', queue_id)
        assert re.search(r'given up %s for never@far\.example .*550 rcpt-unknown ".*User unknown' % queue_id, whole), whole
        assert 'It is not in the queue now' in whole
        assert sink.senders.count('<alice@mailroom.test>') >= 2


def test_a_message_that_waits_is_told_of_without_a_history():
    with mailroom.System(conf='history {\n\tdays = 0\n}\n') as m:
        send(m, 'one@far.example')
        said = m.run('queue', 'why', rows(m)[0]['id'])  # a status of 0, or it raises
        assert said.startswith('The history has nothing of it, but it is in the queue.\n') and 'one@far.example' in said and 'not tried yet' in said
