"""Rows 18 and 19: what a stranger learns from replies and from their time; guessing passwords, and floods of it."""
import re
import statistics
import threading
import time

import mailroom
from lib import ALICE, BOB, SMTP_WAYS, Line, b64, case, deliver, ids, is_sanitized, plain, pop3, slug, smtp, system_is_well, without_ref

UNKNOWN = 'nosuchuser@mailroom.test'
SIGNIN_WAYS = ('submission', 'submissions', 'pop3+tls', 'pop3s')


def attempt(m, way, login, password, mechanism='PLAIN', source=None):
    """the last words of one sign-in on a session of its own"""
    if way.startswith('pop3'):
        with pop3(m, way, source=source) as w:
            if mechanism == 'USER':
                w.command('USER ' + login)
                return w.command('PASS ' + password)
            return w.command('AUTH PLAIN ' + plain(login, password))
    with smtp(m, way, signin=False, source=source) as w:
        if mechanism == 'LOGIN':
            assert w.ask('AUTH LOGIN').startswith('334')
            assert w.ask(b64(login)).startswith('334')
            return w.ask(b64(password))
        return w.ask('AUTH PLAIN ' + plain(login, password))


# ---- row 18

@case(18, 'VRFY says 252 to all, EXPN is off', SMTP_WAYS)
def vrfy(m, way):
    with smtp(m, way, signin=False) as w:
        said = {without_ref(w.ask('VRFY ' + who)) for who in ('alice', ALICE, UNKNOWN, 'nobody', '<alice@mailroom.test>', 'postmaster', 'victim@elsewhere.example')}
        assert len(said) == 1 and said.pop().startswith('252')
        said = {without_ref(w.ask('EXPN ' + who)) for who in ('alice', 'nobody', 'staff')}
        assert len(said) == 1 and said.pop().startswith('502')


@case(18, 'unknown user, wrong password, disabled account: the same words', SIGNIN_WAYS)
def same_words(m, way):
    if 'off@mailroom.test' not in m.password:
        m.account('off')
        m.run('account', 'disable', 'off@mailroom.test')
    for mechanism in ('USER', 'PLAIN') if way.startswith('pop3') else ('PLAIN', 'LOGIN'):
        said = {without_ref(attempt(m, way, login, 'wrong password', mechanism))
                for login in (ALICE, 'alice', UNKNOWN, 'nosuchuser', 'off@mailroom.test', 'a@b.example', 'postmaster@mailroom.test')}
        assert len(said) == 1 and slug(list(said)[0]) == 'auth-bad-credentials', said


@case(18, 'SCRAM: an unknown user has a salt and an iteration count, the same each time', ('submission', 'submissions'))
def scram_salt(m, way):
    def first(login):
        import base64
        with smtp(m, way, signin=False) as w:
            reply = w.ask('AUTH SCRAM-SHA-256 ' + b64('n,,n=%s,r=abcdefghijklmnop' % login))
            assert reply.startswith('334'), reply
            fields = dict(x.split('=', 1) for x in base64.b64decode(reply[4:]).decode().split(','))
            w.ask('*')
            return fields
    known, again, unknown, unknown2, other = first(ALICE), first(ALICE), first(UNKNOWN), first(UNKNOWN), first('other' + UNKNOWN)
    assert known['s'] == again['s'] and unknown['s'] == unknown2['s'], 'a salt that changes tells that there is no such user'
    assert unknown['s'] != other['s']
    assert known['i'] == unknown['i'] and len(known['s']) == len(unknown['s'])
    assert known['r'] != again['r'] and unknown['r'] != unknown2['r']


@case(18, 'SCRAM: the refusal is the same for an unknown user and a wrong proof', ('submission', 'submissions'))
def scram_words(m, way):
    import base64
    said = set()
    for login in (ALICE, UNKNOWN):
        with smtp(m, way, signin=False) as w:
            reply = w.ask('AUTH SCRAM-SHA-256 ' + b64('n,,n=%s,r=abcdefghijklmnop' % login))
            nonce = dict(x.split('=', 1) for x in base64.b64decode(reply[4:]).decode().split(','))['r']
            said.add(without_ref(w.ask(b64('c=biws,r=%s,p=%s' % (nonce, b64(b'\0' * 32))))))
    assert len(said) == 1 and slug(list(said)[0]) == 'auth-bad-credentials', said


@case(18, 'recipients: an unsigned client of submission learns nothing', ('submission', 'submissions'))
def rcpt_words(m, way):
    with smtp(m, way, signin=False) as w:
        said = set()
        for who in (ALICE, UNKNOWN):
            w.ask('RSET')
            w.ask('MAIL FROM:<a@b.example>')
            said.add(without_ref(w.ask('RCPT TO:<%s>' % who)).replace(who, 'X'))
        assert len(said) == 1, said


@case(18, 'the time of a refusal does not tell whether the user exists', ('submissions', 'pop3s'))
def timing(m, way):
    """interleaved samples, medians; only what is gross fails: the figure itself is printed"""
    took = {'known': [], 'unknown': [], 'foreign': []}
    logins = {'known': ALICE, 'unknown': UNKNOWN, 'foreign': 'a@nowhere.example'}
    for i in range(15 if is_sanitized() else 40):
        for kind in (sorted(logins), sorted(logins, reverse=True))[i % 2]:
            if way == 'pop3s':
                w = pop3(m, way)
                w.command('USER ' + logins[kind])
                t = time.perf_counter()
                w.command('PASS wrong')
            else:
                w = smtp(m, way, signin=False)
                t = time.perf_counter()
                w.ask('AUTH PLAIN ' + plain(logins[kind], 'wrong'))
            took[kind].append(time.perf_counter() - t)
            w.close()
    medians = {k: statistics.median(v) * 1000 for k, v in took.items()}
    print('       %s: median ms %s' % (way, ', '.join('%s %.2f' % (k, v) for k, v in sorted(medians.items()))))
    low, high = min(medians.values()), max(medians.values())
    assert high < 2 * low or high - low < 5, medians


# ---- row 19

STRICT = 'auth {\n\tfailure-delay = 0s\n\tfailures-per-address = 6\n\tfailures-per-account = 4\n\tfailure-window = 1h\n}\nlimits {\n\tauth-failures = 50\n}\n'


@case(19, 'failures of one account: everybody waits, the owner at a known address does not', system=None)
def owner_gets_in():
    with mailroom.System(STRICT) as m:
        for login in ALICE, UNKNOWN:  # a name that does not exist is counted the same way
            if login == ALICE:
                assert attempt(m, 'pop3s', ALICE, m.password[ALICE], source='127.0.0.9').startswith('+OK')
            said = [slug(attempt(m, way, login, 'wrong', source='127.0.1.%d' % (i + 1))) for i, way in enumerate(SIGNIN_WAYS * 2)]
            assert said[:4] == ['auth-bad-credentials'] * 4 and set(said[4:]) == {'auth-rate-limited'}, said
        assert slug(attempt(m, 'pop3s', ALICE, m.password[ALICE], source='127.0.1.50')) == 'auth-rate-limited', 'the right password must not be told apart while waiting'
        for way in SIGNIN_WAYS:
            assert attempt(m, way, ALICE, m.password[ALICE], source='127.0.0.9')[:3] in ('+OK', '235'), 'the owner was locked out'
        assert attempt(m, 'pop3s', BOB, m.password[BOB], source='127.0.1.51').startswith('+OK')


@case(19, 'failures of one address: that address waits, whatever the name; others do not', system=None)
def address_waits():
    with mailroom.System(STRICT) as m:
        said = [slug(attempt(m, 'pop3s', 'name%d@mailroom.test' % i, 'wrong', source='127.0.0.66')) for i in range(9)]
        assert said[:6] == ['auth-bad-credentials'] * 6 and set(said[6:]) == {'auth-rate-limited'}, said
        reply = attempt(m, 'submissions', ALICE, m.password[ALICE], source='127.0.0.66')
        assert slug(reply) == 'auth-rate-limited' and re.search(r'\d+ (s|min)', reply), reply
        assert attempt(m, 'submissions', ALICE, m.password[ALICE], source='127.0.0.67').startswith('235')


@case(19, 'the counts survive a worker that dies', system=None)
def survives():
    import os
    import signal
    with mailroom.System(STRICT) as m:
        for i in range(5):
            attempt(m, 'pop3s', ALICE, 'wrong', source='127.0.1.%d' % (i + 1))
        mark = m.log_size()
        pids = m.pid_of('user')
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        m.wait_log('event=role-ready started=user', since=mark, count=len(pids))
        assert slug(attempt(m, 'pop3s', ALICE, 'wrong', source='127.0.1.9')) == 'auth-rate-limited'


@case(19, 'failed sign-ins of one session: three, then the end', SIGNIN_WAYS)
def three_failures(m, way):
    with (pop3(m, way) if way.startswith('pop3') else smtp(m, way, signin=False)) as w:
        w.send(('AUTH PLAIN %s\r\n' % plain(ALICE, 'wrong')) * 1)
        for i in range(2):
            assert slug(w.line() if way.startswith('pop3') else w.reply()) == 'auth-bad-credentials'
            w.send('AUTH PLAIN %s\r\n' % plain(ALICE, 'wrong'))
        text = w.until_closed()
        assert slug(text) in ('auth-bad-credentials', 'auth-rate-limited'), text


@case(19, 'a flood of sign-ins stalls neither mail nor people who were in before', system=None, long=True)
def hash_flood():
    conf = 'auth {\n\tfailure-delay = 0s\n\tfailures-per-address = 1000000\n\tfailures-per-account = 1000000\n}\n'
    with mailroom.System(conf) as m:
        assert attempt(m, 'pop3s', ALICE, m.password[ALICE], source='127.0.0.9').startswith('+OK')
        halt = threading.Event()
        slugs = {}

        def flood(n):
            i = 0
            while not halt.is_set():
                i += 1
                try:
                    word = slug(attempt(m, 'pop3s', 'x%d.%d@mailroom.test' % (n, i), 'wrong', source='127.0.4.%d' % (n + 1)))
                except (OSError, EOFError, AssertionError):
                    word = 'gone'
                slugs[word] = slugs.get(word, 0) + 1
        threads = [threading.Thread(target=flood, args=(n,), daemon=True) for n in range(24)]
        for t in threads:
            t.start()
        time.sleep(0.5)
        end = time.monotonic() + (3 if not is_sanitized() else 5)
        sent, took = 0, []
        while time.monotonic() < end:
            t = time.monotonic()
            deliver(m, '<flood-%d@attack>' % sent, source='127.0.0.8')
            took.append(time.monotonic() - t)
            sent += 1
        t = time.monotonic()
        reply = attempt(m, 'pop3s', ALICE, m.password[ALICE], source='127.0.0.9')
        owner = time.monotonic() - t
        halt.set()
        for t in threads:
            t.join(30)
        print('       flood: %s; mail: %d sent, median %.0f ms, worst %.0f ms; owner signed in after %.0f ms' % (
            slugs, sent, statistics.median(took) * 1000, max(took) * 1000, owner * 1000))
        assert reply.startswith('+OK'), reply
        assert sent >= 3 and sum(mid.startswith('<flood-') for mid in ids(m)) == sent
        assert set(slugs) <= {'auth-bad-credentials', 'auth-temporarily-unavailable', 'auth-rate-limited', 'gone'}, slugs
        system_is_well(m)
