"""The reason for every no: what a program that shows only the first or only the last line of a reply tells its user."""
import re

import pytest

from mailroom import Wire


def last(reply):
    return reply.split('\n')[-1]


def first(reply):
    return reply.split('\n')[0]


def start(system, listener='mx'):
    w = Wire(system.port[listener])
    assert w.ask('EHLO laptop.example').startswith('250-')
    return w


@pytest.mark.parametrize('command', ['DATA', 'BDAT 3 LAST\r\nabc'])
def test_503_after_refused_recipient_names_the_cause_in_first_and_last_line(system, command):
    with start(system) as w:
        assert w.ask('MAIL FROM:<alice@mailroom.test>').startswith('250 ')
        refused = w.ask('RCPT TO:<friend@example.com>')
        assert refused.startswith('550') and 'relay-denied-unauth' in last(refused)
        reply = w.ask(command)
        assert re.match(r'503-5\.5\.1 ', first(reply)) and re.match(r'503 5\.5\.1 ', last(reply))
        for line in (first(reply), last(reply)):
            assert 'friend@example.com' in line and 'ign in' in line
        assert 'relay-denied-unauth' in last(reply)[:200]
        assert all(len(line) <= 510 for line in reply.split('\n'))


def test_503_when_the_refusals_differ(system):
    with start(system) as w:
        w.ask('MAIL FROM:<you@example.org>')
        w.ask('RCPT TO:<friend@example.com>')
        w.ask('RCPT TO:<nobody@mailroom.test>')
        reply = w.ask('DATA')
        assert reply.startswith('503-')
        for line in (first(reply), last(reply)):
            assert 'ecipient' in line
        assert 'friend@example.com' in reply and 'nobody@mailroom.test' in reply


def test_503_pipelined_is_the_same(system):
    with start(system) as w:
        w.send('MAIL FROM:<you@example.org>\r\nRCPT TO:<friend@example.com>\r\nDATA\r\n')
        assert w.reply().startswith('250')
        assert w.reply().startswith('550')
        reply = w.reply()
        assert reply.startswith('503-') and 'relay-denied-unauth' in last(reply) and 'friend@example.com' in first(reply)


@pytest.mark.parametrize('forget', ['RSET', 'EHLO again.example'])
def test_503_forgets(system, forget):
    with start(system) as w:
        w.ask('MAIL FROM:<you@example.org>')
        w.ask('RCPT TO:<friend@example.com>')
        assert w.ask(forget).startswith('250')
        reply = w.ask('DATA')
        assert reply.startswith('503') and 'friend@example.com' not in reply and 'MAIL' in first(reply)
        w.ask('MAIL FROM:<you@example.org>')
        reply = w.ask('DATA')
        assert reply.startswith('503') and 'RCPT' in first(reply) and 'friend' not in reply


@pytest.mark.parametrize('command,code,slug', [
    ('MAIL FROM:<a@b.example>', '503', 'seq-no-helo'),
    ('FOO', '502', 'command-unknown'),
    ('EXPN staff', '502', 'command-not-enabled'),
    ('HELO bad_-(name', '501', 'helo-invalid'),
])
def test_before_hello(system, command, code, slug):
    with Wire(system.port['mx']) as w:
        reply = w.ask(command)
        assert reply.startswith(code) and slug in last(reply)


@pytest.mark.parametrize('commands,code,slug', [
    (['RCPT TO:<alice@mailroom.test>'], '503', 'seq-no-mail'),
    (['MAIL FROM:<a@b.example>', 'MAIL FROM:<a@b.example>'], '503', 'seq-nested-mail'),
    (['MAIL FROM:a@b.example'], '501', 'sender-syntax'),
    (['MAIL FROM:<a@b.example> SIZE=999999999999'], '552', 'message-too-big'),
    (['MAIL FROM:<a@b.example> FOO=1'], '555', 'param-unknown'),
    (['MAIL FROM:<a@b.example>', 'RCPT TO:<nobody@mailroom.test>'], '550', 'rcpt-unknown'),
    (['MAIL FROM:<a@b.example>', 'RCPT TO:<a@b@mailroom.test>'], '501', 'rcpt-syntax'),
    (['MAIL FROM:<a@b.example>', 'RCPT TO:<\xfc@mailroom.test>'], '553', 'smtputf8-required'),
    (['AUTH PLAIN'], '503', 'auth-not-advertised'),
])
def test_order_and_syntax(system, commands, code, slug):
    with start(system) as w:
        for c in commands[:-1]:
            assert w.ask(c).startswith('250')
        reply = w.ask(commands[-1])
        assert slug in last(reply), reply
        assert reply[0] == code[0]


def test_submission_says_what_to_switch_on(system):
    with start(system, 'submission') as w:
        reply = w.ask('MAIL FROM:<alice@mailroom.test>')
        assert reply.startswith('530') and 'tls-required' in last(reply)
        reply = w.ask('AUTH PLAIN AGFsaWNlAHB3')
        assert reply[0] == '5' and re.search('TLS|encrypt', first(reply))


def test_bare_newline_refuses_the_message_once(system):
    with start(system) as w:
        w.ask('MAIL FROM:<a@b.example>')
        w.ask('RCPT TO:<alice@mailroom.test>')
        assert w.ask('DATA').startswith('354')
        reply = w.ask('Subject: x\r\n\r\nhello\n.\nMAIL FROM:<smuggled@b.example>\r\n.')
        assert reply.startswith('550') and 'bare-newline' in last(reply)
        assert w.ask('NOOP').startswith('250')


def test_explain_knows_what_we_said(system):
    with start(system) as w:
        w.ask('MAIL FROM:<you@example.org>')
        line = last(w.ask('RCPT TO:<friend@example.com>'))
    out = system.run('explain', line)
    assert 'relay-denied-unauth' in out
    assert 'relay-denied-unauth' in system.run('explain', 'relay-denied-unauth')
    assert system.run('explain', '5.7.1')


def test_refusals_are_logged_with_session_and_cause(system):
    with start(system) as w:
        w.ask('MAIL FROM:<you@example.org>')
        line = last(w.ask('RCPT TO:<friend@example.com>'))
    ref = re.search(r'ref ([0-9A-Z]+)', line).group(1)
    text = system.wait_log('session=%s.*cause=relay-denied-unauth' % ref, timeout=10)
    assert re.search(r'event=refused session=%s .*rcpt=friend@example.com code=550 cause=relay-denied-unauth' % ref, text)
