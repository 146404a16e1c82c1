#!/usr/bin/python3
"""kill -9 under load: whatever got its 250 must be held, exactly once.

usage: crash.py --mailroom PROGRAM [--rounds N] [--seed S] [--senders N]
A round starts some senders that hand in numbered messages (several a connection), kills one role, or all of them with the parent, at a random moment, and goes
on with what the system is after that. At the end of the rounds `mailroom message ids` is held against the list of acknowledged Message-IDs. Prints
"N passed, N failed": one for every round (nobody was locked out: a later message was accepted), and one for the final count."""
import argparse
import collections
import os
import random
import signal
import smtplib
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'e2e'))


class Sender(threading.Thread):
    """sends until told to stop; remembers what was acknowledged and what is in doubt (sent whole, no reply seen)"""

    def __init__(self, port, number, size):
        super().__init__(daemon=True)
        self.port, self.number, self.size = port, number, size
        self.acked, self.doubt = [], set()
        self.halt = threading.Event()
        self.refused = collections.Counter()
        self.permanent = []

    def one(self, s, n):
        mid = '<%d.%d.%d@crash.test>' % (os.getpid(), self.number, n)
        body = 'Message-ID: %s\r\nSubject: crash\r\n\r\n%s\r\n' % (mid, ('x' * 70 + '\r\n') * (self.size // 72))
        code, words = s.mail('sender@crash.test')
        if code == 250:
            code, words = s.rcpt('alice@mailroom.test')
        if code == 250:
            self.doubt.add(mid)
            code, words = s.data(body)
            self.doubt.discard(mid)
        if code == 250:
            self.acked.append(mid)
            return
        self.refused[code] += 1
        if code >= 500:
            self.permanent.append((code, words))
        raise smtplib.SMTPServerDisconnected('refused')

    def run(self):
        n = 0
        while not self.halt.is_set():
            try:
                s = smtplib.SMTP('127.0.0.1', self.port, timeout=15)
                s.ehlo('load.crash.test')
                while not self.halt.is_set():
                    n += 1
                    self.one(s, n)
            except (smtplib.SMTPException, OSError):
                time.sleep(0.01)


def accepts(port, deadline=5.0):
    """seconds until a fresh connection gets a 250 for RCPT, or None"""
    t = time.monotonic()
    while time.monotonic() - t < deadline * 4:
        try:
            s = smtplib.SMTP('127.0.0.1', port, timeout=deadline)
            s.ehlo('probe.crash.test')
            if s.mail('')[0] == 250 and s.rcpt('bob@mailroom.test')[0] == 250:
                s.close()
                return time.monotonic() - t
            s.close()
        except (smtplib.SMTPException, OSError):
            pass
        time.sleep(0.02)
    return None


def kill_round(m, rng):
    """kills somebody; what was killed"""
    victims = m.children()
    kind = rng.choice(['store', 'mx', 'mx', 'store', 'auth', 'keys', 'user', 'all'])
    if kind == 'all':
        m.kill()
        m.start()
        return 'all'
    pids = [pid for role, pid in victims if role == kind]
    if pids:
        try:
            os.kill(rng.choice(pids), signal.SIGKILL)
        except ProcessLookupError:
            pass
    return kind


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('--mailroom', required=True)
    ap.add_argument('--rounds', type=int, default=50)
    ap.add_argument('--seed', type=int, default=None)
    ap.add_argument('--senders', type=int, default=6)
    a = ap.parse_args()
    os.environ['MAILROOM'] = os.path.abspath(a.mailroom)
    import mailroom
    seed = a.seed if a.seed is not None else random.SystemRandom().randrange(1 << 30)
    rng = random.Random(seed)
    print('crash: %d rounds, seed %d' % (a.rounds, seed), flush=True)
    passed = failed = 0
    with mailroom.System('limits {\n\ttransactions = 1000000\n}\n', listener='connections-per-address = 1000\n') as m:
        senders = [Sender(m.port['mx'], i, rng.choice([300, 3000, 30000, 200000])) for i in range(a.senders)]
        for s in senders:
            s.start()
        kills = collections.Counter()
        slowest = 0.0
        for r in range(a.rounds):
            time.sleep(rng.uniform(0.0, 0.25))
            what = kill_round(m, rng)
            kills[what] += 1
            took = accepts(m.port['mx'])
            if took is None or took > 5:
                failed += 1
                print('round %d: killed %s: no service after %s s' % (r, what, took), flush=True)
            else:
                passed += 1
                slowest = max(slowest, took)
        for s in senders:
            s.halt.set()
        for s in senders:
            s.join(20)
        acked = [mid for s in senders for mid in s.acked]
        doubt = {mid for s in senders for mid in s.doubt}
        permanent = [x for s in senders for x in s.permanent]
        m.stop()
        held = collections.Counter(mid for mid, where in m.message_ids())
        lost = [mid for mid in acked if held[mid] == 0]
        twice = [mid for mid in acked if held[mid] > 1]
        extra = [mid for mid in held if mid not in set(acked) and mid not in doubt]
        for name, bad in (('lost after a 250', lost), ('held twice', twice), ('5xx for our own trouble', permanent)):
            if bad:
                failed += 1
                print('%d %s: %s' % (len(bad), name, bad[:3]))
            else:
                passed += 1
        print('acknowledged %d, held %d, in doubt %d (of these held %d), held without a 250 seen %d, slowest return %.2f s, killed %s' % (
            len(acked), sum(held.values()), len(doubt), sum(1 for d in doubt if held[d]), len(extra), slowest, dict(kills)))
        if not acked:
            failed += 1
            print('nothing was accepted at all')
    print('%d passed, %d failed' % (passed, failed))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
