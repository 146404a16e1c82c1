"""Limits: a real client meets each of them, reads which one it was, its value and when to come back; the administrator sees it; a restart forgets nothing."""
import json
import re
import smtplib
import ssl
import subprocess
import time

import pytest

import mailroom

NONE = {name: '' for name in mailroom.RATES}
DOMAIN = 'mailroom.test'
ALICE, BOB = 'alice@' + DOMAIN, 'bob@' + DOMAIN
TEXT = 'Subject: a test\r\nFrom: %s\r\n\r\nhello\r\n'


def conf(more='', **rates):
    """one worker of each kind, as workers count for themselves; no limits but those"""
    lines = ''.join('\t%s = "%s"\n' % (k, v) for k, v in dict(NONE, **{k.replace('_', '-'): v for k, v in rates.items()}).items())
    return 'workers {\n\tmx = 1\n\tuser = 1\n}\nrates {\n%s}\n%s' % (lines, more)


def submit(m, to=(BOB,), n=1, who=ALICE):
    """n messages over one connection; the reply of the server to the one that it refused, or None"""
    with smtplib.SMTP('127.0.0.1', m.port['submission'], timeout=20) as s:
        s.starttls(context=ssl._create_unverified_context())
        s.login(who, m.password[who])
        for _ in range(n):
            refused = deliver(s, who, to)
            if refused:
                return refused
    return None


def deliver(s, sender, to):
    try:
        some = s.sendmail(sender, list(to), TEXT % sender)
    except smtplib.SMTPRecipientsRefused as e:
        code, words = list(e.recipients.values())[0]
    except smtplib.SMTPSenderRefused as e:
        code, words = e.smtp_code, e.smtp_error
    except smtplib.SMTPResponseException as e:
        code, words = e.smtp_code, e.smtp_error
    else:
        if not some:
            return None
        code, words = list(some.values())[0]
    return '%d %s' % (code, words.decode())


def mx(m, to=(BOB,), n=1):
    with smtplib.SMTP('127.0.0.1', m.port['mx'], timeout=20) as s:
        for _ in range(n):
            refused = deliver(s, 'someone@elsewhere.example', to)
            if refused:
                return refused
    return None


def said(reply, code, cause, limit, most_s):
    """the reply names the cause, the limit with its value, and a wait of at most most_s seconds"""
    assert reply, 'nothing was refused'
    assert reply.startswith(code + ' '), reply
    assert '(%s;' % cause in reply and limit in reply, reply
    wait = re.search(r'(\d+) (s|min|h)\b(?!.* \d+ (s|min|h)\b)', reply)
    assert wait, 'it does not say when to try again: ' + reply
    assert 0 < int(wait.group(1)) * {'s': 1, 'min': 60, 'h': 3600}[wait.group(2)] <= most_s, reply


def listed(m, *args):
    return json.loads(m.run('limit', 'list', '--json', *args))


def used(m, what, window, *args):
    rows = [r for r in listed(m, *args) if r['what'] == what and r['window'] == window]
    return rows[0]['used'] if rows else None


def until(check, seconds=10):
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, 'it never came'
        time.sleep(0.1)


# ---- accounts, mailboxes, addresses, networks: counted by the store

@pytest.mark.parametrize('rates, to, n, code, cause, limit, most_s', [
    ({'account_messages': '3/10s'}, 1, 4, '450 4.2.1', 'rate-limit-sender', '3 messages in 10 s', 12),
    ({'account_messages': '3/min'}, 1, 4, '450 4.2.1', 'rate-limit-sender', '3 messages a minute', 68),
    ({'account_messages': '3/h'}, 1, 4, '450 4.2.1', 'rate-limit-sender', '3 messages an hour', 4080),
    ({'account_messages': '3/day'}, 1, 4, '550 5.4.5', 'quota-sender-daily', '3 messages a day', 98000),
    ({'account_recipients': '5/min'}, 2, 3, '450 4.2.1', 'rate-limit-sender', '5 recipients a minute', 68),
    ({'account_recipients': '5/day'}, 2, 3, '550 5.4.5', 'quota-sender-daily', '5 recipients a day', 98000),
    ({'mailbox_messages': '2/min'}, 1, 3, '450 4.2.1', 'rcpt-rate-limited', '2 messages a minute', 68),
    ({'mailbox_messages': '2/day'}, 1, 3, '550 5.2.1', 'rcpt-rate-blocked', '', 98000),
])
def test_account_and_mailbox(rates, to, n, code, cause, limit, most_s):
    with mailroom.System(conf(**rates)) as m:
        m.run('alias', 'add', 'info@' + DOMAIN, BOB)
        rcpts = (BOB, 'info@' + DOMAIN)[:to]
        assert submit(m, rcpts, n - 1) is None
        said(submit(m, rcpts), code, cause, limit, most_s)
        if 'account_messages' in rates:
            assert submit(m, (ALICE,), who=BOB) is None  # another's count is another's
        until(lambda: listed(m, '--near', '80'))
        m.stop()
        m.start()
        said(submit(m, rcpts), code, cause, limit, most_s)


@pytest.mark.parametrize('rates, code, cause, limit', [
    ({'address_messages': '3/min'}, '421 4.7.0', 'rate-limit-ip', '3 messages a minute'),
    ({'address_recipients': '3/h'}, '421 4.7.0', 'rate-limit-ip', '3 recipients an hour'),
    ({'address_messages': '3/day'}, '550 5.7.1', 'ip-rate-blocked', ''),
])
def test_strangers_by_address(rates, code, cause, limit):
    with mailroom.System(conf(**rates)) as m:
        assert mx(m, n=3) is None
        reply = mx(m)
        assert reply and reply.startswith(code) and cause in reply and limit in reply, reply
        assert submit(m) is None  # who signed in is held to the account's limits
        time.sleep(1.2)
        m.stop()
        m.start()
        assert mx(m).startswith(code)
        m.run('limit', 'reset', '127.0.0.1')
        until(lambda: mx(m) is None)


class Office(mailroom.System):
    """this machine is a network that may send without sign-in"""

    def write_conf(self, extra=''):
        super().write_conf(extra + 'network "office" {\n\taddresses = "127.0.0.0/8"\n\tmessages = "2/min"\n\trecipients = "100/h 5/day"\n}\n')
        path = self.home + '/mailroom.conf'
        text = open(path).read().replace('listener "mx" {\n', 'listener "mx" {\n\trelay-networks = "office"\n')
        with open(path, 'w') as f:
            f.write(text)


def test_networks():
    with Office(conf(address_messages='1/min')) as m:
        with smtplib.SMTP('127.0.0.1', m.port['mx'], timeout=20) as s:
            s.ehlo()
            assert s.mail('printer@%s' % DOMAIN)[0] == 250
            replies = [s.rcpt('u%d@example.com' % i) for i in range(6)]
        assert [code for code, _ in replies] == [250] * 5 + [450]
        said('450 ' + replies[5][1].decode(), '450 4.7.1', 'network-day-limit', '5 recipients a day', 98000)
        assert mx(m, ('a@example.com',), n=2) is None
        said(mx(m, ('a@example.com',)), '450 4.7.1', 'network-rate-limited', '2 messages a minute', 68)
        until(lambda: used(m, 'messages', 'a minute', '--network', 'office') == 2)
        assert [r['where'] for r in listed(m, '--network', 'office') if 'mailroom.conf:' in r['where']]
        m.run('limit', 'reset', 'office')
        until(lambda: mx(m, ('a@example.com',)) is None)


def test_it_passes_after_the_time_that_was_said():
    with mailroom.System(conf(account_messages='2/10s')) as m:
        assert submit(m, n=2) is None
        reply = submit(m)
        wait = int(re.search(r'wait (\d+) s', reply).group(1))
        assert 0 < wait <= 12, reply
        time.sleep(wait)
        assert submit(m) is None


def test_parallel_sessions_do_not_overshoot():
    with mailroom.System(conf(account_messages='3/h')) as m:
        context = ssl._create_unverified_context()
        sessions = [smtplib.SMTP('127.0.0.1', m.port['submission'], timeout=20) for _ in range(6)]
        for s in sessions:
            s.starttls(context=context)
            s.login(ALICE, m.password[ALICE])
            assert s.mail(ALICE)[0] == 250 and s.rcpt(BOB)[0] == 250  # all of them are let through so far
        codes = [s.data(TEXT % ALICE)[0] for s in sessions]
        assert sorted(codes) == [250] * 3 + [450] * 3, codes
        for s in sessions:
            s.close()
        assert len(m.message_ids()) == 3


def test_swaks_shows_it():
    with mailroom.System(conf(account_messages='1/h')) as m:
        command = ['swaks', '--server', '127.0.0.1:%d' % m.port['submission'], '-tls', '--auth', 'PLAIN', '--auth-user', ALICE, '--auth-password', m.password[ALICE],
                   '--from', ALICE, '--to', BOB]
        assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0
        p = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert p.returncode != 0 and re.search(r'450[ -]4\.2\.1 You send too fast: more than 1 messages an hour', p.stdout), p.stdout


# ---- what the administrator sees and does

def test_the_administrator_sees_and_sets():
    with mailroom.System(conf(account_messages='4/h', account_recipients='100/h')) as m:
        assert submit(m, n=2) is None
        until(lambda: used(m, 'messages', 'an hour', '--account', ALICE) == 2)
        row = [r for r in listed(m, '--account', ALICE) if r['what'] == 'messages' and r['whose'] == 'account'][0]
        assert row['name'] == ALICE and row['limit'] == 4 and row['percent'] == 50 and row['retry_ms'] == 0
        assert row['setting'] == 'account-messages' and re.search(r'mailroom\.conf:\d+$', row['where'])
        assert [r['what'] for r in listed(m, '--near', '50')] == ['messages']
        m.run('limit', 'set', ALICE, '--messages', '2/h')  # holds at once
        said(submit(m), '450 4.2.1', 'rate-limit-sender', '2 messages an hour', 4080)
        row = [r for r in listed(m, '--account', ALICE) if r['what'] == 'messages' and r['whose'] == 'account'][0]
        assert row['limit'] == 2 and row['percent'] == 100 and row['where'] == 'limit set' and row['retry_ms'] > 0
        m.run('limit', 'set', ALICE, '--messages', 'none')
        assert submit(m, n=5) is None
        m.run('limit', 'set', ALICE, '--messages', 'default')
        said(submit(m), '450 4.2.1', 'rate-limit-sender', '4 messages an hour', 4080)
        m.run('limit', 'reset', ALICE)
        until(lambda: submit(m) is None)


def test_what_is_no_limit_is_said():
    with mailroom.System(conf(), start=False) as m:
        for args, words in [(('set', ALICE), '--messages or --recipients'), (('set', ALICE, '--messages', 'lots'), 'is no rate'), (('set', 'nobody@' + DOMAIN, '--messages', '1/h'),
                            'there is no account'), (('list', '--near', 'x'), 'percent'), (('list', '--address', 'x'), 'IP address'), (('list', '--network', 'x'), 'no network'),
                            (('reset', 'nowhere'), 'is no IP address'), (('reset', 'nobody@' + DOMAIN), 'nobody gets mail')]:
            p = m.run('limit', *args, check=False)
            assert p.returncode in (1, 2) and words in p.stderr, (args, p.stderr)


# ---- abuse: counted by each worker

def connect(m, port='mx'):
    """the greeting; where it was one, the client leaves politely"""
    with mailroom.Wire(m.port[port]) as w:
        if w.greeting.startswith('220'):
            w.ask('EHLO client.example')
            w.send('QUIT\r\n')
        return w.greeting


def test_helo_floods():
    with mailroom.System(conf(address_helo_floods='5/min')) as m:
        for _ in range(5):
            assert connect(m).startswith('220')
        until(lambda: connect(m).startswith('421'))
        said(connect(m), '421 4.7.0', 'helo-flood', '5 connections without mail a minute', 68)
        until(lambda: used(m, 'connections without mail (mx/0)', 'a minute', '--address', '127.0.0.1'))
        m.stop()
        m.start()
        until(lambda: connect(m).startswith('421'))
        m.run('limit', 'reset', '127.0.0.1')
        until(lambda: connect(m).startswith('220'))


def test_mail_is_no_flood():
    with mailroom.System(conf(address_helo_floods='3/min')) as m:
        for _ in range(8):
            assert mx(m) is None


def test_connections():
    with mailroom.System(conf(address_connections='4/min')) as m:
        for _ in range(4):
            assert connect(m).startswith('220')
        said(connect(m), '421 4.7.0', 'ip-connects-too-often', '4 connections a minute', 68)
        assert connect(m, 'submission').startswith('220')  # another worker, which counts for itself


def test_pop3_connections_hear_it_too():
    with mailroom.System(conf(address_connections='2/min')) as m:
        lines = []
        for _ in range(3):
            with mailroom.Wire(m.port['pop3'], greet=False) as w:
                lines.append(w.line())
        assert [line.split()[0] for line in lines] == ['+OK', '+OK', '-ERR'], lines
        assert re.search(r'\[SYS/TEMP\] Your address connects too often: more than 2 connections a minute; wait \d+ s', lines[2]), lines


@pytest.mark.parametrize('rates, port, talk, cause, limit', [
    ({'address_unknown_commands': '4/h'}, 'mx', ['EHLO x.example', 'FOO', 'BAR', 'BAZ', 'QUX'], 'ip-unknown-commands', '4 unknown commands an hour'),
    ({'address_unauth_commands': '3/h'}, 'submission', ['EHLO x.example'] + ['MAIL FROM:<%s>' % ALICE] * 3, 'ip-unauth-commands', '3 commands without sign-in an hour'),
    ({'address_failed_recipients': '3/h'}, 'mx', ['EHLO x.example', 'MAIL FROM:<a@b.example>', 'RCPT TO:<no@%s>' % DOMAIN, 'RCPT TO:<nobody@%s>' % DOMAIN, 'RCPT TO:<x@example.com>'],
     'ip-failed-recipients', '3 refused recipients an hour'),
])
def test_misbehaviour(rates, port, talk, cause, limit):
    with mailroom.System(conf(**rates)) as m:
        with mailroom.Wire(m.port[port]) as w:
            if port == 'submission':
                w.ask('STARTTLS')
                w.sock = ssl._create_unverified_context().wrap_socket(w.sock)
            for line in talk:
                w.ask(line)
        with mailroom.Wire(m.port[port]) as w:
            said(w.greeting, '421 4.7.0', cause, limit, 4080)
        until(lambda: listed(m, '--address', '127.0.0.1', '--near', '100'))
        m.stop()
        m.start()
        with mailroom.Wire(m.port[port]) as w:
            said(w.greeting, '421 4.7.0', cause, limit, 4080)


def test_who_signed_in_is_not_held_to_it():
    with mailroom.System(conf(address_helo_floods='3/min', address_connections='3/min', address_unknown_commands='3/min')) as m:
        assert submit(m) is None
        for _ in range(10):
            assert connect(m, 'submission').startswith('220')
        with mailroom.Wire(m.port['submission']) as w:
            w.ask('EHLO x.example')
            for _ in range(5):
                w.ask('FOO')
        assert connect(m, 'submission').startswith('220')


def test_a_reload_keeps_the_counts():
    with mailroom.System(conf(address_helo_floods='5/h')) as m:
        for _ in range(6):
            connect(m)
        until(lambda: connect(m).startswith('421'))
        time.sleep(1.3)
        mark = m.log_size()
        m.process.send_signal(1)
        m.wait_log('event=role-ended ended=mx', since=mark)  # the old worker is gone, so it is the new one that answers
        tries = 0
        while not connect(m).startswith('421'):  # it may take its first connections a moment before the store has told it
            tries += 1
            assert tries < 4, 'that many connections would be let through anew'
            time.sleep(0.2)


# ---- failed sign-ins

def test_failed_sign_ins_survive_a_restart():
    with mailroom.System(conf('auth {\n\tfailure-delay = 0ms\n\tfailures-per-account = 3\n}\n')) as m:
        def sign_in(password):
            with smtplib.SMTP('127.0.0.1', m.port['submission'], timeout=20) as s:
                s.starttls(context=ssl._create_unverified_context())
                s.ehlo()
                s.user, s.password = ALICE, password
                try:
                    code, words = s.auth('PLAIN', s.auth_plain)
                except smtplib.SMTPAuthenticationError as e:
                    code, words = e.smtp_code, e.smtp_error
                return '%d %s' % (code, words.decode())

        for _ in range(3):
            assert sign_in('wrong').startswith('535')
        until(lambda: used(m, 'failed sign-ins', 'in 15 min', '--account', ALICE) == 3)
        assert 'auth-rate-limited' in sign_in(m.password[ALICE])
        m.stop()
        m.start()
        assert 'auth-rate-limited' in sign_in(m.password[ALICE])
        m.run('limit', 'reset', ALICE)
        until(lambda: sign_in(m.password[ALICE]).startswith('235'))
