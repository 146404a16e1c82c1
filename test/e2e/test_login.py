"""Trouble with signing in, told apart: the client sees one text, the administrator reads the true cause and what would be right."""
import base64
import contextlib
import itertools
import json
import os
import poplib
import re
import signal
import smtplib
import socket
import ssl
import subprocess
import time

import pytest

import mailroom
from mailroom import Wire

NO_VERIFY = ssl._create_unverified_context()
CONF = 'auth {\n\tfailure-delay = 20ms\n\tfailures-per-address = 100000\n\tfailures-per-account = 100000\n}\nlimits {\n\tauth-failures = 50\n}\n'
SECRET = 'it\'s "100%" <&>'
ODD = ["o'brien@mailroom.test", 'a&b@mailroom.test', 'x+y@mailroom.test', 'j\u00f6rg@mailroom.test', '"john doe"@mailroom.test']
addresses = ('127.0.3.%d' % (n % 250 + 1) for n in itertools.count())


@pytest.fixture(scope='module')
def m():
    with mailroom.System(CONF, accounts=('alice', 'off', 'full')) as system:
        for domain in ('second.test', 'third.test'):
            system.run('domain', 'add', domain)
        for name in ('carol@second.test', 'carol@third.test', 'dave@second.test'):
            system.account(name)
        for name in ODD:
            system.account(name, password=SECRET)
        system.run('account', 'disable', 'off@mailroom.test')
        yield system


class Secure(Wire):
    """TLS from the first byte, from an address of its own: what is counted by address does not mix up"""

    def __init__(self, port):
        raw = socket.create_connection(('127.0.0.1', port), timeout=20, source_address=(next(addresses), 0))
        self.sock = NO_VERIFY.wrap_socket(raw)
        self.left = b''
        self.greeting = self.line()


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def smtp_attempt(m, login, password, mechanism='PLAIN'):
    with Secure(m.port['submissions']) as w:
        w.ask('EHLO laptop.example')
        if mechanism == 'LOGIN':
            assert w.ask('AUTH LOGIN').startswith('334')
            assert w.ask(b64(login)).startswith('334')
            return w.ask(b64(password))
        return w.ask('AUTH PLAIN ' + b64(b'\0' + (login if isinstance(login, bytes) else login.encode()) + b'\0' + password.encode()))


def pop3_attempt(m, login, password, mechanism='USER'):
    with Secure(m.port['pop3s']) as w:
        if mechanism == 'PLAIN':
            w.send('AUTH PLAIN ' + b64('\0%s\0%s' % (login, password)) + '\r\n')
        else:
            w.send(b'USER ' + (login if isinstance(login, bytes) else login.encode()) + b'\r\n')
            if not w.line().startswith('+OK'):
                return 'USER was refused'
            w.send('PASS %s\r\n' % password)
        reply = w.line()
        with contextlib.suppress(OSError, EOFError):  # it may have ended already
            w.send('QUIT\r\n')
            w.line()
            w.line()  # the mailbox is free when the connection ends
        return reply


def without_ref(reply):
    return re.sub(r'ref [0-9A-Z.]+', 'ref X', reply)


def signin_lines(m, mark, count=1):
    text = m.wait_log(r'event=signin .*ms=', since=mark, count=count)
    return re.findall(r'.*event=signin .*', text)


TROUBLE = [
    # login, password, true cause, what the log says with it
    ('alice@mailroom.test', 'not-it 7', 'auth-wrong-password', None),
    ('nobody@mailroom.test', 'not-it 7', 'auth-user-unknown', 'no account has this address'),
    ('dave@mailroom.test', 'dave-Pw 1', 'auth-user-unknown', 'there is dave@second.test'),
    ('alice@mailrom.test', 'alice-Pw 1', 'auth-domain-unknown', 'no account has an address in mailrom.test; there is alice@mailroom.test'),
    ('alice%mailroom.test', 'alice-Pw 1', 'auth-login-form', 'the form would be alice@mailroom.test'),
    ('MAILROOM\\alice', 'alice-Pw 1', 'auth-login-form', 'the form would be alice@mailroom.test'),
    ('<alice@mailroom.test>', 'alice-Pw 1', 'auth-login-form', 'the form would be alice@mailroom.test'),
    ('mailto:alice@mailroom.test', 'alice-Pw 1', 'auth-login-form', 'the form would be alice@mailroom.test'),
    ('alice@mailroom,test', 'alice-Pw 1', 'auth-login-form', 'the form would be alice@mailroom.test'),
    ('o\u2019brien@mailroom.test', SECRET, 'auth-login-form', "the form would be o'brien@mailroom.test"),
    ('carol', 'carol-Pw 1', 'auth-login-form', 'could be carol@second.test or carol@third.test'),
    ('off@mailroom.test', 'not-it 7', 'auth-wrong-password', None),
]


@pytest.mark.parametrize('way', [(smtp_attempt, 'PLAIN'), (smtp_attempt, 'LOGIN'), (pop3_attempt, 'USER'), (pop3_attempt, 'PLAIN')],
                         ids=['smtp-plain', 'smtp-login', 'pop3-user', 'pop3-plain'])
def test_one_text_for_the_client_and_the_truth_in_the_log(m, way):
    attempt, mechanism = way
    said = set()
    for login, password, cause, words in TROUBLE:
        mark = m.log_size()
        said.add(without_ref(attempt(m, login, password, mechanism)))
        (line,) = signin_lines(m, mark)
        assert 'result=fail' in line and 'cause=%s' % cause in line, (login, line)
        assert words is None or words in line, (login, line)
        assert password not in line
    assert len(said) == 1, said
    reply = said.pop()
    assert '(auth-bad-credentials; ref X)' in reply and re.match(r'535[ -]5\.7\.1 |-ERR \[AUTH\] ', reply)
    assert not re.search(r'unknown|domain|mailroom\.test|exist|alice', reply.split('\n')[-1])


def test_workers_never_learn_which_it_was(m):
    mark = m.log_size()
    for login, password, _, _ in TROUBLE:
        smtp_attempt(m, login, password)
    signin_lines(m, mark, len(TROUBLE))
    m.wait_log(r'role=user/\d+ event=refused .*cause=auth-bad-credentials', since=mark, count=len(TROUBLE))
    hidden = re.findall(r'role=(?!auth)\S+ .*(?:auth-(?:user|domain)-unknown|auth-login-form|auth-wrong-password|auth-password-old).*', m.log(mark))
    assert not hidden


def test_a_disabled_account_is_named_to_who_knows_the_password(m):
    mark = m.log_size()
    reply = smtp_attempt(m, 'off@mailroom.test', 'off-Pw 1')
    assert reply.startswith('525-5.7.13 ') and 'switched off' in reply and 'auth-account-disabled' in reply.split('\n')[-1]
    assert re.match(r'-ERR \[SYS/PERM\] .*switched off', pop3_attempt(m, 'off@mailroom.test', 'off-Pw 1'))
    assert all('cause=auth-account-disabled' in line and 'account=off@mailroom.test' in line for line in signin_lines(m, mark, 2))


def test_the_password_from_before_the_change(m):
    m.account('eve')
    m.run('account', 'passwd', 'eve@mailroom.test', '--password-stdin', input='new-Pw 22\n')
    mark = m.log_size()
    old, guess = pop3_attempt(m, 'eve', 'eve-Pw 1'), pop3_attempt(m, 'eve', 'eve-Pw 2')
    assert without_ref(old) == without_ref(guess) and 'auth-bad-credentials' in old
    first, second = signin_lines(m, mark, 2)
    assert 'cause=auth-password-old' in first and 'one of several devices' in first
    assert 'cause=auth-wrong-password' in second
    assert pop3_attempt(m, 'eve', 'new-Pw 22').startswith('+OK')


# ---- application passwords and demands

def app_password(m, address, name):
    out = m.run('account', 'app-password', 'add', address, name)
    password = re.search(r'shown this once: (\S+)$', out.strip()).group(1)
    assert re.fullmatch(r'(?:[a-km-np-z2-9]{4}-){3}[a-km-np-z2-9]{4}', password), password
    return password


def test_an_application_password_signs_in_everywhere_until_it_is_taken_back(m):
    m.account('frank')
    password = app_password(m, 'frank@mailroom.test', 'old phone')
    for mechanism in ('PLAIN', 'LOGIN'):
        assert smtp_attempt(m, 'frank@mailroom.test', password, mechanism).startswith('235')
    r = subprocess.run(['curl', '-sk', '--login-options', 'AUTH=PLAIN', '-u', 'frank@mailroom.test:' + password, 'smtps://127.0.0.1:%d' % m.port['submissions'],
                        '--mail-from', 'frank@mailroom.test', '--mail-rcpt', 'frank@mailroom.test', '-T', '-'],
                       input='From: frank@mailroom.test\r\nSubject: x\r\n\r\nx\r\n', capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r.stderr
    p = poplib.POP3_SSL('127.0.0.1', m.port['pop3s'], context=NO_VERIFY, timeout=20)
    p.user('frank@mailroom.test')
    p.pass_(password.replace('-', '').upper())
    assert p.retr(1)[0].startswith(b'+OK')
    assert 'app="old phone"' in m.log()
    (shown,) = json.loads(m.run('account', 'app-password', 'list', 'frank@mailroom.test', '--json'))
    assert shown['name'] == 'old phone' and shown['created'] and shown['last_used']
    assert pop3_attempt(m, 'alice', password).startswith('-ERR [AUTH]')  # somebody else's

    m.run('account', 'app-password', 'remove', 'frank@mailroom.test', 'old phone')
    m.wait_log('event=revoke')
    ends(p)
    assert pop3_attempt(m, 'frank', password).startswith('-ERR [AUTH]')
    assert pop3_attempt(m, 'frank', m.password['frank@mailroom.test']).startswith('+OK')


def test_demands(m):
    m.account('grace')
    own, app = m.password['grace@mailroom.test'], app_password(m, 'grace@mailroom.test', 'laptop')
    m.run('account', 'demand', 'grace@mailroom.test', 'app-password')
    reply = smtp_attempt(m, 'grace', own)
    assert reply.startswith('535') and ' 5.7.1 ' in reply.split('\n')[-1] and 'auth-app-password' in reply.split('\n')[-1]
    assert 'auth-bad-credentials' in smtp_attempt(m, 'grace', 'wrong').split('\n')[-1]
    assert pop3_attempt(m, 'grace', app).startswith('+OK')
    with pytest.raises(smtplib.SMTPAuthenticationError, match='auth-app-password'):
        s = smtplib.SMTP_SSL('127.0.0.1', m.port['submissions'], context=NO_VERIFY, timeout=20)
        s.login('grace@mailroom.test', own)
    m.run('account', 'demand', 'grace@mailroom.test', 'web-sign-in')
    for password in (own, app):
        assert 'auth-web-login' in pop3_attempt(m, 'grace', password)
    assert 'auth-bad-credentials' in pop3_attempt(m, 'grace', 'wrong')
    assert 'demand              web-sign-in' in m.run('account', 'show', 'grace@mailroom.test')
    m.run('account', 'passwd', 'grace@mailroom.test', '--password-stdin', input='other-Pw 1\n')
    assert 'auth-web-login' in pop3_attempt(m, 'grace', 'other-Pw 1')  # a hold is not lifted by a new password
    m.run('account', 'demand', 'grace@mailroom.test', 'none')
    assert pop3_attempt(m, 'grace', 'other-Pw 1').startswith('+OK')


# ---- names that are not letters

@pytest.mark.parametrize('login', ODD + ["O'Brien@Mailroom.test", "o'brien", "o'brien+mailroom.test", 'j\u00f6rg', 'john doe@mailroom.test'])
def test_odd_names_in_every_mechanism(m, login):
    for mechanism in ('PLAIN', 'LOGIN'):
        assert smtp_attempt(m, login, SECRET, mechanism).startswith('235'), mechanism
        assert smtp_attempt(m, login, 'wrong', mechanism).startswith('535'), mechanism
    for mechanism in ('USER', 'PLAIN'):
        assert pop3_attempt(m, login, SECRET, mechanism).startswith('+OK'), mechanism
    r = subprocess.run(['gsasl', '--smtp', '--connect=127.0.0.1:%d' % m.port['submission'], '--starttls',
                        '--x509-ca-file=' + os.path.join(m.home, 'tls/default.crt'), '--mechanism=SCRAM-SHA-256-PLUS', '--authentication-id=' + login,
                        '--authorization-id=', '--password=' + SECRET, '--hostname=mail.mailroom.test', '--service=smtp', '--quality-of-protection=qop-auth'],
                       input='', capture_output=True, text=True, timeout=60)
    assert '235 2.7.0' in r.stdout + r.stderr, r.stdout + r.stderr


@pytest.mark.parametrize('address', ODD)
def test_odd_names_in_every_command(m, address):
    assert address in m.run('account', 'list').replace('\\xc3\\xb6', '\u00f6')
    shown = m.run('account', 'show', address).replace('\\xc3\\xb6', '\u00f6')
    assert re.search(r'^address +' + re.escape(address), shown, re.M)
    password = app_password(m, address, "the 'odd' one")
    assert pop3_attempt(m, address, password).startswith('+OK')
    m.run('account', 'app-password', 'remove', address, "the 'odd' one")
    m.run('account', 'demand', address, 'web-sign-in')
    m.run('account', 'demand', address, 'none')
    m.run('account', 'quota', address, '10MB')
    m.run('account', 'disable', address)
    assert 'auth-account-disabled' in pop3_attempt(m, address, SECRET)
    m.run('account', 'enable', address)
    assert pop3_attempt(m, address, SECRET).startswith('+OK')


@pytest.mark.parametrize('login', ["o'brien@mailroom.test", 'a&b@mailroom.test', 'j\u00f6rg@mailroom.test'])
def test_odd_names_by_swaks_curl_and_msmtp(m, login, tmp_path):
    r = subprocess.run(['swaks', '--server', '127.0.0.1:%d' % m.port['submission'], '-tls', '--auth', 'LOGIN', '--auth-user', login, '--auth-password', SECRET,
                        '--quit-after', 'AUTH'], capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r.stdout
    r = subprocess.run(['curl', '-sk', '-u', '%s:%s' % (login, SECRET), 'pop3s://127.0.0.1:%d/' % m.port['pop3s']], capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r.stderr
    (tmp_path / 'rc').write_text('account default\nhost 127.0.0.1\nport %d\ntls on\ntls_certcheck off\nauth plain\nuser %s\npassword %s\n'
                                 'from alice@mailroom.test\n' % (m.port['submission'], login, SECRET))
    (tmp_path / 'rc').chmod(0o600)
    r = subprocess.run(['msmtp', '-C', str(tmp_path / 'rc'), '--serverinfo'], capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r.stderr


# ---- what is no matter of name or password

def test_a_full_mailbox_still_signs_in(m):
    m.run('account', 'quota', 'full@mailroom.test', '1KB')
    w = Wire(m.port['mx'])
    w.ask('EHLO other.example')
    w.ask('MAIL FROM:<you@example.org>')
    assert w.ask('RCPT TO:<full@mailroom.test>').startswith('250')
    assert w.ask('DATA').startswith('354')
    assert w.ask('Subject: x\r\n\r\n' + 'x' * 70 + '\r\n' + ('y' * 70 + '\r\n') * 20 + '.').startswith('250')
    w.ask('MAIL FROM:<you@example.org>')
    assert w.ask('RCPT TO:<full@mailroom.test>')[0] in '45'  # it is full
    w.close()
    mark = m.log_size()
    assert pop3_attempt(m, 'full@mailroom.test', 'full-Pw 1').startswith('+OK')
    assert smtp_attempt(m, 'full@mailroom.test', 'full-Pw 1').startswith('235')
    lines = signin_lines(m, mark, 2)
    assert all('result=ok' in line and 'cause=' not in line for line in lines), lines


@pytest.mark.parametrize('port,commands,code,cause', [
    ('submission', ['EHLO a.example', 'AUTH PLAIN AGFsaWNlAHB3'], '530', 'tls-required'),
    ('mx', ['EHLO a.example', 'AUTH PLAIN AGFsaWNlAHB3'], '503', 'auth-not-advertised'),
    ('submissions', ['EHLO a.example', 'AUTH CRAM-MD5'], '504', 'auth-mechanism-unknown'),
    ('submissions', ['EHLO a.example', 'AUTH XOAUTH2 dXNlcj0='], '504', 'auth-mechanism-unknown'),
    ('submissions', ['HELO a.example', 'AUTH PLAIN AGFsaWNlAHB3'], '503', 'seq-no-helo'),
    ('submissions', ['EHLO a.example', 'AUTH PLAIN ????'], '501', 'auth-syntax'),
    ('pop3', ['USER alice'], '-ER', 'auth-cleartext-refused'),
    ('pop3s', ['AUTH CRAM-MD5'], '-ER', 'auth-mechanism-unknown'),
])
def test_trouble_before_any_password_has_its_own_cause(m, port, commands, code, cause):
    mark = m.log_size()
    with (Secure if port.endswith('s') else Wire)(m.port[port], **({} if port.endswith('s') else {'greet': False})) as w:
        if not port.endswith('s'):
            w.line()
        for command in commands:
            w.send(command + '\r\n')
            reply = w.line() if port.startswith('pop3') else w.reply()
    assert reply[:3] == code and cause in reply, reply
    text = m.wait_log(r'event=refused .*cause=%s' % cause, since=mark)
    assert 'AGFsaWNl' not in text and 'event=signin' not in text.split('event=refused')[0]


# ---- what ends sessions

def ends(p):
    """the session is told within some seconds that it may do nothing more"""
    with pytest.raises(poplib.error_proto, match='auth-revoked'):
        for _ in range(100):
            p.retr(1)
            time.sleep(0.1)


def test_a_new_auth_role_ends_the_sessions_that_the_old_one_let_in(m):
    sessions = []
    for name in ('heidi', 'ivan'):
        m.account(name)
        w = Wire(m.port['mx'])
        for command in ('EHLO other.example', 'MAIL FROM:<you@example.org>', 'RCPT TO:<%s@mailroom.test>' % name, 'DATA'):
            w.ask(command)
        assert w.ask('Subject: x\r\n\r\nx\r\n.').startswith('250')
        w.close()
        p = poplib.POP3_SSL('127.0.0.1', m.port['pop3s'], context=NO_VERIFY, timeout=20)
        p.user(name)
        p.pass_(m.password[name + '@mailroom.test'])
        sessions.append(p)
    mark = m.log_size()
    os.kill(m.pid_of('auth')[0], signal.SIGKILL)
    m.wait_log('event=role-ready started=auth', since=mark)
    m.run('account', 'passwd', 'heidi@mailroom.test', '--password-stdin', input='changed-Pw 1\n')
    ends(sessions[0])
    time.sleep(1.5)
    assert sessions[1].retr(1)[0].startswith(b'+OK')  # the others go on
    m.run('account', 'disable', 'ivan@mailroom.test')
    ends(sessions[1])


def test_a_password_changed_while_there_is_no_auth_role(m):
    m.account('judy')
    w = Wire(m.port['mx'])
    for command in ('EHLO other.example', 'MAIL FROM:<you@example.org>', 'RCPT TO:<judy@mailroom.test>', 'DATA'):
        w.ask(command)
    assert w.ask('Subject: x\r\n\r\nx\r\n.').startswith('250')
    w.close()
    p = poplib.POP3_SSL('127.0.0.1', m.port['pop3s'], context=NO_VERIFY, timeout=20)
    p.user('judy')
    p.pass_(m.password['judy@mailroom.test'])
    pid = m.pid_of('auth')[0]
    os.kill(pid, signal.SIGSTOP)
    m.run('account', 'passwd', 'judy@mailroom.test', '--password-stdin', input='changed-Pw 1\n')
    os.kill(pid, signal.SIGKILL)
    ends(p)
