#!/usr/bin/python3
"""Floods of each kind while an honest client sends one message after the other: it is served, memory stays, and the flood is told which limit ends it.

usage: floods.py [--mailroom PROGRAM] [--quick] [--only REGEX] [--seconds S]
Fails when an honest message is not accepted, when the whole system grows by 64 MiB or more, or when the limit is not named. The time the honest client waits for
the answer to a command is printed beside the wish of 100 ms, not asserted: it is the machine's as much as the server's (the first row is without a flood)."""
import argparse
import multiprocessing
import os
import re
import select
import socket
import statistics
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402
import mailroom  # noqa: E402
from lib import Line, memory_kib, plain, slug  # noqa: E402

GROWTH_KIB = 64 << 10
WISH_MS = 100
HONEST = '127.0.0.8'
CONF = 'auth {\n\tfailure-delay = 200ms\n\tfailures-per-address = 5\n}\nlimits {\n\tmessage-size = 2MB\n}\ntimeouts {\n\tsmtp-greeting = 3s\n\tsmtp-command = 3s\n\ttls-handshake = 3s\n\tsmtp-data = 3s\n\tpop3-login = 3s\n}\n'


class Honest:
    """One connection after the other, one message each; how long every answer took. In a process of its own, so that the flood's Python costs it nothing."""

    def __init__(self, m, kind):
        self.m, self.kind = m, kind
        self.waits, self.whole, self.acked, self.faults = [], [], [], []
        self.ours, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.get_context('fork').Process(target=self.run, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def finish(self):
        """tells it to stop and takes over what it saw; False: it hangs"""
        self.ours.send(None)
        if not self.ours.poll(60):
            self.process.kill()
            return False
        self.waits, self.whole, self.acked, self.faults = self.ours.recv()
        self.process.join(10)
        return True

    def timed(self, fn, *args):
        t = time.monotonic()
        out = fn(*args)
        self.waits.append(time.monotonic() - t)
        return out

    def one(self, mid):
        w = self.timed(lambda: Line(self.m.port['mx'], HONEST))
        try:
            for command, code in (('EHLO honest.example', '250'), ('MAIL FROM:<h@b.example>', '250'), ('RCPT TO:<bob@mailroom.test>', '250'), ('DATA', '354'),
                                  ('Message-ID: %s\r\n\r\nhonest\r\n.' % mid, '250'), ('QUIT', '221')):
                reply = self.timed(w.ask, command)
                if not reply.startswith(code):
                    raise AssertionError('%s: %s' % (command[:20], reply))
                if command[:7] == 'Message':
                    self.acked.append(mid)
        finally:
            w.close()

    def run(self, theirs):
        n = 0
        while not theirs.poll():
            n += 1
            t = time.monotonic()
            try:
                self.one('<%s-%d@honest>' % (self.kind, n))
            except (OSError, EOFError, AssertionError) as e:
                self.faults.append('%s: %s' % (type(e).__name__, e))
            self.whole.append(time.monotonic() - t)
            time.sleep(0.005)
        theirs.send((self.waits, self.whole, self.acked, self.faults))
        theirs.close()


class Flood:
    """Sockets of a flood; what the server said on them is looked through for slugs."""

    def __init__(self, m, seconds):
        self.m, self.end = m, time.monotonic() + seconds
        self.slugs, self.sent, self.made, self.tails = {}, 0, 0, {}
        self.socks = []

    def going(self):
        return time.monotonic() < self.end

    def source(self, i):
        return '127.0.9.%d' % (1 + i % 4)

    def connect(self, name, i=0, data=b'', greeted=True):
        """greeted: waits for the greeting; who does not is sent away at once"""
        s = socket.socket()
        s.bind((self.source(i), 0))
        s.settimeout(2)
        s.connect(('127.0.0.1', self.m.port[name]))
        if data:
            s.sendall(data)
        elif greeted:
            try:
                self.heard(s, s.recv(2000))
            except OSError:
                pass
        s.setblocking(False)
        self.made += 1
        self.socks.append(s)
        return s

    def heard(self, s, data):
        text = self.tails.get(s, b'') + data
        for word in re.findall(rb'(?:^|\n)(?:[45]\d\d |-ERR)[^\n]*\(([a-z0-9-]+)(?:; rule: [^;)]*)?; ref', text):
            self.slugs[word.decode()] = self.slugs.get(word.decode(), 0) + 1
        self.tails[s] = text[text.rfind(b'\n'):][-2000:]

    def drop(self, s):
        self.tails.pop(s, None)
        if s in self.socks:
            self.socks.remove(s)
        s.close()

    def read(self, timeout=0.0):
        """reads whatever there is; returns the sockets that have ended"""
        over = []
        if not self.socks:
            time.sleep(timeout)
            return over
        for s in select.select(self.socks, [], [], timeout)[0]:
            try:
                data = s.recv(262144)
            except (BlockingIOError, InterruptedError):
                continue
            except OSError:
                data = b''
            if data:
                self.heard(s, data)
            else:
                over.append(s)
                self.drop(s)
        return over

    def write(self, s, data):
        try:
            n = s.send(data)
            self.sent += n
            return n
        except BlockingIOError:
            return 0
        except OSError:
            return -1

    def close(self):
        for s in list(self.socks):
            self.drop(s)


# ---- the kinds: each runs until its time is over. `count` connections talk at a time; whoever is ended comes again.

def talk(f, name, count, hello, data, pause=0.002):
    """keeps count connections busy with the same bytes, reading all replies"""
    rest = {}
    again = 0
    while f.going():
        while len(f.socks) < count and f.going():
            s = f.connect(name, again)
            again += 1
            rest[s] = hello
        _, writable, _ = select.select([], f.socks, [], 0)
        for s in writable:
            chunk = rest[s] or data
            n = f.write(s, chunk)
            if n < 0:
                f.read()
                if s in f.socks:
                    f.drop(s)
                continue
            rest[s] = chunk[n:]
        f.read(pause)


EHLO = b'EHLO flood.example\r\n'
MAIL = EHLO + b'MAIL FROM:<f@b.example>\r\n'
RCPT = MAIL + b'RCPT TO:<alice@mailroom.test>\r\n'


def nothing(f):
    """how the machine is without any flood"""
    while f.going():
        time.sleep(0.05)


def connections(f):
    while f.going():
        for i in range(40):
            try:
                f.connect('mx', 0, greeted=False)
            except OSError:
                time.sleep(0.01)
        f.read(0.005)
        while len(f.socks) > 600:
            f.drop(f.socks[0])


def rcpt(f):
    talk(f, 'mx', 6, MAIL, b'RCPT TO:<alice@mailroom.test>\r\n' * 200)


def rcpt_unknown(f):
    talk(f, 'mx', 6, MAIL, b'RCPT TO:<guess@mailroom.test>\r\n' * 200)


def noop(f):
    talk(f, 'mx', 20, EHLO, b'NOOP\r\n' * 500)


def rset(f):
    talk(f, 'mx', 20, EHLO, b'MAIL FROM:<f@b.example>\r\nRSET\r\n' * 100)


def junk(f):
    talk(f, 'mx', 20, b'', bytes(range(14, 256)) * 40 + b'\r\n')


def long_lines(f):
    talk(f, 'mx', 10, EHLO, b'X' * 65536)


def long_lines_ended(f):
    talk(f, 'mx', 10, EHLO, b'X' * 3000 + b'\r\n')


def slow_drip(f):
    for i in range(180):
        f.connect('mx', i)
    while f.going():
        for s in list(f.socks):
            if f.write(s, b'E') < 0:
                f.drop(s)
        f.read(0.3)


def unread(f):
    """long refusals that nobody takes in"""
    for i in range(100):
        s = f.connect('mx', i)
        f.write(s, MAIL)
    data = b'RCPT TO:<alice@elsewhere.example>\r\n' * 400
    while f.going():
        for s in select.select([], f.socks, [], 0.05)[1]:
            f.write(s, data)
    f.end = time.monotonic() + 3
    while f.going() and f.socks and 'too-many-bad-commands' not in f.slugs:  # now see what was said
        f.read(0.05)


def auth(f):
    """sign-ins with wrong passwords, as many as the server lets in"""
    def work(n):
        i = 0
        while f.going():
            i += 1
            try:
                w = Line(f.m.port['submissions'], f.source(n), implicit=True)
                w.ask('EHLO flood.example')
                while f.going():
                    reply = w.ask('AUTH PLAIN ' + plain('user%d.%d@mailroom.test' % (n, i), 'guess'))
                    f.slugs[slug(reply)] = f.slugs.get(slug(reply), 0) + 1
                    f.sent += 1
                    if reply.startswith('421'):
                        break
                w.close()
            except (OSError, EOFError, AssertionError):
                time.sleep(0.01)
    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(32)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)


def half_open_tls(f):
    hello = b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'
    i = 0
    while f.going():
        while len(f.socks) < 200:
            s = f.connect('submissions' if i % 2 else 'mx', i, b'' if i % 2 == 0 else hello)
            if i % 2 == 0:
                f.write(s, EHLO + b'STARTTLS\r\n')
            i += 1
        f.read(0.05)


def handshakes(f):
    """whole handshakes, and away: what costs the server most"""
    def work(n):
        while f.going():
            try:
                Line(f.m.port['submissions'], f.source(n), implicit=True).close()
                f.sent += 1
            except (OSError, EOFError):
                time.sleep(0.01)
    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)


def bdat_zero(f):
    talk(f, 'mx', 10, RCPT, b'BDAT 0\r\n' * 300)


def huge_declared(f):
    talk(f, 'mx', 10, EHLO, b'MAIL FROM:<f@b.example> SIZE=99999999999\r\n' * 100 + b'RCPT TO:<alice@mailroom.test>\r\nBDAT 99999999999 LAST\r\n')


def huge_body(f):
    """says nothing of its size and does not end"""
    talk(f, 'mx', 4, RCPT + b'DATA\r\n', (b'x' * 998 + b'\r\n') * 64)


def pop3_junk(f):
    talk(f, 'pop3', 20, b'', b'JUNK\r\n' * 500)


def pop3_capa(f):
    talk(f, 'pop3', 20, b'', b'CAPA\r\n' * 300)


def pop3_long(f):
    talk(f, 'pop3', 10, b'', b'Y' * 65536)


def pop3_auth(f):
    def work(n):
        while f.going():
            try:
                w = Line(f.m.port['pop3s'], f.source(n), implicit=True, greet=False)
                w.line()
                while f.going():
                    w.command('USER user%d@mailroom.test' % n)
                    word = slug(w.command('PASS guess'))
                    f.slugs[word] = f.slugs.get(word, 0) + 1
                w.close()
            except (OSError, EOFError):
                time.sleep(0.01)
    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)


# kind, its function, limits of which one has to be named (None: it is the silent kind), whether --quick has it
KINDS = (
    ('none', nothing, None, True),
    ('connections', connections, {'too-many-connections-address', 'too-many-connections'}, True),
    ('RCPT', rcpt, {'too-many-recipients'}, True),
    ('RCPT unknown', rcpt_unknown, {'too-many-bad-commands'}, False),
    ('NOOP', noop, {'too-many-noops'}, True),
    ('RSET', rset, {'too-many-noops', 'too-many-transactions'}, True),
    ('junk', junk, {'too-many-bad-commands'}, True),
    ('long lines', long_lines, {'timeout', 'line-too-long'}, True),
    ('long lines, ended', long_lines_ended, {'line-too-long'}, False),
    ('slow drip', slow_drip, {'timeout'}, True),
    ('unread replies', unread, {'slow-client', 'too-many-bad-commands'}, True),
    ('AUTH', auth, {'auth-rate-limited', 'auth-temporarily-unavailable'}, True),
    ('half-open TLS', half_open_tls, None, True),
    ('TLS handshakes', handshakes, None, False),
    ('BDAT of zero', bdat_zero, {'too-many-noops'}, True),
    ('huge declared size', huge_declared, {'message-too-big'}, True),
    ('huge undeclared body', huge_body, {'message-too-big'}, False),
    ('POP3 junk', pop3_junk, {'too-many-bad-commands'}, False),
    ('POP3 CAPA', pop3_capa, {'too-many-noops'}, True),
    ('POP3 long lines', pop3_long, {'timeout', 'line-too-long'}, False),
    ('POP3 AUTH', pop3_auth, {'auth-rate-limited', 'auth-temporarily-unavailable'}, False),
)


def watch_memory(m, halt, peak):
    while not halt.wait(0.25):
        peak[0] = max(peak[0], memory_kib(m))


def one_kind(m, kind, fn, wanted, seconds):
    """(faults, row of the table)"""
    before = memory_kib(m)
    peak, halt = [before], threading.Event()
    watcher = threading.Thread(target=watch_memory, args=(m, halt, peak), daemon=True)
    watcher.start()
    honest = Honest(m, kind.replace(' ', '-').replace(',', ''))
    flood = Flood(m, seconds)
    if kind in ('slow drip', 'long lines', 'POP3 long lines', 'half-open TLS', 'huge undeclared body'):
        flood.end += 3.5  # until the deadline has struck
    fn(flood)
    finished = honest.finish()
    halt.set()
    watcher.join(10)
    flood.close()
    faults = []
    if not finished:
        faults.append('the honest client hangs')
    if honest.faults:
        faults.append('%d honest messages were not accepted, the first: %s' % (len(honest.faults), honest.faults[0]))
    if len(honest.acked) < 3:
        faults.append('only %d honest messages in all' % len(honest.acked))
    missing = set(honest.acked) - set(lib.ids(m))
    if missing:
        faults.append('%d acknowledged and not held' % len(missing))
    if peak[0] - before >= GROWTH_KIB * lib.memory_factor():
        faults.append('memory grew by %d MiB' % ((peak[0] - before) >> 10))
    if wanted and not wanted & set(flood.slugs):
        faults.append('the limit was not named; heard %s' % (flood.slugs or 'nothing'))
    try:
        lib.system_is_well(m)
    except AssertionError as e:
        faults.append(str(e))
    waits = sorted(x * 1000 for x in honest.waits) or [0.0]
    named = ','.join(sorted(set(flood.slugs) & wanted)) if wanted else '(closed)'
    row = (kind, len(honest.acked), statistics.median(waits), waits[int(len(waits) * 0.99)], waits[-1], statistics.median(honest.whole or [0]) * 1000, (peak[0] - before) / 1024, named)
    return faults, row


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--mailroom', help='the program (default: $MAILROOM, else the one in build/)')
    p.add_argument('--quick', action='store_true', help='the twelve kinds, a second each')
    p.add_argument('--only', help='kinds that match this expression')
    p.add_argument('--seconds', type=float, help='how long each flood goes on')
    args = p.parse_args()
    lib.prepare(args.mailroom)
    seconds = args.seconds or (1.0 if args.quick else 4.0)
    passed, failed, rows = 0, 0, []
    # who talks early is let go on, so that the limits behind that are met
    with mailroom.System(CONF, listener='\tearly-talkers = allow\n') as m:
        for kind, fn, wanted, quick in KINDS:
            if (args.quick and not quick) or (args.only and not re.search(args.only, kind)):
                continue
            faults, row = one_kind(m, kind, fn, wanted, seconds)
            rows.append(row)
            failed, passed = failed + bool(faults), passed + (not faults)
            print('%s flood: %s%s' % ('FAILED' if faults else 'ok    ', kind, ''.join('\n       ' + f for f in faults)), flush=True)
            time.sleep(0.3)
    print('\n%-22s %8s %10s %10s %10s %12s %8s  %s' % ('flood', 'messages', 'median ms', '99 % ms', 'worst ms', 'message ms', 'MiB', 'limit named'))
    for r in rows:
        print('%-22s %8d %10.1f %10.1f %10.1f %12.1f %+8.1f  %s' % r)
    slow = [r[0] for r in rows if r[4] > WISH_MS]
    print('answers to the honest client: %s' % ('later than %d ms at worst under: %s' % (WISH_MS, ', '.join(slow)) if slow else 'all within %d ms' % WISH_MS))
    print('%d passed, %d failed' % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main())
