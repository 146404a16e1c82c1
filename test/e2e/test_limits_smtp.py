"""Settings of the SMTP engine that a test of its own has to switch on: they show in the replies, with their value and the code that large providers use."""
import pytest

import mailroom
from mailroom import Wire

LIMITS = 'limits {\n\tdomains = %d\n\trecipients = 100\n\tcommands-before-sign-in = 7\n\tbad-commands = 5\n}\n'


def last(reply):
    return reply.split('\n')[-1]


def begin(w, sender='a@sender.example'):
    assert w.ask('EHLO client.example').startswith('250')
    assert w.ask('MAIL FROM:<%s>' % sender).startswith('250')


@pytest.fixture(scope='module')
def m():
    with mailroom.System(LIMITS % 2) as system:
        system.run('domain', 'add', 'second.test')
        system.run('domain', 'add', 'third.test')
        for domain in ('second.test', 'third.test'):
            system.account('carl@' + domain)
        yield system


def test_domains_of_a_message(m):
    with Wire(m.port['mx']) as w:
        begin(w)
        for to in ('nobody@third.test', 'alice@mailroom.test', 'carl@second.test', 'bob@mailroom.test'):
            assert w.ask('RCPT TO:<%s>' % to)[0] in ('5' if to.startswith('nobody') else '2')
        reply = w.ask('RCPT TO:<carl@third.test>')
        assert last(reply).startswith('452 4.5.3 ') and '2 domains' in reply and '(too-many-domains; ref ' in reply
        assert w.ask('DATA').startswith('354')
        assert w.ask('Subject: x\r\n\r\nx\r\n.').startswith('250')


def test_too_many_recipients(m):
    with Wire(m.port['mx']) as w:
        begin(w)
        w.send('RCPT TO:<alice@mailroom.test>\r\n' * 101)
        replies = [w.reply() for _ in range(101)]
        assert all(r.startswith('250') for r in replies[:100])
        assert last(replies[100]).startswith('452 4.5.3 ') and '100 recipients' in replies[100]


def test_commands_before_sign_in(m):
    with Wire(m.port['submission']) as w:
        for _ in range(7):
            assert w.ask('NOOP').startswith('250')
        reply = w.ask('NOOP')
        assert last(reply).startswith('554 5.7.0 ') and '7 commands' in reply and '(too-many-unauth-commands; ref ' in reply
        assert w.rest() == ''
    with Wire(m.port['mx']) as w:  # nobody signs in there
        assert all(w.ask('NOOP').startswith('250') for _ in range(20))


@pytest.mark.parametrize('line,code,slug', [('JUNK', '502 5.5.1', 'too-many-unknown-commands'), ('TURN', '502 5.5.1', 'too-many-unknown-commands'),
                                            ('MAIL FROM', '421 4.7.0', 'too-many-bad-commands')])
def test_the_last_straw(m, line, code, slug):
    with Wire(m.port['mx']) as w:
        w.ask('EHLO client.example')
        for _ in range(4):
            w.ask(line)
        reply = w.ask(line)
        assert last(reply).startswith(code + ' ') and '(%s; ref ' % slug in reply
        assert w.rest() == ''


def test_one_domain_at_a_time_and_early_talkers_allowed():
    with mailroom.System(LIMITS % 1, listener='\tearly-talkers = allow\n') as m:
        m.run('domain', 'add', 'second.test')
        m.account('carl@second.test')
        with Wire(m.port['mx']) as w:
            begin(w)
            assert w.ask('RCPT TO:<alice@mailroom.test>').startswith('250')
            reply = w.ask('RCPT TO:<carl@second.test>')
            assert last(reply).startswith('451 4.3.0 ') and '(one-domain-per-message; ref ' in reply
            assert w.ask('RCPT TO:<bob@MAILROOM.test>').startswith('250')
        with Wire(m.port['mx']) as w:
            w.send('EHLO client.example\r\nMAIL FROM:<a@sender.example>\r\nRCPT TO:<alice@mailroom.test>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n')
            assert [w.reply()[:3] for _ in range(6)] == ['250', '250', '250', '354', '250', '221']
