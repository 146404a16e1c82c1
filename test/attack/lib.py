"""What the attack and flood suites share: dialogues with every kind of listener, the register of cases, and how they are run and counted."""
import base64
import os
import re
import ssl
import sys
import time
import traceback
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'e2e'))
import mailroom  # noqa: E402
from mailroom import Wire  # noqa: E402

ALICE, BOB = 'alice@mailroom.test', 'bob@mailroom.test'
# each way to hand in a message; those with a sign-in come with one
SMTP_WAYS = ('mx', 'mx+tls', 'submission', 'submissions')
POP3_WAYS = ('pop3', 'pop3+tls', 'pop3s')


def tls_context():
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname = False
    ctx.verify_mode = ssl.CERT_NONE
    return ctx


TLS = tls_context()


class Line(Wire):
    """A Wire that may be bound to a source address and may change to TLS."""

    def __init__(self, port, source=None, implicit=False, greet=True, timeout=20):
        import socket
        self.sock = socket.create_connection(('127.0.0.1', port), timeout=timeout, source_address=(source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.left = b''
        if implicit:
            self.tls()
        if greet:
            self.greeting = self.reply()

    def tls(self):
        assert not self.left, 'words in the clear before TLS: %r' % self.left
        self.sock = TLS.wrap_socket(self.sock)

    def command(self, text):
        """POP3: one command, one line"""
        self.send(text + '\r\n')
        return self.line()

    def codes(self, n):
        return [self.reply()[:3] for _ in range(n)]

    def until_closed(self):
        """all that still comes, whatever way the connection ends"""
        try:
            return self.rest()
        except (OSError, ssl.SSLError):
            return self.left.decode(errors='replace')


def plain(login, password):
    return base64.b64encode(('\0%s\0%s' % (login, password)).encode()).decode()


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def smtp(m, way, hello='client.example', signin=True, source=None):
    """a session on one of SMTP_WAYS, greeted, encrypted and signed in as that way has it"""
    name = way.split('+')[0]
    w = Line(m.port[name], source, implicit=name == 'submissions')
    assert w.greeting.startswith('220'), w.greeting
    assert w.ask('EHLO ' + hello).startswith('250')
    if name == 'submission' or way == 'mx+tls':
        assert w.ask('STARTTLS').startswith('220')
        w.tls()
        assert w.ask('EHLO ' + hello).startswith('250')
    if name in ('submission', 'submissions') and signin:
        reply = w.ask('AUTH PLAIN ' + plain(ALICE, m.password[ALICE]))
        assert reply.startswith('235'), reply
    return w


def pop3(m, way, login=None, source=None):
    name = way.split('+')[0]
    w = Line(m.port[name], source, implicit=name == 'pop3s', greet=False)
    greeting = w.line()
    assert greeting.startswith('+OK'), greeting
    if way == 'pop3+tls':
        assert w.command('STLS').startswith('+OK')
        w.tls()
    if login:
        assert w.command('USER ' + login).startswith('+OK')
        reply = w.command('PASS ' + m.password[login])
        assert reply.startswith('+OK'), reply
    return w


def sender(way):
    return 'stranger@b.example' if way.startswith('mx') else ALICE


def envelope(w, way, rcpt=BOB):
    reply = w.ask('MAIL FROM:<%s>' % sender(way))
    assert reply.startswith('250'), reply
    reply = w.ask('RCPT TO:<%s>' % rcpt)
    assert reply.startswith('250'), reply


def deliver(m, mid, way='mx', rcpt=BOB, source=None):
    with smtp(m, way, source=source) as w:
        envelope(w, way, rcpt)
        assert w.ask('DATA').startswith('354')
        reply = w.ask('Message-ID: %s\r\nFrom: %s\r\n\r\nhonest\r\n.' % (mid, sender(way)))
        assert reply.startswith('250'), reply


def ids(m):
    return [mid for mid, _ in m.message_ids()]


def slug(reply):
    """the slug of the last line of a refusal"""
    found = re.findall(r'\(([a-z0-9-]+)(?:; rule: [^;)]*)?; ref', reply.replace('\r', '').strip().split('\n')[-1])
    return found[-1] if found else ''


def without_ref(reply):
    return re.sub(r'ref [0-9A-Z]+', 'ref', reply)


def memory_kib(m):
    """of the whole system: what every process has for itself, and its share of what they have in common"""
    total = 0
    for pid in [m.process.pid] + [pid for _, pid in m.children()]:
        try:
            with open('/proc/%d/smaps_rollup' % pid) as f:
                total += int(re.search(r'Pss:\s+(\d+)', f.read()).group(1))
        except OSError:
            pass
    return total


def is_sanitized():
    with open(mailroom.program(), 'rb') as f:
        return b'__asan_init' in f.read()


def prepare(program):
    """before anything runs: which program, and (sanitized) little memory kept back, so that growth can be measured"""
    if program:
        os.environ['MAILROOM'] = os.path.abspath(program)
    if is_sanitized():
        os.environ['ASAN_OPTIONS'] = os.environ.get('ASAN_OPTIONS', 'detect_leaks=0') + ':quarantine_size_mb=1:thread_local_quarantine_size_kb=64:malloc_context_size=2'


def memory_factor():
    """what a sanitized program needs more for the same thing"""
    return 4 if is_sanitized() else 1


# ---- cases

CASES = []


class Skipped(Exception):
    pass


def case(row, title, ways=None, long=False, system='common'):
    """Registers a test. ways: run once for each, as fn(m, way). long: left out by --quick. system 'common': the one system that most share; None: the case
    makes its own."""
    def wrap(fn):
        for way in ways or (None,):
            CASES.append((row, title + (' [%s]' % way if way else ''), fn, way, long, system))
        return fn
    return wrap


def system_is_well(m):
    """after every case: nothing died, and mail still comes in"""
    if not m.process or m.process.poll() is not None:
        raise AssertionError('the server is gone')
    assert 'event=role-died' not in m.log(), [x for x in m.log().splitlines() if 'role-died' in x][-1]


def in_turn(title, fn, way):
    """--quick tries each case on one of its listeners, another one from case to case"""
    ways = [w for _, t, f, w, _, _ in CASES if f is fn]
    return way == ways[zlib.crc32(title.split(' [')[0].encode()) % len(ways)]


def run_cases(quick=False, only=None, verbose=False):
    """(passed, failed) of all registered cases; each gets its line"""
    passed = failed = skipped = 0
    common = None
    try:
        for row, title, fn, way, long, system in CASES:
            if (quick and (long or not in_turn(title, fn, way))) or (only and not re.search(only, 'row %d %s' % (row, title))):
                continue
            start = time.monotonic()
            mark = 0
            try:
                if system == 'common' and (not common or not common.process):
                    common = mailroom.System(COMMON_CONF)
                args = [common] if system == 'common' else []
                mark = common.log_size() if common else 0
                fn(*args, *([way] if way else []))
                if system == 'common':
                    system_is_well(common)
                passed += 1
                word = 'ok    '
            except Skipped as e:
                skipped += 1
                word, title = 'skip  ', '%s: %s' % (title, e)
            except Exception as e:
                failed += 1
                word = 'FAILED'
                title += '\n' + ''.join('       ' + x + '\n' for x in (traceback.format_exc() if verbose else '%s: %s' % (type(e).__name__, e)).splitlines()[:60])
                if system == 'common' and common:
                    died = [x for x in common.log(mark).splitlines() if 'role-died' in x or 'ERROR:' in x]
                    title += ''.join('       log: %s\n' % x for x in died[:5])
                    if died or common.process.poll() is not None:
                        common.close()
                        common = None
            print('%s row %-2d %s (%.1f s)' % (word, row, title.rstrip('\n'), time.monotonic() - start), flush=True)
    finally:
        if common:
            common.close()
    if skipped:
        print('%d skipped' % skipped)
    return passed, failed


# the common system: many sign-ins on purpose fail here, so nobody is made to wait except where a case asks for that
COMMON_CONF = 'auth {\n\tfailure-delay = 0s\n\tfailures-per-address = 100000\n\tfailures-per-account = 100000\n}\n'
