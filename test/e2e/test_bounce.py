"""What senders are told: bounces, delay notices, confirmations. Who gets one and who must not, what stands in it, and that each is sent once, whatever is killed.
With -s the first test prints a bounce as a person sees it."""
import os
import re
import signal
import smtplib
import sqlite3
import time

import pytest

import mailroom
import report
import sink
from report import Report, wait_report
from test_delivery import Client, conf, route, send, wait_delivery, wait_empty

ALICE = 'alice@mailroom.test'
REFUSALS = {'no': '550 5.1.1 <%s>: Recipient address rejected: User unknown in virtual mailbox table', 'full': '552 5.2.2 Mailbox full', 'spam': '554 5.7.1 Message rejected as spam',
            'later': '451 4.3.0 Temporary lookup failure', 'blocked': '550 5.7.1 Service unavailable; client [192.0.2.1] blocked using zen.spamhaus.org'}


def by_name(stage, text, session):
    """what becomes of a recipient is in the first word of its address"""
    if stage == 'rcpt':
        address = text[text.index('<') + 1:text.index('>')]
        reply = REFUSALS.get(re.match('[a-z]*', address).group())
        return reply.replace('%s', address) if reply else None
    if stage == 'end' and b'XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE' in text:
        return '554 5.7.1 This message looks like spam'
    return None


@pytest.fixture(scope='module')
def elsewhere():
    with sink.Sink(answer=by_name) as s:
        yield s


@pytest.fixture(scope='module')
def system(elsewhere):
    with mailroom.System(conf=conf(route(elsewhere.port)), accounts=('alice', 'bob', 'postmaster')) as m:
        yield m


@pytest.fixture(autouse=True)
def clean(request):
    """no mail of the test before"""
    if 'system' in request.fixturenames:
        m = request.getfixturevalue('system')
        m.run('queue', 'remove', '--all', check=False)
        for account in list(m.password):
            report.fetch(m, account, delete=True)


def stranger(m, rcpts, sender='someone@far.example', body='hello', options=(), rcpt_options=()):
    c = smtplib.SMTP('127.0.0.1', m.port['mx'], timeout=30)
    c.ehlo('far.example')
    assert c.mail(sender, list(options))[0] == 250
    for r in [rcpts] if isinstance(rcpts, str) else rcpts:
        code, words = c.rcpt(r, list(rcpt_options))
        assert code == 250, words
    code, words = c.data('From: <%s>\r\nSubject: from afar\r\nMessage-ID: <%d@far.example>\r\n\r\n%s\r\n' % (sender or 'daemon@far.example', time.monotonic_ns(), body))
    c.quit()
    assert code == 250, words


def dsn(m, rcpts, notify=None, ret=None, envid=None, orcpt=None, body='hello', subject='with options', head=''):
    """mail of alice with the parameters of RFC 3461"""
    c = Client(m).c
    assert c.mail(ALICE, (['RET=' + ret] if ret else []) + (['ENVID=' + envid] if envid else []))[0] == 250
    for r in [rcpts] if isinstance(rcpts, str) else rcpts:
        options = (['NOTIFY=' + notify] if notify else []) + (['ORCPT=' + orcpt] if orcpt else [])
        assert c.rcpt(r, options)[0] == 250
    code, words = c.data('From: Alice <%s>\r\nSubject: %s\r\n%s\r\n%s\r\n' % (ALICE, subject, head, body))
    assert code == 250, words
    c.quit()


def nothing_comes(m, account=ALICE, seconds=1.5):
    time.sleep(seconds)
    assert report.fetch(m, account) == []


# ---- failures

def test_a_bounce_as_a_person_sees_it(system):
    send(system, ['no.such.person@e.example'], subject='Minutes of Monday', body='Dear all,\r\n\r\nhere they are.')
    r = wait_report(system)
    print('\n' + '=' * 78 + '\nFrom: %s\nTo: %s\nSubject: %s\n\n%s%s' % (r.mail['From'], r.mail['To'], r.mail['Subject'], r.text, '=' * 78))
    assert r.mail['To'].addresses[0].addr_spec == ALICE
    assert r.mail['Subject'] == 'Not delivered: Minutes of Monday'
    words = r.words()
    first = words[:400]
    assert 'no.such.person@e.example' in first and 'There is no mailbox with this address' in first
    assert 'Check the address' in words and '550 5.1.1' in words and words.index('Check the address') < words.index('550 5.1.1')  # no jargon first
    assert 'Minutes of Monday' in words
    f = r.of('no.such.person@e.example')
    assert (f['Action'], f['Status'], f['X-Mailroom-Cause']) == ('failed', '5.1.1', 'rcpt-unknown')
    assert f['Diagnostic-Code'].startswith('smtp; 550 5.1.1 <no.such.person@e.example>') and f['Remote-MTA']
    assert r.whole and b'Subject: Minutes of Monday\r\n' in r.original and r.original.endswith(b'\r\n\r\nDear all,\r\n\r\nhere they are.\r\n')
    with smtplib.SMTP('127.0.0.1', system.port['mx'], timeout=30) as c:  # it can be answered
        c.ehlo('far.example')
        c.mail('someone@far.example')
        code, said = c.rcpt(r.mail['From'].addresses[0].addr_spec)
        assert code == 250, said
    queue_id = r.message['X-Mailroom-Queue-ID']
    assert queue_id in words and 'no.such.person' in system.run('why', queue_id)


def test_one_of_three(system, elsewhere):
    send(system, ['yes1@e.example', 'no@e.example', 'yes2@e.example'])
    r = wait_report(system, more=1)
    assert [x['Final-Recipient'] for x in r.rcpts] == ['rfc822; no@e.example']
    assert 'yes1' not in r.text and {'yes1@e.example', 'yes2@e.example'} <= set(elsewhere.rcpts())


def test_all_of_three_share_a_report(system):
    send(system, ['no@e.example', 'full@e.example', 'blocked@other.example'])
    r = wait_report(system, more=1)
    assert {(x['Final-Recipient'], x['Status'], x['X-Mailroom-Cause']) for x in r.rcpts} == {
        ('rfc822; no@e.example', '5.1.1', 'rcpt-unknown'), ('rfc822; full@e.example', '5.2.2', 'rcpt-mailbox-full'), ('rfc822; blocked@other.example', '5.7.1', 'ip-dnsbl')}
    for words in ('There is no mailbox with this address', 'no room for the message', 'no@e.example', 'full@e.example', 'blocked@other.example'):
        assert words in r.words(), words


def test_two_hundred_recipients_share_a_report(system):
    rcpts = ['no%d@e.example' % i for i in range(200)]
    c = Client(system)
    c.send(rcpts)
    c.close()
    r = wait_report(system, more=1.5)
    assert sorted(x['Final-Recipient'].split('; ')[1] for x in r.rcpts) == sorted(rcpts)
    assert all(x in r.text for x in rcpts) and len(r.text) < 60000


def test_an_administrator_can_end_it(system):
    send(system, 'later@e.example')
    wait_delivery(system, rcpt='later@e.example', outcome='later')
    queue_id = re.search(r'"id": *"(\w+)"', system.run('queue', 'list', '--json')).group(1)
    system.run('queue', 'bounce', queue_id)
    r = wait_report(system)
    assert r.of('later@e.example')['Action'] == 'failed'


# ---- what was asked for

@pytest.mark.parametrize('notify,fails,comes', [('NEVER', True, None), ('FAILURE', True, 'failed'), ('DELAY', True, None), ('SUCCESS', True, None), ('SUCCESS,FAILURE', True, 'failed'),
                                                ('NEVER', False, None), ('FAILURE', False, None), (None, False, None)])
def test_notify(system, notify, fails, comes):
    dsn(system, 'no@e.example' if fails else 'yes@e.example', notify)
    if comes:
        assert wait_report(system).rcpts[0]['Action'] == comes
    else:
        wait_empty(system)
        nothing_comes(system)


def test_success_is_left_to_a_server_that_reports(system, elsewhere):
    mark = len(elsewhere.said)
    dsn(system, 'yes@e.example', 'SUCCESS', ret='HDRS', envid='QQ+2B314', orcpt='rfc822;someone+2Belse@old.example')
    wait_empty(system)
    nothing_comes(system)
    said = [text for _, stage, text in elsewhere.said[mark:] if stage in ('mail', 'rcpt')]
    assert 'RET=HDRS' in said[0] and 'ENVID=QQ+2B314' in said[0]
    assert 'NOTIFY=SUCCESS' in said[1] and 'ORCPT=rfc822;someone+2Belse@old.example' in said[1]


def test_success_where_the_server_does_not_report():
    with sink.Sink(answer=by_name, offer=('PIPELINING', '8BITMIME')) as s, mailroom.System(conf=conf(route(s.port))) as m:
        dsn(m, ['yes1@e.example', 'yes2@e.example', 'no@e.example'], 'SUCCESS,FAILURE', envid='E-1')
        both = [Report(x) for x in report.wait(m, 2, more=1)]
        good, bad = sorted(both, key=lambda r: r.rcpts[0]['Action'] == 'failed')
        assert {x['Final-Recipient']: x['Action'] for x in good.rcpts} == {'rfc822; yes1@e.example': 'relayed', 'rfc822; yes2@e.example': 'relayed'}
        assert all(x['Status'].startswith('2.') for x in good.rcpts) and good.message['Original-Envelope-Id'] == 'E-1'
        assert not good.whole and 'asked' in good.words() and good.mail['Subject'].startswith('Passed on')
        assert bad.of('no@e.example')['Status'] == '5.1.1'
        assert not [text for _, stage, text in s.said if stage in ('mail', 'rcpt') and re.search('NOTIFY|RET=|ENVID', text)]


def test_envid_and_orcpt_stand_in_our_own_report(system):
    dsn(system, 'no@e.example', 'FAILURE', envid='QQ+2B314+3Dx', orcpt='rfc822;someone+2Belse@old.example')
    r = wait_report(system)
    assert r.message['Original-Envelope-Id'] == 'QQ+314=x'
    assert r.of('no@e.example')['Original-Recipient'] == 'rfc822; someone+else@old.example'


@pytest.mark.parametrize('ret,size,whole', [('HDRS', 100, False), ('FULL', 100, True), (None, 100, True), (None, 200000, False), ('FULL', 200000, True), ('FULL', 3000000, False)])
def test_how_much_comes_back(system, ret, size, whole):
    line = 'x' * 70 + '\r\n'
    dsn(system, 'no@e.example', ret=ret, body=line * (size // 72), head='X-Mark: kept\r\n')
    r = wait_report(system)
    assert r.whole is whole
    assert b'X-Mark: kept\r\n' in r.original and b'Subject: with options\r\n' in r.original
    assert (r.original.count(b'x' * 70) == size // 72) if whole else b'xxxx' not in r.original
    assert len(r.raw) < size + 20000 if whole else len(r.raw) < 20000


# ---- it takes longer

def test_a_delay_is_told_once_and_a_wait_of_days_ends(elsewhere):
    with mailroom.System(conf=conf(route(elsewhere.port), delivery='delay-notice = 1s'), accounts=('alice', 'bob', 'postmaster')) as m:
        dsn(m, 'later1@e.example', subject='slow')
        dsn(m, 'later2@e.example', 'FAILURE', subject='slow too')  # wants no such notice
        r = wait_report(m)
        f = r.of('later1@e.example')
        assert (f['Action'], f['Status'], f['X-Mailroom-Cause']) == ('delayed', '4.3.0', 'server-temp-error') and f['Will-Retry-Until']
        assert r.mail['Subject'] == 'Delayed, still trying: slow' and not r.whole
        assert 'need not send it again' in r.words() and 'could not be delivered' not in r.words()
        wait_delivery(m, rcpt='later1@e.example', count=6)
        nothing_comes(m, seconds=0.5)
        # six days later
        m.stop()
        db = sqlite3.connect(os.path.join(m.home, 'store', 'mail.db'))
        with db:
            assert db.execute('UPDATE message SET received_ms = received_ms - 6 * 86400000').rowcount
        db.close()
        m.start()
        both = [Report(x) for x in report.wait(m, 2, more=1)]
        assert {r.rcpts[0]['Final-Recipient'] for r in both} == {'rfc822; later1@e.example', 'rfc822; later2@e.example'}
        for r in both:
            assert (r.rcpts[0]['Action'], r.rcpts[0]['Status'][0]) == ('failed', '5')
            assert r.mail['Subject'].startswith('Not delivered: slow') and 'given up' in r.words() and '451 4.3.0' in r.words()
        assert '@' not in m.run('queue', 'list')


# ---- who gets none

def test_a_null_sender_gets_none(system):
    system.run('alias', 'add', 'away@mailroom.test', 'no@e.example')
    mark = system.log_size()
    stranger(system, 'away@mailroom.test', sender='')
    system.wait_log('event=bounce-none .*null sender', since=mark)
    for account in system.password:
        assert report.fetch(system, account) == []


def test_a_bounce_that_fails_goes_to_the_postmaster_once(elsewhere):
    """the sender of an authorised network's mail need not exist"""
    with mailroom.System(conf=conf(route(elsewhere.port)), accounts=('alice', 'postmaster')) as m:
        m.run('account', 'send-as', 'add', ALICE, '@elsewhere.example')
        send(m, 'no@e.example', sender='no.sender@elsewhere.example')
        r = wait_report(m, account='postmaster@mailroom.test', more=1)
        assert r.of('no.sender@elsewhere.example')['Status'] == '5.1.1'
        assert 'null sender' not in r.words()
        inner = r.mail.get_payload()[2]
        assert b'Subject: Not delivered' in r.original
        assert r.whole and inner.get_payload()[0].get_content_type() == 'multipart/report'
        nothing_comes(m)
        assert '@' not in m.run('queue', 'list')


def test_a_full_mailbox_of_the_sender(elsewhere):
    with mailroom.System(conf=conf(route(elsewhere.port)), accounts=('alice', 'postmaster')) as m:
        m.account('small', quota='20KB')
        c = Client(m)
        c.send('small@mailroom.test', body=('y' * 70 + '\r\n') * 200)
        c.close()

        def fail():
            c = smtplib.SMTP_SSL('127.0.0.1', m.port['submissions'], context=report.TLS)
            c.login('small@mailroom.test', m.password['small@mailroom.test'])
            c.sendmail('small@mailroom.test', ['no@e.example'], 'From: small@mailroom.test\r\nSubject: big\r\n\r\n' + ('z' * 70 + '\r\n') * 200)
            c.quit()

        fail()  # the message as a whole has no room, a report without it has
        m.wait_log('event=bounce .*to=small@mailroom.test')
        found = report.fetch(m, 'small@mailroom.test')
        assert len(found) == 2 and not Report(found[1]).whole
        m.run('account', 'quota', 'small@mailroom.test', '10KB')
        fail()  # nothing has
        r = wait_report(m, account='postmaster@mailroom.test', more=0.5)
        assert r.of('no@e.example')['Status'] == '5.1.1'
        assert len(report.fetch(m, 'small@mailroom.test')) == 2
        assert '@' not in m.run('queue', 'list')


# ---- strangers' mail, passed on

@pytest.mark.parametrize('target,body,comes', [('no@e.example', 'hello', True), ('full@e.example', 'hello', True), ('spam@e.example', 'hello', False),
                                               ('blocked@e.example', 'hello', False), ('yes@e.example', 'XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE', False)])
def test_mail_of_strangers_that_was_forwarded(system, elsewhere, target, body, comes):
    alias = 'to-%s%d@mailroom.test' % (target.split('@')[0], time.monotonic_ns())
    system.run('alias', 'add', alias, target)
    mark, had = system.log_size(), len(elsewhere.mail)
    stranger(system, alias, sender='victim@innocent.example', body=body)
    system.wait_log('event=bounce', since=mark)
    if comes:
        got = elsewhere.wait(had + 1)[had]
        assert got[1] == '' and got[2] == ['victim@innocent.example']  # the null sender, to whoever wrote it
        r = Report(got[3])
        assert r.of(target)['Action'] == 'failed'
    else:
        assert re.search('event=bounce-none .*may be forged', system.log(mark))
        wait_empty(system)
        assert len(elsewhere.mail) == had and 'bounce-none' in system.log(mark)


def test_a_bounce_to_a_rewritten_address_comes_back(system, elsewhere):
    """mail that is forwarded leaves with an address of ours (SRS), and what comes back to that goes to whoever wrote the mail; only bounces, and only to addresses made here"""
    system.run('alias', 'add', 'moved@mailroom.test', 'yes@e.example')
    had = len(elsewhere.mail)
    stranger(system, 'moved@mailroom.test', sender='Some.One@far.example', body='forward me')
    _, rewritten, rcpts, text = elsewhere.wait(had + 1)[had]
    assert re.fullmatch(r'SRS0=[A-Z2-7]{8}=[A-Z2-7]{2}=far\.example=Some\.One@mailroom\.test', rewritten) and rcpts == ['yes@e.example']
    assert b'From: <Some.One@far.example>' in text and b'forward me' in text
    for back in (rewritten, rewritten.lower()):  # servers on the way may change the case
        had = len(elsewhere.mail)
        stranger(system, back, sender='', body='it failed')
        _, sender, rcpts, text = elsewhere.wait(had + 1)[had]
        assert (sender, rcpts[0].lower()) == ('', 'some.one@far.example') and b'it failed' in text
    local, domain = rewritten.split('@')
    kind, code, day, rest = local.split('=', 3)
    other = 'B' if code[0] == 'A' else 'A'
    c = smtplib.SMTP('127.0.0.1', system.port['mx'], timeout=30)
    c.ehlo('far.example')
    c.mail('')
    for forged in ('%s=%s%s=%s=%s' % (kind, other, code[1:], day, rest), '%s=%s=%s=victim.example=%s' % (kind, code, day, rest.split('=')[1]), '%s=%s=%s=%s' % (kind, code, 'AA' if day != 'AA' else 'AB', rest),
                   'SRS0=%s' % rest, 'SRS1=' + local[5:]):
        answer = c.rcpt(forged + '@' + domain)
        assert answer[0] == 550 and b'srs-invalid' in answer[1], (forged, answer)
    c.rset()
    c.mail('spammer@far.example')
    assert c.rcpt(rewritten)[0] == 550
    c.quit()


# ---- addresses beyond ASCII

def test_smtputf8(system):
    c = Client(system).c
    assert c.mail(ALICE, ['SMTPUTF8', 'BODY=8BITMIME'])[0] == 250
    for r in ('no\u00f6@e.example', 'no@e.example'):
        c.send(('RCPT TO:<%s>\r\n' % r).encode())
        assert c.getreply()[0] == 250
    assert c.data('From: Alice <alice@mailroom.test>\r\nTo: J\u00f6rg <no\u00f6@e.example>\r\nSubject: Gr\u00fc\u00dfe\r\n\r\nsch\u00f6n\r\n'.encode())[0] == 250
    c.quit()
    r = wait_report(system)
    assert r.utf8
    assert {x['Final-Recipient'] for x in r.rcpts} == {'utf-8; no\u00f6@e.example', 'rfc822; no@e.example'}
    assert 'no\u00f6@e.example' in r.text and 'Gr\u00fc\u00dfe' in r.text
    assert 'sch\u00f6n'.encode() in r.original


# ---- killed between failure and report

def test_a_store_that_is_killed_sends_each_report_once(elsewhere):
    with mailroom.System(conf=conf(route(elsewhere.port)), accounts=('alice',)) as m:
        seen = []
        for i in range(6):
            mark = m.log_size()
            send(m, ['no%da@e.example' % i, 'no%db@e.example' % i])
            m.wait_log('event=delivery .*no%db' % i, since=mark)
            time.sleep((0, 0.03, 0.1, 0.18, 0.21, 0.3)[i])  # a report is written 0.2 s after the failure
            if i % 2:
                m.kill()
                m.start()
            else:
                for pid in m.pid_of('store'):
                    os.kill(pid, signal.SIGKILL)
                m.wait_log('event=role-ready started=store', since=mark)
            seen.append(i)
        reports = [Report(x) for x in report.wait(m, 6, more=2)]
        assert sorted(tuple(sorted(x['Final-Recipient'] for x in r.rcpts)) for r in reports) == [('rfc822; no%da@e.example' % i, 'rfc822; no%db@e.example' % i) for i in seen]
        assert '@' not in m.run('queue', 'list')
