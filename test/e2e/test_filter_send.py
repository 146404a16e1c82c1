"""Filters that send: redirect to people here, to aliases and elsewhere; vacation. What is sent on and what is answered, and above all what is not."""
import email
import email.policy
import json
import os
import random
import re
import smtplib
import sqlite3
import time

import pytest

import mailroom
import sink
from test_delivery import conf, route
from test_filter import held, inbox, empty

ALICE, BOB, CAROL, DAVE = ('%s@mailroom.test' % name for name in ('alice', 'bob', 'carol', 'dave'))
FAR = 'far@elsewhere.example'
STRANGER = 'stranger@outside.example'


@pytest.fixture(scope='module')
def world():
    """a system and a sink that all that leaves goes to"""
    with sink.Sink() as s, mailroom.System(conf=conf(route(s.port)), accounts=('alice', 'bob', 'carol', 'dave')) as m:
        m.run('alias', 'add', 'info@mailroom.test', ALICE)
        m.run('alias', 'add', 'team@mailroom.test', ALICE, BOB)
        m.run('alias', 'add', 'pair@mailroom.test', BOB, 'second@elsewhere.example')
        yield m, s


@pytest.fixture
def m(world):
    system, s = world
    yield system
    wait_idle(system)
    for account in (ALICE, BOB, CAROL, DAVE):
        system.run('filter', 'clear', account)
        empty(system, account)
    s.mail.clear()


@pytest.fixture
def far(world):
    return world[1]


def wait_idle(m, timeout=40):
    end = time.monotonic() + timeout
    while json.loads(m.run('queue', 'list', '--json')):
        assert time.monotonic() < end, m.run('queue', 'list') + m.log()[-4000:]
        time.sleep(0.1)


def script(m, text, account=ALICE):
    m.run('filter', 'set', account, '-', input=text)


def text(to=ALICE, frm=STRANGER, head=(), body='hello', subject='greetings'):
    lines = ['From: %s' % frm, 'To: %s' % to, 'Subject: %s' % subject, 'Message-ID: <%016x@outside.example>' % random.getrandbits(64), *head, '', body, '']
    return '\r\n'.join(lines).encode()


def send(m, data=None, to=ALICE, frm=STRANGER, options=(), rcpt_options=()):
    """a stranger's message"""
    with smtplib.SMTP('127.0.0.1', m.port['mx'], local_hostname='client.example', timeout=60) as c:
        c.ehlo()
        if options or rcpt_options:
            assert c.mail(frm, list(options))[0] == 250
            assert c.rcpt(to, list(rcpt_options))[0] == 250
            code, reply = c.data(data or text())
            assert code == 250, reply
        else:
            c.sendmail(frm, to, data or text())


def read(data):
    return email.message_from_bytes(data if isinstance(data, bytes) else data.encode(), policy=email.policy.default)


def sends(m, since, what):
    """lines of the log about it: (queue id or '', why or '')"""
    out = []
    for line in re.findall(r'event=filter-send what=%s .*' % what, m.log(since)):
        get = lambda name: (re.search(name + r'=("[^"]*"|\S+)', line) or [None, ''])[1].strip('"')
        out.append((get('queue_id'), get('why')))
    return out


# ---- redirect

def test_sent_on_to_somebody_here(m):
    script(m, 'redirect "%s";' % BOB)
    send(m)
    assert held(m, ALICE) == []
    got = inbox(m, BOB)
    assert len(got) == 1 and got[0].startswith('Return-Path: <%s>\r\nDelivered-To: %s\r\nDelivered-To: %s\r\nReceived: ' % (STRANGER, BOB, ALICE)), got


def test_sent_on_and_kept(m):
    script(m, 'require "copy";\nredirect :copy "%s";' % BOB)
    send(m)
    assert len(held(m, ALICE)) == len(held(m, BOB)) == 1
    assert 'Delivered-To: ' + BOB not in inbox(m, ALICE)[0]


def test_sent_on_to_an_alias_that_leads_here_and_elsewhere(m, far):
    script(m, 'redirect "pair@mailroom.test";')
    send(m)
    assert held(m, ALICE) == [] and len(held(m, BOB)) == 1
    [(_, sender, rcpts, data)] = far.wait(1)
    assert rcpts == ['second@elsewhere.example'] and sender.startswith('SRS0=') and sender.endswith('@mailroom.test')
    assert data.startswith(b'Delivered-To: %s\r\n' % ALICE.encode())


def test_sent_on_elsewhere_in_the_name_of_the_domain(m, far):
    script(m, 'redirect "%s";' % FAR)
    data = text(body='.\r\n..dots\r\n' + 'x' * 900)
    send(m, data)
    [(_, sender, rcpts, got)] = far.wait(1)
    assert rcpts == [FAR] and re.fullmatch(r'SRS0=[^=]+=[^=]+=outside\.example=stranger@mailroom\.test', sender, re.I), sender
    assert got.startswith(b'Delivered-To: %s\r\nReceived: from client.example' % ALICE.encode()) and got.endswith(data)
    assert held(m, ALICE) == []


def test_a_hosted_sender_and_the_null_sender_stay_as_they_are(m, far):
    script(m, 'redirect "%s";' % FAR)
    c = smtplib.SMTP_SSL('127.0.0.1', m.port['submissions'], context=__import__('test_filter').context())
    c.login(BOB, m.password[BOB])
    c.sendmail(BOB, [ALICE], text(frm=BOB))
    c.quit()
    assert far.wait(1)[0][1] == BOB
    send(m, frm='')
    assert sorted(x[1] for x in far.wait(2)) == ['', BOB]


def test_a_large_message_is_sent_on_whole_to_several(m, far):
    script(m, 'require "copy";\nredirect "%s"; redirect "x@elsewhere.example"; redirect "%s"; redirect :copy "%s";' % (FAR, BOB, CAROL))
    for size in (100_000, 3_000_000):
        data = text(body='\r\n'.join('%062d' % i for i in range(size // 64)))
        send(m, data)
        wait_idle(m)
        got = far.wait(2)
        assert sorted(g[2][0] for g in got) == sorted([FAR, 'x@elsewhere.example']) and all(g[3].endswith(data) for g in got)
        assert inbox(m, BOB)[-1].encode().endswith(data.rstrip(b'\r\n')) and inbox(m, CAROL)[-1].encode().endswith(data.rstrip(b'\r\n'))
        far.mail.clear()
    assert held(m, ALICE) == []


def test_what_comes_back_goes_no_second_round(m, far):
    script(m, 'redirect "%s";' % FAR)
    send(m)
    came = far.wait(1)[0][3]
    with pytest.raises(smtplib.SMTPDataError, match='mail-loop'):
        send(m, came)  # the other server sends it straight back
    mark = m.log_size()
    send(m, came, to='info@mailroom.test')  # or to another address of hers
    assert len(held(m, ALICE)) == 1 and 'was here before' in m.log(mark)
    wait_idle(m)
    assert len(far.mail) == 1


def test_two_who_send_to_each_other_come_to_an_end(m):
    script(m, 'redirect "%s";' % BOB)
    script(m, 'redirect "%s";' % ALICE, BOB)
    send(m)
    assert len(held(m, BOB)) == 1 and held(m, ALICE) == []


def test_two_who_send_to_each_other_and_both_get_it_lose_nothing(m):
    script(m, 'redirect "%s";' % BOB)
    script(m, 'redirect "%s";' % ALICE, BOB)
    data = text(to='team@mailroom.test')
    for _ in range(2):
        send(m, data, to='team@mailroom.test')
    assert len(held(m, ALICE)) == len(held(m, BOB)) == 1


def test_a_repeat_is_sent_on_once(m, far):
    script(m, 'redirect "%s"; redirect "%s";' % (FAR, BOB))
    data = text()
    send(m, data)
    send(m, data)
    wait_idle(m)
    assert len(far.mail) == 1 and len(held(m, BOB)) == 1 and held(m, ALICE) == []


def test_the_wishes_of_the_envelope_go_on(m, far):
    script(m, 'redirect "%s";' % FAR)
    send(m, options=['RET=HDRS', 'ENVID=e1'], rcpt_options=['NOTIFY=FAILURE', 'ORCPT=rfc822;old@outside.example'])
    far.wait(1)
    said = [x[2] for x in far.said if x[1] in ('mail', 'rcpt')][-2:]
    assert 'RET=HDRS' in said[0] and 'ENVID=e1' in said[0] and 'NOTIFY=FAILURE' in said[1] and 'ORCPT=rfc822;old@outside.example' in said[1], said


@pytest.mark.parametrize('target, why', [('nobody@mailroom.test', 'rcpt-unknown'), (DAVE, 'rcpt-disabled'), (ALICE, 'the account itself'),
                                         ('x@localhost', 'rcpt-domain-not-found'), ('SRS0=AAAAAAAA=AA=outside.example=x@mailroom.test', 'srs-invalid')])
def test_what_cannot_be_sent_on_stays(m, target, why):
    script(m, 'redirect "%s";' % target)
    m.run('account', 'disable', DAVE)
    mark = m.log_size()
    try:
        send(m)
    finally:
        m.run('account', 'enable', DAVE)
    assert len(held(m, ALICE)) == 1 and why in sends(m, mark, 'redirect')[0][1]


def test_who_may_not_send_sends_nothing_on(m, far):
    script(m, 'redirect "%s";' % FAR, CAROL)
    m.run('account', 'sending', CAROL, 'off')
    try:
        send(m, to=CAROL)
        script(m, 'require "fileinto";\nfileinto "Kept"; redirect "%s";' % FAR, CAROL)
        send(m, to=CAROL)
    finally:
        m.run('account', 'sending', CAROL, 'on')
    wait_idle(m)
    assert far.mail == [] and sorted(i['folder'] for i in held(m, CAROL)) == ['INBOX', 'Kept']


def test_a_script_that_somebody_else_put_there_sends_nothing(m, far):
    """the store compares what a worker says with what was set"""
    script(m, 'redirect "%s";' % FAR)
    with sqlite3.connect(os.path.join(m.home, 'store', 'mail.db'), timeout=30) as db:
        db.execute('UPDATE filter SET needs = 0')
    send(m)
    wait_idle(m)
    assert far.mail == [] and len(held(m, ALICE)) == 1


def test_header_lines_of_the_filter_go_with_it(m, far):
    script(m, 'require "editheader";\naddheader "X-Via" "alice";\nredirect "%s";' % FAR)
    send(m)
    assert far.wait(1)[0][3].startswith(b'Delivered-To: %s\r\nX-Via: alice\r\nReceived: ' % ALICE.encode())


def test_a_failure_goes_back_to_who_wrote_it(world):
    """and there alone: the rewritten sender is the way back"""
    answer = lambda stage, line, s: '550 5.1.1 <%s> User unknown' % FAR if stage == 'rcpt' and FAR in line else None
    with sink.Sink(answer=answer) as s, mailroom.System(conf=conf(route(s.port))) as m:
        script(m, 'redirect "%s";' % FAR)
        send(m)
        [(_, sender, rcpts, data)] = s.wait(1)
        assert sender == '' and rcpts == [STRANGER] and b'Final-Recipient: rfc822; ' + FAR.encode() in data


# ---- vacation

def away(m, more='', words='I am away until Monday.', account=ALICE):
    script(m, 'require ["vacation", "vacation-seconds", "fileinto", "envelope"];\nvacation %s "%s";' % (more, words), account)


def answers(m, mark, n=1, timeout=20):
    end = time.monotonic() + timeout
    while len(sends(m, mark, 'vacation')) < n and time.monotonic() < end:
        time.sleep(0.02)
    return sends(m, mark, 'vacation')


def test_an_answer_has_all_that_it_needs_and_no_more(m, far):
    away(m, ':subject "Away" :days 3')
    data = text(head=['References: <a@outside.example>', ' <b@outside.example>'])
    send(m, data)
    [(_, sender, rcpts, got)] = far.wait(1)
    a = read(got)
    assert sender == '' and rcpts == [STRANGER]
    assert a['From'] == ALICE and a['To'] == STRANGER and a['Subject'] == 'Away' and a['Auto-Submitted'] == 'auto-replied'
    own = read(data)['Message-ID']
    assert a['In-Reply-To'] == own and a['References'].split() == ['<a@outside.example>', '<b@outside.example>', own]
    assert a.get_content_type() == 'text/plain' and a.get_content().strip() == 'I am away until Monday.'
    assert a['Date'] and a['Message-ID'].endswith('@mail.mailroom.test>')
    assert b'\n' not in got.replace(b'\r\n', b'') and b'\r' not in got.replace(b'\r\n', b'')
    assert len(held(m, ALICE)) == 1


def test_a_sender_is_answered_once(m, far):
    away(m)
    mark = m.log_size()
    for _ in range(3):
        send(m)
    send(m, frm='Stranger@Outside.EXAMPLE')  # a local part may differ by case; the mailbox does not
    send(m, frm='other@outside.example')
    wait_idle(m)
    assert sorted(x[2][0] for x in far.wait(2)) == ['other@outside.example', STRANGER]
    assert [why for _, why in sends(m, mark, 'vacation')].count('its sender was answered already') == 3
    away(m, words='Another text is another answer.')
    send(m)
    assert len(far.wait(3)) == 3
    away(m, ':handle "one"', words='First words.')
    send(m)
    away(m, ':handle "one"', words='Second words.')
    send(m)
    wait_idle(m)
    assert len(far.mail) == 4


def test_when_the_days_are_over_there_is_another_answer(m, far):
    away(m, ':seconds 60', words='In a minute.')
    send(m)
    far.wait(1)
    with sqlite3.connect(os.path.join(m.home, 'store', 'mail.db'), timeout=30) as db:
        assert db.execute('SELECT until_ms - at_ms FROM vacation ORDER BY at_ms DESC LIMIT 1').fetchone()[0] == 60000
        db.execute('UPDATE vacation SET at_ms = at_ms - 61000, until_ms = until_ms - 61000')
    send(m)
    assert len(far.wait(2)) == 2


NOT_ANSWERED = {
    'null sender': ('', []),
    'mailing list': (STRANGER, ['List-Id: <list.example>']),
    'unsubscribe': (STRANGER, ['List-Unsubscribe: <mailto:x@example>']),
    'automatic': (STRANGER, ['Auto-Submitted: auto-generated']),
    'answer': (STRANGER, ['auto-submitted: AUTO-REPLIED (vacation)']),
    'bulk': (STRANGER, ['Precedence: bulk']),
    'unwanted': (STRANGER, ['X-Auto-Response-Suppress: OOF, DR']),
    'report': (STRANGER, ['Content-Type: multipart/report; report-type=disposition-notification; boundary=x']),
    'owner': ('owner-list@outside.example', []),
    'request': ('list-request@outside.example', []),
    'bounces': ('list-bounces+alice=mailroom.test@outside.example', []),
    'daemon': ('MAILER-DAEMON@outside.example', []),
    'noreply': ('shop.No-Reply@outside.example', []),
    'oneself': (ALICE, []),
    'oneself with detail': ('alice+shop@mailroom.test', []),
}


@pytest.mark.parametrize('kind', NOT_ANSWERED)
def test_what_machines_send_is_not_answered(m, far, kind):
    frm, head = NOT_ANSWERED[kind]
    away(m)
    mark = m.log_size()
    if frm.endswith('mailroom.test'):
        m.run('domain', 'guard', 'mailroom.test', 'off')
    try:
        send(m, text(head=head), frm=frm)
    finally:
        m.run('domain', 'guard', 'mailroom.test', 'on')
    m.wait_log('action=vacation line=2 why="no answer: ', since=mark)
    wait_idle(m)
    assert far.mail == [] and sends(m, mark, 'vacation') == [] and len(held(m, ALICE)) == 1


@pytest.mark.parametrize('to, rcpt, more, answered', [
    ('everybody@outside.example', ALICE, '', False), ('everybody@outside.example', ALICE, ':addresses "everybody@outside.example"', True),
    ('Alice <alice+news@mailroom.test>', ALICE, '', True), ('info@mailroom.test', 'info@mailroom.test', '', True),
    ('team@mailroom.test', 'team@mailroom.test', '', False), ('x@outside.example\r\nCc: y@z.example, "A, B" <ALICE@mailroom.test>', ALICE, '', True),
    ('x@outside.example\r\nResent-To: ' + ALICE, ALICE, '', True)])
def test_only_who_was_written_to_answers(m, far, to, rcpt, more, answered):
    away(m, more)
    mark = m.log_size()
    sender = 's%d@outside.example' % random.randrange(1 << 40)
    send(m, text(to=to), to=rcpt, frm=sender)
    m.wait_log('action=vacation', since=mark)
    wait_idle(m)
    assert [x[2] for x in far.mail] == ([[sender]] if answered else [])


def test_people_here_are_answered_here(m):
    away(m, ':from "info@mailroom.test"', words='Gr\u00fc\u00dfe \u2013 bin im Urlaub \U0001f3d6')
    c = smtplib.SMTP_SSL('127.0.0.1', m.port['submissions'], context=__import__('test_filter').context())
    c.login(BOB, m.password[BOB])
    c.sendmail(BOB, [ALICE], text(frm=BOB, subject='=?utf-8?B?R3LDvMOfZQ==?='))
    c.quit()
    a = read(inbox(m, BOB)[0])
    assert a['From'] == 'info@mailroom.test' and a['Subject'] == 'Auto: Gr\u00fc\u00dfe'
    assert a.get_content().strip() == 'Gr\u00fc\u00dfe \u2013 bin im Urlaub \U0001f3d6'
    assert a['Return-Path'] == '<>' and inbox(m, BOB)[0].isascii()


def test_nobody_answers_in_the_name_of_others(m, far):
    away(m, ':from "%s"' % BOB)
    send(m, frm='name@outside.example')
    assert read(far.wait(1)[0][3])['From'] == ALICE


def test_a_mime_entity_brings_its_own_fields_and_no_others(m, far):
    script(m, 'require "vacation";\nvacation :mime text:\nContent-Type: text/html; charset=utf-8\nBcc: x@y.example\nFrom: boss@mailroom.test\n\n'
              '<b>\u00e4</b>\n.\n;')
    send(m, frm='mime@outside.example')
    got = far.wait(1)[0][3]
    a = read(got)
    assert a.get_content_type() == 'text/html' and a['Bcc'] is None and a.get_all('From') == [ALICE] and a.get_content().strip() == '<b>\u00e4</b>'


def test_an_answer_that_fails_tells_nobody():
    answer = lambda stage, line, s: '550 5.1.1 User unknown' if stage == 'rcpt' else None
    with sink.Sink(answer=answer) as s, mailroom.System(conf=conf(route(s.port)), accounts=('alice', 'bob', 'postmaster')) as m:
        away(m)
        mark = m.log_size()
        send(m)
        m.wait_log('event=delivery .*outcome=refused', since=mark)
        wait_idle(m)
        time.sleep(1)
        assert s.mail == [] and held(m, 'postmaster@mailroom.test') == [] and len(held(m, ALICE)) == 1


def test_limits_of_the_account_count_what_its_filter_sends():
    with sink.Sink() as s, mailroom.System(conf=conf(route(s.port) + 'rates { account-messages = "2/h" }'), accounts=('alice',)) as m:
        script(m, 'redirect "%s";' % FAR)
        mark = m.log_size()
        for _ in range(4):
            send(m)
        wait_idle(m)
        assert len(s.mail) == 2 and len(held(m, ALICE)) == 2
        assert [why for q, why in sends(m, mark, 'redirect') if not q] == ['the account has sent as much as it may for now'] * 2


def test_history_knows_why_it_went(m, far):
    script(m, 'require ["copy", "vacation"];\nredirect :copy "%s";\nvacation "away";' % FAR)
    mark = m.log_size()
    send(m, frm='hist@outside.example')
    far.wait(2)
    queue_id = [q for q, _ in sends(m, mark, 'redirect')][0]
    end = time.monotonic() + 20
    while True:
        said = m.run('why', queue_id, '--json', check=False).stdout
        if 'sent on by the filter of ' + ALICE in said or time.monotonic() > end:
            break
        time.sleep(0.2)
    assert 'sent on by the filter of ' + ALICE in said and FAR in said


def test_the_test_says_what_would_be_sent(m, tmp_path):
    path = tmp_path / 'mail'
    script(m, 'require ["copy", "vacation"];\nredirect :copy "%s";\nvacation "away";' % FAR)
    path.write_bytes(text())
    said = m.run('filter', 'test', ALICE, str(path))
    assert 'sent on to %s  (line 2)' % FAR in said and re.search(r'answered: away  \(line 3\)', said), said
    path.write_bytes(text(head=['List-Id: <x.example>', 'Delivered-To: ' + ALICE]))
    said = m.run('filter', 'test', ALICE, str(path))
    assert 'not sent on to %s: ' % FAR in said and 'not answered: it comes from a mailing list' in said, said
