"""DKIM signatures of mail that leaves, as an independent verifier (python3-dkim) sees them: both algorithms, keys that change while mail flows, who is not signed
for, odd messages, and what no longer verifies when it was touched on the way."""
import json
import re
import smtplib
import threading
import time

import dkim
import pytest

import mailroom
import sink
from test_delivery import Client, conf, route, wait_empty

ALICE = 'alice@mailroom.test'
DOMAIN = 'mailroom.test'


def keys(m, domain=DOMAIN):
    """{selector: its row}"""
    return {row['selector']: row for row in json.loads(m.run('domain', 'dkim', 'list', domain, '--json'))}


class Names:
    """the DNS that the records of a system were put into: they stay when a key goes"""

    def __init__(self, m):
        self.records = {}
        self.learn(m)

    def learn(self, m):
        for row in keys(m).values():
            self.records[row['name']] = row['record']

    def ask(self, name, timeout=5):
        return self.records.get(name.decode().rstrip('.'), '').encode()


def signatures(text):
    """(selector, algorithm, domain, signed fields) of each, as they stand"""
    head = re.sub(rb'\r\n[ \t]+', b' ', text.split(b'\r\n\r\n')[0])
    out = []
    for value in re.findall(rb'(?im)^DKIM-Signature:(.*)', head):
        tags = dict(t.strip().split('=', 1) for t in value.decode().split(';') if t.strip())
        out.append((tags['s'], tags['a'], tags['d'], re.sub(r'\s', '', tags['h']).split(':')))
    return out


def verify(text, names):
    """does each signature verify?"""
    found = []
    for i in range(len(signatures(text))):
        try:
            found.append(dkim.DKIM(text).verify(idx=i, dnsfunc=names.ask))
        except dkim.DKIMException as e:
            found.append(str(e))
    return found


@pytest.fixture(scope='module')
def elsewhere():
    with sink.Sink(answer=lambda stage, text, session: '550 5.1.1 User unknown' if stage == 'rcpt' and '<no@' in text else None) as s:
        yield s


@pytest.fixture(scope='module')
def system(elsewhere):
    with mailroom.System(conf=conf(route(elsewhere.port)), start=False) as m:
        m.run('domain', 'dkim', 'add', DOMAIN, '--now', '--selector', 'one')
        m.start()
        yield m


@pytest.fixture
def names(system):
    return Names(system)


def passes(m, elsewhere, text, options=(), sender=ALICE, rcpt='yes@e.example'):
    """what of that message arrives elsewhere"""
    had = len(elsewhere.mail)
    c = Client(m).c
    c.sendmail(sender, [rcpt], text, mail_options=list(options))
    c.quit()
    return elsewhere.wait(had + 1)[had][3]


def letter(body='hello\r\n', sender=ALICE, head=''):
    return 'From: %s\r\nTo: yes@e.example\r\nSubject: a letter\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <%d@test>\r\n%s\r\n%s' % (
        sender, time.monotonic_ns(), head, body)


# ---- what is signed

def test_both_algorithms_verify(system, elsewhere, names):
    text = passes(system, elsewhere, letter())
    found = signatures(text)
    assert sorted(x[1] for x in found) == ['ed25519-sha256', 'rsa-sha256'] and {x[2] for x in found} == {DOMAIN}
    assert verify(text, names) == [True, True]
    for _, _, _, fields in found:
        assert {'from', 'to', 'subject', 'date', 'message-id'} <= set(fields)
        assert fields.count('from') == fields.count('subject') == fields.count('to') == 2 and fields.count('cc') == 1  # once more than they stand there
    assert text.index(b'DKIM-Signature') < text.index(b'\r\nFrom:')


BODIES = {
    'empty': '', 'blank lines': '\r\n\r\n\r\n', 'blanks at ends': 'one  two \t \r\n \t\r\nthree\t\tfour\r\n\r\n\r\n', 'dots': '.\r\n..\r\n...two\r\n.\r\n', 'dot at the end': 'x\r\n.\r\n',
    'long lines': ('x' * 990 + '\r\n') * 5, 'eight bits': 'schön, €\r\n' * 50, 'large': ('0123456789abcdef' * 60 + '\r\n') * 3200,
    'just past memory': 'y' * 70 + '\r\n' + ('z' * 62 + '\r\n') * 1024,
}


@pytest.mark.parametrize('body', BODIES)
def test_odd_bodies(system, elsewhere, names, body):
    text = passes(system, elsewhere, letter(BODIES[body]).encode(), options=['BODY=8BITMIME'])
    assert verify(text, names) == [True, True]
    assert text.split(b'\r\n\r\n', 1)[1] == BODIES[body].encode()


HEADS = {
    'folded': ('Subject: a\r\n very\r\n\tlong   subject \r\nReferences: <a@b>\r\n <c@d>\r\n', ()),
    'twice': ('Cc: a@e.example\r\nComments: one\r\nComments: two\r\nReply-To: c@e.example\r\n', ()),
    'no blank behind the colon': ('X-Mark:yes\r\nIn-Reply-To:<x@y>\r\nMIME-Version:1.0\r\nContent-Type:text/plain;charset=utf-8\r\n', ()),
    'empty value': ('Reply-To:\r\nSender: \r\nX-Empty:\r\n', ()),
    'eight bits': ('Cc: Jörg <joerg@e.example>\r\nX-Mark: schön\r\n', ('SMTPUTF8', 'BODY=8BITMIME')),
    'odd case': ('MIME-VERSION: 1.0\r\ncontent-TYPE: text/plain\r\nCONTENT-transfer-encoding: 7bit\r\n', ()),
}


@pytest.mark.parametrize('head', HEADS)
def test_odd_headers(system, elsewhere, names, head):
    more, options = HEADS[head]
    whole = letter(head=more)
    if 'Subject' in more:
        whole = whole.replace('Subject: a letter\r\n', '')
    text = passes(system, elsewhere, whole.encode(), options=options)
    assert verify(text, names) == [True, True], text[:2000]


def test_a_body_without_a_line_end(system, elsewhere, names):
    had = len(elsewhere.mail)
    c = Client(system).c
    c.ehlo()
    assert c.has_extn('chunking')
    c.mail(ALICE)
    c.rcpt('yes@e.example')
    data = letter('no end').encode()
    c.send(b'BDAT %d LAST\r\n%s' % (len(data), data))
    assert c.getreply()[0] == 250
    c.quit()
    text = elsewhere.wait(had + 1)[had][3]
    assert text.split(b'\r\n\r\n', 1)[1] == b'no end\r\n' and verify(text, names) == [True, True]


@pytest.mark.parametrize('change', [
    lambda t: b'From: eve@evil.example\r\n' + t, lambda t: t.replace(b'\r\nTo:', b'\r\nFrom: eve@evil.example\r\nTo:', 1), lambda t: t.replace(b'\r\n\r\n', b'\r\nFrom: e@evil.example\r\n\r\n', 1),
    lambda t: b'Subject: another\r\n' + t, lambda t: t.replace(b'a letter', b'a lettre'), lambda t: t.replace(b'hello', b'hallo'), lambda t: t + b'more\r\n',
    lambda t: b'Content-Type: text/html\r\n' + t, lambda t: b'Reply-To: eve@evil.example\r\n' + t, lambda t: b'Cc: eve@evil.example\r\n' + t])
def test_what_was_touched_on_the_way_fails(system, elsewhere, names, change):
    text = passes(system, elsewhere, letter())
    assert verify(text, names) == [True, True]
    found = verify(change(text), names)
    assert len(found) == 2 and True not in found


@pytest.mark.parametrize('change', [lambda t: b'Received: from x by y; Sun, 22 Nov 2026 12:00:00 +0000\r\n' + t, lambda t: t.replace(b'Subject: a letter', b'SUBJECT:  a \t letter '),
                                    lambda t: t.replace(b'hello\r\n', b'hello \r\n\r\n\r\n')])
def test_what_servers_do_on_the_way_does_not(system, elsewhere, names, change):
    assert verify(change(passes(system, elsewhere, letter())), names) == [True, True]


# ---- who is not signed for

def test_a_foreign_from_is_not_signed(system, elsewhere):
    system.run('account', 'send-as', 'add', ALICE, 'alice@elsewhere.example')
    assert signatures(passes(system, elsewhere, letter(sender='alice@elsewhere.example'), sender='alice@elsewhere.example')) == []


def stranger(m, rcpt, text, sender='someone@far.example'):
    c = smtplib.SMTP('127.0.0.1', m.port['mx'], timeout=30)
    assert c.sendmail(sender, [rcpt], text) == {}
    c.quit()


@pytest.mark.parametrize('author', ['someone@far.example', 'boss@mailroom.test', 'boss@sub.mailroom.test'])
def test_strangers_mail_is_not_signed_in_our_name(system, elsewhere, author):
    """whoever writes one of our addresses into From must not get our signature by way of an alias"""
    system.run('alias', 'add', 'out@mailroom.test', 'yes@e.example', check=False)
    had = len(elsewhere.mail)
    stranger(system, 'out@mailroom.test', letter(sender=author))
    text = elsewhere.wait(had + 1)[had][3]
    assert ('From: ' + author).encode() in text and signatures(text) == []


def test_our_own_bounce_is_signed(system, elsewhere, names):
    system.run('alias', 'add', 'gone@mailroom.test', 'no@e.example', check=False)
    had = len(elsewhere.mail)
    stranger(system, 'gone@mailroom.test', letter(sender='someone@far.example'))
    _, sender, rcpts, text = elsewhere.wait(had + 1)[had]
    assert (sender, rcpts) == ('', ['someone@far.example']) and b'multipart/report' in text
    assert [x[2] for x in signatures(text)] == [DOMAIN] * 2 and verify(text, names) == [True, True]


def test_a_domain_without_a_key_is_signed_by_the_one_above(system, elsewhere, names):
    system.run('domain', 'add', 'shop.mailroom.test')
    system.run('account', 'send-as', 'add', ALICE, '@shop.mailroom.test')
    text = passes(system, elsewhere, letter(sender='sales@shop.mailroom.test'), sender='sales@shop.mailroom.test')
    assert [x[2] for x in signatures(text)] == [DOMAIN] * 2 and verify(text, names) == [True, True]


# ---- keys that change

def test_rotation_while_mail_flows(elsewhere):
    with mailroom.System(conf=conf(route(elsewhere.port)), start=False) as m:
        m.run('domain', 'dkim', 'add', DOMAIN, '--now', '--selector', 'old')
        names, had, stop = Names(m), len(elsewhere.mail), []
        m.start()

        def flow():
            c = Client(m)
            while not stop:
                c.c.sendmail(ALICE, ['yes@e.example'], letter())
                c.n += 1
                time.sleep(0.02)
            c.close()
            stop.append(c.n)

        t = threading.Thread(target=flow)
        t.start()
        try:
            elsewhere.wait(had + 5)
            printed = m.run('domain', 'dkim', 'add', DOMAIN, '--selector', 'new')
            assert 'new._domainkey.mailroom.test' in printed and 'domain dkim use' in printed
            assert {s: row['state'] for s, row in keys(m).items()} == {'old': 'signs', 'olde': 'signs', 'new': 'new', 'newe': 'new'}
            names.learn(m)
            at = len(elsewhere.mail)
            assert {x[0] for x in signatures(elsewhere.wait(at + 5)[at + 4][3])} == {'old', 'olde'}  # its record is not known to everybody yet
            mark = m.log_size()
            assert 'signs now' in m.run('domain', 'dkim', 'use', DOMAIN)
            assert {s: row['state'] for s, row in keys(m).items()} == {'old': 'old', 'olde': 'old', 'new': 'signs', 'newe': 'signs'}
            m.wait_log('event=role-ready started=relay', since=mark)
            m.run('domain', 'dkim', 'remove', DOMAIN, 'old')
            m.run('domain', 'dkim', 'remove', DOMAIN, 'olde')
            at = len(elsewhere.mail)
            assert elsewhere.wait(at + 20)
        finally:
            stop.append(True)
            t.join()
        wait_empty(m)
        got = [text for _, _, _, text in elsewhere.mail[had:]]
        assert len(got) == stop[-1]
        assert all(verify(text, names) == [True, True] for text in got)
        used = [tuple(sorted(x[0] for x in signatures(text))) for text in got]
        assert set(used) == {('old', 'olde'), ('new', 'newe')} and used[-1] == ('new', 'newe')
        assert 'event=role-died' not in m.log()


def test_one_algorithm_alone(elsewhere):
    for algorithm in ('rsa', 'ed25519'):
        with mailroom.System(conf=conf(route(elsewhere.port)), start=False) as m:
            m.run('domain', 'dkim', 'add', DOMAIN, '--now', '--algorithm', algorithm)
            m.start()
            text = passes(m, elsewhere, letter())
            assert [x[1] for x in signatures(text)] == [algorithm + '-sha256'] and verify(text, Names(m)) == [True]
