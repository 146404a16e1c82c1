"""XWHY: over the connection on which they signed in, people learn why this server refused them; about themselves and nobody else."""
import calendar
import os
import re
import signal
import smtplib
import ssl
import time

import pytest

import mailroom

USERS = ('alice', 'bob', 'carol', 'dave', 'erin')
LIMITS = 'limits {\n\tmessage-size = 1MiB\n}\n'


@pytest.fixture(scope='module')
def system():
    with mailroom.System(accounts=USERS, conf=LIMITS) as m:
        yield m


def address(user):
    return user + '@mailroom.test'


def unsafe():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def connect(system, user=None, source=None):
    s = smtplib.SMTP('127.0.0.1', system.port['submission'], timeout=20, source_address=(source, 0) if source else None)
    s.starttls(context=unsafe())
    s.ehlo('pc.example')
    if user:
        assert s.login(address(user), system.password[address(user)])[0] == 235
        s.ehlo('pc.example')
    return s


def unquoted(text):
    return re.sub(r'\+([0-9A-F]{2})', lambda m: chr(int(m.group(1), 16)), text)


def why(s, argument=''):
    """[{slug, code, at, session, ...}], newest first"""
    code, text = s.docmd('XWHY' + (' ' + str(argument) if argument else ''))
    assert code == 250, text
    lines = text.decode().split('\n')
    events = [{k: unquoted(v) for k, v in (pair.split('=', 1) for pair in line.split(' '))} for line in lines[:-1]]
    assert lines[-1] == '2.0.0 %d events' % len(events)
    for e in events:
        assert re.fullmatch(r'[45]\d\d', e['code']) and re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ', e['at']) and re.fullmatch(r'[0-9A-Z]{8}', e['session']), e
    assert [e['at'] for e in events] == sorted((e['at'] for e in events), reverse=True)
    return events


def no_sign_in(s, user):
    s.mail(address(user))


def strange_sender(s, user):
    s.login(address(user), user + '-Pw 1')
    s.mail('president@elsewhere.example')


def unknown_recipient(s, user):
    s.login(address(user), user + '-Pw 1')
    s.mail(address(user))
    s.rcpt('nobody@mailroom.test')


def too_big(s, user):
    s.login(address(user), user + '-Pw 1')
    s.mail(address(user), ['SIZE=5000000'])


def wrong_password(s, user):
    with pytest.raises(smtplib.SMTPAuthenticationError):
        s.login(address(user), 'wrong-Pw 1')
    s.mail(address(user))


FAULTS = {'alice': (no_sign_in, 'auth-required', '530'), 'bob': (strange_sender, 'sender-not-owned', '553'), 'carol': (unknown_recipient, 'rcpt-unknown', '550'),
          'dave': (too_big, 'message-too-big', '552'), 'erin': (wrong_password, 'auth-wrong-password', '535')}


@pytest.fixture(scope='module')
def five(system):
    """each of five people got one and the same 503, each for another reason"""
    for user in USERS:
        s = connect(system)
        FAULTS[user][0](s, user)
        code, text = s.docmd('DATA')
        assert code == 503, text
        s.close()
    time.sleep(0.5)
    return system


@pytest.mark.parametrize('user', USERS)
def test_the_same_503_five_causes(five, user):
    slug, code = FAULTS[user][1:]
    events, end = [], time.monotonic() + 20
    while not events and time.monotonic() < end:  # workers tell the history what happened when they have time
        with connect(five, user) as s:
            events = why(s)
    assert (slug, code) in [(e['slug'], e['code']) for e in events], events
    assert events[0]['slug'] == slug and events[0]['code'] == '503' and events[0]['command'] == 'DATA', events
    others = {FAULTS[u][1] for u in USERS if u != user}
    assert not others & {e['slug'] for e in events}, events
    for other in USERS:
        assert other == user or other not in repr(events)


def test_what_is_said_of_each(five):
    with connect(five, 'carol') as s:
        e = next(e for e in why(s) if e['command'] == 'RCPT')
        assert e['slug'] == 'rcpt-unknown' and e['detail'].startswith('nobody@mailroom.test')
        assert time.time() - 600 < calendar.timegm(time.strptime(e['at'], '%Y-%m-%dT%H:%M:%SZ')) <= time.time() + 1
    with connect(five, 'erin') as s:
        e = next(e for e in why(s) if e['command'] == 'AUTH')
        assert e['slug'] == 'auth-wrong-password' and e['detail'].startswith('from 127.0.0.1')
    with connect(five, 'dave') as s:
        e = next(e for e in why(s) if e['command'] == 'MAIL')
        assert e['limit'] == '1 MiB' and e['slug'] == 'message-too-big'


def test_offered_and_only_to_who_signed_in(system):
    s = smtplib.SMTP('127.0.0.1', system.port['submission'], timeout=20)
    s.ehlo('pc.example')
    assert s.has_extn('xwhy')
    assert s.docmd('XWHY')[0] == 530
    s.starttls(context=unsafe())
    s.ehlo('pc.example')
    assert s.has_extn('xwhy') and s.docmd('XWHY')[0] == 530
    s.login(address('alice'), system.password[address('alice')])
    s.ehlo('pc.example')
    assert s.has_extn('xwhy') and s.docmd('XWHY')[0] == 250
    for bad in ('0', '51', '-1', 'all', '1 2', '99999999999999999999'):
        assert s.docmd('XWHY', bad)[0] == 501, bad
    s.close()
    mx = smtplib.SMTP('127.0.0.1', system.port['mx'], timeout=20)
    mx.ehlo('pc.example')
    assert not mx.has_extn('xwhy') and mx.docmd('XWHY')[0] == 502
    mx.close()


def test_what_was_refused_a_moment_ago_and_at_most_so_many(system):
    with connect(system, 'bob') as s:
        s.mail(address('bob'))
        for i in range(5):
            assert s.rcpt('nobody%d@mailroom.test' % i)[0] == 550
        assert [e['detail'] for e in why(s, 3)] == ['nobody%d@mailroom.test' % i for i in (4, 3, 2)]
        # in one go with what is refused
        s.send('RCPT TO:<last@mailroom.test>\r\nXWHY 1\r\n')
        assert s.getreply()[0] == 550
        code, text = s.getreply()
        assert code == 250 and b'detail=last@mailroom.test' in text and text.endswith(b'2.0.0 1 events'), text
        assert s.docmd('RSET')[0] == 250


def test_not_for_ever(system):
    with connect(system, 'bob') as s:
        for _ in range(10):
            why(s, 1)
        assert s.docmd('XWHY')[0] == 421


def test_somebody_else_with_my_address_elsewhere(system):
    """from another address, a sender that is not signed in is a stranger, whatever he calls himself"""
    s = connect(system, source='127.0.0.9')
    assert s.mail(address('dave'))[0] == 530
    s.close()
    time.sleep(0.5)
    with connect(system, 'dave') as s:
        assert 'auth-required' not in [e['slug'] for e in why(s, 50)]
    with connect(system, 'dave', source='127.0.0.9') as s:
        assert 'auth-required' in [e['slug'] for e in why(s, 50)]


def test_a_store_that_is_gone_is_waited_out(system):
    with connect(system, 'erin') as s:
        assert why(s)
        mark = system.log_size()
        os.kill(system.pid_of('store')[0], signal.SIGKILL)
        system.wait_log('event=(role-)?(up|ready|started).*store', since=mark)
        assert s.docmd('XWHY')[0] in (421, 451)  # the new store was not told of this session
    with connect(system, 'erin') as s:
        assert why(s)
