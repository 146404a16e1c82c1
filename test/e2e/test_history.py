"""mailroom why: five people whose trouble differs and whose program showed all of them the same 503."""
import base64
import json
import os
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

CONF = 'history {\n\tdays = 7\n\tsize = 20MB\n}\n'


@pytest.fixture(scope='module')
def system():
    with mailroom.System(conf=CONF, accounts=('alice', 'bob', 'carol', 'dave', 'erin')) as m:
        m.run('account', 'disable', 'carol@mailroom.test')
        yield m


def why(system, *args, want=None):
    """what `mailroom why` prints, once all of `want` is in it: events are written down a quarter of a second after they happened"""
    end = time.monotonic() + 20
    while True:
        p = system.run('why', *args, check=False)
        assert p.returncode in (0, 1), p.stderr
        if all(re.search(w, p.stdout) for w in ([want] if isinstance(want, str) else want or [])):
            return p.stdout
        assert time.monotonic() < end, '%r is not in\n%s' % (want, p.stdout)
        time.sleep(0.1)


def events(system, *args, least=1):
    end = time.monotonic() + 20
    while True:
        found = json.loads(system.run('why', *args, '--json', check=False).stdout)
        if len(found) >= least:
            return found
        assert time.monotonic() < end, found
        time.sleep(0.1)


def submission(system, helo, tls=True):
    s = smtplib.SMTP('127.0.0.1', system.port['submission'], timeout=20)
    s.ehlo(helo)
    if tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        s.starttls(context=context)
        s.ehlo(helo)
    return s


def plain(user, password):
    return 'AUTH PLAIN ' + base64.b64encode(('\0%s\0%s' % (user, password)).encode()).decode()


def clumsy(s, sender, rcpt, login=None):
    """a program that does not look at what it is told and shows only the last answer"""
    if login:
        s.docmd(plain(*login))
    s.docmd('MAIL FROM:<%s>' % sender)
    s.docmd('RCPT TO:<%s>' % rcpt)
    code, text = s.docmd('DATA')
    s.close()
    return code, text.decode()


# ---- the five

def test_not_signed_in(system):
    code, _ = clumsy(submission(system, 'laptop-alice.local'), 'alice@mailroom.test', 'friend@example.com')
    assert code == 503
    said = why(system, 'alice@mailroom.test', want='session ')
    assert re.match(r'alice@mailroom\.test could not send since \w{3} \d+ \w{3} \d\d:\d\d: once auth-required from 127\.0\.0\.1 \(laptop-alice\.local\)\.', said), said
    assert 'rcpt-none-accepted' not in said.splitlines()[0] and 'seq-' not in said.splitlines()[0]
    assert re.search(r'(?m)^auth-required: ', said) and '\n  Mail program: ' in said


def test_wrong_password(system):
    code, _ = clumsy(submission(system, 'laptop-bob.local'), 'bob@mailroom.test', 'friend@example.com', ('bob@mailroom.test', 'guess'))
    assert code == 503
    said = why(system, 'bob@mailroom.test', want=['auth-wrong-password', 'laptop-bob'])
    assert re.match(r'bob@mailroom\.test could not send since .*: once auth-wrong-password from 127\.0\.0\.1 \(laptop-bob\.local\)\.', said), said
    assert 'the client was told auth-bad-credentials' in said
    assert 'No success before that is in the history' in said.splitlines()[0]
    # the consequences stand under what they came from
    assert re.search(r'sign-in as "bob@mailroom.test" .* failed: auth-wrong-password.*\n.*so then MAIL .*: 530 auth-required\n.*\n.*so then DATA .*: 503', said), said


def test_disabled_account(system):
    code, _ = clumsy(submission(system, 'laptop-carol.local'), 'carol@mailroom.test', 'friend@example.com', ('carol@mailroom.test', system.password['carol@mailroom.test']))
    assert code == 503
    said = why(system, 'carol@mailroom.test', want='laptop-carol')
    assert re.match(r'carol@mailroom\.test could not send since .*: once auth-account-disabled from', said), said
    assert 'mailroom account enable carol@mailroom.test' in said


def test_unknown_recipient(system):
    s = submission(system, 'laptop-dave.local')
    code, _ = clumsy(s, 'dave@mailroom.test', 'nobody@mailroom.test', ('dave@mailroom.test', system.password['dave@mailroom.test']))
    assert code == 503
    said = why(system, 'dave@mailroom.test', want='laptop-dave')
    assert re.match(r'dave@mailroom\.test could not send since .*: once rcpt-unknown from', said), said
    assert re.search(r'RCPT nobody@mailroom\.test from dave@mailroom\.test: 550 rcpt-unknown', said)
    assert re.search(r'so then DATA.*: 503 rcpt-none-accepted', said)


def test_no_tls(system):
    code, _ = clumsy(submission(system, 'laptop-erin.local', tls=False), 'erin@mailroom.test', 'friend@example.com')
    assert code == 503
    said = why(system, 'erin@mailroom.test', want='laptop-erin')
    assert re.match(r'erin@mailroom\.test could not send since .*: once tls-required from', said), said
    assert 'no TLS' in said


# ---- other ways to ask

def test_accepted_mail_is_found_by_everything(system):
    with Wire(system.port['mx']) as w:
        w.ask('EHLO other.example')
        w.ask('MAIL FROM:<shop@elsewhere.example>')
        w.ask('RCPT TO:<bob+orders@mailroom.test>')
        assert w.ask('DATA').startswith('354')
        done = w.ask('Subject: hello\r\nMessage-ID: <a@b>\r\n\r\nhello\r\n.')
    queue_id = re.search(r'(?i)(?:as|id) ([0-9A-Z]{6,})', done).group(1)
    for args in ([queue_id], ['--queue', queue_id], ['shop@elsewhere.example'], ['bob@mailroom.test'], ['bob+orders@mailroom.test'], ['--account', 'bob@mailroom.test']):
        said = why(system, *args, want='accepted ' + queue_id)
        assert re.search(r'accepted %s from shop@elsewhere\.example for bob\+orders@mailroom\.test' % queue_id, said), said
    assert 'It is not in the queue now' in why(system, queue_id)
    ref = events(system, queue_id)[0]['session']
    assert queue_id in why(system, ref)


def test_mail_that_waits_to_leave_says_so(system):
    password = system.password['alice@mailroom.test']
    s = submission(system, 'laptop-alice.local')
    s.login('alice@mailroom.test', password)
    s.sendmail('alice@mailroom.test', ['friend@example.com', 'bob@mailroom.test'], 'From: alice@mailroom.test\r\nSubject: x\r\n\r\nx\r\n')
    s.quit()
    said = why(system, 'friend@example.com', want='to be sent on')
    queue_id = re.search(r'accepted ([0-9A-Z]+) from', said).group(1)
    assert re.search(r'In the queue now:\n  friend@example\.com: ', why(system, queue_id))
    # and alice is well again: the trouble is over
    said = why(system, 'alice@mailroom.test', want='to be sent on')
    assert re.match(r'alice@mailroom\.test last sent mail .* from 127\.0\.0\.1, and nothing was refused since\.', said), said


def test_trouble_after_success_names_the_last_success(system):
    s = submission(system, 'phone-alice.local')
    s.docmd(plain('alice@mailroom.test', 'old password'))
    s.close()
    said = why(system, 'alice@mailroom.test', want='phone-alice')
    assert re.search(r'once auth-\S+ from 127\.0\.0\.1 \(phone-alice\.local\)\. Last success: \w+ \d+ \w+ \d\d:\d\d from 127\.0\.0\.1\.', said.splitlines()[0]), said


def test_alias_is_the_account_too(system):
    system.run('alias', 'add', 'sales@mailroom.test', 'dave@mailroom.test')
    with Wire(system.port['mx']) as w:
        w.ask('EHLO other.example')
        w.ask('MAIL FROM:<buyer@elsewhere.example>')
        w.ask('RCPT TO:<sales@mailroom.test>')
        w.ask('DATA')
        assert w.ask('Subject: buy\r\n\r\nbuy\r\n.').startswith('250')
    assert 'for sales@mailroom.test' in why(system, 'dave@mailroom.test', want='buyer@elsewhere')


def test_by_address_cause_and_time(system):
    clumsy(submission(system, 'laptop-erin.local', tls=False), 'erin@mailroom.test', 'friend@example.com')
    why(system, '--since', '1min', want='laptop-erin')
    assert 'laptop-erin' in why(system, '127.0.0.0/8', '--all')
    assert why(system, '--ip', '192.0.2.0/24').startswith('Nothing is known about 192.0.2.0/24.')
    said = why(system, 'tls-required')
    assert 'laptop-erin' in said and 'laptop-dave' not in said
    assert [e for e in events(system, 'tls-required') if e['matches'] and e['cause'] == 'tls-required']
    assert 'laptop-erin' in why(system, 'erin@mailroom.test', '--since', 'yesterday')
    said = why(system, 'erin@mailroom.test', '--until', '2020-01-01')
    assert said.startswith('Nothing is known about erin@mailroom.test until') and 'The history goes back to' in said and 'firewall' in said
    assert '127.0.0.1' in why(system, 'erin@mailroom.test', '--since', '2020-01-01', '--until', 'today')


def test_nobody_by_that_name(system):
    said = why(system, 'nobody-here@mailroom.test')
    assert 'Nothing is known about nobody-here@mailroom.test' in said and 'is no account or alias here' in said
    assert 'is no account or alias here' in why(system, 'nobody@mailroom.test')  # dave wrote to it


def test_wrong_login_name_is_set_right_for_the_administrator_only(system):
    s = submission(system, 'tablet.local')
    _, text = s.docmd(plain('bob%mailroom.test', 'guess'))
    assert b'bob@' not in text
    s.close()
    # by what was typed
    said = why(system, 'bob%mailroom.test', want='tablet')
    assert 'sign-in as "bob%mailroom.test"' in said and 'bob@mailroom.test' in said


@pytest.mark.parametrize('args, words', [
    (['--since', 'soon'], 'would be right'), (['--limit', '0'], 'would be right'), (['--ip', 'x'], 'no IP address'), (['10.0.0.1/8'], 'bits behind'),
    (['--session', '!'], 'no session reference'), (['--queue', '-x'], 'no queue id'), (['a', 'b'], 'one word too many')])
def test_what_is_not_understood(system, args, words):
    p = system.run('why', *args, check=False)
    assert p.returncode == 2 and words in p.stderr


def test_json_has_every_field(system):
    e = [x for x in events(system, 'dave@mailroom.test') if x['cause'] == 'rcpt-unknown'][0]
    assert e['kind'] == 'refused' and e['code'] == 550 and e['command'] == 'RCPT' and e['rcpt'] == 'nobody@mailroom.test' and e['account'] == 'dave@mailroom.test'
    assert e['service'] == 'submission' and e['tls'].startswith('TLSv1') and e['peer'] == '127.0.0.1' and re.fullmatch('[0-9A-Z]{8}', e['session'])
    assert set(e) == {'at', 'at_ms', 'kind', 'matches', 'session', 'service', 'listener', 'peer', 'tls', 'account', 'login', 'mechanism', 'helo', 'command', 'sender', 'rcpt',
                      'mailbox', 'code', 'cause', 'shown', 'rule', 'detail', 'limit', 'retry', 'queue_id', 'bytes', 'ms', 'next_ms', 'more'}


# ---- what strangers write

def test_no_escape_reaches_the_terminal(system):
    with Wire(system.port['mx']) as w:
        w.send(b'EHLO evil\x1b[2J.example\r\n')
        w.reply()
        w.ask('EHLO evil.example')
        w.ask('MAIL FROM:<"a\x1b]0;owned\x07"@b.example>')
        w.ask('MAIL FROM:<x@y.example>')
        w.ask("RCPT TO:<robert'); DROP TABLE block;--@mailroom.test>")
        w.ask('\x1b[31mFOO\x1b[0m \x9b2J')
    s = submission(system, 'evil.local')
    s.docmd(plain('\x1b[2Jalice\r\nevent=signin', 'x'))
    s.close()
    said = why(system, '127.0.0.1', '--all', want=['DROP TABLE', r'evil\.local'])
    assert not re.search(r'[\x00-\x09\x0b-\x1f\x7f-\x9f]', said)
    for e in events(system, '127.0.0.1', '--all'):
        assert len(json.dumps(e)) < 8000


# ---- it lasts, and is bounded

def test_survives_a_killed_store_and_a_restart(system):
    clumsy(submission(system, 'before-the-crash.local'), 'alice@mailroom.test', 'friend@example.com')
    why(system, 'alice@mailroom.test', want='before-the-crash')
    mark = system.log_size()
    os.kill(system.pid_of('store')[0], signal.SIGKILL)
    system.wait_log('event=role-ready started=store', since=mark)
    why(system, 'alice@mailroom.test', want='before-the-crash')
    system.kill()
    assert 'before-the-crash' in why(system, 'alice@mailroom.test')  # also while nothing runs
    system.start()
    clumsy(submission(system, 'after-the-crash.local'), 'alice@mailroom.test', 'friend@example.com')
    said = why(system, 'alice@mailroom.test', want='after-the-crash')
    assert 'before-the-crash' in said and said.index('after-the-crash.local)  TLS') < said.index('before-the-crash.local)  TLS')


def test_without_its_file_and_with_a_broken_one(system):
    system.stop()
    path = os.path.join(system.home, 'store/history.db')
    owner = os.stat(path)
    for name in (path, path + '-wal', path + '-shm'):
        if os.path.exists(name):
            os.unlink(name)
    assert 'The history is empty' in why(system, 'alice@mailroom.test')
    with open(path, 'w') as f:
        f.write('this is not a database. ' * 1000)
    os.chown(path, owner.st_uid, owner.st_gid)
    mark = system.log_size()
    system.start()
    system.wait_log('event=history-failed', since=mark)
    with Wire(system.port['mx']) as w:  # mail goes on
        w.ask('EHLO other.example')
        w.ask('MAIL FROM:<x@elsewhere.example>')
        w.ask('RCPT TO:<bob@mailroom.test>')
        w.ask('DATA')
        assert w.ask('Subject: hello\r\n\r\nhello\r\n.').startswith('250')
    p = system.run('why', 'bob@mailroom.test', check=False)
    assert p.returncode == 1 and 'history.db' in p.stderr
    assert len(re.findall('event=history-failed', system.log(mark))) == 1
    system.stop()
    os.unlink(path)
    system.start()
    clumsy(submission(system, 'anew.local'), 'alice@mailroom.test', 'friend@example.com')
    why(system, 'alice@mailroom.test', want='anew')


def test_a_flood_stays_a_few_lines():
    with mailroom.System(conf=CONF, accounts=('alice',)) as m:
        with Wire(m.port['mx']) as w:
            w.ask('EHLO flood.example')
            w.ask('MAIL FROM:<x@elsewhere.example>')
            w.send(''.join('RCPT TO:<nobody%d@mailroom.test>\r\n' % i for i in range(300)))
            w.sock.shutdown(socket.SHUT_WR)
            assert w.rest().count('rcpt-unknown') > 20
        # of one session the first 20, and the one that ended it
        ref = events(m, 'nobody7@mailroom.test', least=21)[0]['session']
        of_session = [e for e in events(m, ref) if e['session'] == ref]
        assert 20 <= len([e for e in of_session if e['kind'] == 'refused']) <= 21
        end = [e for e in of_session if e['kind'] == 'session-end'][0]
        assert end['more'] > 50 and end['cause']
        assert re.search(r'ended, after .*; %d more refusals, mostly %s' % (end['more'], end['cause']), why(m, ref))
        # connections that do nothing leave nothing
        for _ in range(50):
            socket.create_connection(('127.0.0.1', m.port['mx'])).close()
        # of one address 60 events a minute
        for _ in range(120):
            with Wire(m.port['mx']) as w:
                try:
                    w.ask('FOO')
                except EOFError:
                    pass
        m.wait_log('event=refused', count=150)
        time.sleep(0.6)
        found = events(m, '127.0.0.1', '--all')
        assert 60 <= len([e for e in found if e['kind'] == 'refused']) <= 2 * 60  # two workers
        assert len(found) < 260
        busy = {e['session'] for e in found if e['kind'] == 'refused'}
        assert not [e for e in found if e['kind'] == 'session-end' and e['session'] not in busy]


def test_no_history_where_none_is_wanted():
    with mailroom.System(conf='history {\n\tdays = 0\n}\n', accounts=('alice',)) as m:
        clumsy(submission(m, 'laptop.local'), 'alice@mailroom.test', 'friend@example.com')
        time.sleep(0.6)
        assert 'history days is 0' in why(m, 'alice@mailroom.test')
        assert not os.path.exists(os.path.join(m.home, 'store/history.db'))


def test_why_is_quick_beside_a_large_history(system):
    """the command line reads; the server goes on writing meanwhile"""
    p = subprocess.Popen([mailroom.program(), 'why', '--home', system.home, '--all', '--json'], stdout=subprocess.PIPE)
    clumsy(submission(system, 'meanwhile.local'), 'alice@mailroom.test', 'friend@example.com')
    p.communicate(timeout=60)
    why(system, 'alice@mailroom.test', want='meanwhile')
