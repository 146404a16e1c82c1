"""Who may relay (the scenarios of the "550 relay prohibited" family): at home, at work, in a hotel; networks and relay windows. The clients are swaks and
Python's libraries; the client's address is one of loopback's."""
import json
import os
import poplib
import re
import signal
import smtplib
import subprocess
import time

import pytest

import mailroom

OFFICE, HOME_LINE, HOTEL, CAFE = '127.1.0.5', '127.2.7.9', '127.3.0.1', '127.4.0.1'
RELAY = 'relay {\n\twindow-networks = "127.0.0.0/8"\n\twindow = %s\n}\n'
NETWORKS = '''network "customers" { addresses = "127.2.0.0/16" }
network "office" { addresses = "127.1.0.0/24" senders = "mailroom.test" messages = "3/min" }
'''
ELSEWHERE = 'friend@elsewhere.example'


class Relay(mailroom.System):
    """mx offers sign-in and takes mail from the networks and from open windows; so does submission; pop3 opens windows"""

    def __init__(self, window='30min', **more):
        self.window = window
        super().__init__(**more)

    def write_conf(self, extra=''):
        super().write_conf(extra + NETWORKS + RELAY % self.window)
        path = os.path.join(self.home, 'mailroom.conf')
        with open(path) as f:
            text = f.read()
        for name in mailroom.LISTENERS:
            more = '\trelay-window = yes\n'
            if not name.startswith('pop3'):
                more += '\trelay-networks = "customers office"\n'
            if name == 'mx':
                more += '\tauth = yes\n'
            text = text.replace('listener "%s" {\n' % name, 'listener "%s" {\n%s' % (name, more))
        with open(path, 'w') as f:
            f.write(text)


@pytest.fixture(scope='module')
def system():
    with Relay() as m:
        yield m


def swaks(m, source, to, sender='alice@mailroom.test', port='mx', *more):
    """what swaks makes of it: (did the message go out?, transcript)"""
    p = subprocess.run(['swaks', '--server', '127.0.0.1', '--port', str(m.port[port]), '--local-interface', source, '--from', sender, '--to', to,
                        '--helo', 'laptop.example', '--timeout', '20', *more], capture_output=True, text=True, timeout=60)
    return p.returncode == 0, p.stdout + p.stderr


def fetch(m, name, source, password=None):
    p = poplib.POP3_SSL('127.0.0.1', m.port['pop3s'], timeout=20)
    p.close()
    # poplib cannot choose where it comes from
    import socket
    import ssl
    raw = socket.create_connection(('127.0.0.1', m.port['pop3s']), timeout=20, source_address=(source, 0))
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    s = context.wrap_socket(raw)
    f = s.makefile('rwb')
    f.readline()
    said = []
    for line in ('USER %s@mailroom.test' % name, 'PASS ' + (password or m.password[name + '@mailroom.test']), 'QUIT'):
        f.write(line.encode() + b'\r\n')
        f.flush()
        said.append(f.readline().decode())
    s.close()
    return said[1].startswith('+OK')


def windows(m):
    return {w['address']: w for w in json.loads(m.run('relay', 'list', '--json'))}


# ---- the five scenarios

@pytest.mark.parametrize('place,source', [('home', HOME_LINE), ('work', CAFE), ('hotel', HOTEL)])
def test_to_somebody_here_from_anywhere(system, place, source):
    ok, text = swaks(system, source, 'bob@mailroom.test', 'someone@elsewhere.example')
    assert ok, text


def test_at_home_on_the_providers_own_line_to_elsewhere(system):
    ok, text = swaks(system, HOME_LINE, ELSEWHERE, 'customer@anything.example')
    assert ok, text
    assert 'by=network' in system.log()


def test_in_a_hotel_without_sign_in_to_elsewhere(system):
    ok, text = swaks(system, HOTEL, ELSEWHERE)
    assert not ok
    assert 'pop-before-smtp' in text and ELSEWHERE in text


def test_in_a_hotel_signed_in_to_elsewhere(system):
    ok, text = swaks(system, HOTEL, ELSEWHERE, 'alice@mailroom.test', 'submission', '-tls', '--auth', 'PLAIN', '--auth-user', 'alice@mailroom.test',
                     '--auth-password', system.password['alice@mailroom.test'])
    assert ok, text
    ok, text = swaks(system, HOTEL, ELSEWHERE, 'alice@mailroom.test', 'mx', '-tls', '--auth', 'LOGIN', '--auth-user', 'alice@mailroom.test',
                     '--auth-password', system.password['alice@mailroom.test'])
    assert ok, text  # port 25 with sign-in, where the listener says so


# ---- networks

def test_network_senders_and_limits(system):
    ok, text = swaks(system, OFFICE, ELSEWHERE, 'printer@other.example')
    assert not ok and 'relay-credentials' in text and ' 550 5.7.1 ' in text.replace('550-5.7.1', '550 5.7.1')
    for i in range(3):
        ok, text = swaks(system, OFFICE, ELSEWHERE, 'printer@mailroom.test', 'mx', '--header', 'Message-Id: <n%d@office>' % i)
        assert ok, text
    ok, text = swaks(system, OFFICE, ELSEWHERE, 'printer@mailroom.test', 'mx', '--header', 'Message-Id: <n4@office>')
    assert not ok and '3 messages' in text, text


def test_next_to_a_network(system):
    ok, text = swaks(system, '127.1.1.5', ELSEWHERE)  # 127.1.0.0/24 ends before
    assert not ok


# ---- windows

def test_window_opens_with_a_pop3_sign_in_and_is_bound_to_the_account(system):
    source = '127.5.0.1'
    assert not swaks(system, source, ELSEWHERE)[0]
    assert not fetch(system, 'alice', source, 'wrong')
    assert not swaks(system, source, ELSEWHERE)[0]  # a failed sign-in opens nothing
    assert fetch(system, 'alice', source)
    mark = system.log_size()
    ok, text = swaks(system, source, ELSEWHERE)
    assert ok, text
    log = system.wait_log('event=accepted.*', since=mark)
    assert re.search(r'event=relay by=relay-window account=alice@mailroom.test', log)
    assert windows(system)[source]['state'] == 'open' and windows(system)[source]['account'] == 'alice@mailroom.test'
    ok, text = swaks(system, source, ELSEWHERE, 'bob@mailroom.test')  # identity rules know who it is
    assert not ok and 'sender-not-owned' in text, text
    assert not swaks(system, '127.5.0.2', ELSEWHERE)[0]  # the neighbour


def test_received_says_how_it_was_relayed(system):
    source = '127.5.1.1'
    assert fetch(system, 'alice', source)
    ok, text = swaks(system, source, 'bob@mailroom.test', 'alice@mailroom.test', 'mx', '--header', 'Subject: by window')
    assert ok, text
    box = smtp_box(system, 'bob')
    mail = [m for m in box if 'Subject: by window' in m][-1]
    assert 'relay window of alice@mailroom.test' in re.sub(r'\s+', ' ', mail)


def smtp_box(m, name):
    p = poplib.POP3('127.0.0.1', m.port['pop3'], timeout=20)
    import ssl
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    p.stls(context)
    p.user(name + '@mailroom.test')
    p.pass_(m.password[name + '@mailroom.test'])
    out = ['\n'.join(x.decode(errors='replace') for x in p.retr(i + 1)[1]) for i in range(len(p.list()[1]))]
    p.quit()
    return out


def test_window_revoked(system):
    source = '127.5.2.1'
    assert fetch(system, 'alice', source) and swaks(system, source, ELSEWHERE)[0]
    assert 'closed 1' in system.run('relay', 'revoke', source)
    ok, text = swaks(system, source, ELSEWHERE)
    assert not ok and 'relay-window-closed' in text and 'an administrator closed it at' in text, text
    p = system.run('relay', 'revoke', source, check=False)
    assert p.returncode == 1 and 'relay list' in p.stderr


def test_window_ends_in_the_middle_of_a_session(system):
    source = '127.5.3.1'
    assert fetch(system, 'alice', source)
    with smtplib.SMTP('127.0.0.1', system.port['mx'], source_address=(source, 0), timeout=20) as s:
        s.ehlo('x.example')
        assert s.mail('alice@mailroom.test')[0] == 250 and s.rcpt(ELSEWHERE)[0] == 250
        s.rset()
        system.run('relay', 'revoke', 'alice@mailroom.test')
        assert s.mail('alice@mailroom.test')[0] == 250  # like any stranger
        code, words = s.rcpt(ELSEWHERE)
        assert code == 550 and b'relay-window-closed' in words
        assert s.rcpt('bob@mailroom.test')[0] == 250


def test_two_accounts_behind_one_address(system):
    source = '127.5.4.1'
    assert fetch(system, 'alice', source) and swaks(system, source, ELSEWHERE)[0]
    assert fetch(system, 'bob', source)
    ok, text = swaks(system, source, ELSEWHERE)
    assert not ok and 'relay-window-shared' in text, text
    assert 'share' in windows(system)[source]['state']


def test_window_ends_with_the_password_and_with_disabling():
    with Relay() as m:
        for source, act in (('127.5.5.1', ('account', 'passwd', 'alice@mailroom.test', '--password-stdin')), ('127.5.5.2', ('account', 'disable', 'alice@mailroom.test'))):
            assert fetch(m, 'alice', source) and swaks(m, source, ELSEWHERE)[0]
            m.run(*act, input='another one 7\n')
            m.password['alice@mailroom.test'] = 'another one 7'
            ok, text = swaks(m, source, ELSEWHERE)
            assert not ok and 'relay-window-closed' in text, text
            end = time.monotonic() + 20
            while 'account changed' not in windows(m)[source]['state'] and time.monotonic() < end:
                time.sleep(0.1)
            assert 'account changed' in windows(m)[source]['state']


def test_window_expires_and_says_when():
    with Relay(window='1min') as m:  # the least there is; the clock of the database is moved instead of waiting
        source = '127.5.6.1'
        assert fetch(m, 'alice', source) and swaks(m, source, ELSEWHERE)[0]
        m.stop()
        import sqlite3
        db = sqlite3.connect(os.path.join(m.home, 'auth', 'credentials.db'))
        db.execute('UPDATE relay_window SET opened_ms = opened_ms - 90000, until_ms = until_ms - 90000')
        db.commit()
        until = db.execute('SELECT until_ms FROM relay_window').fetchone()[0]
        db.close()
        m.start()
        ok, text = swaks(m, source, ELSEWHERE)
        assert not ok and 'relay-window-closed' in text
        assert 'it closed at ' + time.strftime('%H:%M UTC', time.gmtime(until / 1000)) in text, text
        assert fetch(m, 'alice', source) and swaks(m, source, ELSEWHERE)[0]  # opened again


def test_windows_outlive_auth_and_the_system():
    with Relay() as m:
        source = '127.5.7.1'
        assert fetch(m, 'alice', source)
        for pid in m.pid_of('auth'):
            os.kill(pid, signal.SIGKILL)
        m.wait_log('event=role-ready started=auth', count=2)
        end = time.monotonic() + 20
        while not swaks(m, source, ELSEWHERE)[0]:
            assert time.monotonic() < end
            time.sleep(0.2)
        m.stop()
        m.start()
        assert swaks(m, source, ELSEWHERE)[0]


def test_windows_are_off_unless_asked_for():
    with mailroom.System() as m:
        assert fetch(m, 'alice', '127.5.8.1')
        ok, text = swaks(m, '127.5.8.1', ELSEWHERE)
        assert not ok and 'relay-denied-unauth' in text
        assert windows(m) == {}


def test_a_private_address_needs_leave():
    with Relay(conf='') as m:
        path = os.path.join(m.home, 'mailroom.conf')
        with open(path) as f:
            text = f.read()
        with open(path, 'w') as f:
            f.write(text.replace('window-networks = "127.0.0.0/8"', 'window-networks = ""'))
        mark = m.log_size()
        m.process.send_signal(signal.SIGHUP)
        m.wait_log('event=role-ready started=user', since=mark, count=1)
        end = time.monotonic() + 20
        while time.monotonic() < end:  # until the new workers have taken over
            assert fetch(m, 'alice', '127.5.9.1')
            ok, said = swaks(m, '127.5.9.1', ELSEWHERE)
            if not ok:
                break
            m.run('relay', 'revoke', 'all', check=False)
            time.sleep(0.2)
        assert not ok and 'relay-denied-unauth' in said, said


# ---- an open relay cannot be configured

@pytest.mark.parametrize('addresses', ['0.0.0.0/0', '::/0', '0.0.0.0/1 128.0.0.0/1', '8.0.0.0/7', ' '.join('%d.0.0.0/9' % n for n in (11, 12, 13)), '2000::/3', '::ffff:0:0/96'])
def test_check_refuses_an_open_relay(tmp_path, addresses):
    with mailroom.System(start=False) as m:
        with open(os.path.join(m.home, 'mailroom.conf'), 'a') as f:
            f.write('network "all" { addresses = "%s" }\n' % addresses)
        p = m.run('check', check=False)
        assert p.returncode == 1
        assert 'open relay' in p.stdout + p.stderr and re.search(r'mailroom\.conf:\d+', p.stdout + p.stderr), p.stdout + p.stderr


def test_check_names_a_network_that_is_not_there(tmp_path):
    with mailroom.System(start=False, listener='') as m:
        path = os.path.join(m.home, 'mailroom.conf')
        with open(path) as f:
            text = f.read()
        with open(path, 'w') as f:
            f.write(text.replace('listener "mx" {', 'listener "mx" {\n\trelay-networks = "ofice"') + 'network "office" { addresses = "127.1.0.0/24" }\n')
        p = m.run('check', check=False)
        assert p.returncode == 1 and 'ofice' in p.stdout + p.stderr
