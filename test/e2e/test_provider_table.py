"""The big provider's table: each of its replies has a rule here that makes it, with that code and enhanced code, and says whose rule it was. What the engine alone
decides is in test/flow/smtp/r3-*.flow, counts of one transaction in test_limits_smtp.py, sign-in in test_login.py; here is what accounts, domains, networks,
counters and filters decide."""
import os
import re
import signal
import smtplib
import ssl

import pytest

import mailroom

CONTEXT = ssl.create_default_context()
CONTEXT.check_hostname = False
CONTEXT.verify_mode = ssl.CERT_NONE
STRANGER, ALICE, BOB, ELSEWHERE = 'x@elsewhere.example', 'alice@mailroom.test', 'bob@mailroom.test', 'friend@elsewhere.example'


def client(m, signin=None, port=None, source='127.0.0.1'):
    s = smtplib.SMTP('127.0.0.1', m.port[port or ('submission' if signin else 'mx')], timeout=20, source_address=(source, 0))
    s.ehlo('client.example')
    if signin:
        s.starttls(context=CONTEXT)
        s.ehlo('client.example')
        s.login(signin, m.password[signin])
    return s


def send(m, sender, rcpt, signin=None, text=None, number=0, **more):
    """the first reply that is not 2xx or 354, else the last one: (code, words)"""
    s = client(m, signin, **more)
    try:
        for code, words in (s.mail(sender), s.rcpt(rcpt)):
            if code >= 400:
                return code, words.decode()
        code, words = s.data(text or 'From: %s\r\nMessage-ID: <%d@table>\r\n\r\ntext\r\n' % (sender, number))
        return code, words.decode()
    finally:
        s.close()


def says(reply, code, enhanced, slug, rule=None):
    last = reply[1].split('\n')[-1]
    assert reply[0] == code and last.startswith(enhanced + ' '), reply
    found = re.search(r'\(([a-z0-9-]+)(?:; rule: ([^;)]+))?; ref \w+\)', last)
    assert found and found.group(1) == slug, reply
    assert found.group(2) == rule, reply


def rates(line):
    return 'rates { %s }\n' % line


def listener(m, name, line):
    """one more setting for a listener; before the start"""
    path = os.path.join(m.home, 'mailroom.conf')
    with open(path) as f:
        text = f.read()
    with open(path, 'w') as f:
        f.write(text.replace('listener "%s" {\n' % name, 'listener "%s" {\n\t%s\n' % (name, line)))


@pytest.fixture(scope='module')
def system():
    with mailroom.System('network "office" { addresses = "127.1.0.0/24" senders = "mailroom.test" }\nrelay { full-mailbox-sends = no }\n', start=False) as m:
        listener(m, 'submission', 'relay-networks = "office"')
        listener(m, 'mx', 'deny = "127.66.0.0/16"')
        for domain in ('listed.test', 'tls.test', 'guarded.test', 'spam.test'):
            m.run('domain', 'add', domain)
            m.account('ann@' + domain)
        m.account('full', quota='64KB')
        m.account('mute')
        m.run('account', 'sending', 'mute@mailroom.test', 'off')
        m.run('domain', 'rule', 'add', 'listed.test', 'allow-from', '192.0.2.0/24')
        m.run('domain', 'require-tls', 'tls.test', 'on')
        m.run('domain', 'guard', 'guarded.test', 'on')
        m.run('domain', 'rule', 'add', 'spam.test', 'refuse-header', 'X-Spam-Flag: YES')
        m.start()
        assert send(m, STRANGER, 'full@mailroom.test', text='Subject: much\r\n\r\n' + ('x' * 70 + '\r\n') * 1000)[0] == 250
        yield m


def test_421_470_not_on_the_allow_list_of_the_domain(system):
    says(send(system, STRANGER, 'ann@listed.test'), 421, '4.7.0', 'rcpt-domain-allow-list', 'listed.test')
    assert send(system, ALICE, 'ann@listed.test', ALICE)[0] == 250  # who signed in is no stranger


def test_421_470_the_domain_requires_tls(system):
    says(send(system, STRANGER, 'ann@tls.test'), 421, '4.7.0', 'rcpt-domain-requires-tls', 'tls.test')


def test_550_570_relay_denied_to_an_address_outside(system):
    with mailroom.System('network "office" { addresses = "127.1.0.0/24" }\n', start=False) as m:
        listener(m, 'submission', 'relay-networks = "office"\n\tauth = no\n\ttls-required = no')
        m.start()
        says(send(m, ALICE, ELSEWHERE, port='submission', source='127.3.0.1'), 550, '5.7.0', 'relay-denied-address')
        assert send(m, ALICE, ELSEWHERE, port='submission', source='127.1.0.9')[0] == 250


def test_550_570_sending_denied_for_this_account(system):
    says(send(system, 'mute@mailroom.test', ELSEWHERE, 'mute@mailroom.test'), 550, '5.7.0', 'sender-account-suspended')


def test_550_571_mail_quota_of_the_sender(system):
    says(send(system, 'full@mailroom.test', ELSEWHERE, 'full@mailroom.test'), 550, '5.7.1', 'sender-mailbox-full')


def test_550_571_bad_relay_credentials(system):
    s = client(system, port='submission', source='127.1.0.5')
    s.starttls(context=CONTEXT)
    s.ehlo('printer.example')
    code, words = s.mail('printer@other.example')
    says((code, words.decode()), 550, '5.7.1', 'relay-credentials')
    s.close()


def test_550_571_looks_like_spam(system):
    marked = 'X-Spam-Flag: YES\r\nFrom: x@elsewhere.example\r\n\r\nbuy\r\n'
    says(send(system, STRANGER, 'ann@spam.test', text=marked), 550, '5.7.1', 'spam-content', 'spam.test')
    assert send(system, STRANGER, BOB, text=marked)[0] == 250  # another domain, another rule


def test_550_571_may_not_send_directly(system):
    says(send(system, STRANGER, BOB, source='127.66.1.1'), 550, '5.7.1', 'ip-direct-not-allowed')


def test_550_571_the_recipients_own_rule(system):
    system.run('filter', 'add', BOB, '--header', 'Subject: *lottery*', '--refuse', 'no lotteries')
    try:
        reply = send(system, STRANGER, BOB, text='Subject: the lottery\r\n\r\nwin\r\n')
        says(reply, 550, '5.7.1', 'rcpt-refuses-sender', 'recipient')
        assert 'no lotteries' in reply[1]
    finally:
        system.run('filter', 'clear', BOB)


def test_550_571_unauthenticated_mail_from_this_domain(system):
    says(send(system, 'boss@guarded.test', BOB), 550, '5.7.1', 'sender-unauthenticated', 'guarded.test')
    says(send(system, STRANGER, BOB, text='From: boss@guarded.test\r\n\r\nhi\r\n'), 550, '5.7.1', 'sender-unauthenticated', 'guarded.test')


def test_550_571_no_relay_without_sign_in(system):
    says(send(system, STRANGER, ELSEWHERE), 550, '5.7.1', 'relay-denied-unauth')


@pytest.mark.parametrize('rcpt', ['friend@gmial', 'friend@example.invalid'])
def test_553_512_the_domain_cannot_be(system, rcpt):
    says(send(system, ALICE, rcpt, ALICE), 553, '5.1.2', 'rcpt-domain-not-found')


def test_553_not_the_accounts_sender(system):
    says(send(system, BOB, ELSEWHERE, ALICE), 553, '5.7.1', 'sender-not-owned', 'mailroom.test')


# ---- counters

@pytest.mark.parametrize('setting, code, enhanced, slug, signin', [
    ('account-messages = "1/10s"', 450, '4.2.1', 'rate-limit-sender', ALICE),
    ('account-messages = "1/day"', 550, '5.4.5', 'quota-sender-daily', ALICE),
    ('address-messages = "1/min"', 421, '4.7.0', 'rate-limit-ip', None),
    ('address-messages = "1/day"', 550, '5.7.1', 'ip-rate-blocked', None),
    ('mailbox-messages = "1/min"', 450, '4.2.1', 'rcpt-rate-limited', None),
    ('mailbox-messages = "1/day"', 550, '5.2.1', 'rcpt-rate-blocked', None),
])
def test_counters(setting, code, enhanced, slug, signin):
    with mailroom.System(rates(setting)) as m:
        sender = signin or STRANGER
        assert send(m, sender, BOB, signin)[0] == 250
        reply = send(m, sender, BOB, signin, number=1)
        says(reply, code, enhanced, slug)
        if code != 550:
            assert re.search(r'\d+ (s|min|h)\b', reply[1]), reply  # when to try again


def test_421_470_helo_floods():
    with mailroom.System(rates('address-helo-floods = "2/min"') + 'workers { mx = 1 user = 1 }\n') as m:
        for _ in range(2):
            client(m).quit()
        m.wait_log('event=session-end', count=2)  # it is counted when a connection has ended
        w = mailroom.Wire(m.port['mx'], greet=False)
        said = w.reply()
        assert said.startswith('421') and ' 4.7.0 ' in said and 'helo-flood' in said, said


def test_421_445_busy():
    with mailroom.System('workers { mx = 1 user = 1 }\n', listener='\tconnections = 1\n\tconnections-per-address = 1\n') as m:
        held = client(m)
        said = mailroom.Wire(m.port['mx'], greet=False).reply()
        held.close()
        assert said.startswith('421') and ' 4.4.5 ' in said and 'too-many-connections;' in said, said


def test_454_470_sign_in_down():
    """the parent is stopped, so that nobody starts auth again before this is asked"""
    with mailroom.System() as m:
        s = client(m, port='submission')
        s.starttls(context=CONTEXT)
        s.ehlo('client.example')
        pids = m.pid_of('auth')
        m.process.send_signal(signal.SIGSTOP)
        try:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            code, words = s.docmd('AUTH', 'PLAIN AGFsaWNlAHg=')
            says((code, words.decode()), 454, '4.7.0', 'auth-temporarily-unavailable')
        finally:
            m.process.send_signal(signal.SIGCONT)
        s.close()
