"""Whose name may stand on a message: the envelope's sender and the From field of those who signed in, in each of a domain's ways to treat them; what a domain
takes in its own name. Everything is read back as the recipient gets it."""
import email
import email.policy
import json
import os
import poplib
import re
import smtplib
import socket
import ssl
import subprocess

import pytest

import mailroom

ALICE = 'alice@mailroom.test'
BOB = 'bob@mailroom.test'


def context():
    c = ssl.create_default_context()
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    return c


@pytest.fixture(scope='module')
def system():
    with mailroom.System(accounts=('alice', 'bob', 'carol')) as m:
        m.run('domain', 'add', 'second.test')
        m.run('domain', 'add', 'guarded.test')
        m.account('dora@second.test')
        m.run('alias', 'add', 'info@mailroom.test', ALICE)
        m.run('alias', 'add', 'team@mailroom.test', ALICE, BOB)
        m.run('account', 'send-as', 'add', ALICE, 'alice@elsewhere.example')
        m.run('account', 'send-as', 'add', ALICE, '@shop.example')
        m.run('domain', 'catch-all', 'second.test', 'carol@mailroom.test')
        yield m


@pytest.fixture
def mode(system):
    """sets how mailroom.test treats foreign senders; back to the start afterwards"""
    yield lambda name: system.run('domain', 'identity', 'mailroom.test', name)
    system.run('domain', 'identity', 'mailroom.test', 'enforce')


def login(system, account, kind='submissions'):
    c = smtplib.SMTP_SSL('127.0.0.1', system.port[kind], context=context(), timeout=30)
    c.login(account, system.password[account])
    return c


def said(e):
    return '%d %s' % (e.smtp_code, re.sub(r'\s*\n\S*\s*', ' ', e.smtp_error.decode()))


def envelope(system, account, sender):
    """the answer to MAIL"""
    with login(system, account) as c:
        code, words = c.mail(sender)
        return '%d %s' % (code, words.decode())


def text(frm, subject, *more):
    lines = list(frm) if isinstance(frm, (list, tuple)) else ['From: ' + frm] if frm is not None else []
    return ('\r\n'.join(lines + ['Subject: ' + subject, *more, '', 'text', ''])).encode('utf-8', 'surrogateescape')


def send(system, account, sender, data, to=BOB, port='submissions', options=()):
    """None, or what refused it"""
    with login(system, account) as c:
        try:
            c.sendmail(sender, [to], data, mail_options=options)
        except smtplib.SMTPResponseException as e:
            return said(e)
        except smtplib.SMTPRecipientsRefused as e:
            return str(e.recipients)


def fetch(system, subject, account=BOB):
    """the message with that subject, as it lies in the mailbox; it is removed"""
    box = poplib.POP3_SSL('127.0.0.1', system.port['pop3s'], context=context(), timeout=30)
    box.user(account)
    box.pass_(system.password[account])
    found = None
    for i in range(1, box.stat()[0] + 1):
        raw = b'\r\n'.join(box.retr(i)[1])
        m = email.message_from_bytes(raw, policy=email.policy.compat32)
        if m['Subject'] == subject:
            found = m
            box.dele(i)
    box.quit()
    assert found is not None, subject
    return found


OWN = [ALICE, 'ALICE@Mailroom.Test', 'alice+lists@mailroom.test', 'info@mailroom.test', 'info+x@mailroom.test', 'alice@elsewhere.example', 'anybody@shop.example', '']
OTHERS = [BOB, 'bob+alice@mailroom.test', 'team@mailroom.test', 'nobody@mailroom.test', 'alice@second.test', 'alice@example.com', 'x@sub.shop.example',
          'alice@mailroom.test.evil.example', '"alice@mailroom.test"@evil.example', 'bob@elsewhere.example']


@pytest.mark.parametrize('sender', OWN)
def test_own_senders(system, sender):
    assert envelope(system, ALICE, sender).startswith('250'), sender


@pytest.mark.parametrize('sender', OTHERS)
def test_other_senders(system, sender):
    answer = envelope(system, ALICE, sender)
    assert answer.startswith('553 5.7.1') or answer.startswith('553-5.7.1'), answer
    assert '(sender-not-owned' in answer and sender in answer  # the address used,
    assert ALICE in answer and '@shop.example' in answer       # and those that would do
    assert 'rule: mailroom.test' in answer


def test_catch_all_owns_what_nobody_has(system):
    assert envelope(system, 'carol@mailroom.test', 'whatever@second.test').startswith('250')
    assert 'sender-not-owned' in envelope(system, 'carol@mailroom.test', 'dora@second.test')
    assert 'sender-not-owned' in envelope(system, 'dora@second.test', 'whatever@second.test')


def test_a_grant_works_at_once_and_ends_at_once(system):
    with login(system, BOB) as c:
        assert c.mail('team@mailroom.test')[0] == 553
        system.run('account', 'send-as', 'add', BOB, 'team@mailroom.test')
        assert c.mail('team@mailroom.test')[0] == 250
        c.rset()
        system.run('account', 'send-as', 'remove', BOB, 'team@mailroom.test')
        assert c.mail('team@mailroom.test')[0] == 553
        system.run('account', 'sending', BOB, 'off')
        code, words = c.mail(BOB)
        assert code >= 500 and b'(sender-account-suspended' in words
        system.run('account', 'sending', BOB, 'on')
        assert c.mail(BOB)[0] == 250


# From fields: (field or lines, what is wrong with it; None: nothing)
FROM = [
    ('alice@mailroom.test', None), ('Alice <alice@mailroom.test>', None), ('"Alice, the \\"one\\"" <ALICE@mailroom.test>', None), ('Alice\r\n\t<alice+x@mailroom.test>', None),
    ('alice@mailroom.test (Alice (the one))', None), ('=?utf-8?q?Al=C3=AFce?= <alice@mailroom.test>', None), ('Al\u00efce <alice@mailroom.test>', None),
    ('Alice <alice>', None), ('alice', None), ('info@mailroom.test, alice@mailroom.test', None), ('Us: alice@mailroom.test, info@mailroom.test;', None),
    ('"alice"@mailroom.test', None), ('<@relay.example:alice@mailroom.test>', None), ('"bob@mailroom.test" <alice@mailroom.test>', None),
    ('alice@mailroom.test <alice@mailroom.test>', None), (None, None), (['fROM:alice@mailroom.test'], None), (['From : alice@mailroom.test'], 'message-malformed'),
    (['X-A : b', 'From: alice@mailroom.test'], 'message-malformed'),
    ('bob@mailroom.test', 'sender-not-owned'), ('Alice <bob@mailroom.test>', 'sender-not-owned'), ('alice@mailroom.test, bob@mailroom.test', 'sender-not-owned'),
    ('bob@mailroom.test, alice@mailroom.test', 'sender-not-owned'), ('Us: alice@mailroom.test, bob@mailroom.test;', 'sender-not-owned'), ('bob', 'sender-not-owned'),
    ('"alice@mailroom.test" <bob@mailroom.test>', 'sender-not-owned'), ('"alice@mailroom.test"@evil.example', 'sender-not-owned'), ('team@mailroom.test', 'sender-not-owned'),
    ('"bob"@mailroom.test', 'sender-not-owned'), ('\u00efvan@mailroom.test', 'sender-not-owned'), ('x@[192.0.2.1]', 'sender-not-owned'),
    ('bob@mailroom.test <alice@mailroom.test>', 'message-malformed'), ('the boss@corp.example <alice@mailroom.test>', 'message-malformed'),
    (['From: alice@mailroom.test', 'From: bob@mailroom.test'], 'message-malformed'), (['From: alice@mailroom.test', 'FROM: alice@mailroom.test'], 'message-malformed'),
    ('', 'message-malformed'), ('undisclosed-recipients:;', 'message-malformed'), ('alice@mailroom.test bob@mailroom.test', 'message-malformed'),
    ('<alice@mailroom.test> <bob@mailroom.test>', 'message-malformed'), ('alice@mailroom.test (open', 'message-malformed'), ('Alice Smith', 'message-malformed'),
    ('alice @mailroom.test', 'message-malformed'), (', '.join(['alice@mailroom.test'] * 65), 'message-malformed'),
]


@pytest.mark.parametrize('number', range(len(FROM)))
def test_from_field(system, number):
    frm, wrong = FROM[number]
    answer = send(system, ALICE, ALICE, text(frm, 'from %d' % number))
    if wrong:
        assert answer and '(%s' % wrong in answer, (frm, answer)
        assert answer.startswith('553 5.7.1' if wrong == 'sender-not-owned' else '554 5.6.0'), answer
    else:
        assert answer is None, (frm, answer)
        got = fetch(system, 'from %d' % number)
        assert len(got.get_all('From')) == 1 and got['X-Authenticated-Sender'] is None and got['Sender'] is None
        if frm is None:
            assert got['From'] == '<%s>' % ALICE


def test_the_refusal_names_the_address_in_from(system):
    answer = send(system, ALICE, ALICE, text('Bob <bob@mailroom.test>', 'named'))
    assert BOB in answer and ALICE in answer and 'rule: mailroom.test' in answer


def test_null_sender_with_own_and_foreign_from(system):
    assert send(system, ALICE, '', text('Alice <alice@mailroom.test>', 'null own')) is None
    assert fetch(system, 'null own')['Return-Path'] == '<>'
    assert 'sender-not-owned' in send(system, ALICE, '', text('Bob <bob@mailroom.test>', 'null foreign'))
    assert send(system, ALICE, '', text(None, 'null none')) is None
    assert fetch(system, 'null none')['From'] == '<%s>' % ALICE


def test_a_from_behind_what_is_no_header_is_text(system):
    """some programs would read on behind a line that is no field: an empty line stands there when it arrives"""
    data = b'Subject: hidden\r\nno field\r\nFrom: bob@mailroom.test\r\n\r\ntext\r\n'
    assert send(system, ALICE, ALICE, data) is None
    got = fetch(system, 'hidden')
    assert got['From'] == '<%s>' % ALICE and got.get_payload().splitlines()[:2] == ['no field', 'From: bob@mailroom.test']


def test_binary_message_with_zero_byte_in_its_header(system):
    data = b'From: alice@mailroom.test\r\nSubject: nul\r\nX: a\0b\rFrom: bob@mailroom.test\r\n\r\ntext\r\n'
    with login(system, ALICE) as c:
        c.ehlo()
        if not c.has_extn('binarymime'):
            pytest.skip('BINARYMIME is not offered')
        assert c.docmd('MAIL', 'FROM:<%s> BODY=BINARYMIME' % ALICE)[0] == 250
        assert c.docmd('RCPT', 'TO:<%s>' % BOB)[0] == 250
        c.send(b'BDAT %d LAST\r\n' % len(data) + data)
        code, words = c.getreply()
        assert code == 554 and b'message-malformed' in words


def test_rewrite(system, mode):
    mode('rewrite')
    assert send(system, ALICE, 'boss@example.com', text('"The Boss" <boss@example.com>', 'rewritten', 'To: bob')) is None
    got = fetch(system, 'rewritten')
    assert got['Return-Path'] == '<%s>' % ALICE
    assert got['From'] == '"The Boss" <%s>' % ALICE and got['Reply-To'] == '<boss@example.com>' and got['To'] == 'bob'
    assert got['Sender'] is None and got.get_payload().strip() == 'text'
    # what is theirs stays, the envelope and From each for itself
    assert send(system, ALICE, 'info@mailroom.test', text('Boss <boss@example.com>', 'rewritten 2', 'Reply-To: else@example.com')) is None
    got = fetch(system, 'rewritten 2')
    assert got['Return-Path'] == '<info@mailroom.test>' and got['From'] == 'Boss <%s>' % ALICE and got.get_all('Reply-To') == ['else@example.com']
    assert send(system, ALICE, 'boss@example.com', text('Info <info@mailroom.test>', 'rewritten 3')) is None
    got = fetch(system, 'rewritten 3')
    assert got['Return-Path'] == '<%s>' % ALICE and got['From'] == 'Info <info@mailroom.test>' and got['Reply-To'] is None
    # several, a fold, a comment, 8-bit, none at all
    assert send(system, ALICE, ALICE, text('One <one@example.com>,\r\n\tTwo (12) <two@example.com>', 'rewritten 4')) is None
    got = fetch(system, 'rewritten 4')
    raw = str(got)
    assert 'From: One <%s>,\n\tTwo (12) <%s>' % (ALICE, ALICE) in raw and 'Reply-To: <one@example.com>,\n\t<two@example.com>' in raw
    assert send(system, ALICE, 'boss@example.com', text(None, 'rewritten 5')) is None
    assert fetch(system, 'rewritten 5')['From'] == '<%s>' % ALICE
    assert send(system, ALICE, '', text('boss@example.com', 'rewritten 6')) is None
    got = fetch(system, 'rewritten 6')
    assert got['Return-Path'] == '<>' and got['From'] == ALICE
    # what cannot be read cannot be rewritten
    assert 'message-malformed' in send(system, ALICE, ALICE, text(['From: a@b.example', 'From: %s' % ALICE], 'rewritten 7'))


def test_rewrite_of_a_large_message(system, mode):
    mode('rewrite')
    body = 'x' * 70 + '\r\n'
    data = text('Boss <boss@example.com>', 'large rewrite') + (body * 5000).encode()
    assert send(system, ALICE, 'boss@example.com', data) is None
    got = fetch(system, 'large rewrite')
    assert got['From'] == 'Boss <%s>' % ALICE and len(got.get_payload()) > 300000


def test_mark(system, mode):
    mode('mark')
    assert send(system, ALICE, 'boss@example.com', text('Boss <boss@example.com>', 'marked')) is None
    got = fetch(system, 'marked')
    assert got['Return-Path'] == '<boss@example.com>' and got['From'] == 'Boss <boss@example.com>'
    assert got.get_all('Sender') == ['<%s>' % ALICE] and got['X-Authenticated-Sender'] == ALICE
    assert send(system, ALICE, ALICE, text('Boss <boss@example.com>', 'marked 2', 'Sender: x@example.com')) is None
    got = fetch(system, 'marked 2')
    assert got.get_all('Sender') == ['x@example.com'] and got['X-Authenticated-Sender'] == ALICE
    assert send(system, ALICE, ALICE, text('Alice <%s>' % ALICE, 'unmarked')) is None
    got = fetch(system, 'unmarked')
    assert got['Sender'] is None and got['X-Authenticated-Sender'] is None
    assert 'message-malformed' in send(system, ALICE, ALICE, text('boss@corp.example <alice@mailroom.test>', 'marked 3'))


def test_off(system, mode):
    mode('off')
    assert send(system, ALICE, 'boss@example.com', text('Boss <boss@example.com>', 'off')) is None
    got = fetch(system, 'off')
    assert got['From'] == 'Boss <boss@example.com>' and got['Sender'] is None and got['X-Authenticated-Sender'] is None
    assert system.run('domain', 'identity', 'mailroom.test').strip() == 'off'


def test_the_mode_is_that_of_the_accounts_domain(system, mode):
    mode('off')
    assert 'sender-not-owned' in envelope(system, 'dora@second.test', ALICE)


def test_swaks_sees_it(system):
    p = subprocess.run(['swaks', '--server', '127.0.0.1:%d' % system.port['submission'], '--tls', '--auth', 'PLAIN', '--auth-user', ALICE, '--auth-password',
                        system.password[ALICE], '--from', BOB, '--to', BOB], capture_output=True, text=True, timeout=60)
    assert p.returncode == 23 and '553' in p.stdout and 'You may not send as bob@mailroom.test' in p.stdout and ALICE in p.stdout, p.stdout


def test_bob_cannot_pretend_in_the_name_of_strangers(system):
    """after a sign-in that failed nobody stands behind the session"""
    c = smtplib.SMTP_SSL('127.0.0.1', system.port['submissions'], context=context(), timeout=30)
    with pytest.raises(smtplib.SMTPAuthenticationError):
        c.login(ALICE, 'wrong')
    assert c.mail(ALICE)[0] in (530, 550)
    c.close()


# ---- without sign-in: a relay window belongs to an account, a network to nobody

class WindowSystem(mailroom.System):
    def write_conf(self, extra=''):
        super().write_conf(extra + 'network "printers" {\n\taddresses = "127.9.0.0/16"\n}\nrelay {\n\twindow-networks = "127.0.0.0/8"\n}\n')
        path = os.path.join(self.home, 'mailroom.conf')
        with open(path) as f:
            text = f.read()
        for name in mailroom.LISTENERS:
            more = '\trelay-window = yes\n' + ('' if name.startswith('pop3') else '\trelay-networks = "printers"\n')
            text = text.replace('listener "%s" {\n' % name, 'listener "%s" {\n%s' % (name, more))
        with open(path, 'w') as f:
            f.write(text)


@pytest.fixture(scope='module')
def windows():
    with WindowSystem() as m:
        yield m


class PopFrom(poplib.POP3_SSL):
    """from one of loopback's addresses"""

    def __init__(self, source, *args, **more):
        self.source = source
        super().__init__(*args, **more)

    def _create_socket(self, timeout):
        raw = socket.create_connection((self.host, self.port), timeout, source_address=(self.source, 0))
        return self.context.wrap_socket(raw, server_hostname=self.host)


def unsigned(system, source, sender, data, to=BOB):
    with smtplib.SMTP('127.0.0.1', system.port['mx'], timeout=30, source_address=(source, 0)) as c:
        try:
            c.sendmail(sender, [to], data)
        except smtplib.SMTPSenderRefused as e:
            return said(e)
        except smtplib.SMTPResponseException as e:
            return said(e)


def test_identity_holds_inside_a_relay_window(windows):
    box = PopFrom('127.8.0.1', '127.0.0.1', windows.port['pop3s'], context=context(), timeout=30)
    box.user(ALICE)
    box.pass_(windows.password[ALICE])
    box.quit()
    source = '127.8.0.1'
    assert unsigned(windows, source, ALICE, text('Alice <alice@mailroom.test>', 'window own')) is None
    assert fetch(windows, 'window own')['From'] == 'Alice <alice@mailroom.test>'
    for sender, frm in ((BOB, ALICE), (ALICE, BOB), (ALICE, 'x@example.com')):
        answer = unsigned(windows, source, sender, text(frm, 'window foreign'))
        assert answer and '(sender-not-owned' in answer and ALICE in answer, answer
    windows.run('domain', 'identity', 'mailroom.test', 'rewrite')
    assert unsigned(windows, source, BOB, text('Bob <bob@mailroom.test>', 'window rewritten')) is None
    got = fetch(windows, 'window rewritten')
    assert got['From'] == 'Bob <alice@mailroom.test>' and got['Return-Path'] == '<%s>' % ALICE
    windows.run('domain', 'identity', 'mailroom.test', 'enforce')
    # next door nobody signed in: a stranger, whom nothing of this concerns
    assert unsigned(windows, '127.8.0.2', BOB, text('x@example.com', 'no window')) is None


def test_a_network_has_no_identity_but_one_from(windows):
    source = '127.9.0.7'
    assert unsigned(windows, source, 'scanner@example.com', text('Scanner <x@example.net>', 'network')) is None
    assert fetch(windows, 'network')['From'] == 'Scanner <x@example.net>'
    assert unsigned(windows, source, 'scanner@example.com', text(None, 'network none')) is None
    assert fetch(windows, 'network none')['From'] == '<scanner@example.com>'
    assert 'message-malformed' in unsigned(windows, source, 'scanner@example.com', text(['From: a@example.net', 'From: b@example.net'], 'network two'))


# ---- what a domain says to strangers

def mx(system, sender, data, to=BOB):
    with smtplib.SMTP('127.0.0.1', system.port['mx'], timeout=30) as c:
        try:
            c.sendmail(sender, [to], data)
        except smtplib.SMTPResponseException as e:
            return said(e)
        except smtplib.SMTPRecipientsRefused as e:
            return ' '.join('%d %s' % (code, words.decode()) for code, words in e.recipients.values())


def test_strangers_may_be_anybody_unless_the_domain_guards_its_name(system):
    for number, frm in enumerate((BOB, ['From: x@example.com', 'From: %s' % BOB], 'Bob Smith')):
        assert mx(system, 'x@example.com', text(frm, 'stranger %d' % number)) is None
        assert fetch(system, 'stranger %d' % number)['Sender'] is None
    system.run('domain', 'guard', 'guarded.test', 'on')
    names = ('ceo@guarded.test', 'The CEO <CEO@Guarded.Test>', 'x@example.com, ceo@guarded.test', '"a@b"@guarded.test', ['From: x@example.com', 'From: ceo@guarded.test'],
             ['From : ceo@guarded.test'])
    for frm in names:
        answer = mx(system, 'x@example.com', text(frm, 'guarded'))
        assert answer and answer.startswith('550 5.7.1') and 'sender-unauthenticated' in answer and 'rule: guarded.test' in answer, (frm, answer)
        assert '@guarded.test' in answer.lower().split('(')[0]
    answer = mx(system, 'ceo@guarded.test', text('x@example.com', 'guarded'))
    assert 'sender-unauthenticated' in answer and 'rule: guarded.test' in answer
    assert mx(system, 'x@example.com', text('ceo@guarded.test.example', 'not guarded')) is None
    system.run('domain', 'guard', 'guarded.test', 'off')
    assert mx(system, 'x@example.com', text('ceo@guarded.test', 'no longer guarded')) is None


def test_a_domain_takes_mail_from_some_addresses_only(system):
    system.run('domain', 'rule', 'add', 'second.test', 'allow-from', '192.0.2.0/24')
    answer = mx(system, 'x@example.com', text('x@example.com', 'allowed'), to='dora@second.test')
    assert 'rcpt-domain-allow-list' in answer and 'rule: second.test' in answer
    assert mx(system, 'x@example.com', text('x@example.com', 'other domain')) is None
    assert send(system, ALICE, ALICE, text(ALICE, 'signed in'), to='dora@second.test') is None
    system.run('domain', 'rule', 'add', 'second.test', 'allow-from', '127.0.0.0/8')
    assert mx(system, 'x@example.com', text('x@example.com', 'allowed'), to='dora@second.test') is None
    for prefix in ('192.0.2.0/24', '127.0.0.0/8'):
        system.run('domain', 'rule', 'remove', 'second.test', 'allow-from', prefix)


def test_a_domain_takes_mail_over_tls_only(system):
    system.run('domain', 'require-tls', 'second.test', 'on')
    answer = mx(system, 'x@example.com', text('x@example.com', 'plain'), to='dora@second.test')
    assert 'rcpt-domain-requires-tls' in answer and 'rule: second.test' in answer
    with smtplib.SMTP('127.0.0.1', system.port['mx'], timeout=30) as c:
        c.starttls(context=context())
        c.sendmail('x@example.com', ['dora@second.test'], text('x@example.com', 'tls'))
    system.run('domain', 'require-tls', 'second.test', 'off')


def test_a_domain_refuses_what_a_filter_in_front_has_marked(system):
    marked = 'X-Spam-Flag:\r\n YES'
    assert mx(system, 'x@example.com', text('x@example.com', 'no rule yet', marked), to='dora@second.test') is None
    for pattern in ('X-Spam-Flag: yes', 'X-Spam-Status: Yes, score=*', 'X-Other: no'):
        system.run('domain', 'rule', 'add', 'second.test', 'refuse-header', pattern)
    for more in (marked, 'x-spam-status: Yes, score=7.5\r\n\trequired=5'):
        answer = mx(system, 'x@example.com', text('x@example.com', 'spam', more), to='dora@second.test')
        assert answer and answer.startswith('550 5.7.1') and '(spam-content; rule: second.test' in answer, answer
    for more in ('X-Spam-Flag: NO', 'X-Spam-Status: No, score=7', 'Comment: X-Spam-Flag: YES', 'X-A: b\r\n\r\nX-Spam-Flag: YES'):
        assert mx(system, 'x@example.com', text('x@example.com', 'ham', more), to='dora@second.test') is None, more
    assert mx(system, 'x@example.com', text('x@example.com', 'other domain', marked)) is None
    assert send(system, ALICE, ALICE, text(ALICE, 'signed in', marked), to='dora@second.test') is None
    # one message, one answer: recipients of such a domain keep to themselves
    for rcpts, answers in (([BOB, 'dora@second.test', ALICE], [250, 452, 250]), (['dora@second.test', BOB, 'any@second.test'], [250, 452, 250])):
        with smtplib.SMTP('127.0.0.1', system.port['mx'], timeout=30) as c:
            c.ehlo()
            for _ in range(2):  # and a new transaction starts anew
                c.mail('x@example.com')
                got = [c.rcpt(r) for r in rcpts]
                assert [code for code, _ in got] == answers
                assert all(b'rcpt-own-transaction' in words for code, words in got if code == 452)
                c.rset()
            c.mail('x@example.com')
            assert c.rcpt(BOB)[0] == 250
    for pattern in ('X-Spam-Flag: yes', 'X-Spam-Status: Yes, score=*', 'X-Other: no'):
        system.run('domain', 'rule', 'remove', 'second.test', 'refuse-header', pattern)
    assert mx(system, 'x@example.com', text('x@example.com', 'no rule any more', marked), to='dora@second.test') is None


# ---- the command line

def test_commands(system):
    rows = {r['domain']: r for r in json.loads(system.run('domain', 'list', '--json'))}
    assert rows['second.test']['identity'] == 'enforce' and rows['second.test']['guard'] is False and rows['second.test']['rules'] is False
    system.run('domain', 'rule', 'add', 'second.test', 'refuse-header', 'X-Spam-Flag: YES')
    assert json.loads(system.run('domain', 'rule', 'list', 'second.test', '--json')) == [{'domain': 'second.test', 'rule': 'refuse-header', 'value': 'X-Spam-Flag: YES'}]
    assert {r['domain']: r for r in json.loads(system.run('domain', 'list', '--json'))}['second.test']['rules'] is True
    system.run('domain', 'rule', 'remove', 'second.test', 'refuse-header', 'X-Spam-Flag: YES')
    assert [r['address'] for r in json.loads(system.run('account', 'send-as', 'list', ALICE, '--json'))] == ['@shop.example', 'alice@elsewhere.example']
    shown = json.loads(system.run('account', 'show', ALICE, '--json'))
    assert shown['send_as'] == ['@shop.example', 'alice@elsewhere.example'] and shown['sending'] == 'on' and shown['identity'] == 'enforce'
    for status, words, args in (
            (1, 'is not hosted here', ('domain', 'identity', 'third.test')), (1, 'is not hosted here', ('domain', 'identity', 'third.test', 'mark')),
            (2, 'is not one of enforce, rewrite, mark and off', ('domain', 'identity', 'second.test', 'maybe')),
            (2, 'is neither on nor off', ('domain', 'guard', 'second.test', 'maybe')), (1, 'is not hosted here', ('domain', 'guard', 'third.test', 'on')),
            (2, 'is neither allow-from nor refuse-header', ('domain', 'rule', 'add', 'second.test', 'deny', 'x')),
            (1, 'no IP address or prefix', ('domain', 'rule', 'add', 'second.test', 'allow-from', 'example.com')),
            (1, 'bits behind the prefix', ('domain', 'rule', 'add', 'second.test', 'allow-from', '10.0.0.1/8')),
            (1, 'the domain has no such rule', ('domain', 'rule', 'remove', 'second.test', 'allow-from', '10.0.0.0/8')),
            (1, '"Field: pattern"', ('domain', 'rule', 'add', 'second.test', 'refuse-header', 'X-Spam')),
            (1, 'there is no account', ('account', 'send-as', 'add', 'nobody@second.test', 'x@y.example')),
            (1, 'may always send as itself', ('account', 'send-as', 'add', ALICE, ALICE)), (1, 'already', ('account', 'send-as', 'add', ALICE, '@SHOP.example')),
            (1, 'was not granted', ('account', 'send-as', 'remove', ALICE, BOB)), (1, 'there is no account', ('account', 'sending', 'nobody@second.test', 'on')),
            (1, 'there is no account', ('account', 'send-as', 'list', 'nobody@second.test'))):
        p = system.run(*args, check=False)
        assert p.returncode == status and words in p.stderr, (args, p.returncode, p.stderr)
