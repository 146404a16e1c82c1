"""Real mail programs against the running system: what their users would see."""
import email
import imaplib  # noqa: F401  (only to be sure that nothing here shadows the library)
import os
import poplib
import re
import smtplib
import ssl
import subprocess
import textwrap

import pytest

NO_VERIFY = ssl._create_unverified_context()


def sh(*args, input=None, env=None, timeout=60):
    return subprocess.run(args, input=input, capture_output=True, text=True, timeout=timeout, errors='replace', env=dict(os.environ, **(env or {})))


def pop(system, user='alice@mailroom.test'):
    p = poplib.POP3_SSL('127.0.0.1', system.port['pop3s'], context=NO_VERIFY, timeout=20)
    p.user(user)
    p.pass_(system.password[user])
    return p


def drain(system, user='alice@mailroom.test'):
    """all messages of the mailbox, removed from it"""
    p = pop(system, user)
    out = [b'\r\n'.join(p.retr(i + 1)[1]) for i in range(p.stat()[0])]
    for i in range(len(out)):
        p.dele(i + 1)
    p.quit()
    return out


def test_swaks_from_outside_and_curl_reads(system):
    drain(system)
    r = sh('swaks', '--server', '127.0.0.1:%d' % system.port['mx'], '--from', 'you@example.org', '--to', 'alice@mailroom.test', '--header', 'Subject: from outside')
    assert r.returncode == 0, r.stdout
    c = sh('curl', '-sk', '-u', 'alice@mailroom.test:' + system.password['alice@mailroom.test'], 'pop3s://127.0.0.1:%d/1' % system.port['pop3s'])
    assert c.returncode == 0, c.stderr
    m = email.message_from_string(c.stdout)
    assert m['Subject'] == 'from outside'
    assert m['Return-Path'] == '<you@example.org>'
    assert m['Delivered-To'] == 'alice@mailroom.test'
    assert re.search(r'by mail\.mailroom\.test \(mailroom\) with ESMTP id [0-9A-Z]{8}\.1\s+for <alice@mailroom\.test>; \w{3}, ', re.sub(r'\s+', ' ', m['Received']))


@pytest.mark.parametrize('mechanism', ['PLAIN', 'LOGIN'])
@pytest.mark.parametrize('login', ['alice@mailroom.test', 'alice+mailroom.test', 'alice', 'ALICE@Mailroom.TEST'])
def test_swaks_signs_in_with_every_form_of_the_login_name(system, mechanism, login):
    drain(system, 'bob@mailroom.test')
    r = sh('swaks', '--server', '127.0.0.1:%d' % system.port['submission'], '-tls', '--auth', mechanism, '--auth-user', login, '--auth-password',
           system.password['alice@mailroom.test'], '--from', 'alice@mailroom.test', '--to', 'bob@mailroom.test')
    assert r.returncode == 0, r.stdout
    assert len(drain(system, 'bob@mailroom.test')) == 1


def test_swaks_relay_without_sign_in_is_told_why(system):
    r = sh('swaks', '--server', '127.0.0.1:%d' % system.port['mx'], '--from', 'alice@mailroom.test', '--to', 'friend@example.com')
    assert r.returncode == 24  # swaks: no recipient was accepted
    refused = [line for line in r.stdout.splitlines() if line.startswith('<**')]
    assert refused and 'relay-denied-unauth' in refused[-1]
    assert 'sign in' in refused[0].lower()


def test_curl_sends_over_implicit_tls(system, tmp_path):
    drain(system, 'bob@mailroom.test')
    f = tmp_path / 'letter'
    f.write_text('From: Alice <alice@mailroom.test>\r\nTo: bob@mailroom.test\r\nSubject: by curl\r\n\r\n.leading dot\r\n..two\r\nend\r\n')
    r = sh('curl', '-sk', '--url', 'smtps://127.0.0.1:%d' % system.port['submissions'], '--mail-from', 'alice@mailroom.test', '--mail-rcpt', 'bob@mailroom.test',
           '--user', 'alice@mailroom.test:' + system.password['alice@mailroom.test'], '--upload-file', str(f))
    assert r.returncode == 0, r.stderr
    (raw,) = drain(system, 'bob@mailroom.test')
    m = email.message_from_bytes(raw)
    assert m['Subject'] == 'by curl' and m['Date'] and m['Message-ID']  # RFC 6409: what was missing is there
    assert m.get_payload().replace('\r\n', '\n') == '.leading dot\n..two\nend'
    assert 'ESMTPSA' in m['Received']


def test_msmtp_sends_and_mpop_fetches(system, tmp_path):
    drain(system, 'bob@mailroom.test')
    rc = tmp_path / 'msmtprc'
    rc.write_text(textwrap.dedent('''\
        account default
        host 127.0.0.1
        port %d
        tls on
        tls_starttls on
        tls_certcheck off
        auth scram-sha-256
        user alice@mailroom.test
        password "%s"
        from alice@mailroom.test
        ''') % (system.port['submission'], system.password['alice@mailroom.test']))
    rc.chmod(0o600)
    r = sh('msmtp', '-C', str(rc), 'bob@mailroom.test', input='Subject: by msmtp\n\nhello\n')
    assert r.returncode == 0, r.stderr
    prc = tmp_path / 'mpoprc'
    out = tmp_path / 'mbox'
    prc.write_text(textwrap.dedent('''\
        account default
        host 127.0.0.1
        port %d
        tls on
        tls_starttls off
        tls_certcheck off
        auth user
        user bob@mailroom.test
        password "%s"
        delivery mbox %s
        uidls_file %s
        keep off
        ''') % (system.port['pop3s'], system.password['bob@mailroom.test'], out, tmp_path / 'uidls'))
    prc.chmod(0o600)
    r = sh('mpop', '-C', str(prc))
    assert r.returncode == 0, r.stderr + r.stdout
    assert 'Subject: by msmtp' in out.read_text()
    assert drain(system, 'bob@mailroom.test') == []


def test_msmtp_wrong_password_says_what_to_do(system, tmp_path):
    rc = tmp_path / 'msmtprc'
    rc.write_text('account default\nhost 127.0.0.1\nport %d\ntls on\ntls_certcheck off\nauth plain\nuser alice@mailroom.test\npassword wrong\nfrom alice@mailroom.test\n'
                  % system.port['submission'])
    rc.chmod(0o600)
    r = sh('msmtp', '-C', str(rc), 'bob@mailroom.test', input='Subject: x\n\nx\n')
    assert r.returncode != 0
    assert 'auth-bad-credentials' in r.stderr


def test_mutt_sends_through_submission(system, tmp_path):
    drain(system, 'bob@mailroom.test')
    rc = tmp_path / 'muttrc'
    rc.write_text(textwrap.dedent('''\
        set smtp_url="smtps://alice@mailroom.test@127.0.0.1:%d"
        set smtp_pass="%s"
        set smtp_authenticators="plain"
        set from="alice@mailroom.test"
        set ssl_verify_host=no
        set ssl_verify_dates=no
        set certificate_file=%s
        set copy=no
        set crypt_use_gpgme=no
        ''') % (system.port['submissions'], system.password['alice@mailroom.test'], os.path.join(system.home, 'tls/default.crt')))
    r = sh('mutt', '-n', '-F', str(rc), '-s', 'by mutt', 'bob@mailroom.test', input='hello from mutt\n', env={'HOME': str(tmp_path)})
    assert r.returncode == 0, r.stderr + r.stdout
    (raw,) = drain(system, 'bob@mailroom.test')
    assert b'Subject: by mutt' in raw


def test_python_smtplib_and_poplib(system):
    drain(system)
    s = smtplib.SMTP('127.0.0.1', system.port['submission'], timeout=20)
    s.starttls(context=NO_VERIFY)
    s.login('bob@mailroom.test', system.password['bob@mailroom.test'])
    body = 'From: bob@mailroom.test\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n\r\n' + '\r\n'.join('line %d' % i for i in range(2000)) + '\r\n'
    assert s.sendmail('bob@mailroom.test', ['alice@mailroom.test'], body) == {}
    s.quit()
    p = pop(system)
    assert p.stat()[0] == 1
    number, size = p.list()[1][0].split()
    raw = b'\r\n'.join(p.retr(1)[1]) + b'\r\n'
    assert len(raw) == int(size)  # the size announced is the size sent
    assert raw.endswith(body.split('\r\n\r\n', 1)[1].encode())
    uid = p.uidl(1)
    assert len(p.top(1, 2)[1]) < 40
    p.quit()  # nothing deleted: it is there again, under the same UIDL
    p = pop(system)
    assert p.uidl(1) == uid
    p.dele(1)
    p.rset()
    p.dele(1)
    p.quit()
    assert drain(system) == []


def test_one_mailbox_one_session(system):
    first = pop(system)
    with pytest.raises(poplib.error_proto) as e:
        pop(system)
    assert b'IN-USE' in e.value.args[0] and b'mailbox-locked' in e.value.args[0]
    first.quit()
    pop(system).quit()


def test_large_message_comes_back_whole(system):
    drain(system)
    body = 'Subject: large\r\nMessage-ID: <large@test>\r\n\r\n' + ('0123456789' * 7 + '\r\n') * 60000  # 4.3 MB: stays a file
    s = smtplib.SMTP('127.0.0.1', system.port['mx'], timeout=60)
    s.sendmail('x@example.org', ['alice@mailroom.test'], body)
    s.quit()
    (raw,) = drain(system)
    assert (raw + b'\r\n').endswith(body.encode())


def test_queue_holds_mail_for_elsewhere(system):
    s = smtplib.SMTP_SSL('127.0.0.1', system.port['submissions'], context=NO_VERIFY, timeout=20)
    s.login('alice', system.password['alice@mailroom.test'])
    s.sendmail('alice@mailroom.test', ['friend@example.com', 'other@example.net'], 'Subject: away\r\nMessage-ID: <away@test>\r\n\r\nx\r\n')
    s.quit()
    out = system.run('queue', 'list')
    assert 'friend@example.com' in out and 'other@example.net' in out
    assert ('<away@test>', 'queue') in system.message_ids()


@pytest.mark.parametrize('mechanism', ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256', 'PLAIN', 'LOGIN'])
def test_gsasl_signs_in_bound_to_its_tls_connection(system, mechanism):
    """SCRAM and channel binding as another implementation of the mechanism speaks it"""
    more = [] if mechanism.endswith('PLUS') else ['--no-cb']
    r = sh('gsasl', '--smtp', '--connect=127.0.0.1:%d' % system.port['submission'], '--starttls', '--x509-ca-file=' + os.path.join(system.home, 'tls/default.crt'),
           '--mechanism=' + mechanism, '--authentication-id=alice@mailroom.test', '--authorization-id=', '--password=' + system.password['alice@mailroom.test'],
           '--no-client-first' if mechanism == 'LOGIN' else '--quality-of-protection=qop-auth', '--hostname=mail.mailroom.test', '--service=smtp', *more, input='')
    assert '235 2.7.0' in r.stdout + r.stderr, r.stdout + r.stderr
